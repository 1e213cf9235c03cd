"""Bragg peaks: small regions that stand out from the background and the noise around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Axis, Featurizer, OneOf, Params, PreparedFrame

_MOST_TILE, _LEAST_TILE = 32, 16  # pixels along the edge of a tile
_TILES = 32  # along the longer edge of a small frame
_LATTICE = 40  # spots, the brightest, that spacings are taken from
_NEIGHBOURS = 3
_TOLERANCE = 0.1  # of a step's length

_NAMES = (
    "number", "density", "regions", "left_out",
    "snr_median", "snr_90", "snr_highest", "snr_double",
    "size_median", "size_90", "single_pixels", "ten_pixels", "width_median", "long_median", "long_90",
    "radius_mean", "radius_spread", "radius_10", "radius_90", "fullest_quarter",
    "intensity_share", "brightest_share",
    "nearest_ratio", "nearest_spread", "recurrence",
    "large_number", "large_pixels", "large_intensity",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """The spots that stand out of a frame.

    Attributes
    ----------
    spots : float64, (spots, 7)
        Row, column, pixels, signal, signal to noise, long and short standard deviation in pixels.
    regions : int
        Regions of pixels that stand out, spots and others.
    large : int
        Those too large for a spot.
    large_pixels : int
        Their pixels.
    large_counts : float
        Their counts.
    left_out : int
        Those at a masked pixel or an edge.
    known : int
        Valid pixels of the frame.
    total : float
        Their counts.
    """

    spots: NDArray[np.float64]
    regions: int
    large: int
    large_pixels: int
    large_counts: float
    left_out: int
    known: int
    total: float


def _columns(params: Params) -> tuple[str, ...]:
    return _NAMES


def tiles_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return rows and columns of the tiles that a frame is cut into: of 16 to 32 pixels, by its size."""
    edge = min(_MOST_TILE, max(_LEAST_TILE, max(shape) // _TILES))
    return max(1, round(shape[0] / edge)), max(1, round(shape[1] / edge))


def find_spots(frame: PreparedFrame) -> Found:
    """Find the spots of a frame and sum up what else stands out."""
    from . import _peaks_kernels as kernels

    counts, valid = np.ascontiguousarray(frame.counts), np.ascontiguousarray(frame.valid)
    rows, columns = tiles_of(counts.shape)
    smallest, total = kernels.census(counts, valid)
    known = int(np.count_nonzero(valid))
    mean, noise, floor = kernels.tile_backgrounds(counts, valid, rows, columns, smallest)
    if np.isnan(mean).any():
        return Found(np.zeros((0, 7)), 0, 0, 0, 0.0, 0, known, total)
    pixels = kernels.outstanding(counts, valid, mean + kernels.STANDS_OUT * noise)
    region, number = kernels.connect(pixels, counts.shape[1])
    spots, large, large_counts, left_out = kernels.measure(counts, valid, pixels, region, number, floor)
    large_number, large_pixels = large.tolist()
    return Found(
        spots, number, large_number, large_pixels, float(large_counts[0]), int(left_out[0]), known, total
    )


def spacings(spots: NDArray[np.float64], area: float) -> tuple[float, float, float]:
    """Return how regularly the brightest spots stand.

    Parameters
    ----------
    spots : float64, (spots, 7)
    area : float
        Of the frame's known part, in pixels.

    Returns
    -------
    ratio : float
        Mean distance of nearest neighbours over that of as many spots at random (Clark and Evans 1954):
        1 for those, more on a lattice, less in clusters and on rings.
    spread : float
        Standard deviation of these distances over their mean.
    recurrence : float
        Share of steps between neighbours that lead from other spots to a spot as well.
    """
    from . import _peaks_kernels as kernels

    chosen = spots[np.argsort(-spots[:, 4], kind="stable")[:_LATTICE]]
    if len(chosen) < _NEIGHBOURS + 1:
        return 0.0, 0.0, 0.0
    apart = np.hypot(*(chosen[:, None, :2] - chosen[None, :, :2]).transpose(2, 0, 1))  # (spots, spots)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(axis=1)
    neighbours = np.argsort(apart, axis=1, kind="stable")[:, :_NEIGHBOURS]
    row, column = np.ascontiguousarray(chosen[:, 0]), np.ascontiguousarray(chosen[:, 1])
    again = kernels.recurrence(row, column, np.ascontiguousarray(neighbours), _TOLERANCE)
    ratio = float(nearest.mean()) / (0.5 * np.sqrt(area / len(chosen)))
    return float(ratio), float(nearest.std() / nearest.mean()), again


def _describe(frame: PreparedFrame, found: Found, threshold: float) -> NDArray[np.float64]:
    """Return the features of the spots whose signal is at least `threshold` noises."""
    spots = found.spots[found.spots[:, 4] >= threshold]
    known, total = max(found.known, 1), max(found.total, 1e-30)
    features = dict.fromkeys(_NAMES, 0.0)
    features |= {
        "number": np.log1p(len(spots)),
        "density": np.log1p(len(spots) * 1e6 / known),
        "regions": np.log1p(found.regions * 1e6 / known),
        "left_out": found.left_out / max(found.regions, 1),
        "intensity_share": np.log10(max(spots[:, 3].sum(), 0.0) / total + 1e-6),
        "large_number": np.log1p(found.large),
        "large_pixels": found.large_pixels / known,
        "large_intensity": found.large_counts / total,
    }
    if len(spots):
        features |= _shapes(spots, threshold) | _places(spots, frame.counts.shape)
        ratio, spread, again = spacings(spots, known)
        features |= {"nearest_ratio": ratio, "nearest_spread": spread, "recurrence": again}
    return np.array([features[name] for name in _NAMES])


def _shapes(spots: NDArray[np.float64], threshold: float) -> dict[str, float]:
    pixels, signal, ratio = spots[:, 2], spots[:, 3], spots[:, 4]
    elongation = 1 - spots[:, 6] / spots[:, 5]
    return {
        "snr_median": np.log10(np.median(ratio)),
        "snr_90": np.log10(np.percentile(ratio, 90)),
        "snr_highest": np.log10(ratio.max()),
        "snr_double": np.mean(ratio >= 2 * threshold),
        "size_median": np.log2(np.median(pixels)),
        "size_90": np.log2(np.percentile(pixels, 90)),
        "single_pixels": np.mean(pixels == 1),
        "ten_pixels": np.mean(pixels >= 10),
        "width_median": np.median(spots[:, 6]),
        "long_median": np.median(elongation),
        "long_90": np.percentile(elongation, 90),
        "brightest_share": signal.max() / max(signal.sum(), 1e-30),
    }


def _places(spots: NDArray[np.float64], shape: tuple[int, ...]) -> dict[str, float]:
    """Describe where spots are about the frame's middle, in halves of its diagonal."""
    y, x = spots[:, 0] - (shape[0] - 1) / 2, spots[:, 1] - (shape[1] - 1) / 2
    height, width = shape
    radius = np.hypot(y, x) / (0.5 * np.hypot(height, width))
    quarters = np.bincount(2 * (y > 0) + (x > 0), minlength=4)
    return {
        "radius_mean": radius.mean(),
        "radius_spread": radius.std(),
        "radius_10": np.percentile(radius, 10),
        "radius_90": np.percentile(radius, 90),
        "fullest_quarter": quarters.max() / len(spots),
    }


def _compute(frame: PreparedFrame, blocks: Sequence[Params]) -> list[NDArray[Any]]:
    found = find_spots(frame)
    return [_describe(frame, found, block["snr"]) for block in blocks]


FEATURIZER = Featurizer(
    name="peaks",
    version=1,
    source="local signal to noise and connected pixels as in Cheetah's peak finders: Barty et al., J. Appl. "
    "Cryst. 47 (2014) 1118; nearest neighbours: Clark and Evans, Ecology 35 (1954) 445",
    axes=(
        Axis(
            "snr",
            OneOf(5, 6, 8, 12, 20),
            default=(6,),
            many=True,
            doc="signal to noise that a spot must have at least",
        ),
    ),
    columns=_columns,
    compute=_compute,
)
"""Signs of a crystal: how many spots stand out of their surroundings, how far, and their arrangement.

The counts of the frame are cut into tiles of 16 to 32 pixels. Each has a mean and a noise, without the
pixels more than three deviations above it; where it counts single quanta, one quantum is added to the noise
in squares, as few photons scatter further than a Gaussian. A valid pixel stands out when it exceeds mean
and four noises, interpolated between the centres of the tiles; such pixels that touch are a region. A
region is a spot when it has at most 256 pixels, its brightest pixel touches neither an invalid one nor the
edge, and its summed excess over the mean of its surroundings (the pixels that do not stand out, up to three
around its box) is at least `snr` times their noise times the root of its number of pixels. A slope, a ring
or the edge of a shadow makes its surroundings noisy, so hardly any of it counts.

- spots in all and in a million pixels, regions in a million pixels, all as log(1 + n); the share of regions
  left out;
- signal to noise: log10 of median, ninth decile and highest, share of at least twice the threshold;
- size: log2 of pixels, share of single pixels and of ten or more, short axis and elongation (one minus the
  ratio of the axes);
- distances from the frame's middle in halves of its diagonal, share of spots in the fullest quarter;
- share of all counts that spots hold (log10 with 1e-6 added), and the brightest's share of these;
- regularity of the 40 with the highest signal to noise: distance to the nearest neighbour against chance and
  its spread, and how often steps between neighbours recur elsewhere;
- number, and share of pixels and counts, of regions that are larger than a spot.
"""
