"""Files below a URL: listed, read and written in pieces, with patience for a store that is unwell."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from sweeper.errors import InputError
from sweeper.runs.mirror.urls import endpoint, hidden, open_url, shown

PIECE = 4 * 2**20
"""Bytes that are in memory at once for one file."""
ANSWER_S = 15.0
"""Patience with the first request; timeouts of the request itself may add a few seconds."""
PATIENCE_S = 60.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
_REFUSED = (
    "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "INVALID_CLIENT_TOKEN_ID", "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT", "MISSING_AUTHENTICATION_TOKEN", "EXPIRED", "HTTP status 401", "HTTP status 403",
)  # fmt: skip
_NO_BUCKET = ("NO_SUCH_BUCKET", "Bucket not found")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Entry:
    """Size in bytes of a file at the URL, and when the store says it was written, seconds since 1970."""

    size: int
    modified_s: float


def is_transient(error: BaseException) -> bool:
    """Whether asking again may help; errors of a disk carry a number, those of a store do not."""
    if not isinstance(error, OSError) or error.errno is not None:
        return False
    return not any(word in str(error) for word in (*_REFUSED, *_NO_BUCKET))


def patiently(ask: Callable[[], _T], patience_s: float = PATIENCE_S) -> _T:
    """What `ask` gives; asked again, after pauses that double, while its error may pass and time is left."""
    end, pause = time.monotonic() + patience_s, _FIRST_PAUSE_S
    while True:
        try:
            return ask()
        except OSError as error:
            if not is_transient(error) or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def reason(error: BaseException) -> str:
    """What was wrong, in a few words, without credentials."""
    text = " ".join(str(error).split())
    if any(word in text for word in _NO_BUCKET):
        return "no such bucket"
    if isinstance(error, PermissionError) or any(word in text for word in _REFUSED):
        return f"no permission ({hidden(text)})"
    if "NETWORK_CONNECTION" in text:
        place = shown(named).partition("://")[2] if (named := endpoint()) else "the store"
        return f"{place} does not answer ({hidden(text)})"
    return hidden(text)


def is_plain(name: str) -> bool:
    """Whether a name stays in its folder and is not hidden: nothing empty, no part begins with a dot."""
    return all(part and not part.startswith(".") for part in name.split("/"))


class Remote:
    """The folder at a URL.

    Parameters
    ----------
    url : str

    Raises
    ------
    ValueError
        It cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.shown = shown(url)
        self._fs, self._base = open_url(url)
        self._folders = self._fs.type_name in ("local", "hdfs")

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    def error(self, error: BaseException) -> ValueError:
        """An error of the store as one of the user's input."""
        return InputError(f"{self.shown}: {reason(error)}")

    def top(self) -> dict[str, Entry]:
        """Files right below the URL; the first thing to ask.

        Raises
        ------
        ValueError
            No such bucket, no permission, nobody answers.
        """
        try:
            found = patiently(lambda: self.list(""), ANSWER_S)
            if not found and self._fs.type_name == "s3":
                self._check_bucket()
            return found
        except OSError as error:
            raise self.error(error) from None

    def _check_bucket(self) -> None:
        from pyarrow import fs

        bucket = self._base.partition("/")[0]
        try:
            there = self._fs.get_file_info(bucket).type != fs.FileType.NotFound
        except OSError:
            return  # may be listed and not asked about; writing will tell
        if not there:
            raise InputError(f"{self.shown}: no such bucket ({bucket})")

    def list(self, folder: str, *, recursive: bool = False) -> dict[str, Entry]:
        """Files in a folder by name below the URL; none where there is none. Hidden ones are left out."""
        from pyarrow import fs

        selector = fs.FileSelector(self._path(folder), allow_not_found=True, recursive=recursive)
        found = {}
        for info in self._fs.get_file_info(selector):
            name = info.path.removeprefix(f"{self._base}/")
            if info.type == fs.FileType.File and is_plain(name):
                found[name] = Entry(int(info.size), info.mtime_ns / 1e9 if info.mtime_ns else 0.0)
        return found

    def modified_s(self, name: str) -> float:
        """When the store says that a file was written; 0 when it is not there."""
        return float(self._fs.get_file_info(self._path(name)).mtime_ns or 0) / 1e9

    def read(
        self, name: str, into: BinaryIO, skip: int = 0, piece_done: Callable[[], None] | None = None
    ) -> int:
        """Append a file, without its first bytes, to one that is open here; gives the number of bytes."""
        read = 0
        with self._fs.open_input_file(self._path(name)) as source:
            source.seek(skip)
            while len(piece := source.read_buffer(PIECE)):
                into.write(piece)
                read += len(piece)
                if piece_done is not None:
                    piece_done()
        return read

    def read_small(self, name: str, most: int = 65536) -> bytes | None:
        """The first bytes of a file; None when there is none."""
        try:
            with self._fs.open_input_file(self._path(name)) as source:
                data: bytes = source.read(most)
                return data
        except FileNotFoundError:
            return None

    def fetch(self, name: str, entry: Entry, to: Path, piece_done: Callable[[], None] | None = None) -> None:
        """Copy a file here, whole or not at all; its time of change is the store's."""
        to.parent.mkdir(parents=True, exist_ok=True)
        partial = to.with_name(f".{to.name}.{os.getpid()}.partial")
        try:

            def copy() -> None:
                with partial.open("wb") as file:
                    self.read(name, file, piece_done=piece_done)

            patiently(copy)
            os.utime(partial, (entry.modified_s, entry.modified_s))
            partial.replace(to)
        finally:
            partial.unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file."""
        self._write(name, lambda stream: stream.write(data))

    def send(
        self,
        name: str,
        source: BinaryIO,
        start: int,
        size: int,
        piece_done: Callable[[], None] | None = None,
    ) -> None:
        """Write bytes of an open file; what is not written whole is taken back."""

        def copy(stream: Any) -> None:
            source.seek(start)
            left = size
            while left:
                piece = source.read(min(left, PIECE))
                if not piece:
                    raise EOFError(f"{name} became shorter")
                stream.write(piece)
                left -= len(piece)
                if left and piece_done is not None:
                    piece_done()

        self._write(name, copy)

    def _write(self, name: str, fill: Callable[[Any], object]) -> None:
        path = self._path(name)
        target = path
        if self._folders:
            folder, _, last = path.rpartition("/")
            self._fs.create_dir(folder, recursive=True)
            if self._fs.type_name == "local":
                target = f"{folder}/.{last}.{os.getpid()}.partial"
        stream = self._fs.open_output_stream(target)
        try:
            fill(stream)
        except BaseException:
            self._take_back(stream, target)
            raise
        stream.close()
        if target != path:
            self._fs.move(target, path)

    def _take_back(self, stream: Any, path: str) -> None:
        """Closing publishes what was written so far, and a stream that is not closed closes itself."""
        try:
            stream.close()
            self._fs.delete_file(path)
        except (OSError, ValueError):
            return  # its size tells that it is not whole: it is sent again

    def delete(self, name: str) -> None:
        """Remove a file; none is there afterwards."""
        try:
            self._fs.delete_file(self._path(name))
        except FileNotFoundError:
            return
