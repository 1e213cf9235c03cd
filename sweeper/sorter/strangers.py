"""Frames unlike any that a model was trained on, told apart by two kinds of signs.

Before any feature is computed: the size of the frame, the share of it that is masked, and statistics of its
counts. And in the space of features: how far the nearest training frames are. A frame is a stranger where it
is farther from the training frames than all but a small share of frames like these, told by training frames
that had no part in what they were measured by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import PreparedFrame
from sweeper.data.intensity import log_table
from sweeper.data.splits import Rows
from sweeper.errors import InputError
from sweeper.evaluate.calibration import parts_of
from sweeper.evaluate.conformal import alarm_threshold

FALSE_ALARMS = 0.01
"""Share of frames like the training frames that may be called strangers by their counts and features."""

_TAIL = 0.1  # share of the largest distances, by which those of counts and of features are made comparable
_NEAREST = 5
_KEPT = 2000  # most training frames that distances are taken from
_COMPONENTS = 16
_FRAMES_A_COMPONENT = 5  # at least: fewer say little of a direction
_SIZES = 50  # most sizes that are kept as they are; of more, their range
_SAMPLED_ROWS = 64
_PERCENTILES = (0.05, 0.5, 0.95, 0.999)
_FAR = 30.0  # deviations that a coordinate counts at most

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def count_statistics(frame: PreparedFrame) -> Vector:
    """Return what the counts of a frame say before features are computed, float64, (9,).

    The share of masked pixels; then, of the valid pixels of some rows, the share of zeros, and as logarithms
    the mean, the standard deviation and four percentiles; and how alike neighbours are.
    """
    step = max(1, frame.counts.shape[0] // _SAMPLED_ROWS)
    counts, valid = np.ascontiguousarray(frame.counts[::step]), np.ascontiguousarray(frame.valid[::step])
    masked = 1.0 - float(np.count_nonzero(frame.valid)) / frame.valid.size
    number = int(np.count_nonzero(valid))
    if number == 0:
        return np.array([masked, *[0.0] * 8])
    wide, percentiles, zeros = _logarithms(counts, valid, number)
    logs = wide.ravel() if number == valid.size else wide[valid]
    mean, deviation = float(logs.mean()), float(logs.std())
    both = valid[:, 1:] & valid[:, :-1]
    alike = 0.0
    if deviation > 0 and both.any():
        wide -= mean
        product = wide[:, 1:] * wide[:, :-1]
        alike = float((product.ravel() if both.all() else product[both]).mean()) / deviation**2
    return np.array([masked, zeros / number, mean, deviation, *percentiles, np.clip(alike, -1, 2)])


def _logarithms(
    counts: NDArray[np.float32], valid: NDArray[np.bool_], number: int
) -> tuple[Matrix, Vector, int]:
    """Return logarithms of counts, and of the `number` valid ones four percentiles and how many are 0.

    Counts that are small whole numbers, as most are, have theirs from a table.
    """
    from sweeper.data import _intensity_kernels as kernels

    whole = kernels.whole_counts(counts, valid)
    if len(whole) == 0:
        wide = np.log1p(np.maximum(counts, 0).astype(np.float64))
        logs = wide[valid]
        return wide, np.quantile(logs, _PERCENTILES), int(np.count_nonzero(logs <= 0))
    histogram = kernels.histogram(whole, number)
    position = np.array(_PERCENTILES) * (number - 1)
    below = np.floor(position).astype(np.int64)
    ranks = np.concatenate([below, np.minimum(below + 1, number - 1)])
    table = log_table()
    low, high = np.split(table[np.searchsorted(histogram.cumsum(), ranks, side="right")], 2)
    share, rise = position - below, high - low
    # As numpy interpolates: from the nearer end.
    percentiles = np.where(share < 0.5, low + rise * share, high - rise * (1 - share))
    return table[whole], percentiles, int(histogram[0])


@dataclass(frozen=True, eq=False)
class Neighbours:
    """How far a vector is from those of training frames.

    Vectors are standardised and turned to the directions of largest variance, each of which is brought to one
    deviation; what these directions leave out counts as one more.

    Attributes
    ----------
    shift, scale : float64, (d,)
    axes : float64, (d, k)
    points : float64, (n, k + 1)
    rest : float64, (1,)
        Deviation of what the directions leave out.
    threshold : float64, (1,)
        Distance beyond which a vector is a stranger's.
    """

    shift: Vector
    scale: Vector
    axes: Matrix
    points: Matrix
    rest: Vector
    threshold: Vector

    def distance(self, x: Matrix) -> Vector:
        """Return the mean distance of vectors (n, d) from the nearest training frames, (n,)."""
        return _nearest(self._place(x), self.points, min(_NEAREST, len(self.points)))

    def is_far(self, x: Matrix) -> NDArray[np.bool_]:
        """Return which vectors (n, d) are strangers', (n,)."""
        return np.asarray(self.distance(x) > self.threshold[0])

    def _place(self, x: Matrix) -> Matrix:
        return _placed(x, self.shift, self.scale, self.axes, float(self.rest[0]))

    @classmethod
    def fit(cls, x: Matrix, components: int = _COMPONENTS) -> Neighbours:
        """Fit on vectors (n, d) of training frames with so many directions at most; none is far yet."""
        shift, scale = x.mean(axis=0), x.std(axis=0)
        # A constant of the training frames that moves at all is a sign: it is not divided away.
        scale = np.where(scale <= 1e-9 * (1 + np.abs(shift)), 1e-3 * (1 + np.abs(shift)), scale)
        z = (x - shift) / scale
        _, singular, directions = np.linalg.svd(z, full_matrices=False)
        k = int(min(components, (singular > 1e-6 * max(singular[0], 1e-12)).sum() or 1))
        axes = directions[:k].T / np.maximum(singular[:k] / np.sqrt(len(x)), 1e-9)
        left = np.sqrt(np.maximum((z**2).sum(axis=1) - ((z @ directions[:k].T) ** 2).sum(axis=1), 0))
        rest = max(float(np.sqrt((left**2).mean())), 1e-3)
        points = _placed(x, shift, scale, axes, rest)
        return cls(shift, scale, axes, points, np.array([rest]), np.array([np.inf]))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what it is made of, by name."""
        return dict(vars(self))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], width: int, called: str) -> Neighbours:
        """Return it from what :meth:`to_arrays` gave; InputError where that does not fit together."""
        try:
            found = cls(**{name: np.asarray(values, dtype=np.float64) for name, values in arrays.items()})
        except TypeError as error:
            raise InputError(f"{called}: must hold the neighbours of frames: {error}") from None
        k = found.axes.shape[-1]
        shapes = {"shift": (width,), "scale": (width,), "axes": (width, k), "rest": (1,), "threshold": (1,)}
        wrong = [name for name, shape in shapes.items() if getattr(found, name).shape != shape]
        if wrong or found.points.shape != (len(found.points), k + 1) or len(found.points) == 0:
            raise InputError(f"{called}: must hold the neighbours of frames, {wrong or 'points'} do not fit")
        return found


def _placed(x: Matrix, shift: Vector, scale: Vector, axes: Matrix, rest: float) -> Matrix:
    """Return vectors (n, d) as points (n, k + 1)."""
    z = np.clip((x - shift) / scale, -1e6, 1e6)
    inside = z @ axes
    # Directions are orthogonal: what they hold of a vector follows from the points themselves.
    lengths = np.sqrt((axes**2).sum(axis=0))
    held = ((inside / lengths) ** 2).sum(axis=1)
    left = np.sqrt(np.maximum((z**2).sum(axis=1) - held, 0)) / rest
    return np.asarray(np.clip(np.column_stack([inside, left]), -_FAR, _FAR))


def _nearest(x: Matrix, points: Matrix, k: int) -> Vector:
    """Return the mean distance of points (n, w) from the k nearest of others (m, w), (n,)."""
    squared = (x**2).sum(axis=1)[:, None] - 2 * x @ points.T + (points**2).sum(axis=1)
    smallest = np.partition(np.maximum(squared, 0), k - 1, axis=1)[:, :k]
    return np.asarray(np.sqrt(smallest).mean(axis=1))


def _with_thresholds(kinds: Sequence[Matrix], groups: Rows, seed: int) -> list[Neighbours]:
    """Fit neighbours on kinds of vectors (n, d) of training frames, with thresholds that share the alarms.

    A frame's distances are those from frames of other groups, on which all was fitted. They are counted from
    where the tail of their kind begins and in its mean length, so that the larger of a frame's distances is
    one score, whose threshold keeps the share of false alarms.
    """
    part = parts_of(groups, seed)
    # Those that tell the threshold and those that use it have the same directions, or distances would differ.
    components = _components(part)
    distance = np.empty((len(groups), len(kinds)))
    for number in np.unique(part):
        mine = part == number
        rest = ~mine if (~mine).any() else mine
        distance[mine] = np.column_stack(
            [Neighbours.fit(x[rest], components).distance(x[mine]) for x in kinds]
        )
    begin = np.quantile(distance, 1 - _TAIL, axis=0)
    length = np.array([(d[d >= b] - b).mean() for d, b in zip(distance.T, begin, strict=True)])
    length = np.maximum(length, 1e-9 * (1 + begin))
    score = alarm_threshold(((distance - begin) / length).max(axis=1), groups, FALSE_ALARMS)
    thresholds = (begin + score * length) * (1 + 1e-9)
    return [
        replace(Neighbours.fit(x, components), threshold=np.array([t]))
        for x, t in zip(kinds, thresholds, strict=True)
    ]


def far_from(
    features: Matrix, groups: Rows, others: Matrix, share: float, seed: int
) -> tuple[Vector, Vector]:
    """Return how far other frames are from training frames, beside how far these are from each other.

    Training frames are compared with those of other groups, in several parts, on which all is fitted.

    Parameters
    ----------
    features : float64, (n, d)
        Of training frames.
    groups : int64, (n,)
    others : float64, (m, d)
    share : float
        Share of the training frames that are farthest.
    seed : int

    Returns
    -------
    rank : float64, (m,)
        Share of the training frames that are nearer than each other frame is.
    distance : float64, (m,)
        In units of the distance that only `share` of the training frames exceed.
    """
    some = np.sort(np.random.default_rng(seed).permutation(len(groups))[:_KEPT])
    x, part = features[some], parts_of(groups[some], seed)
    components = _components(part)
    rank, distance = np.zeros((2, len(others)))
    for number in np.unique(part):
        mine = part == number
        near = Neighbours.fit(x[~mine] if (~mine).any() else x, components)
        between, far = np.sort(near.distance(x[mine])), near.distance(others)
        rank += np.searchsorted(between, far) / len(between) * mine.mean()
        distance += far / max(float(np.quantile(between, 1 - share)), 1e-9) * mine.mean()
    return rank, distance


def _components(part: Rows) -> int:
    """Return how many directions are fitted on the frames outside the largest part, at most."""
    return max(1, min(_COMPONENTS, (len(part) - int(np.bincount(part).max())) // _FRAMES_A_COMPONENT))


@dataclass(frozen=True, eq=False)
class Signs:
    """The signs that tell strangers apart.

    Attributes
    ----------
    sizes : int64, (n, 2)
        Heights and widths of training frames; of more than 50 different ones, the smallest and the largest.
    between : bool
        Whether all sizes between the two of `sizes` are known.
    masked : float64, (2,)
        Least and largest share of masked pixels that is not strange.
    counts, features : Neighbours
        Of count statistics, and of features.
    """

    sizes: NDArray[np.int64]
    between: bool
    masked: Vector
    counts: Neighbours
    features: Neighbours

    @classmethod
    def fit(
        cls, sizes: NDArray[np.int64], statistics: Matrix, features: Matrix, groups: Rows, seed: int
    ) -> Signs:
        """Fit on training frames: sizes (n, 2), count statistics (n, 9) and features (n, d)."""
        known = np.unique(sizes, axis=0)
        between = len(known) > _SIZES
        if between:
            known = np.stack([sizes.min(axis=0), sizes.max(axis=0)])
        masked = statistics[:, 0]
        margin = 0.01 + 0.5 * np.ptp(masked)
        some = np.sort(np.random.default_rng(seed).permutation(len(groups))[:_KEPT])
        counts, near = _with_thresholds([statistics[some, 1:], features[some]], groups[some], seed)
        return cls(known, between, np.array([masked.min() - margin, masked.max() + margin]), counts, near)

    def early(self, shapes: Sequence[tuple[int, int]], statistics: Matrix) -> list[str]:
        """Return the sign that each frame gives before its features, in words; empty for none.

        Parameters
        ----------
        shapes : sequence of (int, int)
            Heights and widths.
        statistics : float64, (n, 9)
            Count statistics.
        """
        known = {shape: self._is_known(*shape) for shape in set(shapes)}
        far = self.counts.is_far(statistics[:, 1:])
        found = []
        for shape, masked, is_far in zip(shapes, statistics[:, 0].tolist(), far.tolist(), strict=True):
            if not known[shape]:
                found.append(f"size {shape[0]} x {shape[1]}")
            elif not self.masked[0] <= masked <= self.masked[1]:
                found.append(f"{100 * masked:.3g} % masked")
            else:
                found.append("counts" if is_far else "")
        return found

    def _is_known(self, height: int, width: int) -> bool:
        size = np.array([height, width])
        if self.between:
            return bool(((self.sizes[0] <= size) & (size <= self.sizes[1])).all())
        return bool((self.sizes == size).all(axis=1).any())
