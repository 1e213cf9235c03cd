"""The frames that a folder or a manifest lists, before any file is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names that a split may go by, in lower case, and the name that it has here."""

MISSING = "no such file"
"""The problem of a file that is not there; more may follow."""

_SHOWN = 5  # examples in a message


@dataclass(frozen=True, eq=False)
class Listing:
    """Rows that list frames, in no particular order.

    Attributes
    ----------
    root : Path
        Absolute; files are relative to it.
    files : tuple of str
        Distinct files, relative to `root`, with forward slashes; a dataset that is named in one follows it,
        see :data:`sweeper.data.formats.DATASET_MARK`.
    file : int64, (rows,)
        Position in `files`.
    frame : int64, (rows,)
        Position in the file, −1 for all of its frames.
    classes : tuple of str
    label : int64, (rows,)
        Position in `classes`.
    split : str, (rows,)
        ``train``, ``val``, ``test`` or empty.
    group : int64, (rows,), or None
        Rows of equal number belong together; −1 where only others have groups.
    group_names : tuple of str
        Names of the numbers in `group`.
    domain : int64, (rows,), or None
        Rows of equal number come from one domain.
    domain_names : tuple of str
        Names of the numbers in `domain`; empty for rows of which it is not known.
    mask_files : tuple of str
        Distinct mask files, absolute.
    mask : int64, (rows,), or None
        Position in `mask_files`, −1 for none.
    ignored : int
        Number of files that were passed over because their suffix is not that of frames.
    problems : tuple of (str, str)
        Name of each file that is not there, and the reason.
    helping : bool, (rows,), or None
        Whether rows only help, see :mod:`sweeper.data.helping`; None where all are a person's own.
    """

    root: Path
    files: tuple[str, ...]
    file: NDArray[np.int64]
    frame: NDArray[np.int64]
    classes: tuple[str, ...]
    label: NDArray[np.int64]
    split: NDArray[np.str_]
    group: NDArray[np.int64] | None = None
    group_names: tuple[str, ...] = ()
    domain: NDArray[np.int64] | None = None
    domain_names: tuple[str, ...] = ()
    mask_files: tuple[str, ...] = ()
    mask: NDArray[np.int64] | None = None
    ignored: int = 0
    problems: tuple[tuple[str, str], ...] = ()
    helping: NDArray[np.bool_] | None = None


def some_of(items: Sequence[object]) -> str:
    """Return the first few of many items, for a message: ``a, b, c, d, e and 7 more``."""
    text = ", ".join(str(item) for item in items[:_SHOWN])
    return text if len(items) <= _SHOWN else f"{text} and {len(items) - _SHOWN} more"
