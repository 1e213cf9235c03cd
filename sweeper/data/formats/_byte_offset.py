"""The byte-offset compression of CBF, compiled; imported when the first frame is unpacked.

A pixel is stored as its difference from the one before it: in 8 bits, or behind the smallest number of 8
bits in 16, behind that of 16 in 32, behind that of 32 in 64, all of them little-endian.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_TOGETHER = 16  # pixels without a mark among their bytes, as most are
_FARTHEST = 128 * _TOGETHER  # that as many steps of 8 bits lead
_MARK = np.uint8(0x80)


@njit("i8(Array(u1, 1, 'C', readonly=True), i8, i8)", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _step(data: Bytes, begin: int, size: int) -> Any:
    """Return the signed number of so many bytes."""
    found = np.uint64(0)
    for k in range(size):
        found |= np.uint64(data[begin + k]) << np.uint64(8 * k)
    unused = np.int64(64 - 8 * size)
    return (np.int64(found) << unused) >> unused


@njit("b1(Array(u1, 1, 'C', readonly=True), i8)", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_plain(data: Bytes, begin: int) -> Any:
    """Return whether no mark is among the next bytes."""
    marks = np.uint8(0)
    for k in range(_TOGETHER):
        marks |= np.uint8(data[np.uint64(begin) + np.uint64(k)] == _MARK)
    return marks == 0


@njit(  # type: ignore[untyped-decorator]
    [f"Tuple((i8, i8, b1))(Array(u1, 1, 'C', readonly=True), {kind}[::1], i8, i8)" for kind in ("i4", "i8")],
    cache=True,
    nogil=True,
)
def unpack(data: Bytes, counts: NDArray[Any], lowest: int, highest: int) -> tuple[Any, Any, bool]:
    """Unpack bytes into counts, until one of both ends or the next difference is not there in full.

    Parameters
    ----------
    data : uint8, (n,)
    counts : int32 or int64, (pixels,)
        Filled in.
    lowest, highest : int
        Least and largest count that `counts` can hold.

    Returns
    -------
    pixels, used : int
        Counts and bytes that were unpacked.
    fits : bool
        Whether none was beyond the limits.
    """
    value, at, pixel = np.int64(0), np.int64(0), np.int64(0)
    fits = True
    while pixel < counts.size and at < data.size:
        if (
            pixel + _TOGETHER <= counts.size
            and at + _TOGETHER <= data.size
            and lowest + _FARTHEST <= value <= highest - _FARTHEST
            and _is_plain(data, at)
        ):
            first, target = np.uint64(at), np.uint64(pixel)  # unsigned: no look whether they are negative
            for k in range(_TOGETHER):
                value += np.int64(np.int8(data[first + np.uint64(k)]))
                counts[target + np.uint64(k)] = value
            pixel += _TOGETHER
            at += _TOGETHER
            continue
        size = 1
        step = _step(data, at, size)
        while size < 8 and step == -(np.int64(1) << np.int64(8 * size - 1)):
            at += size
            size *= 2
            if at + size > data.size:
                return pixel, at, fits
            step = _step(data, at, size)
        value += step
        at += size
        fits &= lowest <= value <= highest
        counts[pixel] = value
        pixel += 1
    return pixel, at, fits
