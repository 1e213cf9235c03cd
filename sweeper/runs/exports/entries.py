"""Entries for other tools: one a trial, and one for the ensemble."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import msgspec

from sweeper.evaluate.metrics import METRICS
from sweeper.pipeline import Pipeline, unnested
from sweeper.runs.records import read_pipeline
from sweeper.runs.results import TIMES, Results, mean_of_folds
from sweeper.search.brackets import Ladder

SENT_VALUES = (*METRICS, *TIMES)
"""Means over folds that are sent of every rung, beside its budget."""


class Status(StrEnum):
    """How far a trial is: ``done`` at the full budget, ``stopped`` below it when its sweep ended."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Rung:
    """A budget at which every fold of a trial is there.

    Attributes
    ----------
    step : int
        Number of the rung on the ladder of the sweep, from 1: equal budgets have equal steps.
    budget : float
    means : dict
        Mean over folds of each of :data:`SENT_VALUES` that is defined.
    """

    step: int
    budget: float
    means: dict[str, float]

    @property
    def values(self) -> dict[str, float]:
        """The means and the budget."""
        return {**self.means, "budget": self.budget}


class Sent(msgspec.Struct, frozen=True):
    """The part of an entry that a tool has.

    Attributes
    ----------
    pipeline : str
        Id of the pipeline that its parameters are of.
    budget : float
        Largest budget of its rungs; 0 without any.
    status, error : str
        Empty until the trial has ended.
    test_accuracy : float or None
    """

    pipeline: str
    budget: float = 0.0
    status: str = ""
    error: str = ""
    test_accuracy: float | None = None


@dataclass(frozen=True)
class News:
    """The part of an entry that a tool does not have yet.

    Attributes
    ----------
    rungs : tuple of Rung
    test_accuracy : float or None
        None where there is none, or the tool has it.
    ended : bool
        The status and the error are new.
    sent : Sent
        What the tool has once it has all of this.
    """

    rungs: tuple[Rung, ...]
    test_accuracy: float | None
    ended: bool
    sent: Sent

    def __bool__(self) -> bool:
        return bool(self.rungs) or self.test_accuracy is not None or self.ended


@dataclass(frozen=True)
class Entry:
    """A trial, or the ensemble, as other tools show it.

    Attributes
    ----------
    trial : int
        −1 for the ensemble.
    text : bytes
        Its pipeline as JSON.
    rungs : tuple of Rung
        By rising budget.
    status : Status
    error : str
        Why it failed, or why it has no test accuracy.
    test_accuracy : float or None
    """

    trial: int
    text: bytes
    rungs: tuple[Rung, ...]
    status: Status
    error: str
    test_accuracy: float | None

    @property
    def key(self) -> str:
        """Return what tells the entry from the others of its sweep."""
        return "ensemble" if self.trial < 0 else f"trial-{self.trial}"

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline of the trial."""
        return read_pipeline(self.text)

    @property
    def name(self) -> str:
        """Return a name for people: ``glcm+rf #4``."""
        return "ensemble" if self.trial < 0 else f"{self.pipeline.name} #{self.trial}"

    @property
    def parameters(self) -> dict[str, str | int | float | bool]:
        """Return the pipeline's parameters, flat: ``featurizer.distance``, ``classifier.n_trees``, ...

        Those of featurizers side by side are called ``featurizer.glcm.distance``.
        """
        pipeline = self.pipeline.to_dict()
        if self.trial < 0:
            return {"members": json.dumps(pipeline["classifier_params"]["members"])}
        flat: dict[str, Any] = {"trial": self.trial}
        for name, value in pipeline.items():
            if isinstance(value, dict):
                part = name.removesuffix("_params")
                flat |= {f"{part}.{key}": _plain_value(v) for key, v in unnested(value).items()}
            else:
                flat[name] = value
        return flat

    def since(self, sent: Sent | None) -> News:
        """Return what is new to a tool.

        A trial that goes on after its sweep had ended keeps the status that was sent until it ends again.

        Parameters
        ----------
        sent : Sent or None
            What the tool has; None, or that of another pipeline, counts as nothing.
        """
        id_ = self.pipeline.id
        known = sent if sent is not None and sent.pipeline == id_ else Sent(id_)
        outcome = (known.status, known.error) if self.status == Status.RUNNING else (self.status, self.error)
        rungs = tuple(rung for rung in self.rungs if rung.budget > known.budget)
        return News(
            rungs,
            None if self.test_accuracy == known.test_accuracy else self.test_accuracy,
            outcome != (known.status, known.error),
            Sent(id_, rungs[-1].budget if rungs else known.budget, *outcome, self.test_accuracy),
        )


def _plain_value(value: Any) -> str | int | float | bool:
    return value if isinstance(value, str | int | float) else json.dumps(value)


def entries(results: Results, ladder: Ladder, folds: int | None, *, ended: bool) -> list[Entry]:
    """Return the entries of a sweep by trial, that of the ensemble last.

    Parameters
    ----------
    results : Results
    ladder : Ladder
        Of the sweep.
    folds : int or None
        Folds of the sweep; None takes as many as the records name.
    ended : bool
        The sweep has ended: trials below the full budget are stopped and no longer running.
    """
    rows = results.rungs(folds)
    rungs: dict[int, list[Rung]] = defaultdict(list)
    means = mean_of_folds(rows.values)[:, : len(SENT_VALUES)]
    for owner, budget, values in zip(rows.owner.tolist(), rows.budget.tolist(), means.tolist(), strict=True):
        defined = {name: v for name, v in zip(SENT_VALUES, values, strict=True) if v == v}
        rungs[owner].append(Rung(bisect_right(ladder.fractions, budget), budget, defined))
    made = [
        _entry(results, owner, trial, tuple(rungs[owner]), ended=ended)
        for owner, trial in results.owners.items()
    ]
    return sorted(made, key=lambda entry: (entry.trial < 0, entry.trial))


def _entry(results: Results, owner: int, trial: int, rungs: tuple[Rung, ...], *, ended: bool) -> Entry:
    test_accuracy, error = results.tested(owner)
    status = Status.STOPPED if ended else Status.RUNNING
    if owner in results.failed:
        status, error = Status.FAILED, results.failed[owner].error
    elif rungs and rungs[-1].budget >= 1.0:
        status = Status.DONE
    return Entry(trial, results.text(owner), rungs, status, error, test_accuracy)
