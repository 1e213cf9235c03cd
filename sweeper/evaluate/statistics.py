"""Intervals and tests for scores over folds that share their training rows.

Scores of cross-validation folds are not independent; the plain t-test calls far too many differences
real. The corrected resampled t-test (Nadeau and Bengio, Machine Learning 52 (2003) 239, section 5)
multiplies the variance of the mean by 1 + J n_validation / n_train for J folds.

Every leaderboard is built with these functions, so they make do with ``scipy.special``: statsmodels, whose
Wilson interval the tests compare with, takes four times as long to import.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ONE_DEVIATION = 0.6826894921370859
_EQUAL = 1e-9
"""Scores that differ by less are equal: a fold has fewer than a thousand million frames."""


def interval(
    values: Array, n_train: float, n_validation: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Return the confidence interval of the mean score over folds.

    Parameters
    ----------
    values : float64, (folds,)
        At least two.
    n_train, n_validation : float
        Rows of a fold; the mean if folds differ.
    confidence : float
        In (0, 1).

    Returns
    -------
    (low, high) : float
        Not clipped to the score's range. If all values are equal the interval has no width:
        :func:`accuracy_intervals` does better then.
    """
    table = np.asarray(values, dtype=np.float64)[None, :]
    if table.shape[1] < 2:
        raise ValueError(f"values must be of two folds or more, got {table.shape[1]}")
    low, high = _t_intervals(table, np.array([n_train]), np.array([n_validation]), confidence)
    return float(low[0]), float(high[0])


def accuracy_intervals(
    values: Array, n_train: Array, n_validation: Array, confidence: float = 0.95
) -> tuple[Array, Array]:
    """Return the confidence intervals of many mean accuracies, within [0, 1].

    Parameters
    ----------
    values : float64, (pipelines, folds)
    n_train, n_validation : float64, (pipelines,)
        Rows of a fold; the mean if folds differ.
    confidence : float
        In (0, 1).

    Returns
    -------
    low, high : float64, (pipelines,)
        Of the corrected resampled t-test. If that has nothing to go by (one split, or folds that are
        all equal, such as 100 % each), Wilson's interval (J. Am. Stat. Assoc. 22 (1927) 209) for the
        number of frames that were classified, repeats not counted twice.
    """
    folds = values.shape[1]
    equal = np.ptp(values, axis=1) < _EQUAL
    classified = n_validation if folds == 1 else np.minimum(folds * n_validation, n_train + n_validation)
    low, high = _wilson(values.mean(axis=1), classified, confidence)
    if folds > 1:
        t_low, t_high = _t_intervals(values, n_train, n_validation, confidence)
        low, high = np.where(equal, low, t_low), np.where(equal, high, t_high)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def p_value(a: Array, b: Array, n_train: float, n_validation: float) -> float | None:
    """Return the two-sided p of the hypothesis that two pipelines score alike on the same folds.

    Parameters
    ----------
    a, b : float64, (folds,)
        Scores, fold by fold.
    n_train, n_validation : float
        Rows of a fold; the mean if folds differ.

    Returns
    -------
    float or None
        1 if the folds are equal one by one. If all differ by the same amount the spread is zero and t
        has no value: then that of the sign test, 2^(1 − folds). None with fewer than two folds.
    """
    table = np.asarray(a, dtype=np.float64)[None, :]
    p = p_values(table, np.asarray(b, dtype=np.float64), np.array([n_train]), np.array([n_validation]))[0]
    return None if np.isnan(p) else float(p)


def p_values(values: Array, best: Array, n_train: Array, n_validation: Array) -> Array:
    """Return :func:`p_value` of many pipelines against one.

    Parameters
    ----------
    values : float64, (pipelines, folds)
        NaN if a score is not defined; the fold is left out.
    best : float64, (folds,)
    n_train, n_validation : float64, (pipelines,)

    Returns
    -------
    float64, (pipelines,)
        NaN with fewer than two folds.
    """
    from scipy.special import stdtr

    difference = values - best
    defined = np.isfinite(difference)
    folds = defined.sum(axis=1)
    enough = folds > 1
    d = np.where(defined, difference, 0.0)
    mean = d.sum(axis=1) / np.maximum(folds, 1)
    residual = np.where(defined, d - mean[:, None], 0.0)
    error = _standard_error(residual, folds, n_train, n_validation)
    constant = np.abs(residual).max(axis=1, initial=0.0) < _EQUAL
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(np.maximum(folds - 1, 1).astype(float), -np.abs(mean / error))
    p = np.where(constant, np.where(np.abs(mean) < _EQUAL, 1.0, 2.0 ** (1.0 - folds)), p)
    return np.where(enough, p, np.nan)


def standard_error(values: Array, n_train: float, n_validation: float) -> float:
    """Return how far a mean score is from its expectation, as a standard deviation.

    Parameters
    ----------
    values : float64, (folds,)
        Scores of which 1 is the largest.
    n_train, n_validation : float
        Rows of a fold; the mean if folds differ.

    Returns
    -------
    float
        That of the corrected resampled t-test over folds, but no less than half of Wilson's interval of one
        standard deviation, as if the score were a share of the frames: a few folds may agree by chance.
    """
    folds = len(values)
    share = np.clip(values.mean(keepdims=True), 0, 1)
    classified = n_validation if folds == 1 else min(folds * n_validation, n_train + n_validation)
    low, high = _wilson(share, np.array([classified]), _ONE_DEVIATION)
    residual = (values - values.mean())[None, :]
    over_folds = _standard_error(residual, np.array([folds]), np.array([n_train]), np.array([n_validation]))
    return float(max(over_folds[0], (high[0] - low[0]) / 2))


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number (Holm, Scand. J. Stat. 6 (1979) 65)."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(np.arange(len(p), 0, -1) * np.asarray(p, dtype=np.float64)[order])
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]


def _standard_error(residual: Array, folds: NDArray[np.int64], n_train: Array, n_validation: Array) -> Array:
    """Return the corrected standard error of the mean, (pipelines,), from residuals (pipelines, folds)."""
    variance = np.square(residual).sum(axis=1) / np.maximum(folds - 1, 1)
    error: Array = np.sqrt((1 / np.maximum(folds, 1) + n_validation / n_train) * variance)
    return error


def _t_intervals(
    values: Array, n_train: Array, n_validation: Array, confidence: float
) -> tuple[Array, Array]:
    from scipy.special import stdtrit

    folds = values.shape[1]
    mean = values.mean(axis=1)
    error = _standard_error(values - mean[:, None], np.full(len(values), folds), n_train, n_validation)
    half = stdtrit(folds - 1, (1 + confidence) / 2) * error
    return mean - half, mean + half


def _wilson(share: Array, n: Array, confidence: float) -> tuple[Array, Array]:
    from scipy.special import ndtri

    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return centre - half, centre + half
