"""The journal: one line an evaluation, appended the moment it exists.

The journal is the truth of a run folder: the leaderboard is a function of it, and resuming is asking
it before computing. A line is one JSON object; a torn last line (the process was killed while it
wrote) is cut off when the journal is opened, and a line that cannot be written is taken back, so
that the file always ends with a whole line.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from sweeper.errors import InputError, JournalError

Record = dict[str, Any]

_SYNC_INTERVAL_S = 1.0
"""A machine that loses power loses at most this much; a killed process loses nothing."""

_READ_BYTES = 4096
"""Most lines are shorter."""


def _parse(line: bytes) -> Record | None:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            record = json.loads(line)  # half a surrogate pair, from the name of a file, is refused above
        except ValueError:
            return None
    return record if isinstance(record, dict) and "kind" in record else None


def read_journal(path: Path) -> Iterator[Record]:
    """Records of a journal, oldest first; unreadable lines are left out. For readers beside the writer."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            record = _parse(line) if line.endswith(b"\n") else None
            if record is not None:
                yield record


def is_open(path: Path) -> bool:
    """Whether a process has the journal open for writing."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


class Journal:
    """A journal open for appending; one process at a time.

    Parameters
    ----------
    path : Path
    lock_timeout_s : float
        How long to wait for another process that has it open: after a driver is killed its
        workers need a few seconds to end.

    Raises
    ------
    ValueError
        When another process keeps the journal open.
    """

    def __init__(self, path: Path, lock_timeout_s: float = 20.0) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._lock(lock_timeout_s)
            self.unreadable_lines = 0
            self._evaluations: dict[str, int] = {}  # where the line begins
            self._trials: dict[int, int] = {}
            self._training: set[str] = set()
            self._end = self._load()
        except BaseException:
            os.close(self._fd)
            raise
        self._synced = time.monotonic()

    def _lock(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                if time.monotonic() > deadline:
                    raise InputError(
                        f"{self._path.parent}: another sweep is running in this folder"
                    ) from None
                time.sleep(0.1)

    def _load(self) -> int:
        """Index what is there; returns where the last whole line ends, and cuts what follows."""
        end = 0
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                record = _parse(line)
                if record is None:
                    self.unreadable_lines += 1
                else:
                    self._index(record, end)
                end += len(line)
        os.ftruncate(self._fd, end)
        return end

    def _index(self, record: Record, start: int) -> None:
        if record["kind"] in ("evaluation", "rerun"):
            self._evaluations.setdefault(record["key"], start)
        elif record["kind"] == "trial":
            self._trials.setdefault(record["trial"], start)
        elif record["kind"] in ("fit", "epoch"):
            self._training.add(record["key"])

    def _read(self, start: int | None) -> Record | None:
        """The record whose line begins at `start`."""
        if start is None:
            return None
        line = b""
        while not line.endswith(b"\n"):
            more = os.pread(self._fd, _READ_BYTES, start + len(line))
            if not more:
                raise JournalError(f"{self._path}: was cut while it was open")
            line += more[: more.find(b"\n") + 1 or None]
        record = _parse(line)
        if record is None:
            raise JournalError(f"{self._path}: was changed while it was open")
        return record

    def __contains__(self, key: str) -> bool:
        """Whether the evaluation under `key` is there."""
        return key in self._evaluations

    def get(self, key: str) -> Record | None:
        """The evaluation under `key`, if it is there.

        Raises
        ------
        JournalError
            The file was changed by something else.
        """
        return self._read(self._evaluations.get(key))

    def trial(self, number: int) -> Record | None:
        """The line that says what a trial is, if it is there; raises as :meth:`get`."""
        return self._read(self._trials.get(number))

    def has_training(self, key: str) -> bool:
        """Whether a fit of a network, or an epoch of it, is there."""
        return key in self._training

    def __len__(self) -> int:
        """Number of evaluations."""
        return len(self._evaluations)

    def append(self, record: Record) -> None:
        """Add one record; nothing is left of it when it cannot be written whole.

        Raises
        ------
        JournalError
            Names the file and the reason (disk full).
        """
        line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(self._fd, line[written:], self._end + written)
        except OSError as error:
            os.ftruncate(self._fd, self._end)
            raise JournalError(f"{self._path}: {error.strerror}; nothing recorded is lost") from error
        self._index(record, self._end)
        self._end += len(line)
        if time.monotonic() - self._synced > _SYNC_INTERVAL_S:
            self.sync()

    def sync(self) -> None:
        """Put what was appended on the disk itself."""
        os.fsync(self._fd)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and let go of the file."""
        self.sync()
        os.close(self._fd)
