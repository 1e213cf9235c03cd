"""Files below a URL: listed, read and written in pieces. The store's library repeats what fails."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from sweeper.errors import InputError
from sweeper.runs.mirror.stores import Place, place_of
from sweeper.runs.mirror.urls import credentials_of, hidden, shown

if TYPE_CHECKING:
    from obstore import GetOptions

PIECE = 5 * 2**20
"""Bytes of one file that are read or sent in one request; S3 takes no smaller parts."""

REQUEST_TIMEOUT_S = 5.0
"""For a request that carries little; it is repeated for ANSWER_S while it fails."""
ANSWER_S = 15.0
DATA_TIMEOUT_S = 30.0
"""For a request that carries a piece of a file; a piece that fails is read again for READING_S."""
READING_S = 60.0
WRITING_S = 3.0
"""Seconds until a failed write is reported, and sent later. With DATA_TIMEOUT_S, less than what is left of a
lease between two refreshes."""

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
_REFUSED = ("401 Unauthorized", "403 Forbidden", "os error 13", "PermissionDenied", "Unauthenticated")
_NO_CREDENTIALS = ("/latest/api/token", "/computeMetadata/", "/identity/oauth2/token")
"""Where a cloud's machines are asked for credentials when nothing else has them."""


@dataclass(frozen=True)
class Entry:
    """Size in bytes of a file at the URL, and when the store says it was written, seconds since 1970."""

    size: int
    modified_s: float


Version = dict[str, str]
"""Mark that tells one content of a file from the next: the e-tag, or whatever the store has for it."""


class StoreError(Exception):
    """The store did not do what it was asked for; the message says why in a few words."""


class NotThereError(StoreError):
    """The file is not there, or no longer what it was."""


@contextmanager
def _asking(place: Place) -> Iterator[None]:
    """Turn the errors of the store's library into :class:`StoreError`; those of a disk carry a number."""
    try:
        yield
    except (BaseError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        gone = isinstance(error, FileNotFoundError | PreconditionError)
        kind = NotThereError if gone and not any(word in str(error) for word in _NO_BUCKET) else StoreError
        raise kind(_reason(str(error), place)) from None


def _reason(text: str, place: Place) -> str:
    """Return what was wrong, in a few words, without credentials and without the address of the request."""
    text, _, details = text.partition("\n\nDebug source")
    _, sent, answer = text.partition(" - ")
    short = hidden(" ".join((answer if sent else text).split()))
    if xml := re.search(r"<Code>(.*?)</Code>.*?<Message>(.*?)</Message>", short):
        short = f"{xml[1]}: {xml[2]}"
    if any(word in text for word in _NO_BUCKET):
        return "no such bucket"
    if any(word in text for word in _NO_CREDENTIALS):
        return f"no credentials; they come from {credentials_of(place.scheme)}"
    if any(word in text or word in details for word in _REFUSED):
        return f"no permission ({short})"
    if "HTTP error" in short:
        causes = re.findall(r'(?:message|error): "([^"]+)"', details)
        if "InvalidCertificate" in details:
            causes = ["its certificate is not trusted"]
        elif "TimedOut" in details:
            causes = ["timed out"]
        return f"{place.name} does not answer ({hidden(causes[-1]) if causes else short})"
    return short


def reason(error: BaseException) -> str:
    """Return an error of the store or of this machine's disk as one line, without credentials."""
    return hidden(" ".join(str(error).split()))


def is_plain(name: str) -> bool:
    """Return whether a name stays in its folder and is not hidden: no part is empty or begins with a dot."""
    return all(part and not part.startswith(".") for part in name.split("/"))


class Remote:
    """The folder at a URL.

    Parameters
    ----------
    url : str

    Raises
    ------
    InputError
        The URL cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.shown = shown(url)
        self._place = place_of(url)
        self._asked = self._place.store(REQUEST_TIMEOUT_S, ANSWER_S)
        self._read = self._place.store(DATA_TIMEOUT_S, READING_S)
        self._written = self._place.store(DATA_TIMEOUT_S, WRITING_S)

    def _path(self, name: str) -> str:
        return f"{self._place.folder}/{name}".strip("/")

    def _asking(self) -> Any:
        return _asking(self._place)

    def error(self, error: BaseException) -> InputError:
        """Return an error of the store as one of the user's input."""
        return InputError(f"{self.shown}: {reason(error)}")

    def top(self) -> dict[str, Entry]:
        """Return the files right below the URL; the first thing to ask.

        Raises
        ------
        InputError
            No such bucket, no permission, nobody answers.
        """
        try:
            return self.list("")
        except StoreError as error:
            raise self.error(error) from None

    def list(self, folder: str, *, recursive: bool = False) -> dict[str, Entry]:
        """Return the files in a folder by their names below the URL; hidden and empty ones are left out."""
        path, base = self._path(folder), self._place.folder
        with self._asking():
            if recursive:
                objects = [meta for batch in obstore.list(self._asked, path) for meta in batch]
            else:
                objects = list(obstore.list_with_delimiter(self._asked, path)["objects"])
        named = {meta["path"].removeprefix(base).lstrip("/"): meta for meta in objects}
        # an empty object may be a mark of a folder: the slash that ends its name is not seen here
        return {
            name: Entry(meta["size"], meta["last_modified"].timestamp())
            for name, meta in named.items()
            if meta["size"] and is_plain(name)
        }

    def modified(self, name: str) -> datetime | None:
        """Return when the store says that a file was written; None when it is not there."""
        try:
            with self._asking():
                return obstore.head(self._asked, self._path(name))["last_modified"]
        except NotThereError:
            return None

    def read(
        self, name: str, into: BinaryIO, skip: int = 0, piece_done: Callable[[], None] | None = None
    ) -> int:
        """Append a file, without its first bytes, to one that is open here; return the number of bytes.

        The file must be longer than what is skipped.

        Raises
        ------
        NotThereError
            The file is not there, or was written again meanwhile.
        """
        at, size = skip, skip + 1
        options: GetOptions = {}
        while at < size:
            options["range"] = (at, at + PIECE)
            with self._asking():
                answer = obstore.get(self._read, self._path(name), options=options)
                piece = answer.bytes()
            size = answer.meta["size"]
            if tag := answer.meta["e_tag"]:
                options["if_match"] = tag
            into.write(piece)
            at += len(piece)
            if piece_done is not None:
                piece_done()
        return at - skip

    def read_small(self, name: str, most: int = 65536) -> tuple[bytes, Version] | None:
        """Return a file and its version; None when there is none. One that is too long counts as empty."""
        try:
            with self._asking():
                answer = obstore.get(self._asked, self._path(name))
                return (bytes(answer.bytes()) if answer.meta["size"] <= most else b""), _version(answer.meta)
        except NotThereError:
            return None

    def fetch(self, name: str, entry: Entry, to: Path, piece_done: Callable[[], None] | None = None) -> None:
        """Copy a file here, whole or not at all; its time of change is the store's."""
        to.parent.mkdir(parents=True, exist_ok=True)
        partial = to.with_name(f".{to.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                self.read(name, file, piece_done=piece_done)
            os.utime(partial, (entry.modified_s, entry.modified_s))
            partial.replace(to)
        finally:
            partial.unlink(missing_ok=True)

    def write(self, name: str, data: bytes) -> None:
        """Write a small file."""
        with self._asking():
            obstore.put(self._asked, self._path(name), data)

    def replace(self, name: str, data: bytes, seen: Version | None) -> bool:
        """Write a small file if it is still as it was seen (None: not there); return whether it was written.

        Nobody can write in between. After an answer was lost, False may be returned for what was written.
        """
        if self._place.local:
            return self._replace_here(name, data, seen)
        with self._asking():
            try:
                mode: Any = "create" if seen is None else seen
                obstore.put(self._asked, self._path(name), data, mode=mode)
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                return False
        return True

    def _replace_here(self, name: str, data: bytes, seen: Version | None) -> bool:
        """Do the same in a folder, which has no conditional writes: a lock keeps others away meanwhile."""
        folder = Path("/", self._place.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f".{name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                now = self.read_small(name)
                if (None if now is None else now[1]) != seen:
                    return False
                self.write(name, data)
                return True
        except OSError as error:
            raise StoreError(reason(error)) from None

    def send(
        self,
        name: str,
        source: BinaryIO,
        start: int,
        size: int,
        piece_done: Callable[[], None] | None = None,
    ) -> None:
        """Write bytes of an open file, whole or not at all.

        Raises
        ------
        EOFError
            The file is shorter.
        """
        path = self._path(name)
        source.seek(start)
        with (
            self._asking(),
            obstore.open_writer(self._written, path, buffer_size=PIECE, max_concurrency=1) as stream,
        ):
            left = size
            while left:
                piece = source.read(min(left, PIECE))
                if not piece:
                    raise EOFError(f"{name} became shorter")
                stream.write(piece)
                left -= len(piece)
                if left and piece_done is not None:
                    piece_done()

    def delete(self, name: str) -> None:
        """Remove a file; none is there afterwards."""
        with suppress(NotThereError), self._asking():
            obstore.delete(self._asked, self._path(name))


def _version(meta: Mapping[str, Any]) -> Version:
    return {part: meta[part] for part in ("e_tag", "version") if meta[part] is not None}
