"""Compiled loops of :mod:`sweeper.data.intensity`; imported when the first frame is prepared.

All take float32 counts, so that one signature each is compiled and cached, whatever the detector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Counts = NDArray[np.float32]
Valid = NDArray[np.bool_]
Whole = NDArray[np.uint16]

SHARPEST_RATIO = 20.0
"""Excess of a centred point over that of its brightest neighbour that a point spread can still give.

A Gaussian that puts a share p of its light on either side of a pixel, in each direction, gives
(1 − p) / p: 16 for 0.75 pixels full width at half maximum. Off centre and for wider spreads it is less.
"""

POISSON_SIGMAS = 5.0
"""Standard deviations of Poisson noise granted to the brightest neighbour."""

_GRANTED = SHARPEST_RATIO * POISSON_SIGMAS
_SLIVER = 1e-9  # of a pixel: an overlap that is the rounding of an edge
_ENOUGH_BESIDE = 3  # of the four pixels beside one: with fewer, a spot's light may lie under the mask
_ROW_STEP = np.array([-1, 0, 0, 1, -1, -1, 1, 1])
_COLUMN_STEP = np.array([0, -1, 1, 0, -1, 1, -1, 1])  # the four beside first, then the corners


@njit("i4(f4[::1], b1[::1], u1[::1])", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mark_sharp(counts: NDArray[np.float32], valid: NDArray[np.bool_], sharp: NDArray[np.uint8]) -> Any:
    """Mark the pixels of a row that the pixel to their left does not clear of being hot; return their number.

    The first of the row, which has none, is left out. A pixel that rises above a valid neighbour by no more
    than the rule of :func:`reject_hot_pixels` grants is not hot. This grants a little less, so that rounding
    to single precision lets no hot pixel pass.
    """
    near = np.float32(0.9999 * _GRANTED)
    share = np.float32(0.9999 * _GRANTED**2)
    most = np.float32(1e18)  # its square is finite
    number = np.int32(0)
    for i in range(1, counts.size):
        rise = counts[i] - counts[i - 1]
        fine = (rise <= near) | ((rise <= most) & (rise * rise <= share * counts[i - 1]))
        sharp[i] = np.uint8(valid[i]) & (np.uint8(1) - (np.uint8(fine) & np.uint8(valid[i - 1])))
        number += np.int32(sharp[i])
    return number


@njit("b1(f4[:,::1], b1[:,::1], i8, i8)", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_hot(counts: Counts, valid: Valid, row: int, column: int) -> Any:
    """Return whether a valid pixel is hot, see :func:`reject_hot_pixels`."""
    height, width = counts.shape
    count = np.float64(counts[row, column])
    beside = 0
    darkest, brightest = np.inf, -np.inf
    for k in range(8):
        r, c = row + _ROW_STEP[k], column + _COLUMN_STEP[k]
        if r < 0 or c < 0 or r >= height or c >= width or not valid[r, c]:
            continue
        other = np.float64(counts[r, c])
        rise = count - other
        # Follows from the rule, as b ≤ m, for every neighbour: nearly all pixels end here.
        if rise <= _GRANTED or rise * rise <= _GRANTED * _GRANTED * other:
            return False
        beside += k < 4
        darkest = min(darkest, other)
        brightest = max(brightest, other)
    if beside < _ENOUGH_BESIDE:
        return False
    noise = POISSON_SIGMAS * np.sqrt(max(brightest, 1.0))
    return count - darkest > SHARPEST_RATIO * (brightest - darkest + noise)


@njit("b1[:,::1](f4[:,::1], b1[:,::1])", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def reject_hot_pixels(counts: Counts, valid: Valid) -> Valid:
    """Mark hot pixels invalid.

    With c the count of a pixel, b the minimum and m the maximum of its valid neighbours among eight,
    the pixel is hot when ::

        (c − b) / 20 > (m − b) + 5 √max(m, 1)

    which says: had the excess come through a point spread of at least 0.75 pixels full width, the
    brightest neighbour would hold more than it does, by more than five Poisson deviations. The background
    is the minimum, as a spot raises the median of its neighbours. Sharp Bragg spots survive, and so do
    single photons, zingers under about 100 counts, and clusters of two hot pixels or more. Pixels with
    fewer than three valid pixels beside them, those in the frame's corners among them, are not judged.

    Parameters
    ----------
    counts : float32, (height, width)
    valid : bool, (height, width)

    Returns
    -------
    bool, (height, width)
        `valid` without the hot pixels.
    """
    height, width = counts.shape
    kept = valid.copy()
    sharp = np.empty(width, np.uint8)
    for row in range(height):
        if valid[row, 0] and _is_hot(counts, valid, row, 0):
            kept[row, 0] = False
        if _mark_sharp(counts[row], valid[row], sharp):
            for column in range(1, width):
                if sharp[column] and _is_hot(counts, valid, row, column):
                    kept[row, column] = False
    return kept


@njit("Tuple((f4[:,::1], b1[:,::1]))(f4[:,::1], b1[:,::1], i8)", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def bin_valid(counts: Counts, valid: Valid, size: int) -> tuple[Counts, Valid]:
    """Return the mean of the valid pixels of each bin of size × size; 0 and invalid where there is none.

    Returns
    -------
    counts : float32, (⌈height / size⌉, ⌈width / size⌉)
    valid : bool, of the same shape
    """
    height, width = counts.shape
    rows, columns = (height + size - 1) // size, (width + size - 1) // size
    binned = np.zeros((rows, columns), np.float32)
    any_valid = np.zeros((rows, columns), np.bool_)
    for i in range(rows):
        for j in range(columns):
            total = 0.0
            number = 0
            for row in range(i * size, min((i + 1) * size, height)):
                for column in range(j * size, min((j + 1) * size, width)):
                    if valid[row, column]:
                        total += counts[row, column]
                        number += 1
            if number:
                binned[i, j] = total / number
                any_valid[i, j] = True
    return binned, any_valid


@njit("Tuple((f4[:,::1], b1[:,::1]))(f4[:,::1], b1[:,::1], i8, i8)", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def resample_valid(counts: Counts, valid: Valid, rows: int, columns: int) -> tuple[Counts, Valid]:
    """Return the area-weighted mean of the valid pixels that each new pixel overlaps; 0 where there is none.

    Returns
    -------
    counts : float32, (rows, columns)
    valid : bool, of the same shape
    """
    height, width = counts.shape
    tall, wide = height / rows, width / columns
    resampled = np.zeros((rows, columns), np.float32)
    any_valid = np.zeros((rows, columns), np.bool_)
    total, area = np.empty(columns), np.empty(columns)
    for i in range(rows):
        top, bottom = i * tall, (i + 1) * tall
        total[:] = 0.0
        area[:] = 0.0
        for row in range(int(top), min(height, int(np.ceil(bottom)))):
            high = min(bottom, row + 1.0) - max(top, np.float64(row))
            if high <= _SLIVER:
                continue
            for j in range(columns):
                left, right = j * wide, (j + 1) * wide
                for column in range(int(left), min(width, int(np.ceil(right)))):
                    across = min(right, column + 1.0) - max(left, np.float64(column))
                    if valid[row, column] and across > _SLIVER:
                        total[j] += high * across * counts[row, column]
                        area[j] += high * across
        for j in range(columns):
            if area[j] > 0:
                resampled[i, j] = total[j] / area[j]
                any_valid[i, j] = True
    return resampled, any_valid


@njit("b1(f4[::1], b1[::1], u2[::1])", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _to_whole(counts: NDArray[np.float32], valid: NDArray[np.bool_], whole: NDArray[np.uint16]) -> bool:
    others = 0
    for i in range(counts.size):
        count = counts[i] if valid[i] else np.float32(0)
        nearest = np.int32(min(max(count, np.float32(0)), np.float32(65535)))
        others += np.float32(nearest) != count
        whole[i] = nearest
    return others == 0


@njit("u2[:,::1](f4[:,::1], b1[:,::1])", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def whole_counts(counts: Counts, valid: Valid) -> Whole:
    """Return counts as 16-bit whole numbers, 0 where not valid.

    Without a row where any valid count is below 0, 65,536 or more, or not a whole number.
    """
    height, width = counts.shape
    whole = np.empty((height, width), np.uint16)
    for row in range(height):
        if not _to_whole(counts[row], valid[row], whole[row]):
            return whole[:0]
    return whole


@njit("i8[::1](u2[:,::1], i8)", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def histogram(whole: Whole, number: int) -> NDArray[np.int64]:
    """Return how many of the `number` valid pixels have each count, from 0 to the largest.

    `whole` is what :func:`whole_counts` gives.
    """
    flat = whole.ravel()
    largest = np.uint16(0)
    for i in range(flat.size):
        largest = max(largest, flat[i])
    # Neighbours often have equal counts: two tables, so that one addition need not wait for the other.
    even, odd = np.zeros(largest + 1, np.uint32), np.zeros(largest + 1, np.uint32)
    one = np.uint32(1)
    for i in range(0, flat.size - 1, 2):
        even[flat[i]] += one
        odd[flat[i + 1]] += one
    if flat.size % 2:
        even[flat[flat.size - 1]] += one
    found = np.empty(largest + 1, np.int64)
    for count in range(found.size):
        found[count] = np.int64(even[count]) + np.int64(odd[count])
    found[0] -= flat.size - number
    return found


@njit("u4(f4)", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _ordered_bits(count: Any) -> Any:
    """Return the bits of a float32 as a whole number that sorts as it does."""
    bits = np.float32(count).view(np.uint32)
    return ~bits if bits >> 31 else bits | np.uint32(0x80000000)


@njit("f8[::1](f4[:,::1], b1[:,::1], i8[::1])", cache=True, nogil=True)  # type: ignore[untyped-decorator]
def order_statistics(counts: Counts, valid: Valid, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the valid counts of the given ranks (0 is the smallest), by two passes of a radix selection.

    Exact, and linear in the number of pixels: the upper 16 bits of a count choose a bucket, and only
    the buckets that hold a rank asked for are told apart by the lower 16.
    """
    height, width = counts.shape
    upper = np.zeros(1 << 16, np.int64)
    for row in range(height):
        for column in range(width):
            if valid[row, column]:
                upper[_ordered_bits(counts[row, column]) >> 16] += 1
    number = ranks.size
    bucket = np.zeros(number, np.int64)
    rest = np.zeros(number, np.int64)
    slot_of = np.full(1 << 16, -1, np.int8)
    slots = 0
    for k in range(number):
        before = 0
        while before + upper[bucket[k]] <= ranks[k]:
            before += upper[bucket[k]]
            bucket[k] += 1
        rest[k] = ranks[k] - before
        if slot_of[bucket[k]] < 0:
            slot_of[bucket[k]] = slots
            slots += 1
    lower = np.zeros((slots, 1 << 16), np.int64)
    for row in range(height):
        for column in range(width):
            if valid[row, column]:
                bits = _ordered_bits(counts[row, column])
                slot = slot_of[bits >> 16]
                if slot >= 0:
                    lower[slot, bits & 0xFFFF] += 1
    found = np.empty(number, np.float64)
    for k in range(number):
        low = before = 0
        slot = slot_of[bucket[k]]
        while before + lower[slot, low] <= rest[k]:
            before += lower[slot, low]
            low += 1
        key = np.uint32((bucket[k] << 16) | low)
        bits = key & np.uint32(0x7FFFFFFF) if key >> 31 else ~key
        found[k] = np.uint32(bits).view(np.float32)
    return found


@njit(  # type: ignore[untyped-decorator]
    "f8(f8, b1, Array(f8, 1, 'C', readonly=True), f8, f8)", cache=True, nogil=True, error_model="numpy"
)
def _stretched(value: float, logarithmic: bool, table: NDArray[np.float64], low: float, span: float) -> float:
    """Scale a count, and map `low` to 0 and `low` + `span` to 1, as :func:`stretch` does."""
    if logarithmic:
        value = max(value, 0.0)
        whole = np.int64(min(value, np.float64(table.size)))
        value = table[whole] if whole < table.size and whole == value else np.log1p(value)
    share = (value - low) / span  # a division: 1 / span may overflow
    return min(max(share, 0.0), 1.0)


@njit(  # type: ignore[untyped-decorator]
    "f4[:,::1](f4[:,::1], b1[:,::1], b1, Array(f8, 1, 'C', readonly=True), f8, f8)",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def stretch(
    counts: Counts, valid: Valid, logarithmic: bool, table: NDArray[np.float64], low: float, high: float
) -> NDArray[np.float32]:
    """Scale counts, clip to `low` and `high` (of scaled counts) and map them to [0, 1].

    `table` holds log1p of 0, 1, 2, ...; 0 where not valid, and everywhere unless high > low.
    """
    height, width = counts.shape
    image = np.zeros((height, width), np.float32)
    if not high > low:
        return image
    for row in range(height):
        for column in range(width):
            if valid[row, column]:
                image[row, column] = _stretched(
                    np.float64(counts[row, column]), logarithmic, table, low, high - low
                )
    return image


@njit(  # type: ignore[untyped-decorator]
    "f4[::1](i8[::1], b1, Array(f8, 1, 'C', readonly=True), f8, f8)",
    cache=True,
    nogil=True,
    error_model="numpy",
)
def shades(
    histogram: NDArray[np.int64], logarithmic: bool, table: NDArray[np.float64], low: float, high: float
) -> NDArray[np.float32]:
    """Return what :func:`stretch` gives for each count that there is; `histogram` as above. 0 for others."""
    found = np.zeros(histogram.size, np.float32)
    if not high > low:
        return found
    for count in range(histogram.size):
        if histogram[count]:
            found[count] = _stretched(np.float64(count), logarithmic, table, low, high - low)
    return found


@njit(  # type: ignore[untyped-decorator]
    ["f4[:,::1](u2[:,::1], b1[:,::1], f4[::1])", "u1[:,::1](u2[:,::1], b1[:,::1], u1[::1])"],
    cache=True,
    nogil=True,
)
def look_up(whole: Whole, valid: Valid, values: NDArray[Any]) -> NDArray[Any]:
    """Return the value of each valid pixel's count, and 0 where not valid."""
    height, width = whole.shape
    found = np.empty((height, width), values.dtype)
    nothing = values.dtype.type(0)
    for row in range(height):
        for column in range(width):
            value = values[whole[row, column]]
            found[row, column] = value if valid[row, column] else nothing
    return found
