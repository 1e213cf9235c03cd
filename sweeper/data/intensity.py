"""From counts to what featurizers see: mask, reject hot pixels, bin, resample, scale, clip.

The settings are axes like any other and part of a representation's identity. The order matters: a hot
pixel must go before binning smears it, and percentiles are taken of what is left. Scaling linearly from
the smallest count to the largest, in 8 bits, would not do: 98 to 100 % of the pixels of a SAXS or GISAXS
pattern would fall on level 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Axis, Interval, OneOf, Params, PreparedFrame
from sweeper.api.featurizers import quantise
from sweeper.data.validity import valid_pixels
from sweeper.errors import InputError

_BINS = (1, 2, 4, 8)
INTENSITY_VERSION = 1
"""Raise it when the same counts and settings give another prepared frame."""

AXES: tuple[Axis, ...] = (
    Axis(
        "negative",
        OneOf("masked", "valid"),
        default="masked",
        doc="negative counts: masked (also the sentinels −1 and −2), or valid counts (CSPAD)",
    ),
    Axis(
        "hot_pixels",
        OneOf("reject", "keep"),
        default="reject",
        doc="isolated pixels too sharp for any point spread: rejected (masked) or kept",
    ),
    Axis("bin", OneOf(*_BINS), default=1, doc="mean of the valid pixels of bin × bin"),
    Axis(
        "resample",
        OneOf(None, 128, 256, 512, 1024),
        default=None,
        doc="pixels that every frame's longer edge is brought to, by means over areas; none: as it is",
    ),
    Axis("scale", OneOf("log1p", "linear"), default="log1p", doc="log(1 + counts), or counts"),
    Axis("clip_low", Interval(0, 50), default=0.1, doc="percentile of valid pixels that becomes 0"),
    Axis("clip_high", Interval(50, 100), default=99.9, doc="percentile of valid pixels that becomes 1"),
    Axis("levels", Interval(2, 256, integer=True), default=256, doc="grey levels for texture"),
)
"""Settings of :func:`prepare`."""

LEFT_OUT = ("resample",)
"""Settings that stand in a pipeline only where its space names them."""

_TABLE_SIZE = 2**16  # most counts are small whole numbers: their logarithms come from a table


def resolve(params: Params) -> dict[str, Any]:
    """Check settings and add the defaults of those that are left out.

    Raises
    ------
    ValueError
        An unknown setting or a value outside its axis.
    """
    known = {axis.name: axis for axis in AXES}
    for name in params:
        if name not in known:
            raise InputError(f"intensity: parameter must be one of {', '.join(known)}, got {name!r}")
    settings = {name: params.get(name, axis.default) for name, axis in known.items()}
    for name, value in settings.items():
        known[name].check("intensity", value)
    return settings


def for_display(params: Params, shape: tuple[int, ...], most_px: int) -> dict[str, Any]:
    """Return the settings for a picture of a frame of `shape`: logarithmic, and binned to about `most_px`.

    The bin is the smallest that brings the longer side to `most_px` or below, or the largest there is; the
    frame is not resampled.
    """
    fitting = min((b for b in _BINS if max(shape) <= b * most_px), default=_BINS[-1])
    size = max(fitting, params.get("bin", 1))
    kept = {name: value for name, value in params.items() if name != "resample"}
    return {**kept, "scale": "log1p", "bin": size if size <= min(shape) else 1}


def prepare(counts: NDArray[Any], params: Params, mask: NDArray[np.bool_] | None = None) -> PreparedFrame:
    """Prepare one frame for featurizers.

    1. Invalid pixels are found (:func:`sweeper.data.validity.valid_pixels`).
    2. Hot pixels are rejected: valid pixels whose excess over their neighbours no point spread and no
       Poisson fluctuation explains; see ``reject_hot_pixels`` in ``_intensity_kernels``.
    3. Bins are the mean of their valid pixels, invalid only where there is none. A bin at the edge
       that is cut by it counts the pixels it has.
    4. With ``resample`` the longer edge is brought to so many pixels and the other in proportion: each is
       the mean of the valid pixels that it overlaps, weighted by the areas. Smaller frames are enlarged.
    5. ``log1p`` scaling takes counts below 0 for 0.
    6. Scaled counts are clipped to two percentiles of the valid pixels (numpy's linear definition) and
       mapped to [0, 1]; where both are equal, as in a constant frame, the image is 0.

    What stands at an invalid pixel has no influence on the result.

    Parameters
    ----------
    counts : integer or real, (height, width)
        As :func:`sweeper.data.frames.read_frame` gives them.
    params : mapping
        Values of :data:`AXES`; defaults for those left out.
    mask : bool, (height, width), optional
        True where a pixel is invalid.

    Returns
    -------
    PreparedFrame
        Of shape (⌈height / bin⌉, ⌈width / bin⌉), unless it is resampled.

    Raises
    ------
    ValueError
        A setting outside its axis, a mask of another shape, a frame smaller than the bin, or no valid
        pixel.
    """
    from sweeper.data import _intensity_kernels as kernels

    settings = resolve(params)
    size = settings["bin"]
    if min(counts.shape) < size:
        raise InputError(f"intensity: bin must be at most the frame's size, {counts.shape}, got {size}")
    counts = np.ascontiguousarray(counts)
    valid = valid_pixels(counts, settings["negative"], mask)
    binned = _single_precision(counts, valid)
    if settings["hot_pixels"] == "reject":
        cool = kernels.reject_hot_pixels(binned, valid)
        if not np.array_equal(cool, valid):
            binned[~cool] = 0
        valid = cool
    if size > 1:
        binned, valid = kernels.bin_valid(binned, valid, size)
    if settings["resample"] is not None:
        rows, columns = _resampled(binned.shape, settings["resample"])
        binned, valid = kernels.resample_valid(binned, valid, rows, columns)
    number = int(np.count_nonzero(valid))
    if number == 0:
        raise InputError("frame has no valid pixel: all are NaN, negative, a detector's sentinel or masked")

    logarithmic, levels = settings["scale"] == "log1p", settings["levels"]
    clip = (settings["clip_low"], settings["clip_high"])
    whole = kernels.whole_counts(binned, valid)  # empty unless all are small whole numbers, as most are
    if len(whole):
        histogram = kernels.histogram(whole, number)
        low, high = _percentiles(_ranked(histogram), number, clip, logarithmic)
        shades = kernels.shades(histogram, logarithmic, log_table(), low, high)
        return _Tabulated.of(binned, valid, levels, whole, shades)
    low, high = _percentiles(partial(kernels.order_statistics, binned, valid), number, clip, logarithmic)
    image = kernels.stretch(binned, valid, logarithmic, log_table(), low, high)
    return PreparedFrame(counts=binned, image=image, valid=valid, levels=levels)


def _single_precision(counts: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return counts as float32, 0 where not valid."""
    if counts.dtype.kind == "f":  # what is not valid need not fit; −0 becomes 0
        return np.where(valid, counts, 0).astype(np.float32) + np.float32(0)
    single = counts.astype(np.float32)
    if not valid.all():
        single[~valid] = 0
    return single


class _Tabulated(PreparedFrame):
    """A frame of small whole counts: its image and levels are looked up once they are asked for."""

    _whole: NDArray[np.uint16]
    _shades: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        counts: NDArray[np.float32],
        valid: NDArray[np.bool_],
        levels: int,
        whole: NDArray[np.uint16],
        shades: NDArray[np.float32],
    ) -> _Tabulated:
        """Return a frame of counts, as whole numbers too, and the image's value for each count."""
        frame = object.__new__(cls)
        frame.__dict__.update(
            counts=counts, valid=valid, levels=levels, header={}, _whole=whole, _shades=shades
        )
        return frame

    @cached_property
    def image(self) -> NDArray[np.float32]:
        from sweeper.data import _intensity_kernels as kernels

        image: NDArray[np.float32] = kernels.look_up(self._whole, self.valid, self._shades)
        return image

    @cached_property
    def quantised(self) -> NDArray[np.uint8]:
        from sweeper.data import _intensity_kernels as kernels

        if "_whole" not in self.__dict__:  # made by dataclasses.replace
            return quantise(self.image, self.levels)
        levels: NDArray[np.uint8] = kernels.look_up(
            self._whole, self.valid, quantise(self._shades, self.levels)
        )
        return levels


def _resampled(shape: tuple[int, ...], longer: int) -> tuple[int, int]:
    """Return the rows and columns of a frame whose longer edge is brought to so many pixels."""
    height, width = shape
    share = longer / max(shape)
    return max(1, round(height * share)), max(1, round(width * share))


@lru_cache(maxsize=1)
def log_table() -> NDArray[np.float64]:
    """Return log(1 + count) of the counts below 65,536, float64, (65536,)."""
    table = np.log1p(np.arange(_TABLE_SIZE, dtype=np.float64))
    table.flags.writeable = False
    return table


def _ranked(histogram: NDArray[np.int64]) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
    """Return a function from ranks to the counts that have them."""
    return lambda ranks: np.searchsorted(histogram.cumsum(), ranks, side="right").astype(np.float64)


def _percentiles(
    ranked: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    number: int,
    percents: tuple[float, float],
    logarithmic: bool,
) -> tuple[float, float]:
    """Return percentiles of the scaled counts of `number` valid pixels, by numpy's linear definition.

    Scaling is monotone, so it is applied to the order statistics alone: `ranked` gives the counts of ranks.
    """
    position = np.array(percents, dtype=np.float64) / 100 * (number - 1)
    below = np.floor(position).astype(np.int64)
    ranks = np.stack([below, np.minimum(below + 1, number - 1)])  # (2, percentiles)
    around = ranked(ranks.ravel()).reshape(ranks.shape)
    if logarithmic:
        around = np.log1p(np.maximum(around, 0))
    share = position - below
    step = around[1] - around[0]
    # As numpy interpolates: from the nearer end, so that a share of 1 gives it exactly.
    values = np.where(share < 0.5, around[0] + step * share, around[1] - step * (1 - share))
    return float(values[0]), float(values[1])
