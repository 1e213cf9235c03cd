"""The formats that frames are read from: one file of this folder for each, and nothing else to add it to.

:mod:`sweeper.data.frames` is the interface to all of them; ``docs/add_a_format.md`` says how to add one.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import zlib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from sweeper.data.format import DEFAULT_READING, Format, Reading, Source, split_suffix
from sweeper.errors import FrameError, InputError


@cache
def formats() -> tuple[Format, ...]:
    """Return every format, in order of name.

    Raises
    ------
    ValueError
        A file of the folder holds no format, or one of another name; two formats have the same suffix.
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = tuple(_load(name) for name in names if not name.startswith("_"))
    by_suffix(found)
    return found


def _load(name: str) -> Format:
    module = importlib.import_module(f"{__name__}.{name}")
    found = getattr(module, "FORMAT", None)
    if not isinstance(found, Format):
        raise InputError(f"{module.__file__}: a format file must have a constant FORMAT, a Format")
    if found.name != name:
        raise InputError(f"{module.__file__}: FORMAT.name must be {name!r}, as the file, got {found.name!r}")
    return found


def by_suffix(some: Iterable[Format]) -> dict[str, Format]:
    """Return the format of each suffix, and under the empty suffix the one that takes all others.

    Raises
    ------
    ValueError
        Two formats have a suffix in common, or both take suffixes that no format has.
    """
    owners: dict[str, Format] = {}
    for each in some:
        for suffix in (*each.suffixes, *([""] if each.takes_other_suffixes else [])):
            owner = owners.setdefault(suffix, each)
            if owner is not each:
                what = f"the suffix {suffix}" if suffix else "suffixes that no format has"
                raise InputError(f"{what}: must belong to one format, got {owner.name} and {each.name}")
    return owners


@cache
def _owners() -> dict[str, Format]:
    return by_suffix(formats())


def has_known_suffix(name: str | Path) -> bool:
    """Return whether some format has the suffix of a file, compressed or not."""
    suffix, _ = split_suffix(str(name).partition(DATASET_MARK)[0])
    return suffix != "" and suffix in _owners()


def format_of(path: str | Path) -> Format:
    """Return the format of a file by its suffix, or by its first bytes where the suffix does not tell."""
    file, _ = split_location(path)
    suffix, compression = split_suffix(file)
    owners = _owners()
    format = owners.get(suffix, owners[""])
    return _by_magic(Source(file, compression), format) if format is owners[""] else format


def _by_magic(source: Source, otherwise: Format) -> Format:
    marks = [(magic, each) for each in formats() for magic in each.magic]
    try:
        begins = source.beginning(max(len(magic) for magic, _ in marks))
    except (OSError, EOFError, zlib.error):  # said when it is opened
        return otherwise
    return next((each for magic, each in marks if begins.startswith(magic)), otherwise)


DATASET_MARK = "::"
"""Stands between a file and the dataset in it: ``scan.h5::/1.1/measurement/eiger``."""


def split_location(path: str | Path) -> tuple[Path, str | None]:
    """Return the file that a location names, and the dataset in it or None."""
    file, mark, dataset = str(path).partition(DATASET_MARK)
    if not mark or not dataset or os.path.exists(path):  # noqa: PTH110  Path.exists raises for long names
        return Path(path), None
    return Path(file), dataset


def source_of(path: str | Path, reading: Reading = DEFAULT_READING) -> Source:
    """Return a file as something to open.

    Parameters
    ----------
    path : str or Path
        The file, or file and dataset in one: see :data:`DATASET_MARK`.
    reading : Reading
        How it is read; a dataset that `path` names goes first.

    Raises
    ------
    FrameError
        No such file, a folder, or an empty file.
    """
    file, dataset = split_location(path)
    if not file.exists():
        raise FrameError(path, "no such file")
    if not file.is_file():
        raise FrameError(path, "not a file")
    if file.stat().st_size == 0:
        raise FrameError(path, "empty: the file has no bytes")
    if dataset is not None:
        reading = replace(reading, dataset=dataset)
    return Source(file, split_suffix(file)[1], reading)
