"""The bag-of-visual-words codebook: ragged descriptors to one row a frame, fitted on training rows alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CODEBOOK_VERSION = 1
"""Raise it when the same descriptors give another codebook or other histograms."""

DESCRIPTORS_AT_MOST = 100_000
DESCRIPTORS_PER_CLUSTER = 20

_GRID = 8.0
"""Centres lie on multiples of 1/8.

Descriptors are whole numbers, so each product and each partial sum of a dot product below 2²¹ (SIFT's
stay near 2¹⁸) is exact in float32: a frame's histogram does not depend on the frames beside it, the
number of threads or the BLAS. Descriptors themselves are rounded to whole numbers, far coarser.
"""

_CHUNK_BYTES = 64 << 20
_ROWS_AT_ONCE = 16384
_FEW_CLUSTERS = 500
_ROUNDS = 20
_LEAST_GAIN = 1e-3


def sample_descriptors(frames: Sequence[NDArray[np.uint8]], clusters: int, seed: int) -> NDArray[np.uint8]:
    """Descriptors of the training frames, stacked, at most as many as the codebook is fitted on.

    Parameters
    ----------
    frames : sequence of uint8, (keypoints, width)
        One array a training frame, in row order; empty arrays are welcome.
    clusters : int
    seed : int

    Returns
    -------
    uint8, (n, width)
        All of them, or a sample without replacement of ``max(100 000, 20 × clusters)``.
    """
    counts = np.array([len(frame) for frame in frames], dtype=np.int64)
    chosen = _sample(int(counts.sum()), clusters, seed)
    starts = np.concatenate([[0], np.cumsum(counts)])
    bounds = np.searchsorted(chosen, starts)
    parts = [frame[chosen[bounds[i] : bounds[i + 1]] - starts[i]] for i, frame in enumerate(frames)]
    return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.uint8)


def _sample(n: int, clusters: int, seed: int) -> NDArray[np.int64]:
    """Ascending row numbers of the sample."""
    limit = max(DESCRIPTORS_AT_MOST, DESCRIPTORS_PER_CLUSTER * clusters)
    if n <= limit:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, size=limit, replace=False))


def fit_codebook(descriptors: NDArray[np.uint8], clusters: int, seed: int) -> NDArray[np.float32]:
    """Centres of a bag of visual words.

    Lloyd's k-means, as in Sivic and Zisserman (ICCV 2003) and Csurka et al. (ECCV workshop 2004), on
    at most ``max(100 000, 20 × clusters)`` descriptors drawn with the seed. Started by k-means++
    (Arthur and Vassilvitskii, SODA 2007) up to 500 clusters, by a draw of distinct descriptors beyond;
    ended when a round improves the mean squared distance by less than a thousandth, or after 20.

    Parameters
    ----------
    descriptors : uint8, (n, width)
        Of the training frames alone.
    clusters : int
        At least 1.
    seed : int

    Returns
    -------
    float32, (k, width)
        k is `clusters`, or the number of distinct descriptors where there are fewer.
    """
    if clusters < 1:
        raise ValueError(f"clusters must be at least 1, got {clusters}")
    sample = np.ascontiguousarray(descriptors[_sample(len(descriptors), clusters, seed)])
    distinct = _distinct(sample)
    if len(distinct) <= clusters:
        return distinct.astype(np.float32)
    centres = _start(distinct, clusters, seed)
    before = np.inf
    for _ in range(_ROUNDS):
        nearest = nearest_centres(sample, centres)
        after = _mean_squared_distance(sample, centres, nearest)
        if after > (1 - _LEAST_GAIN) * before:
            break
        centres, before = _means(sample, nearest, centres), after
    return centres


def _start(distinct: NDArray[np.uint8], clusters: int, seed: int) -> NDArray[np.float32]:
    """First centres, (clusters, width)."""
    rng = np.random.default_rng(seed)
    if clusters > _FEW_CLUSTERS:
        return distinct[rng.choice(len(distinct), size=clusters, replace=False)].astype(np.float32)
    from sklearn.cluster import kmeans_plusplus

    size = min(len(distinct), DESCRIPTORS_PER_CLUSTER * clusters)
    some = distinct[rng.choice(len(distinct), size=size, replace=False)].astype(np.float32)
    centres, _ = kmeans_plusplus(some, clusters, random_state=seed % 2**32)
    return np.asarray(centres, dtype=np.float32)


def _means(
    sample: NDArray[np.uint8], nearest: NDArray[np.int64], centres: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean of the descriptors of each centre, on the grid; a centre without any stays where it is."""
    counts = np.bincount(nearest, minlength=len(centres))
    filled = counts > 0
    starts = (np.cumsum(counts) - counts)[filled]
    order = np.argsort(nearest, kind="stable")
    sums = np.add.reduceat(sample[order], starts, axis=0, dtype=np.int64)  # (filled, width)
    means = centres.copy()
    means[filled] = np.rint(sums / counts[filled, None] * _GRID) / _GRID
    return means


def _mean_squared_distance(
    sample: NDArray[np.uint8], centres: NDArray[np.float32], nearest: NDArray[np.int64]
) -> float:
    """Mean squared distance of the descriptors from their centres."""
    total = 0.0
    for begin in range(0, len(sample), _ROWS_AT_ONCE):
        rows = slice(begin, begin + _ROWS_AT_ONCE)
        total += float(np.square(sample[rows] - centres[nearest[rows]]).sum(dtype=np.float64))
    return total / len(sample)


def _distinct(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Distinct rows, sorted."""
    if rows.shape[0] == 0 or rows.shape[1] == 0:
        return rows[:0]
    whole = rows.view(np.dtype((np.void, rows.shape[1]))).ravel()
    return np.unique(whole).view(np.uint8).reshape(-1, rows.shape[1])


def encode(
    descriptors: Sequence[NDArray[np.uint8]], centres: NDArray[np.float32], clusters: int
) -> NDArray[np.float64]:
    """Histograms of nearest centres.

    Parameters
    ----------
    descriptors : sequence of uint8, (keypoints, width)
        One array a frame.
    centres : float32, (k, width)
        From :func:`fit_codebook`; the first of several equally near ones counts.
    clusters : int
        Width of the result, k or more: the rest of the columns is zero.

    Returns
    -------
    float64, (n_frames, clusters)
        Rows that sum to 1; a frame without keypoints is a row of zeros.
    """
    histograms = np.zeros((len(descriptors), clusters))
    counts = np.array([len(frame) for frame in descriptors], dtype=np.int64)
    if len(centres) == 0 or counts.sum() == 0:
        return histograms
    stacked = np.concatenate([frame for frame in descriptors if len(frame)])
    frame_of = np.repeat(np.arange(len(descriptors)), counts)
    np.add.at(histograms, (frame_of, nearest_centres(stacked, centres)), 1.0)
    return histograms / np.maximum(counts, 1)[:, None]


def nearest_centres(descriptors: NDArray[np.uint8], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    """Index of the centre nearest to each descriptor, (n,), by Euclidean distance."""
    # |x - c|² = |x|² - 2 (x·c - |c|²/2): the nearest centre has the largest bracket.
    half_norm = (np.square(centres, dtype=np.float64).sum(axis=1) / 2).astype(np.float32)  # (k,)
    transposed = np.ascontiguousarray(centres.T)  # (width, k)
    nearest = np.empty(len(descriptors), dtype=np.int64)
    step = max(1, _CHUNK_BYTES // (4 * len(centres)))
    for begin in range(0, len(descriptors), step):
        likeness = descriptors[begin : begin + step].astype(np.float32) @ transposed  # (step, k)
        likeness -= half_norm
        nearest[begin : begin + step] = likeness.argmax(axis=1)
    return nearest
