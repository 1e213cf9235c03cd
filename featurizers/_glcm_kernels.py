"""Compiled loops of the ``glcm`` featurizer.

A pair of grey levels (a, b) and its mirror (b, a) share one cell of a packed lower triangle, at
``hi (hi + 1) / 2 + lo``: operations that vectorise. The level of a pixel that is invalid or outside
the frame is one above the highest, so that every pair that touches it falls into a last row of the triangle,
which does not count: masks and borders cost nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._compile import compiled

STREAMS = 4
"""Blocks counted side by side, or half as many: neighbouring increments then hit different memory, also on
flat frames."""

U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]

X_LOG_X: NDArray[np.float64] = np.arange(1024, dtype=np.float64)
"""x ln x for the counts that are common; larger ones are computed."""
X_LOG_X[1:] *= np.log(X_LOG_X[1:])


@compiled
def extremes(image: NDArray[np.uint8], valid: NDArray[np.bool_]) -> tuple[Any, Any]:
    """Return the lowest and the highest level of the valid pixels; 255 and 0 where there are none."""
    lowest, highest = np.uint8(255), np.uint8(0)
    flat, good = image.ravel(), valid.ravel()
    for i in range(flat.size):
        lowest = min(lowest, flat[i] if good[i] else np.uint8(255))
        highest = max(highest, flat[i] if good[i] else np.uint8(0))
    return np.int64(lowest), np.int64(highest)


@compiled
def _pack_row(
    image: NDArray[np.uint8], valid: NDArray[np.bool_], lowest: int, outside: Any, level: U16
) -> None:
    for c in range(image.size):
        level[c] = np.uint16(image[c]) - np.uint16(lowest) if valid[c] else outside


@compiled
def pack(image: NDArray[np.uint8], valid: NDArray[np.bool_], lowest: int, pad: int, level: U16) -> None:
    """Fill in the levels above the lowest, where a pixel is valid.

    `level` is padded as in :func:`count_pairs`, and holds the level of what is outside in its padding.
    """
    height, width = image.shape
    outside = level[0, 0]
    for r in range(height):
        _pack_row(image[r], valid[r], lowest, outside, level[r, pad : pad + width])


@compiled
def _pair_cells(cells: U16, level_a: U16, level_b: U16) -> None:
    """Return the cell of each pair along one row, (width,)."""
    one = np.uint32(1)
    for c in range(cells.size):
        hi = np.uint32(max(level_a[c], level_b[c]))
        lo = np.uint32(min(level_a[c], level_b[c]))
        cells[c] = ((hi + one) >> one) * (
            hi | one
        ) + lo  # one of hi and hi + 1 is even: half of it by the other


@compiled
def _count_two(cells: U16, counts: U32) -> None:
    """Count the cells of two rows, each in its own table."""
    cells_0, cells_1 = cells[0], cells[1]
    counts_0, counts_1 = counts[0], counts[1]
    one = np.uint32(1)
    for c in range(cells_0.size):
        counts_0[cells_0[c]] += one
        counts_1[cells_1[c]] += one


@compiled
def _count_four(cells: U16, counts: U32) -> None:
    """Count the cells of four rows, each in its own table."""
    cells_0, cells_1, cells_2, cells_3 = cells[0], cells[1], cells[2], cells[3]
    counts_0, counts_1, counts_2, counts_3 = counts[0], counts[1], counts[2], counts[3]
    one = np.uint32(1)
    for c in range(cells_0.size):
        counts_0[cells_0[c]] += one
        counts_1[cells_1[c]] += one
        counts_2[cells_2[c]] += one
        counts_3[cells_3[c]] += one


@compiled
def count_pairs(
    level: U16, pad: int, row_step: NDArray[np.int64], col_step: NDArray[np.int64], counts: U32
) -> None:
    """Count the pixel pairs of two or four displacements.

    Parameters
    ----------
    level : uint16, (height + pad, width + 2 pad)
        Grey level of each pixel, padded below, left and right.
    pad : int
        At least the largest step.
    row_step, col_step : int64, (2,) or (4,)
        Displacements; rows not negative.
    counts : uint32, (2, cells) or (4, cells)
        Added to in place; a triangle with a row for what is outside.
    """
    height = level.shape[0] - pad
    width = level.shape[1] - 2 * pad
    cells = np.empty((row_step.size, width), np.uint16)
    for r in range(height):
        for k in range(row_step.size):
            q, left = r + row_step[k], pad + col_step[k]
            _pair_cells(cells[k], level[r, pad : pad + width], level[q, left : left + width])
        if row_step.size == STREAMS:
            _count_four(cells, counts)
        else:
            _count_two(cells, counts)


@compiled
def _add_row(row: U32, by_level: U32) -> int:
    """Add a row of the triangle to the levels of its columns; return its sum."""
    total = 0
    for lo in range(row.size):
        by_level[lo] += row[lo]
        total += row[lo]
    return total


@compiled
def _add_row_by_difference(row: U32, by_difference: U32) -> None:
    """Add a row of the triangle to the differences hi − lo."""
    size = np.uint64(row.size)
    one = np.uint64(1)  # unsigned: an index that could be negative would not vectorise
    for k in range(size):
        by_difference[k] += row[size - one - k]


@compiled
def _square(count: np.uint32) -> np.int64:
    return np.int64(count) * np.int64(count)


@compiled
def _sums(cells: U32, x_log_x: NDArray[np.float64]) -> tuple[np.int64, float]:
    """Return Σ s² and Σ s ln s over counts s.

    The latter is four sums, as additions of one wait for each other; of four counts at a time, most are 0.
    """
    squares = np.int64(0)
    a = b = c = d = rest = 0.0
    tail = cells.size - cells.size % 4
    for i in range(0, tail, 4):
        w, x, y, z = cells[i], cells[i + 1], cells[i + 2], cells[i + 3]
        if w | x | y | z == 0:
            continue
        squares += _square(w) + _square(x) + _square(y) + _square(z)
        if max(max(w, x), max(y, z)) < x_log_x.size:
            a += x_log_x[w]
            b += x_log_x[x]
            c += x_log_x[y]
            d += x_log_x[z]
        else:
            for j in range(i, i + 4):
                if cells[j] > 0:
                    rest += cells[j] * math.log(cells[j])
    for j in range(tail, cells.size):
        if cells[j] > 0:
            squares += _square(cells[j])
            rest += cells[j] * math.log(cells[j])
    return squares, a + b + c + d + rest


@compiled
def summarise(
    cells: U32, x_log_x: NDArray[np.float64], by_level: U32, by_difference: U32
) -> tuple[np.int64, np.int64, float]:
    """Return the sums that the seven properties are made of, from one packed triangle.

    Parameters
    ----------
    cells : uint32, (levels (levels + 1) / 2,)
        Unordered pairs of each kind.
    x_log_x : float64
        :data:`X_LOG_X`.
    by_level : uint32, (levels,)
        Zeros on entry; then pixels of each level among both members of all pairs.
    by_difference : uint32, (levels,)
        Zeros on entry; then pairs of each difference hi − lo.

    Returns
    -------
    squares, diagonal_squares : int64
        Σ s² over all cells, and over those with hi = lo.
    x_log_x_sum : float
        Σ s ln s over all cells.
    """
    start = 0
    diagonal_squares = np.int64(0)
    for hi in range(by_level.size):
        row = cells[start : start + hi + 1]
        total = _add_row(row, by_level)
        by_level[hi] += total
        _add_row_by_difference(row, by_difference)
        diagonal_squares += np.int64(row[hi]) * np.int64(row[hi])
        start += hi + 1
    squares, x_log_x_sum = _sums(cells, x_log_x)
    return squares, diagonal_squares, x_log_x_sum
