"""Which rows a network is fitted on, and how they are turned (camSortXS section 4.1, Table 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.api import PRETRAINED, TRAINING_SETS
from sweeper.data.splits import Rows
from sweeper.errors import InputError

HELD_OUT_SHARE = 0.1
"""Share of the training set that early stopping watches."""

_QUARTER_TURNS = 4
_BALANCE, _SHARE, _HOLD_OUT = range(3)  # streams of random numbers
_ALL_SUBSETS = 12  # groups of which every subset is tried
_ASSIGNMENTS = 20_000  # groups assigned in all attempts together


@dataclass(frozen=True, eq=False)
class TrainingFrames:
    """The rows that one epoch goes through.

    Attributes
    ----------
    rows : int64, (n,)
        Row numbers in the data set; a row appears once for each of its rotations.
    quarter_turns : int8, (n,)
        Counter-clockwise rotation of each, in units of 90 degrees, 0 to 3.
    """

    rows: Rows
    quarter_turns: NDArray[np.int8]

    @classmethod
    def upright(cls, rows: Rows) -> TrainingFrames:
        """Rows that are not rotated."""
        return cls(rows, np.zeros(len(rows), dtype=np.int8))

    def __len__(self) -> int:
        return len(self.rows)


def training_frames(kind: str, labels: NDArray[np.int64], train: Rows, seed: int) -> TrainingFrames:
    """Frames that a network is fitted on.

    Parameters
    ----------
    kind : {"unbalanced", "balanced", "augmented"}
        All training rows; every class cut to the smallest class's count by a seeded choice; those,
        rotated by 0, 90, 180 and 270 degrees.
    labels : int64, (n_frames,)
        Class of every frame of the data set.
    train : int64, (n,)
        Training rows.
    seed : int

    Raises
    ------
    ValueError
        An unknown kind, ``pretrained`` (which is not fitted), or no training row.
    """
    if kind == PRETRAINED:
        raise InputError(f"training_set: {kind} is not fitted on any frame")
    if kind not in TRAINING_SETS:
        raise InputError(f"training_set must be one of {', '.join(TRAINING_SETS)}, got {kind!r}")
    if len(train) == 0:
        raise InputError("a training set must have at least one row, got none")
    rows = np.asarray(train, dtype=np.int64)
    if kind != "unbalanced":
        class_of = np.unique(labels[rows], return_inverse=True)[1]
        counts = np.bincount(class_of)
        rng = np.random.default_rng([seed, _BALANCE])
        rows = rows[_draw(class_of, np.full(len(counts), counts.min()), rng)]
    turns = _QUARTER_TURNS if kind == "augmented" else 1
    return TrainingFrames(np.repeat(rows, turns), np.tile(np.arange(turns, dtype=np.int8), len(rows)))


# --------------------------------------------------------------------------- cutting rows in two


def split_share(
    labels: NDArray[np.int64],
    rows: Rows,
    share: float,
    *,
    groups: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> tuple[Rows, Rows]:
    """Cut rows in two, stratified by class.

    Parameters
    ----------
    labels : int64, (n_frames,)
    rows : int64, (n,)
        The rows to cut.
    share : float
        Of each class, rounded down, that goes to the first part; in (0, 1).
    groups : int64, (n_frames,), or None
        Frames of equal number stay together. The shares are then as near as can be (up to 12 groups all
        ways to cut are tried, with more of them many).
    seed : int

    Returns
    -------
    first, second : int64
        In the order of `rows`.

    Raises
    ------
    ValueError
        A share outside (0, 1), or no cut that leaves every class frames on both sides.
    """
    if not 0 < share < 1:
        raise InputError(f"share must be above 0 and below 1, got {share:g}")
    rows = np.asarray(rows, dtype=np.int64)
    classes, class_of = np.unique(labels[rows], return_inverse=True)
    have = np.bincount(class_of)
    want = np.floor(share * have + 1e-9).astype(np.int64)  # 0.29 × 100 is below 29
    rng = np.random.default_rng([seed, _SHARE])
    if groups is None:
        first = _draw(class_of, want, rng)
    else:
        first = _draw_groups(class_of, groups[rows], np.maximum(want, 1), rng)
    held = np.bincount(class_of[first], minlength=len(have))
    for c in np.flatnonzero((held == 0) | (held == have)).tolist():
        whole = "" if groups is None else " with groups kept whole"
        raise InputError(
            f"share must leave every class frames on both sides{whole}: class {classes[c]} has {have[c]} "
            f"frames, share is {share:g}"
        )
    return rows[first], rows[~first]


def hold_out(
    labels: NDArray[np.int64], frames: TrainingFrames, groups: NDArray[np.int64] | None, seed: int
) -> tuple[TrainingFrames, Rows]:
    """Set a tenth of a training set apart, for early stopping.

    Of each class a tenth, rounded down, at least one where there are two; groups stay whole, and no
    rotation of a held-out row is left among the frames.

    Returns
    -------
    frames : TrainingFrames
        What is left; it holds every class.
    held_out : int64
        Rows, each once, not rotated.

    Raises
    ------
    ValueError
        Nothing can be held out without losing a class.
    """
    rows = np.unique(frames.rows)
    class_of = np.unique(labels[rows], return_inverse=True)[1]
    have = np.bincount(class_of)
    want = np.where(have > 1, np.maximum(1, np.floor(HELD_OUT_SHARE * have + 1e-9)), 0).astype(np.int64)
    rng = np.random.default_rng([seed, _HOLD_OUT])
    first = _draw(class_of, want, rng) if groups is None else _draw_groups(class_of, groups[rows], want, rng)
    held = np.bincount(class_of[first], minlength=len(have))
    if not first.any() or (held == have).any():
        raise InputError(
            f"patience needs a tenth of the training set held out: its {len(rows)} frames of {len(have)} "
            "classes are too few, or in too few groups"
        )
    kept = ~np.isin(frames.rows, rows[first])
    return TrainingFrames(frames.rows[kept], frames.quarter_turns[kept]), rows[first]


def _draw(
    class_of: NDArray[np.int64], want: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark as many rows of each class as wanted, (n,)."""
    marked = np.zeros(len(class_of), dtype=bool)
    for c, number in enumerate(want.tolist()):
        marked[rng.permutation(np.flatnonzero(class_of == c))[:number]] = True
    return marked


def _draw_groups(
    class_of: NDArray[np.int64],
    groups: NDArray[np.int64],
    want: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Mark whole groups so that as many rows of each class as wanted are marked, as near as can be."""
    names, group_of = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(want)))
    np.add.at(counts, (group_of, class_of), 1)
    if len(names) <= _ALL_SUBSETS:
        chosen = (np.arange(2 ** len(names))[:, None] >> np.arange(len(names)) & 1).astype(bool)
        chosen = rng.permutation(chosen)  # among equally good ones the seed decides
    else:
        attempts = max(4, min(200, _ASSIGNMENTS // len(names)))
        chosen = np.array([_assign(counts, want, rng) for _ in range(attempts)])
    misses = [_miss(held, counts.sum(axis=0), want) for held in chosen @ counts]
    best: NDArray[np.bool_] = chosen[int(np.argmin(misses))]
    return best[group_of]


def _miss(held: NDArray[np.float64], have: NDArray[np.float64], want: NDArray[np.int64]) -> float:
    """How far counts are from those wanted; to take a whole class is worst, to miss one is next."""
    lost = 1e6 * (held == have).sum() + 1e3 * ((held == 0) & (want > 0)).sum()
    return float(lost + (((held - want) / have) ** 2).sum())


def _assign(
    counts: NDArray[np.float64], want: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark groups, (n_groups,): in random order, large ones rather first, each if it brings counts nearer."""
    have = counts.sum(axis=0)
    size = (counts / have).sum(axis=1)
    marked = np.zeros(len(counts), dtype=bool)
    held = np.zeros(len(have))
    miss = _miss(held, have, want)
    for group in np.argsort(-size * np.exp(rng.standard_normal(len(size))), kind="stable"):
        nearer = _miss(held + counts[group], have, want)
        if nearer < miss:
            held, miss, marked[group] = held + counts[group], nearer, True
    return marked
