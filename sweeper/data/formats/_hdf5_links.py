"""Links in an HDF5 file: what they lead to, or which file or object is not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeper.data.format import Source
from sweeper.errors import FrameError

_DEEPEST = 32  # links and groups within each other; a chain that leads in a circle must end
_MOST_OBJECTS = 200_000

STILL_WRITTEN = "open for writing by another program, or left so by one that was killed"


def open_file(path: Path | Any, *, live: bool = False) -> Any:
    """Open an HDF5 file for reading, `live` where a writer may have it open in SWMR mode."""
    import h5py
    import hdf5plugin  # noqa: F401  registers bitshuffle, LZ4, Zstandard, ...

    if live:
        return h5py.File(path, "r", libver="latest", swmr=True, locking=False)
    return h5py.File(path, "r", locking=False)  # another process may still be writing


def open_any(path: Path | Any) -> tuple[Any, bool]:
    """Open a file as :func:`open_file`, live where it cannot be opened otherwise; return which it was."""
    try:
        return open_file(path), False
    except OSError as error:
        if not is_still_written(error):
            raise
    return open_file(path, live=True), True


def is_still_written(error: BaseException) -> bool:
    """Return whether HDF5 refused a file because of the mark that a writer leaves in it."""
    return "already open for write" in str(error) or "already open for SWMR" in str(error)


def cannot_be_opened(error: OSError) -> str:
    """Return what is wrong with another file that HDF5 refused, to follow its name and "which"."""
    return f"is {STILL_WRITTEN}" if is_still_written(error) else "cannot be opened: damaged or truncated"


@dataclass
class Tree:
    """An open file whose links are followed one by one, so that what is missing can be named.

    Attributes
    ----------
    source : Source
    file : h5py.File
    live : bool
        Whether it is open as one that is being written in SWMR mode.
    stack : ExitStack
        Closes what is opened on the way.
    """

    source: Source
    file: Any
    live: bool
    stack: ExitStack = field(default_factory=ExitStack)

    def get(self, group: Any, name: str, depth: int = 0) -> Any:
        """Return what a path below a group leads to; None where there is no such name.

        Raises
        ------
        FrameError
            A link on the way leads to what is not there; it is named.
        """
        if not self.source.compression:
            try:
                return group[name]
            except (KeyError, OSError, RuntimeError, ValueError):  # not there, or a link to nothing
                pass
        return self._step_by_step(group, name, depth)

    def _step_by_step(self, group: Any, name: str, depth: int) -> Any:
        import h5py

        here = group.file["/"] if name.startswith("/") else group
        for part in [part for part in name.split("/") if part not in ("", ".")]:
            if not hasattr(here, "keys"):
                return None
            link = here.get(part, getlink=True)
            if link is None:
                return None
            if depth > _DEEPEST:
                raise self.error(here, part, "leads in a circle")
            if isinstance(link, h5py.SoftLink):
                found = self._step_by_step(here, link.path, depth + 1)
                if found is None:
                    raise self.error(here, part, f"links to {link.path}, which is not there")
            elif isinstance(link, h5py.ExternalLink):
                found = self._external(here, part, link, depth)
            else:
                found = self._hard(here, part)
            here = found
        return here

    def error(self, group: Any, name: str, problem: str) -> FrameError:
        """Return an error that says what is wrong with a link."""
        return FrameError(self.source.path, f"{group.name.rstrip('/')}/{name} {problem}")

    def _hard(self, group: Any, name: str) -> Any:
        try:
            return group[name]
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            raise self.error(group, name, "is damaged or truncated: it cannot be opened") from error

    def _external(self, group: Any, name: str, link: Any, depth: int) -> Any:
        if self.source.compression:
            what = f"links to {link.filename}: unpack the file to read it with its others"
            raise self.error(group, name, what)
        try:
            return group[name]
        except (KeyError, OSError) as error:
            file = find_file(group.file.filename, link.filename)
            if file is None:
                raise self.error(group, name, f"links to {link.filename}, which is not there") from error
            try:
                other, live = open_any(file)
            except OSError as opening:
                what = f"links to {link.filename}, which {cannot_be_opened(opening)}"
                raise self.error(group, name, what) from error
            self.stack.callback(other.close)
            self.live |= live
            found = self.get(other, link.path, depth + 1)
            if found is None:
                what = f"links to {link.path}, which is not there in {link.filename}"
                raise self.error(group, name, what) from error
            return found

    def walk(self) -> Iterator[tuple[str, Any]]:
        """Yield the path of every dataset, each once, and of every link that is broken with its error."""
        seen: set[tuple[int, int]] = set()
        waiting: list[tuple[str, Any]] = [("", self.file)]
        while waiting and len(seen) < _MOST_OBJECTS:
            above, group = waiting.pop(0)
            for name in group.keys():  # noqa: SIM118  a group is no mapping of what is there alone
                path = f"{above}/{name}"
                try:
                    item = self.get(group, name)
                except FrameError as error:
                    yield path, error
                    continue
                if item is None or not (hasattr(item, "keys") or hasattr(item, "chunks")):
                    continue  # a named datatype
                mark = identity(item)
                if mark in seen:
                    continue
                seen.add(mark)
                if hasattr(item, "keys"):
                    waiting.append((path, item))
                else:
                    yield path, item


def identity(item: Any) -> tuple[int, int]:
    """Return what is the same for two names of one object."""
    import h5py

    info = h5py.h5o.get_info(item.id)
    return int(info.fileno), int(info.addr)


def find_file(main: str, name: str) -> Path | None:
    """Return the file that another one names, where HDF5 looks for it: None if it is in none of the places.

    The current folder, where HDF5 looks as well, is left out: it is another one in every process.

    Parameters
    ----------
    main : str
        Path of the file that names it.
    name : str
        As it is named.
    """
    folder = Path(main).parent
    base = name
    places = []
    if os.path.isabs(name):  # noqa: PTH117
        places.append(Path(name))
        base = Path(name).name
    for variable in ("HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX"):
        for prefix in os.environ.get(variable, "").split(":"):
            if prefix:
                places.append(Path(prefix.replace("${ORIGIN}", str(folder)), base))
    places += [folder / base, Path(os.path.realpath(main)).parent / base]
    return next((place for place in places if place.is_file()), None)
