"""Compiled loops of the ``symmetry`` featurizer, over a small grid of cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._compile import compiled

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


@compiled
def reduce_cells(image: NDArray[np.float32], valid: Mask, rows: int, columns: int) -> tuple[F64, F64]:
    """Return the sum of the valid pixels of each cell and their number, (rows, columns)."""
    total = np.zeros((rows, columns))
    number = np.zeros((rows, columns))
    height, width = image.shape
    cell = np.empty(width, np.int64)
    for j in range(width):
        cell[j] = j * columns // width
    for i in range(height):
        r = i * rows // height
        for j in range(width):
            if valid[i, j]:
                total[r, cell[j]] += image[i, j]
                number[r, cell[j]] += 1.0
    return total, number


@compiled
def _roundness(
    values: F64, y: F64, x: F64, row: float, column: float, rings: int, whole: float, radius: F64
) -> float:
    """Return what `roundness` does, given the sum of squares about the mean and room for radii."""
    least, most = 1e300, 0.0
    for i in range(values.size):
        r = np.sqrt((y[i] - row) ** 2 + (x[i] - column) ** 2)
        radius[i] = r
        least, most = min(least, r), max(most, r)
    scale = rings / (most - least + 1e-9)
    number, total, square = np.zeros(rings + 1), np.zeros(rings + 1), np.zeros(rings + 1)
    for i in range(values.size):
        k = int((radius[i] - least) * scale)
        number[k] += 1.0
        total[k] += values[i]
        square[k] += values[i] * values[i]
    inside, used = 0.0, 0
    for k in range(rings + 1):
        if number[k] > 0:
            used += 1
            inside += square[k] - total[k] * total[k] / number[k]
    n = values.size
    if n <= used + 1 or whole <= 1e-9 * n:
        return 0.0
    explained: float = 1.0 - (inside / (n - used)) / (whole / (n - 1))
    return max(0.0, explained)


@compiled
def roundness(values: F64, y: F64, x: F64, row: float, column: float, rings: int) -> float:
    """Return the share of the variance that `rings` around a place explain, of equal numbers of radii.

    Corrected for the number of rings that are used, as R² is for the number of parameters; at least 0.
    """
    whole = (values * values).sum() - values.sum() ** 2 / values.size
    return _roundness(values, y, x, row, column, rings, whole, np.empty(values.size))


@compiled
def best_centre(
    values: F64, y: F64, x: F64, rows: F64, columns: F64, rings: int
) -> tuple[float, float, float]:
    """Return row, column and roundness of the place of a grid about which values are roundest."""
    whole = (values * values).sum() - values.sum() ** 2 / values.size
    radius = np.empty(values.size)
    best, row, column = -1.0, rows[0], columns[0]
    for i in range(rows.size):
        for j in range(columns.size):
            found = _roundness(values, y, x, rows[i], columns[j], rings, whole, radius)
            if found > best + 1e-12:
                best, row, column = found, rows[i], columns[j]
    return row, column, best


@compiled
def mirror(image: F64, known: Mask, axis2: int) -> tuple[float, float]:
    """Return the correlation with the mirror image about the line at ``axis2 / 2``, and the share of pairs.

    Of pairs of cells that are both known; 0 where there are too few or they do not vary.
    """
    height, width = image.shape
    n, s, ss, sp = 0.0, 0.0, 0.0, 0.0
    for i in range(height):
        for j in range(width):
            k = axis2 - j
            if k <= j or k >= width:
                continue
            if known[i, j] and known[i, k]:
                a, b = image[i, j], image[i, k]
                n += 1.0
                s += a + b
                ss += a * a + b * b
                sp += a * b
    if n < 8.0:
        return 0.0, 0.0
    mean = s / (2.0 * n)
    variance = ss / (2.0 * n) - mean * mean
    if variance < 1e-9:
        return 0.0, 2.0 * n / image.size
    return (sp / n - mean * mean) / variance, 2.0 * n / image.size


@compiled
def tilted_step(image: F64, known: Mask, edge: int, reach: int, slope: float) -> tuple[float, float]:
    """Return the mean step across a line between two rows, and the share of columns that agree.

    Each column compares the means of `reach` rows on either side. The line rises by `slope` rows a column
    about the middle column.
    """
    height, width = image.shape
    n, total, fall, rise = 0.0, 0.0, 0.0, 0.0
    for j in range(width):
        line = edge + int(np.floor(slope * (j - 0.5 * (width - 1)) + 0.5))
        above, below, na, nb = 0.0, 0.0, 0, 0
        for k in range(reach):
            i = line - 1 - k
            if 0 <= i < height and known[i, j]:
                above += image[i, j]
                na += 1
            i = line + k
            if 0 <= i < height and known[i, j]:
                below += image[i, j]
                nb += 1
        if na > 0 and nb > 0:
            difference = above / na - below / nb
            n += 1.0
            total += difference
            if difference > 0.01:
                fall += 1.0
            if difference < -0.01:
                rise += 1.0
    if n < 0.25 * width:
        return 0.0, 0.0
    return total / n, (fall - rise) / n


@compiled
def step(image: F64, known: Mask, edge: int, reach: int) -> tuple[float, float]:
    """Return what `tilted_step` does, across an edge between two rows."""
    return tilted_step(image, known, edge, reach, 0.0)


@compiled
def paired(
    image: F64, known: Mask, row: float, column: float, turned: bool, flipped: bool
) -> tuple[float, float]:
    """Return the correlation of cells with their images about a place, and the share that have one.

    Parameters
    ----------
    turned : bool
        Whether columns change sides.
    flipped : bool
        Whether rows do.
    """
    height, width = image.shape
    n, sa, sb, saa, sbb, sab, all_known = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(height):
        k = int(np.floor(2.0 * row - i + 0.5)) if flipped else i
        for j in range(width):
            if not known[i, j]:
                continue
            all_known += 1.0
            m = int(np.floor(2.0 * column - j + 0.5)) if turned else j
            if k < 0 or k >= height or m < 0 or m >= width or not known[k, m]:
                continue
            a, b = image[i, j], image[k, m]
            n += 1.0
            sa += a
            sb += b
            saa += a * a
            sbb += b * b
            sab += a * b
    if n < 16.0:
        return 0.0, 0.0
    va, vb = saa / n - (sa / n) ** 2, sbb / n - (sb / n) ** 2
    if va < 1e-9 or vb < 1e-9:
        return 0.0, n / all_known
    return (sab / n - sa * sb / n**2) / np.sqrt(va * vb), n / all_known
