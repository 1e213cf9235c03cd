"""One evaluation, a pipeline at a budget on one fold, as a Ray task of one core.

The task is plain and pure; ``engine.evaluator`` submits it and records what it gives.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import Build
from sweeper.data.splits import Fold
from sweeper.engine import nodes
from sweeper.engine.limits import Limits, limits
from sweeper.engine.tasks.blocks import Bytes
from sweeper.engine.tasks.frames import ONE_CORE
from sweeper.errors import TimeLimitError, described
from sweeper.features.representation import representation, side_by_side
from sweeper.pipeline import Pipeline, digest
from sweeper.runs.predictions import to_parquet
from sweeper.runs.records import Cause, Failed, Scored, failed, readable

if TYPE_CHECKING:
    from sweeper.evaluate.folds import FoldResult


@dataclass(frozen=True)
class SweepData:
    """The data that all evaluations share: labels, folds and settings; no pixels.

    Attributes
    ----------
    labels : int64, (n_frames,)
    classes : tuple of str
    folds : mapping
        By name.
    limits : Limits
    domains : int64, (n_frames,), or None
        Where whole domains are held out.
    helping : bool, (n_frames,), or None
        Frames that only help; None where all are a person's own.
    """

    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    folds: Mapping[int | str, Fold]
    limits: Limits
    domains: NDArray[np.int64] | None = None
    helping: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class FoldJob:
    """One evaluation: a pipeline at a budget on one fold."""

    pipeline: Pipeline
    budget: float
    fold: int | str
    stored: tuple[tuple[str, tuple[int, ...]], ...]
    """For each featurizer what names the content of its files, for the worker's cache of matrices, and the
    number of files in each shard."""
    key: str
    ledger: Any
    """Actor that is told when the evaluation starts: a task may wait long for a core."""


@dataclass(frozen=True)
class FoldOutcome:
    """The outcome of an evaluation, and its predictions as a file where they are to be kept."""

    outcome: Scored | Failed
    predictions: bytes | None = None


_CACHE_BYTES = 256 * 2**20
_matrices: OrderedDict[str, NDArray[np.float64]] = OrderedDict()


def _matrices_of(job: FoldJob, data: SweepData, files: Sequence[Bytes]) -> list[NDArray[np.float64]]:
    """Feature matrix of each featurizer; what was read before comes from this worker's cache."""
    parts, start = [], 0
    for single, (content, layout) in zip(job.pipeline.singles, job.stored, strict=True):
        end = start + sum(layout)
        parts.append(_matrix(single, content, data, layout, files[start:end]))
        start = end
    return parts


def _matrix(
    single: Pipeline, content: str, data: SweepData, layout: Sequence[int], files: Sequence[Bytes]
) -> NDArray[np.float64]:
    """Feature matrix of a single featurizer, from the cache when it was read before."""
    kind = representation(single, len(data.classes))
    key = digest([content, kind.columns])
    if key not in _matrices:
        _matrices[key] = kind.read(layout, files, len(data.labels))
        while len(_matrices) > 1 and sum(m.nbytes for m in _matrices.values()) > _CACHE_BYTES:
            _matrices.popitem(last=False)
    _matrices.move_to_end(key)
    return _matrices[key]


def evaluate(job: FoldJob, data: SweepData, *files: Bytes) -> FoldOutcome:
    """Fit and score one fold within its limits; a failure is an outcome, not an exception."""
    from sweeper.evaluate.folds import fit_and_score

    pipeline, bounds = job.pipeline, data.limits
    job.ledger.start.remote(job.key)
    try:
        _load_libraries(pipeline.classifier)
    except ImportError as error:
        return FoldOutcome(failed(Cause.ERROR, described(error)))
    fold = data.folds[job.fold]
    try:
        with limits(bounds.time_s, bounds.memory_bytes):
            parts = _matrices_of(job, data, files)
            x = side_by_side(parts)
    except (TimeLimitError, MemoryError) as error:
        return FoldOutcome(_limit_reached(bounds, error))
    try:
        with limits(bounds.time_s, bounds.memory_bytes):
            result = fit_and_score(
                pipeline,
                x,
                data.labels,
                fold.split.train,
                fold.split.validation,
                n_classes=len(data.classes),
                budget=job.budget,
                seed=fold.seed,
                threads=1,
                classifier=plugins.classifier(pipeline.classifier),
                domains=data.domains,
                widths=[part.shape[1] for part in parts],
                helping=data.helping,
            )
    except (TimeLimitError, MemoryError) as error:
        return FoldOutcome(_limit_reached(bounds, error))
    except Exception as error:
        return FoldOutcome(failed(Cause.ERROR, described(error)))
    return FoldOutcome(scored(result), _predictions(job, data, fold, result.scores))


def _limit_reached(bounds: Limits, error: TimeLimitError | MemoryError) -> Failed:
    cause = Cause.TIME_LIMIT if isinstance(error, TimeLimitError) else Cause.MEMORY_LIMIT
    return failed(cause, bounds.reached(error))


def _predictions(job: FoldJob, data: SweepData, fold: Fold, scores: NDArray[np.float64]) -> bytes | None:
    """Predictions to be kept, as a file; only the full budget tells what a pipeline predicts."""
    if fold.rerun or job.budget < 1.0:
        return None
    rows = fold.split.validation
    return to_parquet(rows, data.labels[rows], scores, data.classes)


@cache
def _load_libraries(classifier: str) -> None:
    """Import what an evaluation is made of, outside its limits.

    The time is not the fit's, and a library whose import was cut short cannot be imported again.
    """
    import pyarrow.parquet  # noqa: F401  what features are read with
    import sklearn.decomposition  # noqa: F401  what reducers are made of

    plugin = plugins.classifier(classifier)
    plugin.build(Build({axis.name: axis.default for axis in plugin.axes}, 1.0, 2, 0, 1))


def scored(result: FoldResult) -> Scored:
    """Return the outcome of an evaluation that gave a score."""
    return Scored(
        metrics=result.metrics,
        confusion=result.confusion,
        n_train=result.n_train,
        n_validation=result.n_validation,
        fit_s=round(result.fit_s, 6),
        predict_ms_per_frame=round(result.predict_ms_per_frame, 6),
        warnings=tuple(map(readable, result.warnings)),
    )


evaluate_task = ray.remote(max_retries=0, **ONE_CORE)(nodes.checked(evaluate))
