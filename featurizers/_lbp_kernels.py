"""Compiled loops of the ``lbp`` featurizer.

The reference interpolates in double precision at coordinates that it rounds where they are used, so on
flat ground the last bit of a weight decides a comparison. To give the same bits, weights are tabulated
for each absolute row and column, and the operations are the reference's, in its order. The speed comes
from sharing: a row is interpolated sideways once for each distinct column offset, all settings of one
radius use the same samples, and everything works on short stretches of rows that vectorise and stay in
cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._compile import compiled

STREAMS = 4
"""Settings (numbers of points) of one radius that are counted side by side."""

SLOTS = 27
"""Length of one histogram: the widest setting, 24 points, has bins 0 to 25, and one to discard into."""

_TILE = 256  # columns worked on at a time

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@compiled
def _to_double(out: F64, pixels: U8) -> None:
    for c in range(out.size):
        out[c] = pixels[c]


@compiled
def _interpolate(out: F64, left: F64, right: F64, left_weight: F64, right_weight: F64) -> None:
    """Compute values between the pixels of one row."""
    for c in range(out.size):
        out[c] = left_weight[c] * left[c] + right_weight[c] * right[c]


@compiled
def _compare(out: U8, top: F64, bottom: F64, top_weight: float, bottom_weight: float, centre: F64) -> None:
    """Mark with 1 where the value between two rows is at least the centre pixel's."""
    for c in range(out.size):
        out[c] = top_weight * top[c] + bottom_weight * bottom[c] >= centre[c]


@compiled
def _pattern_bins(bins: U8, bits: U8, members: I64, changes: U8) -> None:
    """Find the bin of each pixel for one setting: ones where the pattern is uniform, else points + 1.

    Four neighbouring samples a pass. As in the reference, the step from the last sample back to the
    first is not among the changes.
    """
    points = members.size
    width = bins.size
    bins[:] = 0
    changes[:] = 0
    for i in range(0, points, 4):
        a = bits[members[i], :width]
        b = bits[members[i + 1], :width]
        c = bits[members[i + 2], :width]
        d = bits[members[i + 3], :width]
        e = bits[members[min(i + 4, points - 1)], :width]
        for x in range(width):
            bins[x] += a[x] + b[x] + c[x] + d[x]
            changes[x] += (a[x] ^ b[x]) + (b[x] ^ c[x]) + (c[x] ^ d[x]) + (d[x] ^ e[x])
    other = np.uint8(points + 1)
    for x in range(width):
        bins[x] = bins[x] if changes[x] <= 2 else other


@compiled
def _discard(bins: U8, invalid: U8, row: int, column: int, reads: I64, touched: U8, slot: int) -> None:
    """Send the pixels whose neighbourhood touches an invalid pixel to `slot`."""
    width = bins.size
    touched[:] = 0
    for k in range(reads.shape[0]):
        left = column + reads[k, 1]
        pixels = invalid[row + reads[k, 0], left : left + width]
        for x in range(width):
            touched[x] |= pixels[x]
    for x in range(width):
        bins[x] = np.uint8(slot) if touched[x] else bins[x]


@compiled
def _count(histograms: I64, bins: U8, width: int) -> None:
    """Add a stretch of bins to the four histograms."""
    h0, h1, h2, h3 = histograms[0], histograms[1], histograms[2], histograms[3]
    b0, b1, b2, b3 = bins[0], bins[1], bins[2], bins[3]
    for x in range(width):
        h0[b0[x]] += 1
        h1[b1[x]] += 1
        h2[b2[x]] += 1
        h3[b3[x]] += 1


@compiled
def pattern_histograms(
    padded: U8,
    invalid: U8,
    radius: int,
    column_shift: I64,
    left_weight: F64,
    right_weight: F64,
    sample_column: I64,
    sample_top: I64,
    sample_bottom: I64,
    top_weight: F64,
    bottom_weight: F64,
    members: I64,
    member_start: I64,
    reads: I64,
    read_start: I64,
    histograms: I64,
) -> None:
    """Count uniform patterns for up to four settings of one radius.

    Parameters
    ----------
    padded, invalid : uint8, (height + 2 pad, width + 2 pad), pad = radius + 1
        Grey levels, 0 outside; and 1 at invalid pixels (read only where `reads` lists any).
    column_shift : int64, (columns,)
        Floor of each distinct column offset.
    left_weight, right_weight : float64, (columns, width)
        Weights of the pixels left and right of the interpolated position.
    sample_column, sample_top, sample_bottom : int64, (samples,)
        Column offset of each sample, and floor and ceiling of its row offset.
    top_weight, bottom_weight : float64, (samples, height)
        Weights of the rows above and below.
    members, member_start : int64
        Samples of setting m, in their order around the circle:
        ``members[member_start[m]:member_start[m + 1]]``.
    reads, read_start : int64, (n, 2) and (settings + 1,)
        Row and column offsets of the pixels that setting m reads.
    histograms : int64, (4, 27)
        Added to in place; pixels left out go to bin points + 2.
    """
    pad = radius + 1
    height = padded.shape[0] - 2 * pad
    width = padded.shape[1] - 2 * pad
    settings = member_start.size - 1
    ring = 2 * radius + 1
    between = np.empty((ring, column_shift.size, _TILE))  # rows y − radius to y + radius
    line = np.empty(_TILE + 2 * pad)
    centre = np.empty(_TILE)
    bits = np.empty((sample_column.size, _TILE), np.uint8)
    scratch = np.empty(_TILE, np.uint8)
    bins = np.zeros((STREAMS, _TILE), np.uint8)
    for x in range(0, width, _TILE):
        n = min(_TILE, width - x)
        for y in range(-radius, height + radius):
            _to_double(line[: n + 2 * pad], padded[y + pad, x : x + n + 2 * pad])
            slot = (y + radius) % ring
            for k in range(column_shift.size):
                s = pad + column_shift[k]
                _interpolate(
                    between[slot, k, :n],
                    line[s : s + n],
                    line[s + 1 : s + 1 + n],
                    left_weight[k, x : x + n],
                    right_weight[k, x : x + n],
                )
            r = y - radius
            if r < 0:
                continue
            _to_double(centre[:n], padded[r + pad, x + pad : x + pad + n])
            for i in range(sample_column.size):
                _compare(
                    bits[i, :n],
                    between[(r + radius + sample_top[i]) % ring, sample_column[i], :n],
                    between[(r + radius + sample_bottom[i]) % ring, sample_column[i], :n],
                    top_weight[i, r],
                    bottom_weight[i, r],
                    centre[:n],
                )
            for m in range(settings):
                ours = members[member_start[m] : member_start[m + 1]]
                _pattern_bins(bins[m, :n], bits, ours, scratch[:n])
                if read_start[m + 1] > read_start[m]:
                    _discard(
                        bins[m, :n],
                        invalid,
                        r + pad,
                        x + pad,
                        reads[read_start[m] : read_start[m + 1]],
                        scratch[:n],
                        ours.size + 2,
                    )
            _count(histograms, bins, n)
