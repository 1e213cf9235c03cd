"""Which frames are to be sorted: files, folders, globs, manifests and stacks, in the order given."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

from sweeper.data import manifest
from sweeper.data.folders import walk
from sweeper.data.format import Reading, split_suffix
from sweeper.data.formats import formats, split_location
from sweeper.data.frames import count_frames
from sweeper.errors import FrameError, InputError

_RANGE = 64  # frames of a stack that are sorted together


@dataclass(frozen=True)
class Unit:
    """Frames of a file that are sorted together.

    Attributes
    ----------
    path : str
        Absolute.
    frames : tuple of int, or None
        Positions in the file; None: all that it has.
    mask : str or None
        Mask file.
    seen : float
        When the frames were seen, by :func:`time.time`; 0: when they are taken up.
    """

    path: str
    frames: tuple[int, ...] | None = None
    mask: str | None = None
    seen: float = 0.0


def is_stack(path: str | Path) -> bool:
    """Return whether a file may hold many frames, and grow: an HDF5 file."""
    return split_suffix(split_location(path)[0])[0] in _stacks()


def _stacks() -> tuple[str, ...]:
    return next(each.suffixes for each in formats() if each.name == "hdf5")


def check_paths(given: Sequence[str]) -> None:
    """Raise InputError for a path that does not exist, or a pattern that matches nothing."""
    for text in given:
        if not _is_there(text) and not (glob.has_magic(text) and _matches(text)):
            raise InputError(f"{text}: no such file or folder")


def _is_there(text: str) -> bool:
    return split_location(text)[0].exists()


def _matches(pattern: str) -> list[str]:
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  absolute patterns are welcome


def find_units(given: Sequence[str], mask: str | None, reading: Reading) -> Iterator[Unit]:
    """Yield what is to be sorted; folders are walked, files are not opened, but for stacks, to be counted.

    Manifests are read at once: what is wrong with one is said before anything is sorted.

    Parameters
    ----------
    given : sequence of str
        Files, folders, patterns, and CSV or Parquet manifests with a column ``path`` and optionally
        ``frame``, ``mask`` and ``dataset``, which are read as those of a sweep.
    mask : str or None
        Mask file of all frames for which a manifest names none.
    reading : Reading
    """
    paths = [path for text in given for path in ([text] if _is_there(text) else _matches(text))]
    return chain.from_iterable([_units_of(path, mask, reading) for path in paths])


def _units_of(text: str, mask: str | None, reading: Reading) -> Iterator[Unit]:
    path = Path(text)
    if path.suffix.lower() in manifest.SUFFIXES and path.is_file():
        path = path.absolute()
        return _listed(path.parent, manifest.read_located(path), mask, reading)
    if path.is_dir():
        files = (str(file) for file, is_frame in walk(path) if is_frame)
        return chain.from_iterable(file_units(file, mask, reading) for file in files)
    return file_units(text, mask, reading)


def _listed(root: Path, rows: manifest.Located, mask: str | None, reading: Reading) -> Iterator[Unit]:
    """Yield the frames that a manifest lists; those of a stack that follow one another are a unit."""
    files = [os.path.normpath(root / name) for name in rows.files]
    masks = [*rows.mask_files, mask]  # the last for -1
    mask_of = [-1] * len(rows.file) if rows.mask is None else rows.mask.tolist()
    listed = zip(rows.file.tolist(), mask_of, rows.frame.tolist(), strict=True)
    for (file, own), some in groupby(listed, key=lambda row: row[:2]):
        for whole, frames in groupby((frame for _, _, frame in some), key=lambda frame: frame < 0):
            if whole:
                yield from file_units(files[file], masks[own], reading)
            else:
                yield from ranges(files[file], list(frames), masks[own])


def file_units(path: str, mask: str | None, reading: Reading) -> Iterator[Unit]:
    """Yield a file as it is, and a stack in parts."""
    absolute = os.path.abspath(path)  # noqa: PTH100  links keep their names
    if not is_stack(path):
        yield Unit(absolute, None, mask)
        return
    try:
        count = count_frames(path, reading)
    except FrameError:  # said when it is read
        yield Unit(absolute, None, mask)
        return
    yield from ranges(absolute, range(count), mask)


def ranges(path: str, frames: Sequence[int], mask: str | None, seen: float = 0.0) -> Iterator[Unit]:
    """Yield some frames of a stack in parts."""
    for begin in range(0, len(frames), _RANGE):
        yield Unit(path, tuple(frames[begin : begin + _RANGE]), mask, seen)
