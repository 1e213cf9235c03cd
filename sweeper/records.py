"""Records of a journal as columns, for the leaderboard: quick with hundreds of thousands of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.metrics import METRICS

TIMES = ("featurize_ms_per_frame", "fit_s", "predict_ms_per_frame")
_metrics = itemgetter(*METRICS)
VALUES = (*METRICS, *TIMES, "n_train", "n_validation")
"""What is kept of a finished evaluation, in order."""


@dataclass
class Records:
    """Records as columns; pipelines are numbered in order of appearance.

    Attributes
    ----------
    pipelines : list of dict
    trial : dict
        Pipeline to trial number.
    failed : dict
        Pipeline to (budget, fold, error) of its first failure, by budget and fold.
    test : dict
        Pipeline to (test accuracy or None, error or None).
    owner, budget, fold, values : list
        One entry a finished evaluation: pipeline, budget, fold, and the values of :data:`VALUES`.
    """

    pipelines: list[dict[str, Any]] = field(default_factory=list)
    trial: dict[int, int] = field(default_factory=dict)
    failed: dict[int, tuple[float, int, str]] = field(default_factory=dict)
    test: dict[int, tuple[float | None, str | None]] = field(default_factory=dict)
    owner: list[int] = field(default_factory=list)
    budget: list[float] = field(default_factory=list)
    fold: list[int] = field(default_factory=list)
    values: list[tuple[float | None, ...]] = field(default_factory=list)


def read_records(records: Iterable[Mapping[str, Any]]) -> Records:
    """Take in records of kind ``evaluation`` and ``trial``; others are passed over.

    A pipeline without a trial record gets the next free number.
    """
    found = Records()
    number: dict[str, int] = {}
    for record in records:
        kind = record["kind"]
        if kind != "evaluation" and kind != "trial":
            continue
        # A journal writes equal pipelines as equal text, so that the dicts come back in equal order,
        # and this text is several times faster than canonical JSON.
        text = repr(record["pipeline"])
        owner = number.setdefault(text, len(number))
        if owner == len(found.pipelines):
            found.pipelines.append(record["pipeline"])
        if kind == "trial":
            found.trial.setdefault(owner, record["trial"])
        else:
            _add(found, owner, record)
    free = 1 + max(found.trial.values(), default=-1)
    for owner in range(len(found.pipelines)):
        if owner not in found.trial:
            found.trial[owner], free = free, free + 1
    return found


def _add(found: Records, owner: int, record: Mapping[str, Any]) -> None:
    """Take in one evaluation."""
    fold, done = record["fold"], record["status"] == "done"
    if fold == "test":
        accuracy = record["metrics"]["accuracy"] if done else None
        found.test.setdefault(owner, (accuracy, None if done else f"test split: {record['error']}"))
    elif not done:
        failure = (record["budget"], fold, record["error"] or "no reason was recorded")
        found.failed[owner] = min(found.failed.get(owner, failure), failure)
    else:
        scores = record["metrics"]
        found.owner.append(owner)
        found.budget.append(record["budget"])
        found.fold.append(fold)
        found.values.append(
            (
                *_metrics(scores),
                record["featurize_ms_per_frame"],
                record["fit_s"],
                record["predict_ms_per_frame"],
                record["n_train"],
                record["n_validation"],
            )
        )


@dataclass(frozen=True)
class Rows:
    """Pipelines at the largest budget at which every fold is there.

    Attributes
    ----------
    owner : int64, (rows,)
    budget : float64, (rows,)
    values : float64, (rows, folds, len(VALUES))
        NaN where a metric is not defined.
    """

    owner: NDArray[np.int64]
    budget: NDArray[np.float64]
    values: NDArray[np.float64]


def complete_rows(found: Records, folds: int | None) -> Rows:
    """Rows of the pipelines that did not fail, by owner.

    Parameters
    ----------
    found : Records
    folds : int or None
        Folds that make a budget complete; None takes as many as there are in the records.
    """
    owner = np.array(found.owner, dtype=np.int64)
    budget = np.array(found.budget, dtype=np.float64)
    fold = np.array(found.fold, dtype=np.int64)
    values = np.array(found.values, dtype=np.float64).reshape(len(owner), len(VALUES))
    n_folds = len(np.unique(fold)) if folds is None else folds
    order = np.lexsort((fold, budget, owner))
    order = order[~np.isin(owner[order], np.array(list(found.failed), dtype=np.int64))]
    # The sort is stable and the first record of an evaluation counts: the journal never replaces one.
    order = order[_begins(owner[order], budget[order], fold[order])]
    start = np.flatnonzero(_begins(owner[order], budget[order]))
    start = start[np.diff(start, append=len(order)) == n_folds]
    ends = np.roll(_begins(owner[order[start]]), -1)  # the last budget of each owner is the largest
    start = start[ends]
    cube = values[order[start[:, None] + np.arange(n_folds)]]
    return Rows(owner[order[start]], budget[order[start]], cube)


def _begins(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a row differs from the one before it in any column, (n,); the first always does."""
    begins = np.zeros(len(columns[0]), dtype=np.bool_)
    begins[:1] = True
    for column in columns:
        begins[1:] |= column[1:] != column[:-1]
    return begins
