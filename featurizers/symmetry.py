"""The centre, the mirror lines and the horizon of a pattern: geometry that texture does not see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Axis, Featurizer, OneOf, Params, PreparedFrame

from ._symmetry_rings import (
    DECAY_NAMES,
    PAIR_NAMES,
    RING_NAMES,
    ROUND_NAMES,
    Cells,
    Known,
    about,
    decay_features,
    pair_features,
    radial_curve,
    ring_features,
    round_features,
)
from ._symmetry_surface import SURFACE_NAMES, surface_features

_RINGS = 24  # of the search for a centre
_PROFILE = 12  # rings whose means and spreads are features
_FINE = 40  # rings of the radial curve
_SHARES = (0.005, 0.02, 0.1)  # of the cells, that count as bright
_FINER = 4  # times as many cells along an edge for rings
_FINE_RINGS = 64  # of the centre's last place
_FAINTEST = 0.002  # of the brightest counts, added before logarithms
_ENOUGH_FINE = 6000  # finer cells that suffice for rings
_ENOUGH = 300  # cells that suffice for a first look
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
    "round_fine", *RING_NAMES, *DECAY_NAMES, *ROUND_NAMES, *PAIR_NAMES, *SURFACE_NAMES,
    "bright_off", "radial_gradients", "decades_high", "decades_low", "zeros",
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
    values, best = image[known], 0.0
    some = max(1, min(3, values.size // _ENOUGH))  # a third of the cells finds where to look closer
    for steps, each in (
        (offsets, some),
        (np.linspace(-0.125, 0.125, 9) * size, some),
        (np.linspace(-0.032, 0.032, 9) * size, 1),
    ):
        row, column, best = kernels.best_centre(
            values[::each], y[::each], x[::each], row + steps, column + steps, _RINGS
        )
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


def _turned(cells: NDArray[Any], quarters: int) -> NDArray[Any]:
    """Return cells after quarter turns, in a row in memory."""
    return np.ascontiguousarray(np.rot90(cells, quarters))


def upright(image: Cells, known: Known) -> tuple[Cells, Known, int]:
    """Turn a frame by quarters so that its clearest step is level and falls downwards; return how many."""
    level, side = best_step(image, known), best_step(image.T, known.T)
    if abs(level[0] * level[1]) >= abs(side[0] * side[1]):
        quarters = 0 if level[0] >= 0 else 2
    else:
        quarters = 3 if side[0] > 0 else 1
    return _turned(image, quarters), _turned(known, quarters), quarters


_HORIZON_PLACE = 10  # of what `_horizon` returns


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


def _reduced(values: NDArray[np.float32], frame: PreparedFrame, cells: int) -> tuple[Cells, Known]:
    """Return the means of pixels over cells, `cells` along the longer edge at most, and which are known."""
    from . import _symmetry_kernels as kernels

    height, width = values.shape
    shrink = min(1.0, cells / max(height, width))
    rows, columns = max(1, round(height * shrink)), max(1, round(width * shrink))
    total, number = kernels.reduce_cells(values, frame.valid, rows, columns)
    return total / np.maximum(number, 1), number > 0


def _finer_centre(image: Cells, known: Known, row: float, column: float) -> tuple[float, float, float]:
    """Return a centre in cells of a finer image, near the place given, and the roundness about it."""
    from . import _symmetry_kernels as kernels

    values, best = image[known], 0.0
    each = max(1, values.size // _ENOUGH_FINE)
    y, x = (place.astype(np.float64)[::each] for place in np.nonzero(known))
    values = values[::each]
    for steps in (np.array([-4.0, -2.0, 0.0, 2.0, 4.0]), np.array([-1.0, 0.0, 1.0])):
        row, column, best = kernels.best_centre(values, y, x, row + steps, column + steps, _FINE_RINGS)
    return row, column, best


def _about_fine_centre(
    frame: PreparedFrame, grid: int, quarters: int, row: float, column: float
) -> list[float]:
    """Describe rings on finer cells; the centre is given in cells of the upright frame."""
    fine, known = _reduced(frame.image, frame, _FINER * grid)
    counts, _ = _reduced(frame.counts, frame, _FINER * grid)
    shrink = max(fine.shape) / min(grid, max(frame.image.shape))
    fine, known, counts = (_turned(fine, quarters), _turned(known, quarters), _turned(counts, quarters))
    row, column = ((place + 0.5) * shrink - 0.5 for place in (row, column))
    row, column, best = _finer_centre(fine, known, row, column)
    polar = about(fine, known, row, column)
    curve = radial_curve(polar)
    rings, highest = ring_features(curve, polar)
    least, most = np.quantile(counts[known], (0.005, 0.999))
    counts = np.log10(np.maximum(counts - least, 0) + _FAINTEST * (most - least) + 1e-9)
    decay = decay_features(radial_curve(about(counts, known, row, column)), polar)
    return [best, *rings, *decay, *round_features(curve, polar, highest)]


def _towards_centre(image: Cells, known: Known, row: float, column: float) -> float:
    """Return the share of the image's gradients that point to or from a place, in squares."""
    filled = np.where(known, image, image[known].mean())
    down, right = np.gradient(filled) if min(image.shape) > 1 else (np.zeros_like(filled),) * 2
    y, x = (np.arange(n) - place for n, place in zip(image.shape, (row, column), strict=True))
    length = np.maximum(np.hypot(y[:, np.newaxis], x[np.newaxis, :]), 1e-9)
    along = (down * y[:, np.newaxis] + right * x[np.newaxis, :]) / length
    whole = float((down[known] ** 2 + right[known] ** 2).sum())
    towards = float((along[known] ** 2).sum())
    share: float = towards / whole if whole > 1e-12 else 0.0
    return share


def _bright_off(image: Cells, known: Known, row: float, column: float) -> float:
    """Return how far the middle of the brightest cells is from a place, in longer edges."""
    y, x = np.nonzero(known)
    chosen = np.argsort(-image[known], kind="stable")[: max(3, int(_SHARES[0] * len(y)))]
    off = np.hypot(y[chosen].mean() - row, x[chosen].mean() - column)
    return float(off / max(image.shape))


def _decades(frame: PreparedFrame) -> list[float]:
    """Return decades of counts above and below the median, and the share of pixels that have none."""
    counts = frame.counts[frame.valid]
    counts = np.maximum(counts[:: max(1, counts.size // 20_000)], 0)
    low, middle, high = np.log10(1 + np.percentile(counts, (5, 50, 99.5)))
    return [float(high - middle), float(middle - low), float((counts < 0.5).mean())]


def _geometry(frame: PreparedFrame, grid: int) -> NDArray[np.float64]:
    height, width = frame.image.shape
    cells, known = _reduced(frame.image, frame, grid)
    if np.count_nonzero(known) < _FEWEST:
        return np.zeros(len(_NAMES))
    image, known, quarters = upright(cells, known)
    row, column, best = find_centre(image, known)
    surface = _horizon(image, known, row)
    features = [best, *_about_centre(image, known, row, column), *surface]
    for share in _SHARES:
        features += _bright(image, known, share)
    values = image[known]
    features += [
        float(values.mean()), float(values.std()), float(np.median(values)), float((values > 0.5).mean()),
        min(height, width) / max(height, width), float(known.mean()),
    ]  # fmt: skip
    edge = round(surface[_HORIZON_PLACE] * image.shape[0])
    features += _about_fine_centre(frame, grid, quarters, row, column)
    features += pair_features(image, known, row, column)
    features += surface_features(image, known, edge)
    features += [_bright_off(image, known, row, column), _towards_centre(image, known, row, column)]
    return np.array([*features, *_decades(frame)])


def _compute(frame: PreparedFrame, blocks: Sequence[Params]) -> list[NDArray[Any]]:
    return [_geometry(frame, block["grid"]) for block in blocks]


FEATURIZER = Featurizer(
    name="symmetry",
    version=2,
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
  known cells;
- on cells four times as fine, about the centre found again there: number, height, width, places and spacing
  of the rings that stand out of the radial curve, its roughness on three scales; slope of log10 of the counts
  above the faintest over log10 of the radius, whole, inner third and the rest, how straight it is, decades it
  spans, share of its steps that fall; in three zones of the radius the share of directions that are seen and
  how uneven they are; how uneven and how broken the highest ring is;
- correlation of the pattern, and of what is left without its rings' means, with itself turned by half about
  the centre and mirrored in lines through it, and the share of cells that have a partner;
- the best steps in the other three directions and across tilted lines, the share of the variance that rows
  and columns explain, the bright band above the horizon (Yoneda's), how flat and large the dark side is,
  upright rods above the horizon, sharpness of the means of rows and columns;
- how far the brightest cells are from the centre, the share of gradients that point to it, decades of counts
  above and below the median, the share of pixels without counts.

Means over directions, pairs and lines take the cells that are there, so that a strip, a corner or a beam
beside the frame changes little but their shares. Lengths are in units of the longer edge. All columns are 0
where fewer than 16 cells have a valid pixel.
"""
