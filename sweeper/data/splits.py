"""Splits of a dataset into training and validation rows: as given, or by cross-validation.

Every training part holds every class, frames of one group stand on one side, and test rows are in neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError
from sweeper.pipeline import digest

_ATTEMPTS = 200
_NAMES = ("train", "val", "test")

Rows = NDArray[np.int64]
"""One whole number a frame, (n,): row numbers of a dataset unless a name says otherwise."""


@dataclass(frozen=True, eq=False)
class Split:
    """Training and validation rows of one fold.

    Attributes
    ----------
    train, validation : int64, (n,)
        Row numbers, ascending, without overlap.
    warnings : tuple of str
        What a reader of the scores should know about all the splits together.
    """

    train: Rows
    validation: Rows
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Fold:
    """A split, and the seed of all that is fitted on it.

    Attributes
    ----------
    number : int or str
        Of the cross-validation, from 0; ``"test"``: all other rows against the test rows.
    split : Split
    seed : int
    rerun : bool
        Whether it is one of the cross-validation again, with another seed.
    """

    number: int | str
    split: Split
    seed: int
    rerun: bool = False

    @property
    def name(self) -> int | str:
        """Return the fold's name: its number, with the seed when it is a rerun."""
        return f"{self.number} seed {self.seed}" if self.rerun else self.number


def make_splits(
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    groups: NDArray[np.int64] | None = None,
    split: Sequence[str] | NDArray[np.str_] | None = None,
    folds: int = 5,
    repeats: int = 1,
    seed: int = 0,
    noun: str = "group",
    helping: NDArray[np.bool_] | None = None,
) -> list[Split]:
    """Make the splits of a sweep; the same arguments give the same splits.

    Where `split` names validation rows there is one split, as given. Otherwise the training rows (all
    rows, without `split`) are cut into `folds` parts with the classes in equal shares, `repeats`
    times with different shuffles; groups stay whole. Rows that help are cut into no part: they are in every
    training part, but for those of a group that is in the validation part.

    Parameters
    ----------
    labels : int64, (n,)
        Positions in `classes`.
    classes : sequence of str
    groups : int64, (n,), or None
        Frames of equal number never stand on both sides.
    split : sequence of str, (n,), or None
        ``train``, ``val`` or ``test`` for every frame, or empty for every frame.
    folds : int
        2 or more.
    repeats : int
        1 to 10.
    seed : int
        0 or more.
    noun : str
        What messages call a group.
    helping : bool, (n,), or None
        Training rows that are never validation rows.

    Raises
    ------
    ValueError
        A number out of range, a class with too few frames or groups, a group in several splits.
    """
    if folds < 2:
        raise InputError(f"folds must be 2 or more, got {folds}")
    if not 1 <= repeats <= 10:
        raise InputError(f"repeats must be from 1 to 10, got {repeats}")
    labels = np.asarray(labels, dtype=np.int64)
    marks = _marks(split, len(labels))
    if groups is not None:
        groups = np.asarray(groups)
        _check_groups(groups, marks, noun)
    train, validation = np.flatnonzero(marks == "train"), np.flatnonzero(marks == "val")
    _check_classes(labels[train], classes)
    helped = np.zeros(len(labels), dtype=np.bool_) if helping is None else helping
    if len(validation):
        splits = [Split(train, validation)]
    else:
        own, others = train[~helped[train]], train[helped[train]]
        covered = np.unique(labels[others])
        cut = _folds(labels, classes, groups, own, folds, repeats, seed, noun, covered)
        splits = [_with_others(s, others, groups) for s in cut] if len(others) else cut
        if len(others):
            _check_training_parts(splits, labels, classes, noun)
    present = np.unique(labels[~helped])
    warnings = split_warnings(splits, labels, classes, present)
    return [Split(s.train, s.validation, warnings) for s in splits]


def rows_of_test(split: Sequence[str] | NDArray[np.str_] | None) -> Rows:
    """Return the rows marked ``test``, ascending; none without `split`."""
    return np.flatnonzero(np.asarray([] if split is None else split, dtype=np.str_) == "test")


def split_warnings(
    splits: Sequence[Split],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    scored: NDArray[np.int64] | None = None,
) -> tuple[str, ...]:
    """Return a line for each class that is scored and absent from the validation part of some splits."""
    held = np.array([np.bincount(labels[s.validation], minlength=len(classes)) > 0 for s in splits])
    absent = (~held).sum(axis=0)  # (n_classes,)
    if scored is not None:
        absent[np.setdiff1d(np.arange(len(classes)), scored)] = 0
    return tuple(
        f"class {classes[c]} is absent from the validation part of {absent[c]} of {len(splits)} "
        f"fold{'s' if len(splits) > 1 else ''}"
        for c in np.flatnonzero(absent).tolist()
    )


def sides(
    part: Rows,
    n_parts: int,
    splits: Sequence[Split],
    marks: NDArray[np.str_],
    apart: Rows | None = None,
) -> NDArray[np.bool_]:
    """Return whether each part of a dataset stands on both sides of a split, (n_parts,).

    Parameters
    ----------
    part : int64, (n,)
        Number of the part that each row belongs to, such as its file; −1 for none.
    n_parts : int
    splits : sequence of Split
    marks : str, (n,)
        ``test`` for the rows of the test split: all others are on its other side.
    apart : int64, (n,), optional
        Rows that representations are fitted on, in no split: on the training side of each.
    """

    def held(rows: Rows) -> NDArray[np.bool_]:
        numbers = part[rows]
        found: NDArray[np.bool_] = np.bincount(numbers[numbers >= 0], minlength=n_parts) > 0
        return found

    test = rows_of_test(marks)
    torn = held(test) & held(np.setdiff1d(np.arange(len(part)), test))
    fitted = np.zeros(n_parts, dtype=np.bool_) if apart is None else held(apart)
    for split in splits:
        torn |= (held(split.train) | fitted) & held(split.validation)
    return torn


def fold_digest(frame_digests: Sequence[str], rows: Rows) -> str:
    """Return a digest of the frames at `rows`, in their order: the key of what was fitted on them."""
    return digest([frame_digests[row] for row in rows])


def _marks(split: Sequence[str] | NDArray[np.str_] | None, n: int) -> NDArray[np.str_]:
    """Return ``train``, ``val`` or ``test`` for every row, (n,)."""
    marks = np.full(n, "", dtype="U5") if split is None else np.asarray(split, dtype=np.str_)
    if len(marks) != n:
        raise InputError(f"split must have one value a frame, {n}, got {len(marks)}")
    given = marks != ""
    if not given.any():
        return np.full(n, "train")
    unknown = sorted(set(marks[given].tolist()) - set(_NAMES))
    if unknown:
        raise InputError(f"split must be one of {', '.join(_NAMES)}, got {unknown[0]!r}")
    if not given.all():
        raise InputError(f"split must be given for every frame or for none, {int((~given).sum())} have none")
    return marks


def _check_groups(groups: NDArray[np.int64], marks: NDArray[np.str_], noun: str) -> None:
    """Refuse a group in several splits: its frames are nearly equal."""
    order = np.argsort(groups, kind="stable")
    torn = (np.diff(groups[order]) == 0) & (marks[order][1:] != marks[order][:-1])
    if torn.any():
        row = int(order[1:][torn][0])
        first, second = sorted(set(marks[groups == groups[row]].tolist()))[:2]
        raise InputError(f"a {noun} must stand in one split, {noun} {groups[row]} is in {first} and {second}")


def _check_classes(train_labels: NDArray[np.int64], classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise InputError(f"a dataset must have at least two classes, got {len(classes)}")
    counts = np.bincount(train_labels, minlength=len(classes))
    for c in np.flatnonzero(counts == 0).tolist():
        raise InputError(f"every class must have training frames, class {classes[c]} has none")


# --------------------------------------------------------------------------- cross-validation


def _folds(
    labels: NDArray[np.int64],
    classes: Sequence[str],
    groups: NDArray[np.int64] | None,
    rows: Rows,
    folds: int,
    repeats: int,
    seed: int,
    noun: str,
    covered: NDArray[np.int64],
) -> list[Split]:
    """Cut `rows` into stratified folds, `repeats` times; training parts hold the classes `covered` anyway."""
    counts = np.bincount(labels[rows], minlength=len(classes))
    counts[covered] = max(len(labels), folds)
    few = int(np.argmin(counts))
    if counts[few] < folds:
        raise InputError(
            f"every class must have a frame for each fold: class {classes[few]} has {counts[few]}, "
            f"folds is {folds}"
        )
    if len(rows) < folds:
        raise InputError(f"folds must be at most the number of frames of your own, {len(rows)}, got {folds}")
    splits = []
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        if groups is None:
            fold_of = _stratified(labels[rows], folds, rng)
        else:
            fold_of = _grouped(labels[rows], classes, groups[rows], folds, rng, noun, covered)
        splits += [Split(rows[fold_of != fold], rows[fold_of == fold]) for fold in range(folds)]
    return splits


def _with_others(split: Split, others: Rows, groups: NDArray[np.int64] | None) -> Split:
    """Return a split with other training rows, but for those of groups that are validated."""
    if groups is not None:
        others = others[~np.isin(groups[others], groups[split.validation])]
    return Split(np.sort(np.concatenate([split.train, others])), split.validation)


def _check_training_parts(
    splits: Sequence[Split], labels: NDArray[np.int64], classes: Sequence[str], noun: str
) -> None:
    for split in splits:
        for c in np.flatnonzero(np.bincount(labels[split.train], minlength=len(classes)) == 0).tolist():
            raise InputError(
                f"every training part must hold every class: all frames of {classes[c]} are in a {noun} that "
                "is held out"
            )


def _stratified(labels: NDArray[np.int64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each row, (n,): rows are shuffled, sorted by class and dealt out in turn."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[order] = np.arange(len(labels)) % folds
    return fold_of


def _grouped(
    labels: NDArray[np.int64],
    classes: Sequence[str],
    groups: NDArray[np.int64],
    folds: int,
    rng: np.random.Generator,
    noun: str,
    covered: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the fold of each row, (n,); groups stay whole.

    Of up to 200 assignments it is the first that keeps every class in every training part and in as many
    validation parts as can be, else the one that loses fewest. Training parts hold the classes `covered`
    anyway.
    """
    names, group_of = np.unique(groups, return_inverse=True)
    present, labels = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(present)))
    np.add.at(counts, (group_of, labels), 1)
    n_groups = (counts > 0).sum(axis=0)  # groups that hold each class, (n_present,)
    needed = ~np.isin(present, covered)
    for c in present[needed & (n_groups < 2)].tolist():
        raise InputError(f"every class must have frames in two {noun}s or more, class {classes[c]} has one")
    if len(names) < folds:
        raise InputError(f"folds must be at most the number of {noun}s, {len(names)}, got {folds}")
    least = int(np.maximum(folds - n_groups, 0).sum())
    best, best_losses = np.zeros(len(names), dtype=np.int64), (len(classes) * folds + 1, 0)
    for _ in range(_ATTEMPTS):
        fold_of = _assign(counts, folds, rng)
        losses = _losses(counts, fold_of, folds, needed)
        if losses < best_losses:
            best, best_losses = fold_of, losses
        if losses == (0, least):
            break
    if best_losses[0]:
        raise InputError(
            f"every training part must hold every class: no way to cut {len(names)} {noun}s into "
            f"{folds} folds was found in {_ATTEMPTS}; fewer folds or more {noun}s are needed"
        )
    return best[group_of]


def _assign(counts: NDArray[np.float64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each group, (n_groups,).

    Large groups come first; each goes where its classes are rarest so far.
    """
    shares = counts / counts.sum(axis=0)  # of each class, (n_groups, n_classes)
    size = shares.sum(axis=1)
    order = np.argsort(-size * np.exp(0.2 * rng.standard_normal(len(size))), kind="stable")
    held = np.zeros((folds, counts.shape[1]))
    fold_of = np.empty(len(counts), dtype=np.int64)
    for group in order:
        # The growth of the sum of squares, which is least when every fold has its share of each class.
        growth = held @ shares[group]
        fold = int(np.lexsort((rng.random(folds), held.sum(axis=1), growth.round(12)))[0])
        held[fold] += shares[group]
        fold_of[group] = fold
    return fold_of


def _losses(
    counts: NDArray[np.float64], fold_of: NDArray[np.int64], folds: int, needed: NDArray[np.bool_]
) -> tuple[int, int]:
    """Return the number of (fold, class) pairs that training parts lack, and that validation parts lack.

    Training parts lack the classes alone that are `needed`, (n_classes,).
    """
    held = np.zeros((folds, counts.shape[1]))
    np.add.at(held, fold_of, counts)
    return int((held == counts.sum(axis=0))[:, needed].sum()), int((held == 0).sum())
