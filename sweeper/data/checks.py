"""Checks of a dataset before compute is spent on it.

Each takes the name of the dataset for its message and raises ValueError in one line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweeper.data.listing import some_of
from sweeper.errors import InputError


def check_duplicates(
    source: str, files: tuple[str, ...], file: NDArray[np.int64], index: NDArray[np.int64]
) -> None:
    """Refuse a frame that is listed twice; frames are in order of file and index."""
    rows = np.flatnonzero((np.diff(file) == 0) & (np.diff(index) == 0))
    repeated = sorted({f"{files[file[row]]}#{index[row]}" for row in rows})
    if repeated:
        raise InputError(
            f"{source}: every frame must be named once, {len(repeated)} are repeated: {some_of(repeated)}"
        )


def complete_splits(source: str, split: NDArray[np.str_]) -> NDArray[np.str_]:
    """Return splits for all frames or for none: frames beside a test split are for training."""
    names = set(np.unique(split).tolist())
    if "" not in names or names == {""}:
        return split
    if names == {"", "test"}:
        return np.where(split == "", np.array("train", dtype="U5"), split)
    raise InputError(
        f"{source}: split must be given in every row where there is train or val, "
        f"{np.count_nonzero(split == '')} rows have none"
    )


def check_classes(
    source: str, classes: tuple[str, ...], labels: NDArray[np.int64], split: NDArray[np.str_]
) -> None:
    """Refuse a dataset without frames, with one class only, or with a class without training frames."""
    if len(labels) == 0:
        raise InputError(f"{source}: dataset must hold frames, none is left")
    if len(classes) < 2:
        raise InputError(f"{source}: dataset must have at least two classes, it has {classes[0]!r} alone")
    training = (split == "train") | (split == "")
    for what, rows in (("frame", np.ones_like(training)), ("training frame", training)):
        counts = np.bincount(labels[rows], minlength=len(classes))
        without = [classes[i] for i in np.flatnonzero(counts == 0)]
        if without:
            raise InputError(f"{source}: every class must have a {what}, none in {some_of(without)}")


def check_groups(
    source: str, names: tuple[str, ...], groups: NDArray[np.int64], split: NDArray[np.str_]
) -> None:
    """Refuse a group in several splits: its frames are nearly equal, and their labels would leak."""
    split_of = np.unique(split, return_inverse=True)[1]
    pairs = np.unique(np.stack([groups, split_of]), axis=1)  # (2, pairs)
    group, splits = np.unique(pairs[0], return_counts=True)
    torn = [names[i] for i in group[splits > 1]]
    if torn:
        raise InputError(
            f"{source}: a group must stand in one split, {len(torn)} are in several: {some_of(torn)}"
        )
