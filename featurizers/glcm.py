"""Grey-level co-occurrence matrix: how often two levels stand at a given displacement."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Axis, Featurizer, Interval, OneOf, Params, PreparedFrame

COLUMNS = ("contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation", "entropy")

_MAX_DISTANCE = 10


def _columns(params: Params) -> tuple[str, ...]:
    return COLUMNS


def _displacement(params: Params) -> tuple[int, int]:
    """Return rows down and columns right from a pixel to its partner, rounded to whole pixels."""
    angle = math.radians(params["angle_deg"])
    return round(math.sin(angle) * params["distance"]), round(math.cos(angle) * params["distance"])


def _packed(frame: PreparedFrame) -> tuple[NDArray[np.uint16], int]:
    """Return the level of each pixel, padded, and the number of levels in use: the level of what is outside.

    Levels are counted from the lowest in use: every property depends on differences and counts alone.
    """
    from . import _glcm_kernels as kernels

    image, valid = frame.quantised, frame.valid
    lowest, highest = kernels.extremes(image, valid)
    levels = max(1, highest - lowest + 1)
    height, width = image.shape
    level = np.full((height + _MAX_DISTANCE, width + 2 * _MAX_DISTANCE), levels, np.uint16)
    kernels.pack(image, valid, lowest, _MAX_DISTANCE, level)
    return level, levels


def _compute(frame: PreparedFrame, blocks: Sequence[Params]) -> list[NDArray[Any]]:
    """Compute seven properties for each (distance, angle); see :data:`FEATURIZER`."""
    from . import _glcm_kernels as kernels

    level, levels = _packed(frame)
    displacements = [_displacement(block) for block in blocks]
    steps = list(dict.fromkeys(displacements))  # 1 and 2 pixels along a diagonal are the same whole pixels
    n = len(steps)
    by_level = np.zeros((n, levels), np.uint32)
    by_difference = np.zeros((n, levels), np.uint32)
    sums = np.zeros((n, 3))  # squares, diagonal squares, x log x
    cells = levels * (levels + 1) // 2
    for first in range(0, n, kernels.STREAMS):
        batch = steps[first : first + kernels.STREAMS]
        streams = kernels.STREAMS if 2 * len(batch) > kernels.STREAMS else kernels.STREAMS // 2
        step = np.zeros((2, streams), np.int64)
        step[:, : len(batch)] = np.transpose(batch)
        counts = np.zeros((streams, cells + levels + 1), np.uint32)
        kernels.count_pairs(level, _MAX_DISTANCE, step[0], step[1], counts)
        for k in range(len(batch)):
            i = first + k
            sums[i] = kernels.summarise(counts[k, :cells], kernels.X_LOG_X, by_level[i], by_difference[i])
    properties = _properties(by_level, by_difference, sums)
    return [properties[steps.index(displacement)] for displacement in displacements]


def _properties(
    by_level: NDArray[np.uint32], by_difference: NDArray[np.uint32], sums: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return properties of the symmetric, normed matrices, (n, 7), from the sums of the kernel.

    With N unordered pairs the symmetric matrix holds 2 N counts: s in the two cells of a pair of
    different levels, 2 s on the diagonal. Its marginals are equal, so the covariance is the variance
    less half the contrast.
    """
    squares, diagonal_squares, x_log_x = sums.T
    pairs = by_difference.sum(axis=1, dtype=np.float64)  # (n,)
    n = np.maximum(pairs, 1.0)
    k = np.arange(by_level.shape[1], dtype=np.float64)  # (levels,)
    # Summed row by row: a matrix product's last bits would depend on which blocks are asked for at once.
    contrast = (by_difference * k**2).sum(axis=1) / n
    asm = (squares + diagonal_squares) / (2.0 * n**2)
    mean = (by_level * k).sum(axis=1) / (2.0 * n)
    variance = (by_level * (k - mean[:, None]) ** 2).sum(axis=1) / (2.0 * n)
    constant = variance == 0.0
    correlation = 1.0 - contrast / np.where(constant, 1.0, 2.0 * variance)
    # −Σ p ln p of the symmetric matrix; the diagonal's 2 s gives the term with ln 2.
    entropy = np.log(2.0 * n) - (x_log_x + math.log(2.0) * by_difference[:, 0]) / n
    return np.stack(
        [
            contrast,
            (by_difference * k).sum(axis=1) / n,
            (by_difference * (1.0 / (1.0 + k**2))).sum(axis=1) / n,
            asm,
            np.sqrt(asm),
            np.where(constant, 1.0, correlation),
            np.where(pairs > 0, np.maximum(entropy, 0.0), 0.0),
        ],
        axis=1,
    )


FEATURIZER = Featurizer(
    name="glcm",
    version=1,
    source="Haralick, Shanmugam, Dinstein, IEEE Trans. SMC 3 (1973) 610; DiffraNet, Table 7; camSortXS",
    axes=(
        Axis(
            "distance",
            Interval(1, _MAX_DISTANCE, integer=True),
            default=(1, 2, 4, 5, 8),
            many=True,
            doc="pixels between the two members of a pair",
        ),
        Axis(
            "angle_deg",
            OneOf(0, 45, 90, 135),
            default=(0, 45, 90, 135),
            many=True,
            doc="direction of the pair: 0 is along a row, 90 along a column",
        ),
    ),
    columns=_columns,
    compute=_compute,
)
"""Texture from the symmetric, normed co-occurrence matrix P of the quantised frame.

A block is one displacement: ``distance`` pixels along ``angle_deg``, each component rounded to a whole
pixel (rows sin, columns cos), as in ``skimage.feature.graycomatrix``. Its columns, with sums over levels:

- contrast Σ P (i − j)², dissimilarity Σ P |i − j|, homogeneity Σ P / (1 + (i − j)²);
- ASM Σ P² and energy √ASM;
- correlation Σ P (i − μ)(j − μ) / σ², 1 where all pairs have one level;
- entropy −Σ P ln P, in nats.

Pairs that touch an invalid pixel are left out. Without any pair (a frame smaller than the displacement,
all pixels masked) P is zero everywhere, and so are all columns but correlation, which is 1.
"""
