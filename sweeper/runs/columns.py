"""Records of a journal as columns, for the leaderboard: quick with hundreds of thousands of them.

Pipelines are kept as text and scores as numbers in a row, neither of which Python's garbage collector looks
at: with dicts and tuples it took most of the time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from sweeper.evaluate.metrics import METRICS

TIMES = ("featurize_ms_per_frame", "fit_s", "predict_ms_per_frame")
_NUMBERS = (*TIMES, "n_train", "n_validation")
_metrics, _numbers = itemgetter(*METRICS), itemgetter(*_NUMBERS)
VALUES = (*METRICS, *_NUMBERS)
"""What is kept of a finished evaluation, in order."""


@dataclass
class Records:
    """Records as columns; pipelines are numbered in order of appearance.

    Attributes
    ----------
    pipelines : list of bytes
        As JSON.
    trial : dict
        Pipeline to trial number.
    failed : dict
        Pipeline to (budget, fold, error) of its first failure, by budget and fold.
    test : dict
        Pipeline to (test accuracy or None, error or None).
    owner, budget, fold, values : array
        One entry a finished evaluation: pipeline, budget, fold, and the values of :data:`VALUES`, NaN
        where one is not defined.
    """

    pipelines: list[bytes] = field(default_factory=list)
    trial: dict[int, int] = field(default_factory=dict)
    failed: dict[int, tuple[float, int, str]] = field(default_factory=dict)
    test: dict[int, tuple[float | None, str | None]] = field(default_factory=dict)
    owner: array[int] = field(default_factory=lambda: array("q"))
    budget: array[float] = field(default_factory=lambda: array("d"))
    fold: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))


def read_records(records: Iterable[Mapping[str, Any]]) -> Records:
    """Take in records of kind ``evaluation`` and ``trial``; others are passed over.

    A pipeline without a trial record gets the next free number.
    """
    found = Records()
    number: dict[bytes, int] = {}
    for record in records:
        kind = record["kind"]
        if kind != "evaluation" and kind != "trial":
            continue
        # A journal writes equal pipelines as equal text, so that the dicts come back in equal order,
        # and this text is many times faster than canonical JSON.
        text = orjson.dumps(record["pipeline"])
        owner = number.setdefault(text, len(number))
        if owner == len(found.pipelines):
            found.pipelines.append(text)
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
        found.owner.append(owner)
        found.budget.append(record["budget"])
        found.fold.append(fold)
        scores = _metrics(record["metrics"])
        if None in scores:
            scores = tuple(np.nan if score is None else score for score in scores)
        found.values.extend(scores)
        found.values.extend(_numbers(record))


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
    owner, fold = (np.frombuffer(column, dtype=np.int64) for column in (found.owner, found.fold))
    budget, values = (np.frombuffer(column, dtype=np.float64) for column in (found.budget, found.values))
    values = values.reshape(len(owner), len(VALUES))
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
