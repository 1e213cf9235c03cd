"""Evaluates a pipeline at a budget: from the journal where it is there, by Ray tasks where it is not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from msgspec import structs
from ray.exceptions import (
    ActorUnavailableError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)

from sweeper import plugins
from sweeper.engine.causes import cause_of
from sweeper.engine.limits import GRACE_S
from sweeper.engine.nodes import check
from sweeper.engine.store import StoredFeatures, ms_per_frame
from sweeper.engine.tasks.evaluation import FoldJob, FoldOutcome, SweepData, evaluate_task
from sweeper.errors import DeadlineError, FitError, JournalError, StoppedError, described
from sweeper.evaluate.reducers import REDUCERS
from sweeper.features.representation import NetworkFeatures, representation
from sweeper.pipeline import Pipeline, digest
from sweeper.runs.records import Cause, Evaluation, Failed, Scored, failed

_ATTEMPTS = 2
"""A process that dies is tried once more: its machine may have failed, and not the fit."""
_LOST_ATTEMPTS = 5
"""Features lost with their node are fetched again this often."""
_LOST = (ObjectLostError, RayActorError, ActorUnavailableError, RaySystemError)
_DIED = (WorkerCrashedError, NodeDiedError, LocalRayletDiedError, OutOfMemoryError)


class _NoFeaturesError(Exception):
    """The blocks of a pipeline cannot be computed from these frames."""


@dataclass(frozen=True)
class _Rung:
    """A pipeline at a budget, and the key of each fold's evaluation."""

    pipeline: Pipeline
    budget: float
    label: str
    keys: dict[int | str, str]


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
    fold_digests : dict
        Digest of each fold's rows.
    weights : dict
        Digest of the pretrained weights of each network that has them.
    numerics : list
        What of the resources a network's weights depend on.
    """

    store: Any
    ledger: Any
    data: list[Any]
    dataset: str
    fold_digests: dict[int | str, str]
    weights: dict[str, str]
    numerics: list[Any]


class Evaluator:
    """Evaluates one pipeline at a time for a sweep."""

    def __init__(self, context: Context) -> None:
        check()
        self._context = context
        self._data: SweepData = ray.get(context.data[0])
        self._deadline = float("inf")

    @classmethod
    def of(cls, ledger: str) -> Evaluator:
        """The evaluator of the sweep whose ledger has this name."""
        return cls(ray.get(ray.get_actor(ledger).context.remote()))

    def key(self, pipeline: Pipeline, budget: float, fold: int | str) -> str:
        """Return a digest of all that an evaluation depends on."""
        kinds = [representation(single, len(self._data.classes)) for single in pipeline.singles]
        code = plugins.code_digest("classifier", pipeline.classifier)
        versions = [version for kind in kinds for version in kind.versions]
        versions += [REDUCERS[pipeline.reducer].version, code]
        if any(isinstance(kind, NetworkFeatures) for kind in kinds):
            versions += self._context.numerics
        pretrained = [c.name for c in pipeline.features if c.params.get("weights") == "imagenet"]
        weights = "+".join(self._context.weights[name] for name in pretrained) or None
        rows, seed = self._context.fold_digests[fold], self._data.folds[fold].seed
        return digest([pipeline.to_dict(), budget, rows, seed, self._context.dataset, versions, weights])

    def evaluate(
        self, pipeline: Pipeline, budget: float, folds: list[int | str], label: str
    ) -> list[Evaluation]:
        """Records of the folds asked for, computed where the journal has none.

        Once one of them reached a limit the others are not tried.

        Raises
        ------
        DeadlineError
            When the time budget ends first; folds that were done are in the journal.
        JournalError
            When a result or a block cannot be written.
        UnequalNodeError
            When a machine that came later runs other versions.
        """
        rung = _Rung(pipeline, budget, label, {fold: self.key(pipeline, budget, fold) for fold in folds})
        ledger = self._context.ledger
        asked = [ledger.lookup.remote(list(rung.keys.values())), ledger.left_s.remote()]
        known, left_s = ray.get(asked)
        self._deadline = time.monotonic() + left_s
        records = {fold: record for fold, record in zip(folds, known, strict=True) if record is not None}
        for attempt in range(_LOST_ATTEMPTS):
            missing = [fold for fold in folds if fold not in records]
            if not missing or any(_is_limit(record.outcome) for record in records.values()):
                break
            try:
                self._compute(rung, missing, records)
            except _LOST:
                if attempt + 1 == _LOST_ATTEMPTS:
                    raise
                time.sleep(attempt)
                ray.get(self._context.store.forget.remote())
        return [records[fold] for fold in folds if fold in records]

    def _compute(self, rung: _Rung, folds: list[int | str], records: dict[int | str, Evaluation]) -> None:
        """Submit one task a fold, record each as it ends; a limit that is reached ends the rest."""
        try:
            features = self._features(rung, folds)
        except _NoFeaturesError as error:
            for fold in folds:
                records[fold] = self._record(rung, fold, FoldOutcome(failed(Cause.FEATURES, str(error))), 0.0)
            return
        running = {self._submit(rung, fold, features[fold]): (fold, 1) for fold in folds}
        try:
            while running:
                fold, attempt = running.pop(ref := self._next(list(running)))
                outcome = self._outcome(ref, rung.keys[fold], final=attempt == _ATTEMPTS)
                if outcome is None:
                    running[self._submit(rung, fold, features[fold])] = (fold, attempt + 1)
                    continue
                outcome = self._with_head(rung, features[fold], outcome)
                records[fold] = self._record(rung, fold, outcome, ms_per_frame(features[fold]))
                if _is_limit(outcome.outcome):
                    return
        finally:
            for ref in running:
                ray.cancel(ref, force=True)

    def _next(self, running: list[Any]) -> Any:
        """The next of some references to be there; DeadlineError when the time is up before."""
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise DeadlineError
            ready, _ = ray.wait(running, timeout=min(left, 3600.0))
            if ready:
                return ready[0]

    def _with_head(
        self, rung: _Rung, features: Sequence[StoredFeatures], outcome: FoldOutcome
    ) -> FoldOutcome:
        """Fitting a network's own head takes what training the network took."""
        found = outcome.outcome
        if not isinstance(found, Scored) or not plugins.classifier(rung.pipeline.classifier).is_head:
            return outcome
        fit_s = round(found.fit_s + sum(part.fit_s for part in features), 6)
        return FoldOutcome(structs.replace(found, fit_s=fit_s), outcome.predictions)

    def _features(self, rung: _Rung, folds: list[int | str]) -> dict[int | str, tuple[StoredFeatures, ...]]:
        """Ask the store for each fold's features, all at once; the sweep's deadline holds here too."""
        ask = self._context.store.features.remote
        refs = {ask(rung.pipeline, fold, rung.budget): fold for fold in folds}
        features: dict[int | str, tuple[StoredFeatures, ...]] = {}
        failures: dict[int | str, _NoFeaturesError] = {}
        while refs:
            fold = refs.pop(ref := self._next(list(refs)))
            try:
                features[fold] = ray.get(ref)
            except RayTaskError as error:
                why = _why_no_features(cause_of(error))
                if not isinstance(why, _NoFeaturesError):
                    raise why from error
                failures[fold] = why
        if failures:  # that of the first fold, whichever came first
            raise next(failures[fold] for fold in folds if fold in failures)
        return features

    def _submit(self, rung: _Rung, fold: int | str, features: Sequence[StoredFeatures]) -> Any:
        key, ledger = rung.keys[fold], self._context.ledger
        stored = tuple((part.key, part.layout) for part in features)
        job = FoldJob(rung.pipeline, rung.budget, fold, stored, key, ledger)
        task = evaluate_task.options(name=f"{rung.label} fold {fold}")
        files = [file for part in features for file in part.files]
        return task.remote(job, self._context.data[0], *files)

    def _outcome(self, ref: Any, key: str, *, final: bool) -> FoldOutcome | None:
        """Return the outcome of a finished task; None when its process died and it is tried again."""
        try:
            outcome: FoldOutcome = ray.get(ref)
            return outcome
        except _DIED as error:
            limit_s = self._data.limits.time_s
            if ray.get(self._context.ledger.ran_s.remote(key)) > limit_s + GRACE_S:
                return FoldOutcome(
                    failed(Cause.TIME_LIMIT, f"time limit of {limit_s:g} s reached; its process was ended")
                )
            if not final:
                return None
            if isinstance(error, OutOfMemoryError):
                why = "memory limit of the machine reached; the process was ended"
                return FoldOutcome(failed(Cause.MEMORY_LIMIT, why))
            why = "the process that ran it died (a crash in native code, or out of memory)"
            return FoldOutcome(failed(Cause.DIED, why))
        except RayTaskError as error:
            cause = cause_of(error)
            if isinstance(cause, (*_LOST, StoppedError)):
                raise cause from error
            raise

    def _record(self, rung: _Rung, fold: int | str, outcome: FoldOutcome, featurize_ms: float) -> Evaluation:
        """Put an outcome into the journal."""
        asked = self._data.folds[fold]
        record = Evaluation(
            key=rung.keys[fold],
            pipeline=rung.pipeline.id,
            budget=rung.budget,
            fold=asked.number,
            seed=asked.seed,
            outcome=outcome.outcome,
            featurize_ms_per_frame=round(featurize_ms, 4),
            rerun=asked.rerun,
        )
        ray.get(self._context.ledger.append.remote(record, outcome.predictions))
        return record


def _is_limit(outcome: Scored | Failed) -> bool:
    return isinstance(outcome, Failed) and outcome.cause.is_limit


def _why_no_features(cause: Exception) -> Exception:
    """Return the error for missing features: a lost or full disk is no fault of the pipeline."""
    if isinstance(cause, (*_LOST, StoppedError)):
        return cause
    if isinstance(cause, OSError):
        return JournalError(f"{cause.strerror or cause}; nothing recorded is lost")
    if isinstance(cause, FitError):
        return _NoFeaturesError(str(cause))
    return _NoFeaturesError(f"no features: {described(cause)}")
