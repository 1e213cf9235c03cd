"""Fits a pipeline on the training rows of a fold and scores it on the validation rows.

The reducer, the class weights and the classifier see training rows alone. The result is a function of
the arguments: nothing is drawn from a global random state.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import CLASS_WEIGHT, Build, Classifier, Estimator
from sweeper.api.axes import OWN_WEIGHT
from sweeper.evaluate import metrics
from sweeper.evaluate.reducers import FittedReducer, fit_reducer
from sweeper.pipeline import Pipeline

_WARNING_LENGTH = 200
_ROWS_PER_CLASS = 2  # least of a class that a share of the rows keeps, where it has as many


@dataclass(frozen=True)
class FoldResult:
    """The result of one fold.

    Attributes
    ----------
    metrics : dict
        Value of each of :data:`sweeper.evaluate.metrics.METRICS`, and of ``DOMAIN_METRICS`` where whole
        domains are held out; None where one is not defined.
    scores : float64, (n_validation, n_classes)
        Of the validation rows, in their order.
    confusion : list of list of int
        Frames of each true class (rows) predicted as each class (columns).
    n_train, n_validation : int
        Rows fitted on (fewer than the fold's where the budget buys rows; not those that only help) and rows
        scored.
    fit_s : float
        Wall time of fitting reducer and classifier.
    predict_ms_per_frame : float
        Wall time of reducer and classifier a validation row.
    warnings : tuple of str
        What the libraries warned of, each once.
    """

    metrics: dict[str, float | None]
    scores: NDArray[np.float64]
    confusion: list[list[int]]
    n_train: int
    n_validation: int
    fit_s: float
    predict_ms_per_frame: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class FittedPipeline:
    """A reducer and a classifier after their fit: features of a representation to scores.

    Attributes
    ----------
    reducer : FittedReducer
    estimator : Estimator
    n_classes : int
    n_train : int
        Rows fitted on; those that only help do not count.
    fit_s : float
        Wall time of both fits.
    """

    reducer: FittedReducer
    estimator: Estimator
    n_classes: int
    n_train: int
    fit_s: float

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score of each class, float64, (n, n_classes), for features (n, d).

        Raises
        ------
        ValueError
            The classifier gave another shape, or scores that are not finite.
        """
        scores = self.estimator.scores(self.reducer.transform(x))
        if scores.shape != (len(x), self.n_classes):
            raise ValueError(f"scores must be of shape {(len(x), self.n_classes)}, got {scores.shape}")
        if not np.isfinite(scores).all():
            bad = int((~np.isfinite(scores)).any(axis=1).sum())
            raise ValueError(f"scores must be finite, {bad} of {len(x)} rows are not")
        return scores


def fit_and_score(
    pipeline: Pipeline,
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
    *,
    n_classes: int,
    budget: float,
    seed: int,
    threads: int,
    classifier: Classifier,
    domains: NDArray[np.int64] | None = None,
    widths: Sequence[int] = (),
    helping: NDArray[np.bool_] | None = None,
) -> FoldResult:
    """Evaluate a pipeline on one fold.

    Parameters
    ----------
    pipeline : Pipeline
    x : float64, (n_rows, d)
        Features of all rows.
    y : int64, (n_rows,)
        Classes, 0 to `n_classes` − 1.
    train, validation : int64, (n,)
        Row numbers.
    n_classes : int
    budget : float
        In (0, 1]; see :attr:`sweeper.api.Classifier.budget`.
    seed : int
        0 or more; the same at every budget, so that larger budgets contain the smaller ones' rows.
    threads : int
        Native threads of every library.
    classifier : Classifier
        The plugin that `pipeline` names.
    domains : int64, (n_rows,), optional
        Number of the domain of each row, where whole domains are held out.
    widths : sequence of int
        Columns of each featurizer, where several stand side by side.
    helping : bool, (n_rows,), optional
        Rows that only help: a row that does not counts as ``own_weight`` of them.

    Raises
    ------
    ValueError
        Features or scores that are not finite, class weights of another number than the classes, a
        class without training rows, a budget or parameter out of range.
    """
    if len(validation) == 0:
        raise ValueError("validation must have rows, got none")
    _check_finite(pipeline, x, validation)
    with _caught_warnings() as caught, native_threads(threads):
        fitted = fit_pipeline(
            pipeline,
            x,
            y,
            train,
            n_classes=n_classes,
            budget=budget,
            seed=seed,
            threads=threads,
            classifier=classifier,
            widths=widths,
            helping=helping,
        )
        started = time.perf_counter()
        scores = fitted.scores(x[validation])
        predict_s = time.perf_counter() - started
    y_true = y[validation]
    return FoldResult(
        metrics=metrics.score(y_true, scores, n_classes, None if domains is None else domains[validation]),
        scores=scores,
        confusion=metrics.confusion(y_true, scores.argmax(axis=1), n_classes),
        n_train=fitted.n_train,
        n_validation=len(validation),
        fit_s=fitted.fit_s,
        predict_ms_per_frame=1e3 * predict_s / len(validation),
        warnings=tuple(dict.fromkeys(_short(w) for w in caught)),
    )


def fit_pipeline(
    pipeline: Pipeline,
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    train: NDArray[np.int64],
    *,
    n_classes: int,
    budget: float,
    seed: int,
    threads: int,
    classifier: Classifier,
    widths: Sequence[int] = (),
    helping: NDArray[np.bool_] | None = None,
) -> FittedPipeline:
    """Fit reducer and classifier on training rows; parameters and errors as :func:`fit_and_score`."""
    if not 0 < budget <= 1:
        raise ValueError(f"budget must be above 0 and at most 1, got {budget}")
    counts = np.bincount(y[train], minlength=n_classes)
    if not counts.all():
        raise ValueError(f"every class must have training rows, class {int(counts.argmin())} has none")
    params = _parameters(pipeline, classifier)
    own_weight = params.pop(OWN_WEIGHT.name)
    if classifier.is_head:  # a network's own head: it was fitted with the network
        build = Build(params, budget, n_classes, seed, threads)
        n_train = _count_own(train, helping)
        return FittedPipeline(FittedReducer(), classifier.build(build), n_classes, n_train, 0.0)
    rows = train
    if classifier.budget == "rows":  # a share of each class, and of the few that are one's own
        strata = y if helping is None else y + n_classes * helping
        rows = stratified_share(strata, train, budget, seed)
    _check_finite(pipeline, x, rows)
    each = None if helping is None else own_weights(own_weight, helping[rows])
    weights = sample_weights(params.pop(CLASS_WEIGHT.name), y[rows], n_classes, each)
    # One stream each, so that another reducer does not change what the classifier draws.
    reducer_seed, classifier_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(2) >> 1)
    estimator = classifier.build(
        Build(params, 1.0 if classifier.budget == "rows" else budget, n_classes, classifier_seed, threads)
    )
    x_train, y_train = x[rows], y[rows]
    started = time.perf_counter()
    reducer = fit_reducer(pipeline.reducer, pipeline.reducer_params, x_train, reducer_seed, widths)
    estimator.fit(reducer.transform(x_train), y_train, weights)
    fit_s = time.perf_counter() - started
    return FittedPipeline(reducer, estimator, n_classes, _count_own(rows, helping), fit_s)


def _count_own(rows: NDArray[np.int64], helping: NDArray[np.bool_] | None) -> int:
    """Return how many rows do not only help."""
    return len(rows) if helping is None else int(np.count_nonzero(~helping[rows]))


def stratified_share(
    y: NDArray[np.int64], rows: NDArray[np.int64], share: float, seed: int
) -> NDArray[np.int64]:
    """Part of `rows` with the classes in equal shares, ascending.

    A larger share contains a smaller one with the same seed. Of each class that `rows` hold at least
    two rows are kept, or all where there are fewer.
    """
    kept = []
    for c in np.unique(y[rows]).tolist():
        of_class = rows[y[rows] == c]
        count = min(len(of_class), max(_ROWS_PER_CLASS, round(share * len(of_class))))
        kept.append(np.random.default_rng([seed, c]).permutation(of_class)[:count])
    return np.sort(np.concatenate(kept))


def sample_weights(
    class_weight: str | tuple[float, ...] | None,
    y_train: NDArray[np.int64],
    n_classes: int,
    each: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Weight of each training row, float64, (n,).

    Parameters
    ----------
    class_weight : None, "balanced" or tuple of float
        None gives ones; balanced gives n / (n_classes × rows of the class); a tuple gives its values as
        they are, one a class.
    y_train : int64, (n,)
    n_classes : int
    each : float64, (n,), optional
        What each row counts for besides; balanced are then the sums of a class.

    Raises
    ------
    ValueError
        A tuple of another length than `n_classes`.
    """
    each = np.ones(len(y_train)) if each is None else each
    if class_weight is None:
        return each
    if isinstance(class_weight, str):
        sums = np.bincount(y_train, weights=each, minlength=n_classes)
        sums[sums == 0] = 1.0  # of a class without rows
        return np.asarray(each * (each.sum() / (n_classes * sums))[y_train], dtype=np.float64)
    if len(class_weight) != n_classes:
        raise ValueError(
            f"class_weight must have one weight a class, {n_classes}, got {len(class_weight)}: {class_weight}"
        )
    return np.asarray(each * np.asarray(class_weight, dtype=np.float64)[y_train])


def own_weights(own_weight: float, helping: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the weight of each row, float64, (n,), where a row that does not only help counts as several.

    Their mean is 1, as without weights: what a classifier's parameters mean depends on the sum.
    """
    weights = np.where(helping, 1.0, own_weight)
    return np.asarray(weights / weights.mean())


def _parameters(pipeline: Pipeline, classifier: Classifier) -> dict[str, Any]:
    """Value of every axis of the classifier, checked; defaults where the pipeline has none."""
    given = pipeline.classifier_params
    axes = (*classifier.axes, OWN_WEIGHT)
    unknown = sorted(set(given) - {axis.name for axis in axes})
    if unknown:
        raise ValueError(f"{classifier.name}: unknown parameter {unknown[0]!r}")
    params = {axis.name: given.get(axis.name, axis.default) for axis in axes}
    for axis in axes:
        axis.check(classifier.name, params[axis.name])
    return {CLASS_WEIGHT.name: None, **params}


def _check_finite(pipeline: Pipeline, x: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
    finite = np.isfinite(x[rows])
    if not finite.all():
        column = int((~finite).any(axis=0).argmax())
        bad = int((~finite).any(axis=1).sum())
        raise ValueError(
            f"{pipeline.featurizer}: features must be finite, {bad} of {len(rows)} rows are not "
            f"(first in column {column})"
        )


@contextmanager
def _caught_warnings() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@contextmanager
def native_threads(threads: int) -> Iterator[None]:
    """Limit BLAS and OpenMP; what a classifier's own library starts is told by `Build.threads`."""
    import sklearn.decomposition  # noqa: F401  a library loaded later would escape the limit

    with _thread_pools(len(sys.modules)).limit(limits=threads):
        yield


@lru_cache(maxsize=1)
def _thread_pools(modules: int) -> Any:
    """Find the thread pools of this process; again once other modules, and with them pools, were loaded.

    Looking for them takes longer than many a fit.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _short(warning: warnings.WarningMessage) -> str:
    text = " ".join(str(warning.message).split())
    return f"{warning.category.__name__}: {text}"[:_WARNING_LENGTH]
