"""The lock on a run folder: one sweep at a time, from its first moment on."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweeper.errors import InputError

NAME = ".lock"
_PATIENCE_S = 1.0
"""Whoever looks whether a lock is held holds it for a moment."""
_NOT_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock on a folder, which is there; a process that dies lets go of it, and leaves the file.

    Raises
    ------
    InputError
        Another process holds it; names it.
    """
    path = folder / NAME
    fd = _held(path)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(fd)


def _held(path: Path) -> int:
    """Return a descriptor of the file with its lock: that of a file that was removed meanwhile is none."""
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"--out {path.parent}: not writable ({error.strerror})") from None
        try:
            _take(fd, path.parent)
            if path.exists() and os.path.samestat(os.fstat(fd), path.stat()):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _take(fd: int, folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _NOT_HERE:
                raise InputError(
                    f"--out {folder}: its file system has no file locks, which keep two sweeps apart "
                    f"({error.strerror}); choose a folder on another one, or have it mounted with them"
                ) from None
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() > deadline:
            holder = os.pread(fd, 1000, 0).decode(errors="replace")
            raise InputError(
                f"--out {folder}: another sweep is running in this folder ({holder or 'it has just started'})"
            )
        time.sleep(0.05)
