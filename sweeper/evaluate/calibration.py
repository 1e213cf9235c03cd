"""Probabilities that mean what they say: scores of frames that were not fitted on, mapped to frequencies.

Four maps are tried and the one with the lowest cross-validated log loss is taken: the scores as they are,
where they are probabilities; temperature scaling (Guo et al., ICML 2017, section 4.2); a sigmoid for each
class (Platt, 1999); and isotonic regression for each class (Zadrozny and Elkan, KDD 2002). Frames of one
group never stand on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.splits import Rows
from sweeper.evaluate.ensembles import are_probabilities, as_probabilities, log_loss

METHODS = ("none", "temperature", "platt", "isotonic")
"""In the order in which the first of equally good ones is taken."""

BINS = 10
"""Bins of a reliability diagram and of the calibration error, of equal width."""

_PARTS = 5
_LEAST = 1e-7  # probability of any class before its logarithm is taken
_LOG_SHARPNESS = np.linspace(-7, 7, 29)
_KNOTS = 512  # most steps that are kept of an isotonic map

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibrator:
    """A map from scores to probabilities.

    Attributes
    ----------
    method : str
        One of :data:`METHODS`.
    margins : bool
        Whether the scores are margins; else they are probabilities.
    arrays : mapping
        What was fitted: ``sharpness`` (1,); ``slope`` and ``offset`` (n_classes,); or ``x``, ``y`` and
        ``ends``, the steps of each class one after the other.
    """

    method: str
    margins: bool
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __call__(self, scores: Matrix) -> Matrix:
        """Return probabilities, float64, (n, n_classes), of scores (n, n_classes)."""
        if self.method == "none":
            return scores
        if self.method == "temperature":
            return as_probabilities(_logits(scores, self.margins) * self.arrays["sharpness"][0], 1.0)
        logits = _logits(scores, self.margins)
        if self.method == "platt":
            logits = logits - _others(logits)
            raised = _sigmoid(logits * self.arrays["slope"] + self.arrays["offset"])
        else:
            raised = np.empty_like(logits)
            begin = 0
            for c, end in enumerate(self.arrays["ends"].tolist()):
                x, y = self.arrays["x"][begin:end], self.arrays["y"][begin:end]
                raised[:, c] = np.interp(scores[:, c], x, y)
                begin = end
        raised = np.maximum(raised, _LEAST)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The calibration of a classifier.

    Attributes
    ----------
    calibrator : Calibrator
        Fitted on all rows.
    before, after : float64, (n, n_classes)
        Probabilities without any calibration (margins by softmax), and those that maps give which were fitted
        without the row's part: what is honest to count.
    losses : dict
        Cross-validated log loss of each method that was tried.
    """

    calibrator: Calibrator
    before: Matrix
    after: Matrix
    losses: dict[str, float]


def together(groups: Rows, domains: Rows | None) -> Rows:
    """Number the rows that stay together when maps are fitted, (n,): those of one group, and of one domain.

    A map that saw a domain has learned how wrong the classifier is in it. Where all rows would stay together,
    groups alone count.

    Parameters
    ----------
    groups : int64, (n,)
    domains : int64, (n,), or None
        -1 where a row's domain is not known; None where none is.
    """
    if domains is None or not (domains >= 0).any():
        return groups
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, group = np.unique(groups, return_inverse=True)
    known = domains >= 0
    n = len(names) + int(domains.max()) + 1
    ends = group[known], len(names) + domains[known]
    _, part = connected_components(coo_array((np.ones(len(ends[0])), ends), shape=(n, n)), directed=False)
    found = np.asarray(part[group], dtype=np.int64)
    return found if len(np.unique(found)) > 1 else groups


def calibrate(scores: Matrix, labels: Rows, groups: Rows, seed: int) -> Calibrated:
    """Choose and fit a map on the scores of rows that the classifier was not fitted on.

    Parameters
    ----------
    scores : float64, (n, n_classes)
    labels : int64, (n,)
    groups : int64, (n,)
        Rows of equal number stay together.
    seed : int
    """
    margins = not are_probabilities(scores)
    parts = parts_of(groups, seed)
    methods = METHODS[1:] if margins else METHODS
    tried = {method: _crossed(method, margins, scores, labels, parts) for method in methods}
    losses = {method: log_loss(p, labels) for method, p in tried.items()}
    best = min(methods, key=lambda method: round(losses[method], 9))
    before = as_probabilities(scores, 1.0) if margins else scores
    return Calibrated(fit(best, margins, scores, labels), before, tried[best], losses)


def fit(method: str, margins: bool, scores: Matrix, labels: Rows) -> Calibrator:
    """Fit one map on rows."""
    if method == "none":
        return Calibrator(method, margins)
    fitted = {"temperature": _fit_temperature, "platt": _fit_platt, "isotonic": _fit_isotonic}[method]
    return Calibrator(method, margins, fitted(margins, scores, labels))


def parts_of(groups: Rows, seed: int) -> Rows:
    """Return the part of each row, (n,), of five or of as many as there are groups, which stay whole."""
    names, group_of = np.unique(groups, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return np.asarray((order % min(_PARTS, len(names)))[group_of])


def _crossed(method: str, margins: bool, scores: Matrix, labels: Rows, parts: Rows) -> Matrix:
    """Return probabilities of each row by a map that was fitted on the other parts."""
    crossed = np.empty(scores.shape)
    for part in np.unique(parts):
        mine = parts == part
        rest = ~mine if (~mine).any() else mine
        crossed[mine] = fit(method, margins, scores[rest], labels[rest])(scores[mine])
    return crossed


# --------------------------------------------------------------------------- the maps


def _fit_temperature(margins: bool, scores: Matrix, labels: Rows) -> dict[str, NDArray[Any]]:
    from scipy.optimize import minimize_scalar

    logits = _logits(scores, margins)

    def loss(logarithm: float) -> float:
        return log_loss(as_probabilities(logits * np.exp(logarithm), 1.0), labels)

    # Where probabilities are cut off the loss has several minima: the search begins in the lowest.
    near = min(_LOG_SHARPNESS.tolist(), key=loss)
    found = minimize_scalar(loss, bounds=(near - 0.5, near + 0.5), method="bounded").x
    return {"sharpness": np.array([np.exp(found)])}


def _fit_platt(margins: bool, scores: Matrix, labels: Rows) -> dict[str, NDArray[Any]]:
    """Fit a sigmoid for each class, with Platt's targets, which no class reaches 0 or 1 by."""
    from scipy.optimize import minimize

    logits = _logits(scores, margins)
    logits = logits - _others(logits)
    slope, offset = np.ones(scores.shape[1]), np.zeros(scores.shape[1])
    for c in range(scores.shape[1]):
        z, is_class = logits[:, c], labels == c
        positive, negative = int(is_class.sum()), int((~is_class).sum())
        target = np.where(is_class, (positive + 1) / (positive + 2), 1 / (negative + 2))

        def loss(ab: NDArray[Any], z: Any = z, target: Any = target) -> tuple[float, NDArray[Any]]:
            t = ab[0] * z + ab[1]
            error = _sigmoid(t) - target
            value = np.logaddexp(0, t) - target * t
            return float(value.mean()), np.array([(error * z).mean(), error.mean()])

        start = np.array([1.0, np.log((positive + 1) / (negative + 1))])
        slope[c], offset[c] = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)]
        ).x
    return {"slope": slope, "offset": offset}


def _fit_isotonic(margins: bool, scores: Matrix, labels: Rows) -> dict[str, NDArray[Any]]:
    """Fit rising steps for each class; no frequency is taken for nearer to 0 or 1 than n rows can show."""
    from scipy.optimize import isotonic_regression

    xs, ys, ends = [], [], []
    least = 1 / (len(labels) + 2)
    for c in range(scores.shape[1]):
        x, which, counts = np.unique(scores[:, c], return_inverse=True, return_counts=True)
        shares = np.bincount(which, labels == c) / counts
        y = np.clip(isotonic_regression(shares, weights=counts).x, least, 1 - least)
        turns = np.ones(len(x), dtype=bool)  # a step is its two ends
        turns[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
        x, y = x[turns], y[turns]
        if len(x) > _KNOTS:
            kept = np.unique(np.linspace(0, len(x) - 1, _KNOTS).round().astype(int))
            x, y = x[kept], y[kept]
        xs.append(np.asarray(x, dtype=np.float64))
        ys.append(np.asarray(y, dtype=np.float64))
        ends.append(sum(map(len, xs)))
    return {"x": np.concatenate(xs), "y": np.concatenate(ys), "ends": np.array(ends)}


def _logits(scores: Matrix, margins: bool) -> Matrix:
    return scores if margins else np.log(np.maximum(scores, _LEAST))


def _others(logits: Matrix) -> Matrix:
    """Return for each class the logarithm of the sum of the others' exponentials, (n, n_classes)."""
    n_classes = logits.shape[1]
    columns = [np.logaddexp.reduce(np.delete(logits, c, axis=1), axis=1) for c in range(n_classes)]
    return np.stack(columns, axis=1)


def _sigmoid(t: Matrix) -> Matrix:
    return np.asarray(np.exp(-np.logaddexp(0, -t)))


# --------------------------------------------------------------------------- how good they are


QUALITIES = {"log_loss": "log loss", "brier": "Brier score", "ece": "expected calibration error"}
"""What a :class:`Quality` measures, with titles; for each, 0 is perfect."""


@dataclass(frozen=True)
class Quality:
    """How far probabilities are from frequencies.

    Attributes
    ----------
    log_loss : float
    brier : float
        Mean over frames of the squared distance from the truth, summed over classes: 0 to 2.
    ece : float
        Expected calibration error: mean over frames of how far the accuracy in a bin of confidence is from
        the mean confidence in it.
    bins : list of (float, float, int)
        Mean confidence, accuracy and number of frames of each bin that has any.
    """

    log_loss: float
    brier: float
    ece: float
    bins: list[tuple[float, float, int]]


def quality(probabilities: Matrix, labels: Rows) -> Quality:
    """Measure probabilities (n, n_classes) of rows with known classes (n,)."""
    n, n_classes = probabilities.shape
    truth = np.eye(n_classes)[labels]
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for b in np.unique(bin_of):
        mine = bin_of == b
        bins.append((float(confidence[mine].mean()), float(right[mine].mean()), int(mine.sum())))
    return Quality(
        log_loss=log_loss(probabilities, labels),
        brier=float(((probabilities - truth) ** 2).sum(axis=1).mean()),
        ece=sum(abs(mean - share) * count for mean, share, count in bins) / n,
        bins=bins,
    )
