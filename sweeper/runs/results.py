"""The results in a journal, read once: the reader behind leaderboard, status, curves, ensemble and report.

Hundreds of thousands of evaluations are kept as columns and pipelines as text, neither of which Python's
garbage collector looks at: with dicts and tuples it took most of the time. Whole records are read again from
their place in the file when somebody asks for one.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError
from sweeper.evaluate.calibration import Quality
from sweeper.evaluate.metrics import DOMAIN_METRICS, METRICS
from sweeper.pipeline import Pipeline
from sweeper.runs.journal import read_journal, read_record
from sweeper.runs.records import (
    Epoch,
    Evaluation,
    Failed,
    NetworkFit,
    Record,
    Trial,
    read_pipeline,
)

TIMES = ("featurize_ms_per_frame", "fit_s", "predict_ms_per_frame")
VALUES = (*METRICS, *TIMES, *DOMAIN_METRICS, "n_train", "n_validation")
"""The values kept of an evaluation that gave a score, in order."""

_metrics = itemgetter(*METRICS)

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class CompleteRows:
    """Pipelines at budgets at which every fold is there.

    Attributes
    ----------
    owner : int64, (rows,)
        Number of the pipeline in :class:`Results`.
    budget : float64, (rows,)
    values : float64, (rows, folds, len(VALUES))
        NaN where a metric is not defined.
    """

    owner: NDArray[np.int64]
    budget: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Failure:
    """The first failure of a pipeline, by budget and fold."""

    budget: float
    fold: int
    error: str


@dataclass(frozen=True)
class Probabilities:
    """How far the probabilities that a pipeline gives are from frequencies.

    Attributes
    ----------
    method : str
        One of :data:`sweeper.evaluate.calibration.METHODS`.
    before, after : Quality
        Of the scores as they are, margins by softmax, and by maps that were fitted on other folds.
    """

    method: str
    before: Quality
    after: Quality


class Results:
    """Records of a sweep; of two under one key or number the first counts.

    Attributes
    ----------
    failed : dict
        Number of a pipeline to its :class:`Failure`.
    tests : dict
        Number of a pipeline to its evaluation on the test split.
    reruns : list of Evaluation
        Folds of the best again, with other seeds.
    fits : dict
        Key to each network that was trained.
    epochs : dict
        Key of a fit and number of an epoch to its record.
    outcomes : Counter
        Evaluations of the journal by what came of them: ``done``, ``rerun`` (done) and ``failed``.
    at_budget : Counter
        Evaluations of the journal by budget.
    probabilities : dict
        Trial to its :class:`Probabilities`, for those of which they were worked out.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._added: list[Record] = []  # records that are in no file
        self._number: dict[str, int] = {}  # id of a pipeline to the number that it has here
        self._texts: dict[int, bytes] = {}
        self._trial_of: dict[int, int] = {}
        self._owner_of: dict[int, int] = {}
        # One entry an evaluation of the cross-validation that gave a score:
        self._owner, self._fold, self._place = array("q"), array("q"), array("q")
        self._budget, self._values = array("d"), array("d")
        self._keys: list[str] = []
        self.failed: dict[int, Failure] = {}
        self.tests: dict[int, Evaluation] = {}
        self.reruns: list[Evaluation] = []
        self.fits: dict[str, NetworkFit] = {}
        self.epochs: dict[tuple[str, int], Epoch] = {}
        self.outcomes: Counter[str] = Counter()
        self.at_budget: Counter[float] = Counter()
        self.probabilities: dict[int, Probabilities] = {}

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a journal; an absent one has no records.

        Raises
        ------
        InputError
            It is of another format.
        """
        results = cls()
        results._path = path
        for place, record in read_journal(path):
            results._take(record, place)
        return results

    def add(self, records: Iterable[Record]) -> Results:
        """Take in records that are not in the journal, such as those of an ensemble; returns self."""
        for record in records:
            self._added.append(record)
            self._take(record, -len(self._added))
        return self

    # ------------------------------------------------------------------ taking records in

    def _take(self, record: Record, place: int) -> None:
        match record:
            case Evaluation():
                self._take_evaluation(record, place)
            case Trial():
                owner = self._number.setdefault(record.id, len(self._number))
                if record.trial not in self._owner_of:
                    self._owner_of[record.trial] = owner
                    self._trial_of.setdefault(owner, record.trial)
                    self._texts.setdefault(owner, bytes(record.pipeline))
            case NetworkFit():
                self.fits.setdefault(record.key, record)
            case Epoch():
                self.epochs.setdefault((record.fit, record.epoch), record)

    def _take_evaluation(self, record: Evaluation, place: int) -> None:
        outcome, fold = record.outcome, record.fold
        if place >= 0:
            self.outcomes[
                "failed" if isinstance(outcome, Failed) else "rerun" if record.rerun else "done"
            ] += 1
            self.at_budget[record.budget] += 1
        if record.rerun:
            self.reruns.append(record)
            return
        owner = self._number.setdefault(record.pipeline, len(self._number))
        if isinstance(fold, str):
            self.tests.setdefault(owner, record)
        elif isinstance(outcome, Failed):
            new, known = Failure(record.budget, fold, outcome.error), self.failed.get(owner)
            if known is None or (new.budget, new.fold) < (known.budget, known.fold):
                self.failed[owner] = new
        else:
            self._owner.append(owner)
            self._budget.append(record.budget)
            self._fold.append(fold)
            self._place.append(place)
            self._keys.append(record.key)
            scores = _metrics(outcome.metrics)
            if None in scores:
                scores = tuple(np.nan if score is None else score for score in scores)
            self._values.extend(scores)
            self._values.extend(
                (
                    record.featurize_ms_per_frame,
                    outcome.fit_s,
                    outcome.predict_ms_per_frame,
                    *(_known(outcome.metrics.get(name)) for name in DOMAIN_METRICS),
                    outcome.n_train,
                    outcome.n_validation,
                )
            )

    # ------------------------------------------------------------------ pipelines and trials

    @property
    def trials(self) -> list[int]:
        """Numbers of the trials, in the order of the journal."""
        return list(self._owner_of)

    @property
    def owners(self) -> dict[int, int]:
        """Number of each pipeline that a trial has, to that trial."""
        return dict(self._trial_of)

    def text(self, owner: int) -> bytes:
        """Return the pipeline of this number as JSON."""
        return self._texts[owner]

    def pipeline(self, trial: int) -> Pipeline:
        """Return the pipeline of a trial.

        Raises
        ------
        InputError
            No such trial.
        """
        if trial not in self._owner_of:
            raise InputError(f"trial must be the number of a trial of this sweep, got {trial}")
        return read_pipeline(self._texts[self._owner_of[trial]])

    def trial_of(self, pipeline: str) -> int | None:
        """Return the trial that evaluates the pipeline with this id."""
        owner = self._number.get(pipeline)
        return None if owner is None else self._trial_of.get(owner)

    def fits_of(self, pipeline: Pipeline) -> list[NetworkFit]:
        """Return the networks that were trained for the features of a pipeline."""
        wanted = {single.representation for single in pipeline.singles}
        return [fit for fit in self.fits.values() if fit.representation in wanted]

    # ------------------------------------------------------------------ evaluations

    def columns(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Return pipeline (n,), budget (n,), fold (n,) and :data:`VALUES` (n, values) of each evaluation."""
        owner, fold = (np.frombuffer(column, dtype=np.int64) for column in (self._owner, self._fold))
        budget, values = (np.frombuffer(column, dtype=np.float64) for column in (self._budget, self._values))
        return owner, budget, fold, values.reshape(len(owner), len(VALUES))

    def evaluations(self, trial: int, budget: float | None = 1.0) -> Iterator[Evaluation]:
        """Yield what gave a score of a trial's cross-validation, in full, by budget and fold.

        Parameters
        ----------
        trial : int
        budget : float or None
            At this budget alone; None: at every budget.
        """
        owner, budgets, folds, _ = self.columns()
        found = np.flatnonzero(owner == self._owner_of[trial])
        if budget is not None:
            found = found[budgets[found] == budget]
        seen: set[tuple[float, int]] = set()
        for row in found[np.lexsort((folds[found], budgets[found]))].tolist():
            where = (float(budgets[row]), int(folds[row]))
            if where not in seen:
                seen.add(where)
                yield self._whole(row)

    def with_keys(self, keys: set[str]) -> Iterator[Evaluation]:
        """Yield the evaluations under some keys, those of the test split among them."""
        for row, key in enumerate(self._keys):
            if key in keys:
                yield self._whole(row)
        yield from (record for record in self.tests.values() if record.key in keys)

    def test(self, trial: int) -> Evaluation | None:
        """Return the evaluation of a trial on the test split, if there is one."""
        return self.tests.get(self._owner_of[trial])

    def _whole(self, row: int) -> Evaluation:
        place = self._place[row]
        if place < 0:
            record: Record | None = self._added[-1 - place]
        else:
            assert self._path is not None
            record = read_record(self._path, place)
        if not isinstance(record, Evaluation):
            raise InputError(f"{self._path}: was changed while it was read")
        return record

    def complete_rows(self, folds: int | None) -> CompleteRows:
        """Return the largest complete budget of each pipeline that did not fail, by number.

        Pipelines that no trial has are left out.

        Parameters
        ----------
        folds : int or None
            Folds that make a budget complete; None takes as many as there are in the records.
        """
        return self._complete(self._trial_of.keys() - self.failed.keys(), folds, only_largest=True)

    def rungs(self, folds: int | None) -> CompleteRows:
        """Return every complete budget of each pipeline that a trial has, by number and budget.

        A pipeline that failed has the budgets before its failure.

        Parameters
        ----------
        folds : int or None
            As for :meth:`complete_rows`.
        """
        return self._complete(self._trial_of.keys(), folds, only_largest=False)

    def _complete(self, owners: Iterable[int], folds: int | None, *, only_largest: bool) -> CompleteRows:
        owner, budget, fold, values = self.columns()
        n_folds = len(np.unique(fold)) if folds is None else folds
        order = np.lexsort((fold, budget, owner))
        wanted = np.array(sorted(owners), dtype=np.int64)
        order = order[np.isin(owner[order], wanted)]
        # The sort is stable and the first record of an evaluation counts: the journal never replaces one.
        order = order[_begins(owner[order], budget[order], fold[order])]
        start = np.flatnonzero(_begins(owner[order], budget[order]))
        start = start[np.diff(start, append=len(order)) == n_folds]
        if only_largest:
            start = start[np.roll(_begins(owner[order[start]]), -1)]  # the last budget of each owner
        cube = values[order[start[:, None] + np.arange(n_folds)]]
        return CompleteRows(owner[order[start]], budget[order[start]], cube)

    def tested(self, owner: int) -> tuple[float | None, str]:
        """Return the accuracy of the pipeline of this number on the test split, or why there is none."""
        test = self.tests.get(owner)
        if test is None:
            return None, ""
        if isinstance(test.outcome, Failed):
            return None, f"test split: {test.outcome.error}"
        return test.outcome.metrics["accuracy"], ""


def _known(value: float | None) -> float:
    return np.nan if value is None else value


def mean_of_folds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of what is defined, (rows, ...) from (rows, folds, ...); NaN where nothing is."""
    defined = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.where(defined, values, 0).sum(axis=1) / defined.sum(axis=1)
    return mean


def _begins(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Return whether a row differs from the one before it in any column, (n,); the first always does."""
    begins = np.zeros(len(columns[0]), dtype=np.bool_)
    begins[:1] = True
    for column in columns:
        begins[1:] |= column[1:] != column[:-1]
    return begins
