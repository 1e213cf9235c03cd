"""Which pixels of a frame hold a count that can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError

_UINT32_SENTINEL = 2**32 - 1  # Eiger; kept when counts are widened to 64 bits or written as floats


def valid_pixels(
    counts: NDArray[Any], negative: str = "masked", mask: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Return which pixels of a frame are valid.

    Invalid are NaN and infinities, the detectors' sentinels (2^16 − 1 in uint16; 2^32 − 1 in uint32,
    64-bit integers and floats; 2^64 − 1; the smallest value of a signed type), pixels of `mask`, and
    negative counts when `negative` is ``"masked"``, the sentinels −1 and −2 of Pilatus among them.
    With ``"valid"`` negative numbers are counts, −1 and −2 too (CSPAD after pedestal subtraction).

    Parameters
    ----------
    counts : integer or real, (height, width)
    negative : {"masked", "valid"}
    mask : bool, (height, width), optional
        True where a pixel is invalid.

    Returns
    -------
    bool, (height, width)

    Raises
    ------
    ValueError
        The mask has another shape than the frame.
    """
    if mask is not None and mask.shape != counts.shape:
        raise InputError(f"mask must have the shape of the frame, {counts.shape}, got {mask.shape}")
    valid = _with_count(counts, negative)
    return valid if mask is None else valid & ~mask


def _with_count(counts: NDArray[Any], negative: str) -> NDArray[np.bool_]:
    kind, bits = counts.dtype.kind, 8 * counts.dtype.itemsize
    valid: NDArray[np.bool_]
    if kind == "f":
        narrow = np.float32 if bits > 32 else counts.dtype  # featurizers see float32: no infinities there
        largest = counts.dtype.type(np.finfo(narrow).max)
        lowest = counts.dtype.type(0) if negative == "masked" else -largest
        valid = (counts >= lowest) & (counts <= largest)  # both are false for NaN
        if bits > 16:  # 2^32 − 1 is rounded to 2^32 in float32, as it is when a file is converted
            valid &= counts != counts.dtype.type(_UINT32_SENTINEL)
        return valid
    if kind == "i":
        valid = counts >= 0 if negative == "masked" else counts != np.iinfo(counts.dtype).min
        if bits == 64:
            valid &= counts != _UINT32_SENTINEL
        return valid
    valid = np.ones(counts.shape, dtype=np.bool_)
    if bits > 8:
        np.not_equal(counts, np.iinfo(counts.dtype).max, out=valid)
    if bits == 64:
        valid &= counts != _UINT32_SENTINEL
    return valid
