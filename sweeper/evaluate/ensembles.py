"""Ensembles by greedy selection over predictions of frames that pipelines were not fitted on.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble selection from libraries of models" (ICML 2004):
selection with replacement (section 2.1) from a start with the best few (section 2.2). What an ensemble
scores is found without its own help: the members for a fold are selected, and their scores put on one
scale, on frames of the other folds alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.data.splits import Rows, make_splits
from sweeper.evaluate import metrics

ENSEMBLE_VERSION = 1
"""Raise it when the same predictions give another ensemble."""

LIBRARY = 50
"""Most pipelines to select from: the best ones on the frames that select."""
STEPS = 50
"""Most members, counted with repetition."""

_START = 5  # the best so many begin, fewer where that is better
_SELECT_ROWS = 20_000  # most frames that select: more change nothing but the time
_PATIENCE = 10  # steps without a better ensemble
_PARTS = 5  # of the validation frames of a single split
_PROBABILITY_ERROR = 1e-3  # float32 sums of up to hundreds of classes
_LEAST = 1e-7  # probability of the true class is taken for at least this
_LOG_SHARPNESS = (-7.0, 7.0)

Scores = NDArray[np.float32]
"""Scores of pipelines, (pipelines, rows, n_classes)."""


@dataclass(frozen=True, eq=False)
class Library:
    """Predictions that pipelines made of frames that they were not fitted on.

    Attributes
    ----------
    scores : float32, (pipelines, rows, n_classes)
        A row is a frame in the validation part of a fold: with repeats a frame has several.
    fold : int64, (rows,)
    frame : int64, (rows,)
        Row of the data set.
    labels : int64, (rows,)
    groups : int64, (rows,), or None
        Frames of equal number never select for each other.
    domains : int64, (rows,), or None
        Where whole domains are held out; metrics of domains need them.
    """

    scores: Scores
    fold: Rows
    frame: Rows
    labels: Rows
    groups: Rows | None = None
    domains: Rows | None = None

    def domains_of(self, rows: Rows) -> Rows | None:
        """Return the domains of some rows."""
        return None if self.domains is None else self.domains[rows]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.scores.shape[2])


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A weighted mean of pipelines' probabilities.

    Attributes
    ----------
    weights : float64, (pipelines,)
        Sum to 1; 0 for those that are no members. Selected on all rows.
    sharpness : float64, (pipelines,)
        Of their scores; see :func:`sharpness_of`.
    nested : float64, (rows, n_classes)
        What ensembles that were selected without a row's fold say of it: what is scored.
    folds : tuple of int
        Folds that are scored, in order.
    metrics : tuple of dict
        Value of each of :data:`sweeper.evaluate.metrics.METRICS` in each of them, from `nested`.
    confusion : tuple of list
        Confusion matrix of each of them.
    """

    weights: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    nested: NDArray[np.float64]
    folds: tuple[int, ...]
    metrics: tuple[dict[str, float | None], ...]
    confusion: tuple[list[list[int]], ...]


def select_ensemble(library: Library, metric: str = "accuracy", seed: int = 0) -> Ensemble | None:
    """Select an ensemble, and score one fold after the other what is selected without it.

    With a single train/validation split its validation frames are cut into five parts (fewer where a class
    has fewer frames or groups), and each is predicted by members that the others selected.

    Parameters
    ----------
    library : Library
    metric : str
        What members are selected by; ties are broken by the log loss.
    seed : int
        For the parts of a single split, and for the sample that selects where there are many frames.

    Returns
    -------
    Ensemble or None
        None where there is nothing honest to select on: fewer than two pipelines, or a single split with
        a class in one frame or group.
    """
    folds = np.unique(library.fold)
    parts = library.fold if len(folds) > 1 else _parts(library, seed)
    if parts is None or len(library.scores) < 2:
        return None
    nested = np.zeros(library.scores.shape[1:])
    for part in np.unique(parts).tolist():
        scored = parts == part
        others = np.flatnonzero(~scored & ~np.isin(library.frame, library.frame[scored]))
        weights, sharpness = _select(library, others, metric, seed)
        nested[scored] = blend(library.scores[:, scored], weights, sharpness)
    weights, sharpness = _select(library, np.arange(len(library.labels)), metric, seed)
    of_fold = [library.fold == fold for fold in folds.tolist()]
    n = library.n_classes
    return Ensemble(
        weights,
        sharpness,
        nested,
        tuple(folds.tolist()),
        tuple(
            metrics.score(library.labels[rows], nested[rows], n, library.domains_of(rows)) for rows in of_fold
        ),
        tuple(metrics.confusion(library.labels[rows], nested[rows].argmax(axis=1), n) for rows in of_fold),
    )


def _parts(library: Library, seed: int) -> Rows | None:
    """Part of each row of a single split, (rows,); None where it cannot be cut in two."""
    classes = [str(c) for c in range(library.n_classes)]
    present, labels = np.unique(library.labels, return_inverse=True)
    for parts in range(_PARTS, 1, -1):
        try:
            splits = make_splits(
                labels.astype(np.int64),
                [classes[c] for c in present],
                groups=library.groups,
                folds=parts,
                seed=seed,
            )
        except ValueError:  # too few frames or groups of a class
            continue
        part = np.zeros(len(labels), dtype=np.int64)
        for number, split in enumerate(splits):
            part[split.validation] = number
        return part
    return None


def _select(
    library: Library, rows: Rows, metric: str, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight of each pipeline and the sharpness of its scores, (pipelines,) each, by some rows."""
    # The sort is stable: the order of equal ones is the library's.
    best = np.argsort(-_means(library, rows, metric).round(12), kind="stable")[:LIBRARY]
    if len(rows) > _SELECT_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _SELECT_ROWS, replace=False))
    scores, labels = library.scores[:, rows], library.labels[rows]
    sharpness = np.ones(len(scores))
    sharpness[best] = [sharpness_of(scores[p], labels) for p in best]
    probabilities = np.stack([as_probabilities(scores[p], sharpness[p]) for p in best])
    weights = np.zeros(len(scores))
    weights[best] = greedy(probabilities, labels, metric, library.domains_of(rows))
    return weights, sharpness


def _means(library: Library, rows: Rows, metric: str) -> NDArray[np.float64]:
    """Return the metric over folds on some rows, (pipelines,), as what is kept for selection was ranked."""
    folds = [rows[library.fold[rows] == fold] for fold in np.unique(library.fold[rows])]
    means = []
    for scores in library.scores:
        values = [
            metrics.value(metric, library.labels[r], scores[r], library.n_classes, library.domains_of(r))
            for r in folds
        ]
        defined = [value for value in values if value is not None]
        means.append(metrics.over_folds(metric, defined) if defined else -np.inf)
    return np.array(means)


def greedy(
    probabilities: NDArray[np.float64], labels: Rows, metric: str, domains: Rows | None = None
) -> NDArray[np.float64]:
    """Weights by greedy selection with replacement, (pipelines,), summing to 1.

    Parameters
    ----------
    probabilities : float64, (pipelines, rows, n_classes)
        The best pipeline first: the first few start.
    labels : int64, (rows,)
    metric : str
    domains : int64, (rows,), optional
    """
    best, best_value = np.zeros(len(probabilities)), (-np.inf, -np.inf)
    counts, total, waited = best.copy(), np.zeros(probabilities.shape[1:]), 0
    for step in range(STEPS):
        if step < min(_START, len(probabilities)):
            chosen = step
        else:
            chosen = _best_addition(total, probabilities, labels, metric, domains)
        counts[chosen] += 1
        total += probabilities[chosen]
        value = _value(total / counts.sum(), labels, metric, domains)
        if step + 1 == min(_START, len(probabilities)):
            # The start is the best of its beginnings; what is added goes on from there.
            best, best_value = (counts.copy(), value) if value > best_value else (best, best_value)
            counts = best.copy()
            total = (counts[:, None, None] * probabilities).sum(axis=0)
        elif value > best_value:
            best, best_value, waited = counts.copy(), value, 0
        else:
            waited += 1
        if waited > _PATIENCE:
            break
    return np.asarray(best / best.sum())


def _best_addition(
    total: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    labels: Rows,
    metric: str,
    domains: Rows | None,
) -> int:
    """The pipeline that makes the best ensemble with those there are; the first of equal ones."""
    values = [_value(_normalised(total + p), labels, metric, domains) for p in probabilities]
    return max(range(len(values)), key=values.__getitem__)


def _normalised(total: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(total / total.sum(axis=1, keepdims=True))


def _value(
    probabilities: NDArray[np.float64], labels: Rows, metric: str, domains: Rows | None
) -> tuple[float, float]:
    """The metric, then minus the log loss, rounded so that the order of sums decides nothing."""
    value = metrics.value(metric, labels, probabilities, probabilities.shape[1], domains)
    return round(-np.inf if value is None else value, 12), round(-log_loss(probabilities, labels), 9)


# --------------------------------------------------------------------------- one scale


def log_loss(probabilities: NDArray[np.float64], labels: Rows) -> float:
    """Mean of minus the logarithm of the true class's probability."""
    true = probabilities[np.arange(len(labels)), labels]
    return float(0.0 - np.log(np.maximum(true, _LEAST)).mean())  # no -0.0 where all is certain


def are_probabilities(scores: NDArray[np.float32] | NDArray[np.float64]) -> bool:
    """Whether every row of scores, (rows, n_classes), is of shares that sum to 1."""
    return bool((scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) < _PROBABILITY_ERROR).all())


def sharpness_of(scores: Scores, labels: Rows) -> float:
    """Factor that turns scores into probabilities by softmax; NaN for those that are probabilities.

    The scores of a support vector machine have no scale of their own. One factor, the inverse of a
    temperature (Guo et al., ICML 2017, section 4.2), is fitted by log loss: it leaves the prediction of
    every frame as it is, so that an ensemble of one pipeline is that pipeline.
    """
    if are_probabilities(scores):
        return float("nan")
    from scipy.optimize import minimize_scalar

    def loss(logarithm: float) -> float:
        return log_loss(as_probabilities(scores, float(np.exp(logarithm))), labels)

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_SHARPNESS, method="bounded").x))


def as_probabilities(scores: Scores | NDArray[np.float64], sharpness: float) -> NDArray[np.float64]:
    """Probabilities, float64, (rows, n_classes), of scores with their :func:`sharpness_of`."""
    wide = scores.astype(np.float64)
    if np.isnan(sharpness):
        return wide
    powers = np.exp(sharpness * (wide - wide.max(axis=1, keepdims=True)))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def blend(
    scores: Scores, weights: NDArray[np.float64], sharpness: NDArray[np.float64] | Sequence[float]
) -> NDArray[np.float64]:
    """Weighted mean of the members' probabilities, float64, (rows, n_classes)."""
    blended = np.zeros(scores.shape[1:])
    for p in np.flatnonzero(weights).tolist():
        blended += weights[p] * as_probabilities(scores[p], sharpness[p])
    return blended
