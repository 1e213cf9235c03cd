"""The centre, the mirror lines and the horizon of a pattern: geometry that texture does not see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Axis, Featurizer, OneOf, Params, PreparedFrame

Cells = NDArray[np.float64]
Known = NDArray[np.bool_]

_RINGS = 24  # of the search for a centre
_PROFILE = 12  # rings whose means and spreads are features
_FINE = 40  # rings of the radial curve
_SHARES = (0.005, 0.02, 0.1)  # of the cells, that count as bright
_FEWEST = 16  # cells below which nothing is said

_NAMES = (
    "roundness", "centre_off", "centre_outside", "farthest", "nearest", "one_fold", "two_fold", "four_fold",
    *(f"profile{i}" for i in range(_PROFILE)), *(f"ripple{i}" for i in range(_PROFILE)),
    "curve_rough", "curve_peaks", "curve_highest", "curve_fall", "curve_rise",
    "mirror_best", "mirror_other", "mirror_across", "mirror_along", "mirror_across_off",
    "mirror_along_off",
    "horizon_step", "horizon_agreement", "other_step", "other_agreement", "horizon_place", "dark_mean",
    "dark_spread", "lit_mean", "centre_below_horizon",
    *(f"bright{i}_{name}" for i in range(len(_SHARES)) for name in ("long", "wide", "upright", "excess")),
    "mean", "spread", "median", "above_half", "aspect", "known",
)  # fmt: skip


def _columns(params: Params) -> tuple[str, ...]:
    return _NAMES


def _far_and_near(size: int) -> Cells:
    """Return offsets from the middle to look for a centre at, in cells: dense within, sparse outside."""
    inner = np.arange(0.0, 0.8, 0.125)
    half = np.concatenate([inner, [1.0, 1.4, 2.0]])
    return np.concatenate([-half[:0:-1], half]) * size


def find_centre(image: Cells, known: Known) -> tuple[float, float, float]:
    """Return row, column and roundness of the place that a pattern is roundest about, in the frame or not."""
    from . import _symmetry_kernels as kernels

    y, x = (place.astype(np.float64) for place in np.nonzero(known))
    size = max(image.shape)
    offsets = _far_and_near(size)
    row, column = ((n - 1) / 2 for n in image.shape)
    best = 0.0
    for steps in (offsets, np.linspace(-0.125, 0.125, 9) * size, np.linspace(-0.032, 0.032, 9) * size):
        row, column, best = kernels.best_centre(image[known], y, x, row + steps, column + steps, _RINGS)
    return row, column, best


def _about_centre(image: Cells, known: Known, row: float, column: float) -> list[float]:
    """Describe a centre and its surroundings: means and spreads of rings, and how arcs are spaced."""
    size = max(image.shape)
    y, x = (place.astype(np.float64) for place in np.nonzero(known))
    dy, dx = y - row, x - column
    radius, angle = np.hypot(dy, dx), np.arctan2(dy, dx)
    far, near = float(radius.max()), float(radius.min())
    place, values = (radius - near) / max(far - near, 1e-9), image[known]
    ring = np.minimum((place * _PROFILE).astype(np.int64), _PROFILE - 1)
    number = np.maximum(np.bincount(ring, minlength=_PROFILE), 1)
    means = np.bincount(ring, values, _PROFILE) / number
    rest = values - means[ring]
    ripple = np.sqrt(np.bincount(ring, rest**2, _PROFILE) / number)
    spread = max(float(np.sqrt((rest**2).mean())), 1e-6)
    folds = [
        np.hypot((rest * np.cos(n * angle)).mean(), (rest * np.sin(n * angle)).mean()) for n in (1, 2, 4)
    ]
    outside = max(0.0, -row, -column, row - image.shape[0] + 1, column - image.shape[1] + 1)
    off = np.hypot(row - (image.shape[0] - 1) / 2, column - (image.shape[1] - 1) / 2)
    head = [float(off) / size, outside / size, far / size, near / size, *(float(f) / spread for f in folds)]
    return [*head, *means.tolist(), *ripple.tolist(), *_curve(values, place)]


def _curve(values: Cells, place: Cells) -> list[float]:
    """Measure how ragged the radial curve is: rings make it rough, a form factor smooth."""
    bins = np.minimum((place * _FINE).astype(np.int64), _FINE - 1)
    number = np.bincount(bins, minlength=_FINE)
    seen = np.flatnonzero(number)
    curve = np.interp(np.arange(_FINE), seen, np.bincount(bins, values, _FINE)[seen] / number[seen])
    bends = curve[1:-1] - 0.5 * (curve[:-2] + curve[2:])
    peaks = (curve[1:-1] > curve[:-2]) & (curve[1:-1] >= curve[2:]) & (bends > 0.01)
    steps = np.diff(curve)
    return [
        float(np.abs(bends).mean()), float(peaks.sum()), float(np.argmax(curve)) / _FINE,
        float(-np.minimum(steps, 0).sum()), float(np.maximum(steps, 0).sum()),
    ]  # fmt: skip


def best_mirror(image: Cells, known: Known) -> tuple[float, float]:
    """Return correlation about the best upright line, at least 0, and its distance from the middle in widths.

    Lines are tried where at least a quarter of the cells have a partner.
    """
    from . import _symmetry_kernels as kernels

    width = image.shape[1]
    best, place = 0.0, 0.0
    for axis2 in range(int(0.25 * width), int(1.75 * width)):
        found, share = kernels.mirror(image, known, axis2)
        if share > 0.25 and found > best + 1e-12:
            best, place = found, abs(axis2 / 2 - (width - 1) / 2) / width
    return best, place


def best_step(image: Cells, known: Known) -> tuple[float, float, int]:
    """Return mean and agreement of the clearest step between rows, positive where it falls, and its row."""
    from . import _symmetry_kernels as kernels

    height, reach = image.shape[0], max(1, image.shape[0] // 24)
    best = (0.0, 0.0, height // 2)
    for edge in range(2, height - 1):
        mean, agree = kernels.step(image, known, edge, reach)
        if abs(mean * agree) > abs(best[0] * best[1]) + 1e-12:
            best = (mean, agree, edge)
    return best


def upright(image: Cells, known: Known) -> tuple[Cells, Known]:
    """Turn a frame by quarters so that the clearest step is level and falls downwards."""
    level, side = best_step(image, known), best_step(image.T, known.T)
    if abs(level[0] * level[1]) >= abs(side[0] * side[1]):
        quarters = 0 if level[0] >= 0 else 2
    else:
        quarters = 3 if side[0] > 0 else 1
    return np.ascontiguousarray(np.rot90(image, quarters)), np.ascontiguousarray(np.rot90(known, quarters))


def _horizon(image: Cells, known: Known, centre_row: float) -> list[float]:
    """Find mirror lines, and the horizon of a frame that stands upright: its dark side is below."""
    across, across_off = best_mirror(image, known)
    along, along_off = best_mirror(np.ascontiguousarray(image.T), np.ascontiguousarray(known.T))
    mean, agree, edge = best_step(image, known)
    other, other_agree, _ = best_step(np.ascontiguousarray(image.T), np.ascontiguousarray(known.T))
    dark, lit = image[edge:][known[edge:]], image[:edge][known[:edge]]
    return [
        max(across, along), min(across, along), across, along, across_off, along_off,
        mean, agree, abs(other), abs(other_agree), edge / image.shape[0],
        float(dark.mean()) if dark.size else 0.0, float(dark.std()) if dark.size else 0.0,
        float(lit.mean()) if lit.size else 0.0, (centre_row - edge) / max(image.shape),
    ]  # fmt: skip


def _bright(image: Cells, known: Known, share: float) -> list[float]:
    """Describe the brightest cells: length, width, how upright they lie, and how far they stand out."""
    y, x = np.nonzero(known)
    values = image[known]
    chosen = np.argsort(-values, kind="stable")[: max(3, int(share * values.size))]
    lengths, ways = np.linalg.eigh(np.cov(np.stack([y[chosen], x[chosen]]).astype(float)))
    wide, long = np.sqrt(np.maximum(lengths, 0)) / max(image.shape)
    return [float(long), float(wide), float(abs(ways[0, 1])), float(values[chosen].mean() - values.mean())]


def _geometry(frame: PreparedFrame, grid: int) -> NDArray[np.float64]:
    from . import _symmetry_kernels as kernels

    height, width = frame.image.shape
    shrink = min(1.0, grid / max(height, width))
    rows, columns = max(1, round(height * shrink)), max(1, round(width * shrink))
    total, number = kernels.reduce_cells(frame.image, frame.valid, rows, columns)
    known = number > 0
    if np.count_nonzero(known) < _FEWEST:
        return np.zeros(len(_NAMES))
    image, known = upright(total / np.maximum(number, 1), known)
    row, column, best = find_centre(image, known)
    features = [best, *_about_centre(image, known, row, column), *_horizon(image, known, row)]
    for share in _SHARES:
        features += _bright(image, known, share)
    values = image[known]
    features += [
        float(values.mean()), float(values.std()), float(np.median(values)), float((values > 0.5).mean()),
        min(height, width) / max(height, width), float(known.mean()),
    ]  # fmt: skip
    return np.array(features)


def _compute(frame: PreparedFrame, blocks: Sequence[Params]) -> list[NDArray[Any]]:
    return [_geometry(frame, block["grid"]) for block in blocks]


FEATURIZER = Featurizer(
    name="symmetry",
    version=1,
    source="geometry of patterns in transmission and over a surface: Hexemer and Müller-Buschbaum, IUCrJ 2 "
    "(2015) 106",
    axes=(
        Axis(
            "grid",
            OneOf(32, 48, 64),
            default=48,
            doc="cells along the longer edge of the reduced frame",
        ),
    ),
    columns=_columns,
    compute=_compute,
)
"""A person's first look: is it round about the beam, one mirror line or two, is there a horizon?

The scaled image is reduced to `grid` cells along its longer edge (means of valid pixels), so that nothing
depends on the frame's size, and turned by quarters until the clearest level edge has its dark side below, so
that little depends on how the detector was mounted. Then:

- the place is found about which the pattern is roundest, in the frame or up to two frames outside:
  `roundness` is the share of the variance that the distance from it explains (R², corrected for the number of
  rings); where it is, how far the cells reach from it, the first, second and fourth harmonic of what is left,
  means (`profile`) and standard deviations (`ripple`) of twelve rings, and five figures of the radial curve;
- correlation with the mirror image about the best upright (`across`) and level (`along`) line, and the lines'
  distance from the middle;
- the horizon: mean step and the share of columns that agree on its sign, the best such step at right angles
  to it, its height, the intensities on both sides, how far the centre is below it;
- for the brightest 0.5, 2 and 10 % of the cells, length and width (standard deviations along the principal
  axes), how upright they lie, and their excess over the mean;
- mean, standard deviation, median and share above one half of the cells, the frame's aspect, the share of
  known cells.

Lengths are in units of the longer edge. All columns are 0 where fewer than 16 cells have a valid pixel.
"""
