"""Frames with equal pixels under several names: how many there are, and which of them stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sweeper.data.dataset import Dataset
from sweeper.data.splits import Rows, Split, sides
from sweeper.errors import InputError

_SHOWN = 3
_ORDER = {"train": 0, "": 0, "val": 1, "test": 2}


def equal_frames(digests: Sequence[str]) -> list[Rows]:
    """Return the rows of each set of two or more equal frames, ascending, by the digest of every frame."""
    rows: dict[str, list[int]] = {}
    for row, digest in enumerate(digests):
        rows.setdefault(digest, []).append(row)
    return [np.array(found, dtype=np.int64) for found in rows.values() if len(found) > 1]


def duplicates_note(
    dataset: Dataset, digests: Sequence[str], splits: Sequence[Split], apart: Rows | None = None
) -> str | None:
    """Return a line on frames with equal pixels; None where all differ.

    Parameters
    ----------
    dataset : Dataset
    digests : sequence of str, (frames,)
    splits : sequence of Split
    apart : int64, (n,), optional
        Rows that representations are fitted on, in no split.
    """
    found = equal_frames(digests)
    if not found:
        return None
    frames = sum(map(len, found))
    shown = [_pair(dataset, rows) for rows in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more sets"] if len(found) > _SHOWN else []
    of_set = np.full(len(dataset), -1, dtype=np.int64)
    for number, rows in enumerate(found):
        of_set[rows] = number
    labels = sum(len(set(dataset.labels[rows].tolist())) > 1 for rows in found)
    torn = int(sides(of_set, len(found), splits, dataset.split, apart).sum())
    named = ", ".join([*shown, *more])
    said = [f"{frames} frames are equal to another one in every pixel: {_sets(len(found))}, {named}"]
    if labels:
        said.append(f"in {_sets(labels)} the labels differ")
    if torn:
        said.append(f"{_sets(torn)} {_stand(torn)} on both sides of a split, so that scores say little")
    return "; ".join([*said, "--drop-duplicates keeps one frame of each"])


def _sets(count: int) -> str:
    return f"{count} set{'' if count == 1 else 's'}"


def _stand(count: int) -> str:
    return "stands" if count == 1 else "stand"


def _pair(dataset: Dataset, rows: Rows) -> str:
    """Return the first two of a set, preferably two that differ in label or split, and in what."""
    first, second = rows[0], rows[1]
    for differs in (
        dataset.labels[rows] != dataset.labels[first],
        dataset.split[rows] != dataset.split[first],
    ):
        if differs.any():
            second = rows[int(differs.argmax())]
            break
    label = [dataset.classes[dataset.labels[row]] for row in (first, second)]
    split = [str(dataset.split[row]) for row in (first, second)]
    about = [f"labels {label[0]} and {label[1]}"] if label[0] != label[1] else []
    about += [f"splits {split[0]} and {split[1]}"] if split[0] != split[1] else []
    named = f"{dataset.names[first]} = {dataset.names[second]}"
    return f"{named} ({', '.join(about)})" if about else named


def without_duplicates(
    dataset: Dataset, digests: Sequence[str]
) -> tuple[NDArray[np.bool_], list[tuple[str, str]]]:
    """Return which frames stay when one of each set of equal frames does, and why each other one goes.

    The one that stays is in the training part before validation before test, so that nothing in a test split
    was trained on; among those it is the first by name. Of frames whose labels contradict each other none
    stays: nobody can say which label is right.

    Raises
    ------
    InputError
        A class would lose all of its frames.
    """
    keep = np.ones(len(dataset), dtype=np.bool_)
    reasons: dict[int, str] = {}
    for rows in equal_frames(digests):
        keep[rows] = False
        if len(set(dataset.labels[rows].tolist())) > 1:
            for row in rows.tolist():
                other = rows[int((dataset.labels[rows] != dataset.labels[row]).argmax())]
                reasons[row] = (
                    f"equal to {dataset.names[other]}, which has another label "
                    f"({dataset.classes[dataset.labels[other]]})"
                )
            continue
        kept = min(rows.tolist(), key=lambda row: (_ORDER[str(dataset.split[row])], row))
        keep[kept] = True
        reasons |= {row: f"equal to {dataset.names[kept]}" for row in rows.tolist() if row != kept}
    for position, name in enumerate(dataset.classes):
        if not keep[dataset.labels == position].any():
            raise InputError(
                f"--drop-duplicates: class {name} would have no frame: each of its frames is equal to one of "
                "another class, and of such frames none is kept, since nobody can say which label is right"
            )
    return keep, [(str(dataset.names[row]), reasons[row]) for row in sorted(reasons)]
