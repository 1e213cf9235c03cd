"""Thresholds that keep a promise, found on frames that a classifier was not fitted on.

The promise rests on one assumption: that new frames come from where the calibration frames come from, so that
any order of all of them together is as likely as any other. It needs no other model of the frames, and holds
for any number of them, on average over the calibration frames that might have been drawn.

Groups (series, samples) are the units of that assumption, not frames: each weighs as much as any other.
The argument is that of conformal risk control (Angelopoulos, Bates, Fisch, Lei and Schuster, ICLR 2024,
theorem 1): the loss of a new group is at most 1 and falls as the threshold rises; it is counted as 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweeper.data.splits import Rows

NEVER = np.inf
"""Threshold that no confidence reaches: the calibration frames are too few for the promise."""

_ROUNDING = 1e-12


def group_weights(groups: Rows) -> NDArray[np.float64]:
    """Return the weight of each row, (n,): those of a group sum to 1."""
    _, group_of, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1 / counts[group_of])


def error_threshold(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], groups: Rows, error_rate: float
) -> float:
    """Return the least confidence to accept so that at most this share of all frames is accepted and wrong.

    The smallest t at which (W + 1) / (N + 1) is at most the error rate, where W is the weight of the frames
    that are wrong with a confidence of t or more, and N that of all frames.

    Parameters
    ----------
    confidence : float64, (n,)
    right : bool, (n,)
        Whether the predicted class is the true one.
    groups : int64, (n,)
    error_rate : float
        In (0, 1).

    Returns
    -------
    float
        :data:`NEVER` where no threshold keeps the promise: at least 1 / error rate − 1 groups are needed.
    """
    if len(confidence) == 0:
        return NEVER
    weight = group_weights(groups)
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(np.where(right, 0.0, weight)[order])
    # Equal confidences are accepted together: the last of them counts.
    last = np.append(np.diff(confidence[order]) != 0, True)
    kept = np.flatnonzero(last & ((wrong + 1) / (weight.sum() + 1) <= error_rate + _ROUNDING))
    return float(confidence[order][kept[-1]]) if len(kept) else NEVER


def recall_threshold(score: NDArray[np.float64], groups: Rows, recall: float) -> float:
    """Return the least score that is kept so that at least this share of frames like these is kept.

    Parameters
    ----------
    score : float64, (n,)
        Of frames that must not be missed: the probability that they are of these classes.
    groups : int64, (n,)
    recall : float
        In (0, 1).

    Returns
    -------
    float
        0, which keeps every frame, where no higher threshold keeps the promise: at least
        1 / (1 − recall) − 1 groups are needed.
    """
    if len(score) == 0:
        return 0.0
    weight = group_weights(groups)
    order = np.argsort(score, kind="stable")
    # What lies below a threshold is lost, and the new group may be lost as a whole.
    lost = np.cumsum(weight[order]) - weight[order]
    first = np.insert(np.diff(score[order]) != 0, 0, True)
    kept = np.flatnonzero(first & ((lost + 1) / (weight.sum() + 1) <= 1 - recall + _ROUNDING))
    return float(score[order][kept[-1]]) if len(kept) else 0.0


def alarm_threshold(distance: NDArray[np.float64], groups: Rows, rate: float) -> float:
    """Return the distance beyond which at most this share of frames like these lies.

    The smallest t at which (W + 1) / (N + 1) is at most the rate, where W is the weight of the frames that
    are farther than t, and N that of all frames.

    Parameters
    ----------
    distance : float64, (n,)
        Of frames from others, which they had no part in.
    groups : int64, (n,)
    rate : float
        In (0, 1). With fewer than 1 / rate - 1 groups the threshold is the largest distance, beyond which a
        share of at most 1 / (groups + 1) lies.
    """
    weight = group_weights(groups)
    order = np.argsort(distance, kind="stable")
    beyond = np.maximum(weight.sum() - np.cumsum(weight[order]), 0.0)
    last = np.append(np.diff(distance[order]) != 0, True)
    share = (beyond + 1) / (weight.sum() + 1)
    kept = np.flatnonzero(last & (share <= max(rate, share[-1]) + _ROUNDING))
    return float(distance[order][kept[0]])
