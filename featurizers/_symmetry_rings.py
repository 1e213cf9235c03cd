"""Features of a pattern about its centre, from whatever part of the rings is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.float64]
Known = NDArray[np.bool_]

BINS = 96  # of the radial curve
_FEWEST_CELLS = 3  # in a bin that counts
_SECTORS = 36
_ZONES = 3  # between the nearest and the farthest cell
_CLEAR = 4.0  # standard errors that a ring stands out by
_HIGH = 0.015  # of the image's range, likewise

RING_NAMES = (
    "ring_number", "ring_highest", "ring_sum", "ring_width", "ring_first", "ring_strongest", "ring_spacing",
    "rough_fine", "rough_middle", "rough_coarse",
)  # fmt: skip
DECAY_NAMES = ("decay", "decay_inner", "decay_outer", "decay_straight", "decay_decades", "decay_falls")
ROUND_NAMES = (
    *(f"zone{i}_{name}" for i in range(_ZONES) for name in ("seen", "uneven", "brightest")),
    "ring_seen", "ring_uneven", "ring_gaps",
)  # fmt: skip
PAIR_NAMES = tuple(
    f"{name}_{what}"
    for name in ("point", "left_right", "up_down")
    for what in ("image", "rest", "pairs")
)  # fmt: skip


@dataclass(frozen=True)
class Polar:
    """Cells about a centre.

    Attributes
    ----------
    values, radius, angle : float64, (cells,)
        Radii in units of the longer edge.
    place : float64, (cells,)
        0 at the nearest cell, 1 at the farthest.
    near, far : float
        Radii of these.
    """

    values: Cells
    radius: Cells
    angle: Cells
    place: Cells
    near: float
    far: float


def about(image: Cells, known: Known, row: float, column: float) -> Polar:
    """Return the known cells of an image in polar coordinates."""
    y, x = np.nonzero(known)
    dy, dx = y - row, x - column
    radius = np.hypot(dy, dx) / max(image.shape)
    near, far = float(radius.min()), float(radius.max())
    place = (radius - near) / max(far - near, 1e-9)
    return Polar(image[known], radius, np.arctan2(-dy, dx), place, near, far)


@dataclass(frozen=True)
class Curve:
    """Means of rings of equal width.

    Attributes
    ----------
    mean, error : float64, (BINS,)
        Bins without enough cells are interpolated, with the largest error.
    seen : bool, (BINS,)
    bins : int64, (cells,)
        Bin of each cell.
    """

    mean: Cells
    error: Cells
    seen: Known
    bins: NDArray[np.int64]


def radial_curve(polar: Polar) -> Curve:
    """Average a pattern over rings."""
    bins = np.minimum((polar.place * BINS).astype(np.int64), BINS - 1)
    number = np.bincount(bins, minlength=BINS)
    seen = number >= _FEWEST_CELLS
    if not seen.any():
        seen = number > 0
    total = np.bincount(bins, polar.values, BINS)
    square = np.bincount(bins, polar.values**2, BINS)
    mean = total / np.maximum(number, 1)
    variance = np.maximum(square / np.maximum(number, 1) - mean**2, 0)
    error = np.sqrt(variance / np.maximum(number - 1, 1))
    at = np.flatnonzero(seen)
    mean = np.interp(np.arange(BINS), at, mean[at])
    error = np.where(seen, error, error[at].max())
    return Curve(mean, error, seen, bins)


def _smooth(curve: Cells, half: int) -> Cells:
    """Return the running mean over ``2 half + 1`` bins, of those that there are."""
    ends = np.concatenate([[0.0], np.cumsum(curve)])
    place = np.arange(len(curve))
    low, high = np.maximum(place - half, 0), np.minimum(place + half + 1, len(curve))
    return np.asarray((ends[high] - ends[low]) / (high - low))


def _floor(curve: Cells, half: int) -> Cells:
    """Return the curve without maxima narrower than `half`: the lower of it and its sides' mean."""
    floor = curve.copy()
    for reach in range(half, 0, -1):
        sides = floor.copy()
        sides[reach:-reach] = 0.5 * (floor[: -2 * reach] + floor[2 * reach :])
        floor = np.minimum(floor, sides)
    return floor


def ring_features(curve: Curve, polar: Polar) -> tuple[list[float], int]:
    """Describe the rings of a radial curve; return the bin of the highest as well, −1 where there is none."""
    above = curve.mean - _floor(curve.mean, 10)
    inner, sides = above[1:-1], np.maximum(above[:-2], above[2:])
    clear = above > np.maximum(_CLEAR * curve.error, _HIGH)
    tops = 1 + np.flatnonzero((inner >= sides) & (inner > 0) & clear[1:-1] & curve.seen[1:-1])
    tops = tops[np.diff(tops, prepend=-9) > 1]
    rough = [float(np.sqrt(np.mean((_smooth(curve.mean, a) - _smooth(curve.mean, b)) ** 2)))
             for a, b in ((0, 1), (1, 3), (3, 9))]  # fmt: skip
    if not len(tops):
        return [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, *rough], -1
    span = polar.far - polar.near
    heights = above[tops]
    widths = []
    for top in tops:
        half = above[top] / 2
        low, high = top, top
        while low > 0 and above[low - 1] > half:
            low -= 1
        while high < BINS - 1 and above[high + 1] > half:
            high += 1
        widths.append((high - low + 1) * span / BINS)
    places = polar.near + (tops + 0.5) * span / BINS
    strongest = int(np.argmax(heights))
    steps = np.diff(places)
    spacing = float(steps.std() / steps.mean()) if len(steps) > 1 else 0.0
    found = [
        float(np.log1p(len(tops))), float(heights.max()), float(heights.sum()), float(np.median(widths)),
        float(places[0] / polar.far), float(places[strongest] / polar.far), spacing, *rough,
    ]  # fmt: skip
    return found, int(tops[strongest])


def decay_features(curve: Curve, polar: Polar) -> list[float]:
    """Describe how the logarithm of counts falls with that of the radius; `curve` is of log10 of counts."""
    radius = polar.near + (np.arange(BINS) + 0.5) * (polar.far - polar.near) / BINS
    x, y = np.log10(np.maximum(radius, 1e-3)), curve.mean

    def slope(part: slice) -> float:
        across = x[part] - x[part].mean()
        return float((across * y[part]).sum() / max((across**2).sum(), 1e-9))

    whole = slope(slice(None))
    rest = y - y.mean() - whole * (x - x.mean())
    straight = 1 - float((rest**2).sum() / max(((y - y.mean()) ** 2).sum(), 1e-12))
    steps = np.diff(_smooth(y, 1))
    falls = float(-np.minimum(steps, 0).sum() / max(np.abs(steps).sum(), 1e-9))
    return [
        max(-20.0, min(20.0, whole)), max(-20.0, min(20.0, slope(slice(0, BINS // 3)))),
        max(-20.0, min(20.0, slope(slice(BINS // 3, None)))), straight, float(np.ptp(y)), falls,
    ]  # fmt: skip


def _sector_means(values: Cells, sector: NDArray[np.int64], chosen: Known) -> tuple[Cells, NDArray[np.int64]]:
    """Return the mean of the chosen cells of each sector, and their number."""
    number = np.bincount(sector[chosen], minlength=_SECTORS)
    return np.bincount(sector[chosen], values[chosen], _SECTORS) / np.maximum(number, 1), number


def round_features(curve: Curve, polar: Polar, ring: int) -> list[float]:
    """Describe how a pattern varies along rings: in three zones, and along the highest ring (a bin or −1).

    ``seen`` is the share of the directions that the frame shows, ``uneven`` the share of the variance along
    rings that the direction explains, ``brightest`` the excess of the brightest direction. Of the ring,
    ``uneven`` is the spread of its height over its mean and ``gaps`` the share of directions without it.
    """
    rest = polar.values - curve.mean[curve.bins]
    sector = ((polar.angle / (2 * np.pi) + 0.5) * _SECTORS).astype(np.int64) % _SECTORS
    zone = np.minimum((polar.place * _ZONES).astype(np.int64), _ZONES - 1)
    shape = (_ZONES, _SECTORS)
    cell = zone * _SECTORS + sector
    size = _ZONES * _SECTORS
    number = np.bincount(cell, minlength=size).reshape(shape)
    total = np.bincount(cell, rest, size).reshape(shape)
    square = np.bincount(cell, rest**2, size).reshape(shape)
    features = []
    for n, t, s in zip(number, total, square, strict=True):
        used = n > 0
        if n.sum() <= used.sum() + 1:
            features += [float(used.mean()), 0.0, 0.0]
            continue
        means = t[used] / n[used]
        within = float((s[used] - t[used] * means).sum()) / (n.sum() - used.sum())
        overall = float(s.sum() - t.sum() ** 2 / n.sum()) / (n.sum() - 1)
        uneven = max(0.0, 1 - within / overall) if overall > 1e-9 else 0.0
        features += [float(used.mean()), uneven, float(means.max() - np.median(means))]
    if ring < 0:
        return [*features, 0.0, 0.0, 0.0]
    apart = np.abs(curve.bins - ring)
    lit, on = _sector_means(polar.values, sector, apart <= 1)
    beside, off = _sector_means(polar.values, sector, (apart >= 4) & (apart <= 7))
    both = (on > 0) & (off > 0)
    if not both.any():
        return [*features, 0.0, 0.0, 0.0]
    heights = (lit - beside)[both]
    mean = max(float(heights.mean()), 1e-3)
    gaps = float((heights < 0.3 * mean).mean())
    return [*features, float(both.mean()), min(float(heights.std()) / mean, 10.0), gaps]


def pair_features(image: Cells, known: Known, row: float, column: float) -> list[float]:
    """Compare a pattern with itself turned by half about its centre and mirrored in lines through it.

    For each of the three the correlation of the image, that of what is left after the mean of each ring is
    taken away, and the share of cells that have a partner. Friedel's law makes a pattern in transmission
    even about the beam; a surface leaves one mirror line.
    """
    from . import _symmetry_kernels as kernels

    polar = about(image, known, row, column)
    curve = radial_curve(polar)
    rest = np.zeros_like(image)
    rest[known] = polar.values - curve.mean[curve.bins]
    features = []
    for turned, flipped in ((True, True), (True, False), (False, True)):
        found, share = kernels.paired(image, known, row, column, turned, flipped)
        left, _ = kernels.paired(rest, known, row, column, turned, flipped)
        features += [found, left, share]
    return features
