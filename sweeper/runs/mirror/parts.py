"""The journal at a URL: ``journal.jsonl`` and, after it, parts named by where they begin.

Objects cannot be appended to. What is new goes to ``journal/<offset>.jsonl``, whole lines only, so nothing
is sent twice; a clean end makes one ``journal.jsonl`` of it all. Whoever reads goes by the offsets, skips
parts that the file before them already holds, and ends at a gap or a torn line.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from sweeper.runs.contents import JOURNAL
from sweeper.runs.mirror.remote import PIECE, NotThereError, Remote

_FOLDER = "journal"
_MOST_PARTS = 256
"""When there are more they are made one file, so that reading does not take a request for each push."""

_LOOKS = 3


def whole_lines(file: BinaryIO, start: int, end: int) -> int:
    """Return where the last line that ends between two places ends; `start` when none does."""
    while end > start:
        first = max(start, end - PIECE)
        file.seek(first)
        found = file.read(end - first).rfind(b"\n")
        if found >= 0:
            return first + found + 1
        end = first
    return start


def is_prefix(prefix: Path, size: int, path: Path) -> bool:
    """Return whether a file begins with the first bytes of another."""
    if not path.exists() or path.stat().st_size < size:
        return False
    with prefix.open("rb") as one, path.open("rb") as other:
        while size > 0:
            piece = one.read(min(size, PIECE))
            if not piece or piece != other.read(len(piece)):
                return False
            size -= len(piece)
    return True


class JournalParts:
    """The journal at a URL, as far as it was sent.

    Attributes
    ----------
    sent : int
        Bytes of it that are at the URL.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.sent = 0
        self._whole = 0
        self._parts: list[str] = []

    def fetch(self, to: Path, piece_done: Callable[[], None] | None = None) -> int:
        """Write the journal at the URL into a file, whole lines only; return its size in bytes."""
        for _ in range(_LOOKS - 1):
            with suppress(NotThereError):  # the driver made one file of the parts since they were listed
                return self._fetch(to, piece_done)
        return self._fetch(to, piece_done)

    def _fetch(self, to: Path, piece_done: Callable[[], None] | None) -> int:
        sizes = {name: entry.size for name, entry in self._remote.list(_FOLDER).items()}
        starts = {int(Path(name).stem): name for name in sizes if Path(name).stem.isdecimal()}
        self._parts = [starts[start] for start in sorted(starts)]
        pieces = [(start, starts[start]) for start in sorted(starts)]
        there = self._remote.list("").get(JOURNAL)
        if there is not None:
            sizes[JOURNAL] = there.size
            pieces.insert(0, (0, JOURNAL))
        end = 0
        with to.open("w+b") as file:
            for start, name in pieces:
                if start > end:
                    break
                if start + sizes[name] > end:
                    file.seek(end)
                    self._remote.read(name, file, end - start, piece_done)
                    end = whole_lines(file, end, file.tell())
                    file.truncate(end)
                if name == JOURNAL:
                    self._whole = end
        self.sent = end
        return end

    def push(self, path: Path, piece_done: Callable[[], None] | None = None) -> None:
        """Send the lines that are new."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            end = whole_lines(file, self.sent, path.stat().st_size)
            if end == self.sent:
                return
            name = f"{_FOLDER}/{self.sent:015}.jsonl"
            self._remote.send(name, file, self.sent, end - self.sent, piece_done)
        if name not in self._parts:
            self._parts.append(name)
        self.sent = end
        if len(self._parts) > _MOST_PARTS:
            self.compact(path, piece_done)

    def unsent(self, path: Path) -> int:
        """Return the number of bytes, in whole lines, that are not at the URL."""
        if not path.exists():
            return 0
        with path.open("rb") as file:
            return whole_lines(file, self.sent, path.stat().st_size) - self.sent

    def compact(self, path: Path, piece_done: Callable[[], None] | None = None) -> None:
        """Make one file of all that was sent."""
        if self.sent > self._whole:
            with path.open("rb") as file:
                self._remote.send(JOURNAL, file, 0, self.sent, piece_done)
            self._whole = self.sent
        while self._parts:
            self._remote.delete(self._parts[-1])
            self._parts.pop()
