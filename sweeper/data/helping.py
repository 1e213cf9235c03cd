"""Frames that help: labelled frames of other instruments beside a few of a person's own.

Helping frames are training rows in every fold and are never scored: folds, and with them every number, are of
a person's own frames alone. They come from rows of a manifest whose column ``helping`` says yes, or from a
data set of their own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweeper.data.listing import Listing, some_of
from sweeper.errors import InputError


def with_helping(own: Listing, helping: Listing) -> Listing:
    """Return a person's own rows, and after them those of a data set that helps, without its splits.

    Classes, groups and domains of one name are the same in both. Files of the helping data set are named from
    the root of the own one.
    """
    names = [_beside(helping.root, name, own.root) for name in helping.files]
    files = list(dict.fromkeys([*own.files, *names]))
    classes = sorted({*own.classes, *helping.classes})
    group, group_names = _joined(own.group, own.group_names, helping.group, helping.group_names, own, helping)
    domain, domain_names = _joined(
        own.domain, own.domain_names, helping.domain, helping.domain_names, own, helping
    )
    mask_files = sorted({*own.mask_files, *helping.mask_files})
    helped = np.zeros(len(own.file), dtype=np.bool_) if own.helping is None else own.helping
    return replace(
        own,
        files=tuple(files),
        file=np.concatenate([own.file, _moved(helping.file, names, files)]),
        frame=np.concatenate([own.frame, helping.frame]),
        classes=tuple(classes),
        label=np.concatenate([_moved(part.label, part.classes, classes) for part in (own, helping)]),
        split=np.concatenate([own.split, np.full(len(helping.file), "", dtype="U5")]),
        group=group,
        group_names=group_names,
        domain=domain,
        domain_names=domain_names,
        mask_files=tuple(mask_files),
        mask=_masks(own, helping, mask_files),
        ignored=own.ignored + helping.ignored,
        problems=(
            *own.problems,
            *((_beside(helping.root, name, own.root), reason) for name, reason in helping.problems),
        ),
        helping=np.concatenate([helped, np.ones(len(helping.file), dtype=np.bool_)]),
    )


def checked_helping(source: str, listing: Listing) -> Listing:
    """Return the rows; those that help are for training where every other one has a split.

    Raises
    ------
    InputError
        All of them help, or one that helps is to be scored.
    """
    helping = listing.helping
    if helping is None:
        return listing
    if helping.all():
        raise InputError(f"{source}: helping must leave frames of your own, which are scored; all rows help")
    scored = np.flatnonzero(helping & np.isin(listing.split, ("val", "test")))
    if scored.size:
        raise InputError(
            f"{source}: a helping frame is for training, {scored.size} stand in val or test: row "
            + some_of([int(row) + 1 for row in scored])
        )
    split = listing.split.copy()
    split[helping] = "train" if (split[~helping] != "").all() else ""
    return replace(listing, split=split)


def helping_notes(
    labels: NDArray[np.int64], helping: NDArray[np.bool_] | None, classes: Sequence[str]
) -> list[str]:
    """Return what a person should know of frames that help and of the own ones; nothing where none help."""
    if helping is None:
        return []
    own, helped = (np.bincount(labels[rows], minlength=len(classes)) for rows in (~helping, helping))
    counts = ", ".join(f"{name} {n}" for name, n in zip(classes, own.tolist(), strict=True))
    notes = [
        f"{own.sum()} frames are your own and are scored ({counts}); {helped.sum()} others help: they are "
        "training frames in every fold and are never scored"
    ]
    unscored = [name for name, n in zip(classes, own.tolist(), strict=True) if n == 0]
    if unscored:
        notes.append(f"no score says anything of {some_of(unscored)}: no frame of it is your own")
    alone = [name for name, n in zip(classes, helped.tolist(), strict=True) if n == 0]
    if alone:
        notes.append(f"none of the frames that help is {some_of(alone)}")
    return notes


# --------------------------------------------------------------------------- parts of with_helping


def _beside(root: Path, name: str, other: Path) -> str:
    """Return the name of a file below a root as seen from another folder."""
    return Path(os.path.relpath(root / name, other)).as_posix()


def _moved(row: NDArray[np.int64], names: Sequence[str], to: Sequence[str]) -> NDArray[np.int64]:
    """Return positions in `names` as positions in `to`; −1 stays."""
    place = {name: i for i, name in enumerate(to)}
    moved = np.array([*(place[name] for name in names), -1], dtype=np.int64)[row]
    return np.asarray(moved)


def _joined(
    mine: NDArray[np.int64] | None,
    my_names: Sequence[str],
    theirs: NDArray[np.int64] | None,
    their_names: Sequence[str],
    own: Listing,
    helping: Listing,
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Return groups or domains of both, and their names; −1 for rows of a part that has none."""
    if mine is None and theirs is None:
        return None, ()
    names = list(dict.fromkeys([*my_names, *their_names]))
    return np.concatenate(
        [
            np.full(len(part.file), -1, dtype=np.int64) if row is None else _moved(row, known, names)
            for part, row, known in ((own, mine, my_names), (helping, theirs, their_names))
        ]
    ), tuple(names)


def _masks(own: Listing, helping: Listing, files: Sequence[str]) -> NDArray[np.int64] | None:
    if own.mask is None and helping.mask is None:
        return None
    parts: list[NDArray[np.int64]] = []
    for part in (own, helping):
        none = np.full(len(part.file), -1, dtype=np.int64)
        parts.append(none if part.mask is None else _moved(part.mask, part.mask_files, files))
    return np.concatenate(parts)
