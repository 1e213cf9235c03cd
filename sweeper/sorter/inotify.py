"""The kernel's notices of files that were closed after writing or moved into a folder, on Linux."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from dataclasses import dataclass
from pathlib import Path

_CLOSE_WRITE, _MOVED_TO, _CREATE, _ONLYDIR = 0x8, 0x80, 0x100, 0x01000000
_OVERFLOW, _IGNORED, _ISDIR = 0x4000, 0x8000, 0x40000000
_HEAD = struct.Struct("iIII")
_BUFFER = 1 << 16


@dataclass(frozen=True)
class Notice:
    """Something that happened in a folder.

    Attributes
    ----------
    path : str
        Empty where notices were lost.
    is_folder : bool
    """

    path: str
    is_folder: bool


class Notices:
    """Notices of what happens in folders.

    Raises
    ------
    OSError
        The kernel has none to give.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._library, "inotify_init1"):
            raise OSError("no inotify here")
        self._file = self._checked(self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._folders: dict[int, str] = {}

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def add(self, folder: str | Path) -> None:
        """Ask for notices of a folder, but not of those below it; again is no harm."""
        mask = _CLOSE_WRITE | _MOVED_TO | _CREATE | _ONLYDIR
        number = self._checked(self._library.inotify_add_watch(self._file, os.fsencode(folder), mask))
        self._folders[number] = str(folder)

    def wait(self, timeout_s: float) -> list[Notice]:
        """Return what happened, waiting so long for it at most."""
        ready, _, _ = select.select([self._file], [], [], max(0.0, timeout_s))
        if not ready:
            return []
        data, found, place = os.read(self._file, _BUFFER), [], 0
        while place < len(data):
            number, mask, _, length = _HEAD.unpack_from(data, place)
            place += _HEAD.size
            name = os.fsdecode(data[place : place + length].rstrip(b"\0"))
            place += length
            if mask & _OVERFLOW:
                found.append(Notice("", False))
            elif number in self._folders and not mask & _IGNORED:
                is_folder = bool(mask & _ISDIR)
                if is_folder or not mask & _CREATE:  # a new file is told of once more, when it is closed
                    found.append(Notice(os.path.join(self._folders[number], name), is_folder))  # noqa: PTH118
        return found

    def close(self) -> None:
        """Stop."""
        os.close(self._file)
