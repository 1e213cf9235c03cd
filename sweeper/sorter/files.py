"""Which frames are to be sorted: files, folders, globs, manifests and stacks, in the order given."""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeper.data.folders import walk
from sweeper.data.format import Reading, split_suffix
from sweeper.data.formats import formats, split_location
from sweeper.data.frames import count_frames
from sweeper.errors import FrameError, InputError

MANIFESTS = (".csv", ".parquet", ".pq")
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

    Parameters
    ----------
    given : sequence of str
        Files, folders, patterns, and CSV or Parquet manifests with a column ``path`` and optionally ``frame``
        and ``mask``.
    mask : str or None
        Mask file of all frames for which a manifest names none.
    reading : Reading
    """
    for text in given:
        if _is_there(text):
            yield from _units_of(text, mask, reading)
        else:
            for path in _matches(text):
                yield from _units_of(path, mask, reading)


def _units_of(text: str, mask: str | None, reading: Reading) -> Iterator[Unit]:
    path = Path(text)
    if path.suffix.lower() in MANIFESTS and path.is_file():
        yield from _manifest(path, mask)
    elif path.is_dir():
        for file, is_frame in walk(path):
            if is_frame:
                yield from file_units(str(file), mask, reading)
    else:
        yield from file_units(text, mask, reading)


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


def _manifest(path: Path, mask: str | None) -> Iterator[Unit]:
    """Yield the frames that a manifest lists; paths are relative to its folder."""
    for number, row in enumerate(_manifest_rows(path), start=1):
        name, frame = row.get("path") or "", row.get("frame") or ""
        if not name:
            raise InputError(f"{path}: column path must name a file in every row, row {number} has none")
        if frame and not frame.isdecimal():
            raise InputError(f"{path}: frame must be a position from 0, row {number} has {frame!r}")
        own = row.get("mask") or ""
        yield Unit(
            os.path.normpath(path.absolute().parent / name),
            (int(frame),) if frame else None,
            os.path.normpath(path.absolute().parent / own) if own else mask,
        )


def _manifest_rows(path: Path) -> Iterator[dict[str, str]]:
    if path.suffix.lower() == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from csv.DictReader(file)
        return
    import pyarrow.parquet as pq

    for row in pq.read_table(path).to_pylist():
        yield {name: "" if value is None else str(value) for name, value in row.items()}
