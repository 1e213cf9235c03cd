"""Evaluates a pipeline at a budget: from the journal where it is there, by Ray tasks where it is not."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)

from sweeper import plugins
from sweeper.engine.store import Representation
from sweeper.engine.tasks import FoldJob, SweepData, died, evaluate_task, failure
from sweeper.journal import Record
from sweeper.pipeline import Pipeline, digest
from sweeper.reducers import REDUCERS

_ATTEMPTS = 2
"""A process that dies is tried once more: its machine may have failed, and not the fit."""
_LOST_ATTEMPTS = 5
"""Features lost with their node are fetched again this often."""
_LOST = (ObjectLostError, RayActorError, ActorUnavailableError, RaySystemError)


class DeadlineError(Exception):
    """The time budget of the sweep was reached."""


@dataclass(frozen=True)
class Context:
    """How an evaluator finds the sweep it works for.

    Attributes
    ----------
    store, ledger : actor handles
    data : list of one ObjectRef of SweepData
        In a list, so that Ray hands on the reference and not what it points to.
    dataset : str
        Digest of the data set.
    fold_digests : tuple of str
        Digest of each fold's rows; the last is the test split's.
    train_keys : tuple of str
        Digest of each fold's training frames and the seed; the last is the test split's.
    deadline : float
        ``time.time()`` at which the sweep ends; infinity without a time budget.
    """

    store: Any
    ledger: Any
    data: list[Any]
    dataset: str
    fold_digests: tuple[str, ...]
    train_keys: tuple[str, ...]
    deadline: float


class Evaluator:
    """Evaluates one pipeline at a time for a sweep."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._data: SweepData = ray.get(context.data[0])

    def key(self, pipeline: Pipeline, budget: float, fold: int | str) -> str:
        """What an evaluation is a pure function of, digested."""
        versions = [
            plugins.featurizer(pipeline.featurizer).version,
            REDUCERS[pipeline.reducer].version,
            plugins.classifier(pipeline.classifier).version,
        ]
        rows = self._context.fold_digests[self._position(fold)]
        return digest([pipeline.to_dict(), budget, rows, self._data.seed, self._context.dataset, versions])

    def _position(self, fold: int | str) -> int:
        return -1 if fold == "test" else int(fold)

    def evaluate(self, pipeline: Pipeline, budget: float, folds: list[int | str], label: str) -> list[Record]:
        """Records of the folds asked for, computed where the journal has none.

        Raises
        ------
        DeadlineError
            When the time budget ends first; folds that were done are in the journal.
        JournalError
            When a result cannot be recorded.
        """
        keys = {fold: self.key(pipeline, budget, fold) for fold in folds}
        known = ray.get(self._context.ledger.lookup.remote(list(keys.values())))
        records = dict(zip(folds, known, strict=True))
        missing = [fold for fold in folds if records[fold] is None]
        for attempt in range(_LOST_ATTEMPTS):
            try:
                self._compute(pipeline, budget, missing, keys, records, label)
                break
            except _LOST:
                if attempt + 1 == _LOST_ATTEMPTS:
                    raise
                missing = [fold for fold in missing if records[fold] is None]
                time.sleep(attempt)
                ray.get(self._context.store.forget.remote())
        return [record for record in records.values() if record is not None]

    def _compute(
        self,
        pipeline: Pipeline,
        budget: float,
        folds: list[int | str],
        keys: dict[int | str, str],
        records: dict[int | str, Record | None],
        label: str,
    ) -> None:
        """Submit one task a fold, record each as it ends; a limit that is reached ends the rest."""
        features = {fold: self._features(pipeline, fold) for fold in folds} if folds else {}
        running = {self._submit(pipeline, budget, f, features[f], label): (f, 1, time.time()) for f in folds}
        while running:
            left = max(0.0, self._context.deadline - time.time())
            ready, _ = ray.wait(list(running), timeout=min(left, 3600.0))
            if not ready:
                if time.time() >= self._context.deadline:
                    for ref in running:
                        ray.cancel(ref, force=True)
                    raise DeadlineError
                continue
            fold, attempt, started = running.pop(ready[0])
            outcome = _outcome(ready[0], started, self._data.time_limit_s, final=attempt == _ATTEMPTS)
            if outcome is None:
                again = self._submit(pipeline, budget, fold, features[fold], label)
                running[again] = (fold, attempt + 1, time.time())
                continue
            records[fold] = {
                "kind": "evaluation",
                "key": keys[fold],
                "pipeline": pipeline.to_dict(),
                "budget": budget,
                "fold": fold,
                **outcome,
                "featurize_ms_per_frame": round(features[fold].featurize_ms_per_frame, 4),
            }
            ray.get(self._context.ledger.append.remote(records[fold]))
            if outcome["status"] == "failed" and "limit" in outcome["error"]:
                for ref in running:
                    ray.cancel(ref, force=True)
                return

    def _features(self, pipeline: Pipeline, fold: int | str) -> Representation:
        """Ask the store; the sweep's deadline holds here too."""
        train_key = self._context.train_keys[self._position(fold)]
        train = self._data.split(fold).train
        ref = self._context.store.representation.remote(pipeline, train, train_key)
        left = max(0.0, self._context.deadline - time.time())
        ready, _ = ray.wait([ref], timeout=min(left, 1e6))
        if not ready:
            raise DeadlineError
        representation: Representation = ray.get(ref)
        return representation

    def _submit(
        self, pipeline: Pipeline, budget: float, fold: int | str, features: Representation, label: str
    ) -> Any:
        job = FoldJob(pipeline, budget, fold, features.key)
        task = evaluate_task.options(name=f"{label} fold {fold}")
        return task.remote(job, self._context.data[0], features.layout, *features.files)


def _outcome(ref: Any, started: float, time_limit_s: float, *, final: bool) -> dict[str, Any] | None:
    """What a finished task gave; None when its process died and it deserves another attempt."""
    try:
        outcome: dict[str, Any] = ray.get(ref)
        return outcome
    except OutOfMemoryError:
        return failure("memory limit of the machine reached; the process was ended")
    except WorkerCrashedError:
        return died(time.time() - started, time_limit_s) if final else None
    except RayTaskError as error:
        if isinstance(error.cause, _LOST):
            raise error.cause from error
        raise
