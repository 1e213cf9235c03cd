"""Signs of a surface under the beam: a horizon in any direction, level or tilted, and what stands over it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.float64]
Known = NDArray[np.bool_]

_TILTS = (-0.12, -0.06, 0.06, 0.12)  # rows a column

SURFACE_NAMES = (
    "step_up", "step_side", "step_other_side", "tilted_step", "tilted_gain", "tilt",
    "rows_explain", "columns_explain", "yoneda", "yoneda_width", "dark_flat", "dark_share",
    "rod_height", "rod_width", "rod_number", "rod_place", "sharp_rows", "sharp_columns",
)  # fmt: skip


def clearest_steps(image: Cells, known: Known, slope: float = 0.0) -> tuple[float, float]:
    """Return the clearest falling and rising step across lines of a slope, in rows a column.

    A step is the mean difference across a line times the share of columns that agree with its sign.
    """
    from . import _symmetry_kernels as kernels

    height, reach = image.shape[0], max(1, image.shape[0] // 24)
    fall, rise = 0.0, 0.0
    for edge in range(2, height - 1):
        step, agree = kernels.tilted_step(image, known, edge, reach, slope)
        if step * agree > 0:
            strength = step * abs(agree)
            fall, rise = max(fall, strength), max(rise, -strength)
    return fall, rise


def _line_means(image: Cells, known: Known, axis: int) -> tuple[Cells, NDArray[np.int64]]:
    number = known.sum(axis=axis)
    return np.where(known, image, 0.0).sum(axis=axis) / np.maximum(number, 1), number


def _explained(image: Cells, known: Known, axis: int) -> float:
    """Return the share of the variance that the means of rows (or columns) explain, corrected as R² is."""
    means, number = _line_means(image, known, axis)
    values = image[known]
    used = int((number > 0).sum())
    if values.size <= used + 1:
        return 0.0
    spread = np.broadcast_to(np.expand_dims(means, axis), image.shape)[known]
    within = float(((values - spread) ** 2).sum()) / (values.size - used)
    overall = float(((values - values.mean()) ** 2).sum()) / (values.size - 1)
    return max(0.0, 1 - within / overall) if overall > 1e-9 else 0.0


def _sharp(image: Cells, known: Known, axis: int) -> float:
    """Return the root mean square of the second differences of the means of rows (or columns)."""
    means, number = _line_means(image, known, axis)
    full = means[number > 0.25 * image.shape[axis]]
    return float(np.sqrt(np.mean(np.diff(full, 2) ** 2))) if len(full) > 2 else 0.0


def _yoneda(image: Cells, known: Known, edge: int) -> tuple[float, float]:
    """Return how far the rows above a horizon exceed those higher up, and the width of that band."""
    means, number = _line_means(image, known, 1)
    rows = len(means)
    above = means[:edge][::-1][number[:edge][::-1] > 0]
    if len(above) < 6:
        return 0.0, 0.0
    near, far = max(2, rows // 16), max(5, rows // 5)
    top = float(above[:near].max())
    later = above[near:far]
    if not len(later):
        return 0.0, 0.0
    excess = top - float(later.mean())
    half = float(later.mean()) + excess / 2
    wide = int(np.argmax(above[int(np.argmax(above[:near])) :] < half))
    return excess, wide / rows


def _rods(image: Cells, known: Known, edge: int) -> list[float]:
    """Describe upright streaks over a horizon: height, width and place of the highest, and their number."""
    over, seen = image[:edge], known[:edge]
    if over.shape[0] < 4 or not seen.any():
        return [0.0, 0.0, 0.0, 0.0]
    means, _ = _line_means(over, seen, 1)
    rest = np.where(seen, over - means[:, np.newaxis], 0.0)
    across, count = _line_means(rest, seen, 0)
    full = np.flatnonzero(count > 0.3 * over.shape[0])
    if len(full) < 8:
        return [0.0, 0.0, 0.0, 0.0]
    profile = across[full]
    width = max(3, len(profile) // 6)
    padded = np.pad(profile, width, mode="edge")
    sides = np.minimum(padded[: -2 * width], padded[2 * width :])
    above = profile - np.maximum(sides, np.median(profile))
    top = int(np.argmax(above))
    half = above[top] / 2
    low, high = top, top
    while low > 0 and above[low - 1] > half:
        low -= 1
    while high < len(above) - 1 and above[high + 1] > half:
        high += 1
    peaks = (above[1:-1] > above[:-2]) & (above[1:-1] >= above[2:]) & (above[1:-1] > 0.04)
    middle = abs(full[top] / max(image.shape[1] - 1, 1) - 0.5)
    return [float(above[top]), (high - low + 1) / image.shape[1], float(peaks.sum()), float(middle)]


def surface_features(image: Cells, known: Known, edge: int) -> list[float]:
    """Describe a frame that stands upright, with its clearest edge above row `edge`."""
    turned, turned_known = np.ascontiguousarray(image.T), np.ascontiguousarray(known.T)
    fall, rise = clearest_steps(image, known)
    left, right = clearest_steps(turned, turned_known)
    tilted, tilt = 0.0, 0.0
    for slope in _TILTS:
        found = clearest_steps(image, known, slope)[0]
        if found > tilted:
            tilted, tilt = found, slope
    dark, lit = image[edge:][known[edge:]], image[:edge][known[:edge]]
    flat = float(dark.std() / max(lit.std(), 1e-6)) if dark.size and lit.size else 0.0
    return [
        rise, min(left, right), max(left, right), tilted, tilted - fall, abs(tilt) if tilted > fall else 0.0,
        _explained(image, known, 1), _explained(image, known, 0), *_yoneda(image, known, edge),
        min(flat, 10.0), dark.size / max(1, dark.size + lit.size), *_rods(image, known, edge),
        _sharp(image, known, 1), _sharp(image, known, 0),
    ]  # fmt: skip
