"""The formats that frames are read from: one file of this folder for each, and nothing else to add it to.

:mod:`sweeper.data.frames` is the interface to all of them; ``docs/add_a_format.md`` says how to add one.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from sweeper.data.format import Format, Source, split_suffix
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
    suffix, _ = split_suffix(name)
    return suffix != "" and suffix in _owners()


def format_of(path: str | Path) -> Format:
    """Return the format of a file by its suffix, or the one that looks at the first bytes of all others."""
    suffix, _ = split_suffix(path)
    owners = _owners()
    return owners.get(suffix, owners[""])


def source_of(path: Path) -> Source:
    """Return a file as something to open.

    Raises
    ------
    FrameError
        No such file, a folder, or an empty file.
    """
    if not path.exists():
        raise FrameError(path, "no such file")
    if not path.is_file():
        raise FrameError(path, "not a file")
    if path.stat().st_size == 0:
        raise FrameError(path, "empty: the file has no bytes")
    return Source(path, split_suffix(path)[1])
