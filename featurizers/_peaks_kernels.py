"""Compiled loops of the ``peaks`` featurizer.

A frame is cut into tiles; each tile has a mean and a noise of its background, and a pixel stands out when it
exceeds both, interpolated between the tiles' centres. Pixels that stand out and touch are one region; the
signal of a small region is weighed against what surrounds it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ._compile import compiled

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

STANDS_OUT = 4.0
"""Noises above the background from which a pixel belongs to a region."""

MOST_PIXELS = 256
"""Pixels of the largest spot; a larger region is a ring, a streak or a reflection of the beam."""

SURROUNDINGS = 3
"""Pixels around a region's box that its own background is taken from."""

_CLIPS = (1.5, 3.0, 3.0)  # noises above the mean, from which a pixel is left out; the first is strict, as a
# spot that fills a third of a tile is within three of its deviations
_SAMPLED = 16  # rows of a tile that its background is taken from, when it has twice as many
_FEWEST = 16  # pixels of a tile, below which it takes its background from its neighbours
_ZEROS = 1 / 32  # of a tile's pixels, above which it counts single quanta
_STEADY = 1e-3  # of the background: the least noise there is


@compiled
def census(counts: F32, valid: Mask) -> tuple[float, float]:
    """Return the smallest positive count, 0 where there is none, and the sum of the valid pixels.

    The smallest is one photon where there are few.
    """
    width = counts.shape[1]
    least = np.full(width, np.inf, np.float32)  # of each column: that vectorises
    total = np.zeros(width, np.float32)
    for r in range(counts.shape[0]):
        row, known = counts[r], valid[r]
        for c in range(width):
            count = row[c] if known[c] else np.float32(0)
            total[c] += count
            smaller = count > 0 and count < least[c]
            least[c] = count if smaller else least[c]
    smallest = float(least.min())
    return smallest if smallest < np.inf else 0.0, total.sum()


@compiled
def noise_of(variance: float, mean: float, floor: float) -> float:
    """Return the noise of a background: at least a thousandth of its mean, and `floor` added in squares."""
    return max(math.sqrt(max(variance, 0.0) + floor * floor), _STEADY * abs(mean), 1e-30)


@compiled
def tile_backgrounds(
    counts: F32, valid: Mask, tile_rows: int, tile_columns: int, one: float
) -> tuple[F64, F64, F64]:
    """Return mean, noise and noise floor of the background of each tile, (tile_rows, tile_columns).

    Of every second row where a tile has 32 or more. Pixels far above the mean are left out, first from one
    and a half deviations, then twice from three. The floor is `one`, the
    smallest count, where more than one pixel in 32 counts nothing, else 0. A tile with fewer than 16 valid
    pixels has the mean of its neighbours; all are NaN where no tile has as many.
    """
    height, width = counts.shape
    mean = np.full((tile_rows, tile_columns), np.nan)
    noise = np.full((tile_rows, tile_columns), np.nan)
    floor = np.full((tile_rows, tile_columns), np.nan)
    number, total, square = np.empty(width), np.empty(width), np.empty(width)
    zeros = np.zeros(width)
    limit = np.empty(width, np.float32)
    for i in range(tile_rows):
        first, last = i * height // tile_rows, (i + 1) * height // tile_rows
        step = max(1, (last - first) // _SAMPLED)
        limit[:] = np.inf
        for again in range(len(_CLIPS) + 1):
            number[:] = 0.0
            total[:] = 0.0
            square[:] = 0.0
            for r in range(first, last, step):
                row, known = counts[r], valid[r]
                for c in range(width):
                    used = 1.0 if known[c] and row[c] <= limit[c] else 0.0
                    count = row[c] * used
                    number[c] += used
                    total[c] += count
                    square[c] += count * count
            if again == 0:
                zeros[:] = 0.0
                for r in range(first, last, step):
                    row, known = counts[r], valid[r]
                    for c in range(width):
                        zeros[c] += 1.0 if known[c] and row[c] == 0 else 0.0
            for j in range(tile_columns):
                left, right = j * width // tile_columns, (j + 1) * width // tile_columns
                n = number[left:right].sum()
                if n < _FEWEST:
                    continue
                average = total[left:right].sum() / n
                variance = square[left:right].sum() / n - average * average
                if again == 0:
                    floor[i, j] = one if zeros[left:right].sum() > _ZEROS * n else 0.0
                mean[i, j] = average
                noise[i, j] = noise_of(variance, average, floor[i, j])
                if again < len(_CLIPS):
                    limit[left:right] = average + _CLIPS[again] * math.sqrt(max(variance, 0.0))
    _fill(mean, noise, floor)
    return mean, noise, floor


@compiled
def _fill(mean: F64, noise: F64, floor: F64) -> None:
    """Give tiles without a background the mean of their neighbours, from the nearest outwards."""
    rows, columns = mean.shape
    missing = np.isnan(mean).sum()
    while 0 < missing < mean.size:
        known = ~np.isnan(mean)
        for i in range(rows):
            for j in range(columns):
                if known[i, j]:
                    continue
                n, m, s, f = 0, 0.0, 0.0, 0.0
                for y in range(max(0, i - 1), min(rows, i + 2)):
                    for x in range(max(0, j - 1), min(columns, j + 2)):
                        if known[y, x]:
                            n += 1
                            m += mean[y, x]
                            s += noise[y, x]
                            f = max(f, floor[y, x])
                if n > 0:
                    mean[i, j], noise[i, j], floor[i, j] = m / n, s / n, f
                    missing -= 1


@compiled
def _between(pixels: int, tiles: int) -> tuple[I64, F32]:
    """Return for each pixel the tile before it and its share of the way to the next, by tiles' centres."""
    before = np.empty(pixels, np.int64)
    share = np.empty(pixels, np.float32)
    for p in range(pixels):
        place = min(max((p + 0.5) * tiles / pixels - 0.5, 0.0), tiles - 1.0)
        before[p] = min(int(place), max(tiles - 2, 0))
        share[p] = place - before[p]
    return before, share


@compiled
def limits_of_row(tiles: F64, row: int, height: int, before: I64, share: F32, limits: F32) -> None:
    """Interpolate the tiles' limits along one row of pixels, into `limits`, (width,)."""
    rows, columns = tiles.shape
    place = min(max((row + 0.5) * rows / height - 0.5, 0.0), rows - 1.0)
    above = min(int(place), max(rows - 2, 0))
    down = place - above
    below = min(above + 1, rows - 1)
    line = np.empty(columns + 1, np.float32)
    for j in range(columns):
        line[j] = (1.0 - down) * tiles[above, j] + down * tiles[below, j]
    line[columns] = line[columns - 1]
    for c in range(limits.size):
        left = line[before[c]]
        limits[c] = left + share[c] * (line[before[c] + 1] - left)


@compiled
def outstanding(counts: F32, valid: Mask, tiles: F64) -> I64:
    """Return the flat positions of valid pixels above the interpolated limits of tiles, ascending, (n,)."""
    height, width = counts.shape
    before, share = _between(width, tiles.shape[1])
    limits = np.empty(width, np.float32)
    found = np.empty(1024, np.int64)
    n = 0
    for r in range(height):
        limits_of_row(tiles, r, height, before, share, limits)
        row = counts[r]
        above = 0
        for c in range(width):
            above += row[c] > limits[c]
        if above == 0:
            continue
        if n + above > found.size:
            more = np.empty(2 * (n + above), np.int64)
            more[:n] = found[:n]
            found = more
        for c in range(width):
            if row[c] > limits[c] and valid[r, c]:
                found[n] = r * width + c
                n += 1
    return found[:n].copy()


@compiled
def _root(parent: I64, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def connect(pixels: I64, width: int) -> tuple[I64, int]:
    """Return the region of each pixel, numbered as they first appear, and the number of regions.

    Pixels that touch, also by a corner, are of one region; they come as ascending flat positions.
    """
    n = pixels.size
    parent = np.arange(n)
    behind = 0  # walks along the row above, just behind the current pixel
    for i in range(n):
        r, c = pixels[i] // width, pixels[i] % width
        if i > 0 and pixels[i - 1] == pixels[i] - 1 and c > 0:
            parent[_root(parent, i)] = _root(parent, i - 1)
        start = (r - 1) * width + max(c - 1, 0)
        while behind < i and pixels[behind] < start:
            behind += 1
        k = behind
        while k < i and pixels[k] <= (r - 1) * width + min(c + 1, width - 1):
            a, b = _root(parent, i), _root(parent, k)
            parent[max(a, b)] = min(a, b)
            k += 1
    region = np.empty(n, np.int64)
    number = 0
    for i in range(n):
        root = _root(parent, i)
        if root == i:
            region[i] = number
            number += 1
        else:
            region[i] = region[root]
    return region, number


@compiled
def _surroundings(
    counts: F32, valid: Mask, among: Mask, top: int, left: int, bottom: int, right: int
) -> tuple[int, float, float]:
    """Return number, mean and variance of the valid pixels around a box that stand out nowhere."""
    height, width = counts.shape
    n, total, square = 0, 0.0, 0.0
    for r in range(max(0, top - SURROUNDINGS), min(height, bottom + SURROUNDINGS + 1)):
        for c in range(max(0, left - SURROUNDINGS), min(width, right + SURROUNDINGS + 1)):
            if valid[r, c] and not among[r, c]:
                count = float(counts[r, c])
                n += 1
                total += count
                square += count * count
    if n == 0:
        return 0, 0.0, 0.0
    return n, total / n, square / n - (total / n) ** 2


@compiled
def _is_free(valid: Mask, row: int, column: int) -> bool:
    """Return whether a pixel and all eight around it are in the frame and valid."""
    height, width = valid.shape
    if row < 1 or column < 1 or row > height - 2 or column > width - 2:
        return False
    for r in range(row - 1, row + 2):
        for c in range(column - 1, column + 2):
            if not valid[r, c]:
                return False
    return True


@compiled
def measure(
    counts: F32, valid: Mask, pixels: I64, region: I64, number: int, floor: F64
) -> tuple[F64, I64, F64, I64]:
    """Measure regions that may be spots, and sum up the rest.

    Returns
    -------
    spots : float64, (spots, 7)
        Row and column of the centroid, pixels, signal (counts above the surroundings), signal to noise,
        standard deviations along the long and the short axis in pixels; of regions of at most 256 pixels
        with eight valid ones in their surroundings, whose brightest pixel has no invalid neighbour.
    large : int64, (2,)
        Number of larger regions and their pixels.
    large_counts : float64, (1,)
        Their counts.
    left_out : int64, (1,)
        Number of regions that were not judged: at an edge, or surrounded by nothing.
    """
    height, width = counts.shape
    tile_rows, tile_columns = floor.shape
    among = np.zeros((height, width), np.bool_)
    size = np.zeros(number, np.int64)
    box = np.empty((number, 4), np.int64)  # top, left, bottom, right
    brightest = np.zeros(number, np.int64)
    for i in range(pixels.size):
        k = region[i]
        r, c = pixels[i] // width, pixels[i] % width
        among[r, c] = True
        if size[k] == 0:
            box[k, 0], box[k, 1], box[k, 2], box[k, 3] = r, c, r, c
            brightest[k] = pixels[i]
        size[k] += 1
        box[k, 1] = min(box[k, 1], c)
        box[k, 2] = r
        box[k, 3] = max(box[k, 3], c)
        b = brightest[k]
        if counts[r, c] > counts[b // width, b % width]:
            brightest[k] = pixels[i]
    spots = np.zeros((number, 7))
    around = np.zeros(number)
    judged = np.zeros(number, np.bool_)
    large, large_counts, left_out = np.zeros(2, np.int64), np.zeros(1), np.zeros(1, np.int64)
    for k in range(number):
        if size[k] > MOST_PIXELS:
            large[0] += 1
            large[1] += size[k]
            continue
        n, mean, variance = _surroundings(counts, valid, among, box[k, 0], box[k, 1], box[k, 2], box[k, 3])
        r, c = brightest[k] // width, brightest[k] % width
        if n < 8 or not _is_free(valid, r, c):
            left_out[0] += 1
            continue
        judged[k] = True
        around[k] = mean
        spots[k, 4] = noise_of(variance, mean, floor[r * tile_rows // height, c * tile_columns // width])
    for i in range(pixels.size):
        k = region[i]
        r, c = pixels[i] // width, pixels[i] % width
        if size[k] > MOST_PIXELS:
            large_counts[0] += counts[r, c]
        if not judged[k]:
            continue
        signal = counts[r, c] - around[k]
        spots[k, 2] += 1
        spots[k, 3] += signal
        weight = max(signal, 0.0)
        spots[k, 0] += weight * r
        spots[k, 1] += weight * c
    weights = np.zeros(number)
    moments = np.zeros((number, 3))
    for i in range(pixels.size):
        k = region[i]
        if judged[k]:
            weights[k] += max(counts[pixels[i] // width, pixels[i] % width] - around[k], 0.0)
    for k in range(number):
        if judged[k]:
            judged[k] = weights[k] > 0
            if judged[k]:
                spots[k, 0] /= weights[k]
                spots[k, 1] /= weights[k]
                spots[k, 4] = spots[k, 3] / (spots[k, 4] * math.sqrt(spots[k, 2]))
    for i in range(pixels.size):
        k = region[i]
        if judged[k]:
            r, c = pixels[i] // width, pixels[i] % width
            weight = max(counts[r, c] - around[k], 0.0) / weights[k]
            y, x = r - spots[k, 0], c - spots[k, 1]
            moments[k, 0] += weight * y * y
            moments[k, 1] += weight * x * x
            moments[k, 2] += weight * x * y
    for k in range(number):
        half = (moments[k, 0] + moments[k, 1]) / 2
        apart = math.hypot((moments[k, 0] - moments[k, 1]) / 2, moments[k, 2])
        spots[k, 5] = math.sqrt(half + apart + 1 / 12)
        spots[k, 6] = math.sqrt(max(half - apart, 0.0) + 1 / 12)
    return spots[judged], large, large_counts, left_out


@compiled
def recurrence(row: F64, column: F64, neighbours: I64, tolerance: float) -> float:
    """Return how often the steps between neighbouring spots recur from other spots, as a share of chances.

    For each spot and each of its `neighbours`, (spots, k), the step between them is taken from every other
    spot; a chance counts where it stays within the spots' box, a hit where a spot lies within `tolerance`
    times the step's length of its end.
    """
    n = row.size
    top, bottom, left, right = row.min(), row.max(), column.min(), column.max()
    chances, hits = 0, 0
    for i in range(n):
        for m in range(neighbours.shape[1]):
            j = neighbours[i, m]
            dy, dx = row[j] - row[i], column[j] - column[i]
            near = tolerance * tolerance * (dy * dy + dx * dx)
            for k in range(n):
                y, x = row[k] + dy, column[k] + dx
                if k == i or y < top or y > bottom or x < left or x > right:
                    continue
                chances += 1
                for other in range(n):
                    if (row[other] - y) ** 2 + (column[other] - x) ** 2 <= near:
                        hits += 1
                        break
    return hits / chances if chances > 0 else 0.0
