"""Preparing the machine for a Ray that is started on it."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sweeper.errors import InputError

_SOCKET_BYTES = 107
"""The longest path that a Unix socket may have."""
_SESSION = "session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
_SHORT = ("/tmp", "/var/tmp")

_SMALLEST_STORE_BYTES = 80 * 2**20
"""Ray refuses less than 75 MiB."""
_STORE_SHARE = 0.3
"""Of the memory, unless something else is asked for: what Ray itself takes."""
_PROCESS_BYTES, _CORE_BYTES = 6 * 2**30, 64 * 2**20
"""Address space that a process of a sweep takes besides the object store at most, and more for each core."""


@contextmanager
def ground(object_store_gb: float | None) -> Iterator[dict[str, Any]]:
    """Give options for ``ray.init`` that make Ray start on this machine.

    Raises
    ------
    InputError
        Something has to be changed first; says what.
    """
    with ExitStack() as stack:
        options: dict[str, Any] = {"object_store_memory": _store_bytes(object_store_gb)}
        temp = _temp_folder()
        if not _is_fit(temp):
            short = next((place for place in _SHORT if _can_make(Path(place))), None)
            if short is None:
                raise InputError(
                    f"Ray needs a folder for its sockets whose path is shorter than that of {temp}: set "
                    "RAY_TMPDIR to one that can be written"
                )
            session = tempfile.TemporaryDirectory(prefix="sweeper-", dir=short, ignore_cleanup_errors=True)
            options["_temp_dir"] = stack.enter_context(session)
            if _can_make(temp):  # what does not fit into memory goes where there may be more room
                spilled = tempfile.TemporaryDirectory(prefix="spilled-", dir=temp, ignore_cleanup_errors=True)
                options["object_spilling_directory"] = stack.enter_context(spilled)
        yield options


def _store_bytes(gb: float | None) -> int | None:
    """Return the size of the object store, None for Ray's own choice.

    Every process maps all of it. Where address space is limited it is made smaller: half of what is left
    is for the data that a process works on.
    """
    asked = None if gb is None else max(_SMALLEST_STORE_BYTES, int(gb * 2**30))
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return asked
    needed = _PROCESS_BYTES + _CORE_BYTES * (os.cpu_count() or 1)
    fitting = (limit - needed) // 2
    if fitting < max(_SMALLEST_STORE_BYTES, asked or 0):
        smaller = "" if gb is None else " or choose a smaller --object-store-gb"
        raise InputError(
            f"a process may have {limit / 2**30:.1f} GiB of address space (ulimit -v), and Ray needs "
            f"{(needed + 2 * (asked or _SMALLEST_STORE_BYTES)) / 2**30:.1f} GiB here: raise the limit, with "
            f"'ulimit -v unlimited' where that is allowed{smaller}"
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return asked or min(int(fitting), int(_STORE_SHARE * memory))


def _temp_folder() -> Path:
    """Return where Ray keeps its sockets and logs by default."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")


def _is_fit(temp: Path) -> bool:
    """Return whether Ray can use a temporary folder: short enough, plain and writable."""
    longest = os.fsencode(temp / "ray" / _SESSION)
    return (
        temp.is_absolute() and len(longest) <= _SOCKET_BYTES and longest.isascii() and _can_make(temp / "ray")
    )


def _can_make(folder: Path) -> bool:
    """Return whether files can be made in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
