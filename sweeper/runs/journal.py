"""The journal: one line an evaluation, appended the moment it exists.

The journal is the truth of a run folder: the leaderboard is a function of it, and resuming is asking it
before computing. A line is one JSON object. A torn last line (the process was killed while it wrote) is
cut off when the journal is opened, and a line that cannot be written is taken back, so that the file
always ends with a whole line.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.metadata
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sweeper.errors import InputError, JournalError
from sweeper.runs.records import FORMAT, Epoch, Evaluation, Header, NetworkFit, Record, Trial, decode, encode

_SYNC_INTERVAL_S = 1.0
"""A machine that loses power loses at most this much; a killed process loses nothing."""

_READ_BYTES = 4096
"""Most lines are shorter."""


def read_journal(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield the records of a journal, oldest first, each with the place where its line begins.

    Unreadable lines are left out. For readers beside the writer.

    Raises
    ------
    InputError
        The journal is of another format.
    """
    if not path.exists():
        return
    start = 0
    with path.open("rb") as file:
        for line in file:
            record = decode(line) if line.endswith(b"\n") else None
            if start == 0:
                _check_header(path, line, record)
            if record is not None and start:
                yield start, record
            start += len(line)


def read_record(path: Path, start: int) -> Record | None:
    """Return the record whose line begins at a place in a journal; None when it cannot be read."""
    with path.open("rb") as file:
        file.seek(start)
        return decode(file.readline())


def check_format(path: Path) -> None:
    """Raise InputError when a journal is of another format; one that is not there is of none."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        line = file.readline()
        _check_header(path, line, decode(line))


def _check_header(path: Path, line: bytes, record: Record | None) -> None:
    """Raise InputError where the first line is another format's; one that was never finished is none."""
    if isinstance(record, Header) and record.format == FORMAT:
        return
    if not line.endswith(b"\n"):
        return
    version = f"Sweeper {record.sweeper}" if isinstance(record, Header) else "Sweeper 0.1.0"
    damaged = "" if isinstance(record, Header) else " or its first line is damaged"
    raise InputError(
        f"{path}: must be a journal of format {FORMAT}, this one was written by {version}{damaged}; run the "
        "sweep again in another folder (--features takes over its blocks)"
    )


def is_open(path: Path) -> bool:
    """Return whether a process has the journal open for writing."""
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
    InputError
        Another process keeps the journal open, or it is of another format.
    """

    def __init__(self, path: Path, lock_timeout_s: float = 20.0) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._lock(lock_timeout_s)
            self.unreadable_lines = 0
            self._evaluations: dict[str, int] = {}  # where the line begins
            self._trials: dict[int, int] = {}
            self._fits: set[str] = set()
            self._epochs: set[tuple[str, int]] = set()
            self._end = self._load()
            self._synced = time.monotonic()
            if self._end == 0:
                self.append(Header(FORMAT, importlib.metadata.version("sweeper")))
        except BaseException:
            os.close(self._fd)
            raise

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
        """Index what is there and cut off a torn last line; returns where the next line begins."""
        end = 0
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            for line in file:
                record = decode(line)
                if end == 0:
                    _check_header(self._path, line, record)
                if not line.endswith(b"\n"):
                    break
                if record is None:
                    self.unreadable_lines += 1
                else:
                    self._index(record, end)
                end += len(line)
        os.ftruncate(self._fd, end)
        return end

    def _index(self, record: Record, start: int) -> None:
        match record:
            case Evaluation():
                self._evaluations.setdefault(record.key, start)
            case Trial():
                self._trials.setdefault(record.trial, start)
            case NetworkFit():
                self._fits.add(record.key)
            case Epoch():
                self._epochs.add((record.fit, record.epoch))

    def _read(self, start: int) -> Record:
        """Return the record whose line begins at `start`."""
        line = b""
        while not line.endswith(b"\n"):
            more = os.pread(self._fd, _READ_BYTES, start + len(line))
            if not more:
                raise JournalError(f"{self._path}: was cut while it was open")
            line += more[: more.find(b"\n") + 1 or None]
        record = decode(line)
        if record is None:
            raise JournalError(f"{self._path}: was changed while it was open")
        return record

    def __contains__(self, key: str) -> bool:
        """Whether the evaluation under `key` is there."""
        return key in self._evaluations

    def get(self, key: str) -> Evaluation | None:
        """Return the evaluation under `key`, if it is there.

        Raises
        ------
        JournalError
            The file was changed by something else.
        """
        start = self._evaluations.get(key)
        record = None if start is None else self._read(start)
        assert record is None or isinstance(record, Evaluation)
        return record

    def trial(self, number: int) -> Trial | None:
        """Return the record of a trial, if it is there; raises as :meth:`get`."""
        start = self._trials.get(number)
        record = None if start is None else self._read(start)
        assert record is None or isinstance(record, Trial)
        return record

    def has_training(self, record: NetworkFit | Epoch) -> bool:
        """Return whether this fit of a network, or this epoch of it, is there."""
        if isinstance(record, NetworkFit):
            return record.key in self._fits
        return (record.fit, record.epoch) in self._epochs

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
        line = encode(record)
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
