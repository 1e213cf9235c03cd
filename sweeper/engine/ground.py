"""What Ray needs of the machine that it is started on, found out before it starts."""

from __future__ import annotations

import os
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


@contextmanager
def ground() -> Iterator[dict[str, Any]]:
    """Give options for ``ray.init`` that make Ray start on this machine.

    Raises
    ------
    InputError
        Something has to be changed first; says what.
    """
    with ExitStack() as stack:
        options = {}
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
