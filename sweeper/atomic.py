"""Files that are whole or absent."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomically(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Give the name of a partial file to write, which then takes the place of `path`.

    Parameters
    ----------
    path : Path
        Its folder is made. It is left as it was when the block raises. Several threads, processes and
        machines may write it at once: it is then as one of them wrote it.
    sync : bool
        Wait until the disk has it, so that it is whole also after a power failure. Not for files whose
        reader notices that they are damaged.

    Raises
    ------
    OSError
        It cannot be written; the message names `path`.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if sync:
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        _remove(partial)
        raise OSError(error.errno, f"{path}: {error.strerror or error}") from error
    except BaseException:
        _remove(partial)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it is whole or unchanged; OSError, naming it, when it cannot be written."""
    with atomically(path, sync=False) as partial:
        partial.write_text(text, encoding="utf-8")


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed has left in a folder that nobody else writes to."""
    for partial in folder.glob(".*.partial"):
        _remove(partial)


def _remove(partial: Path) -> None:
    with suppress(OSError):
        partial.unlink()
