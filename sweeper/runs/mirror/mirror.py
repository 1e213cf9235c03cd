"""A local folder and a URL, kept the same while a sweep runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from sweeper.errors import InputError, MirrorError
from sweeper.runs.contents import FEATURES, FILES, JOURNAL, SPEC
from sweeper.runs.mirror.lease import Lease
from sweeper.runs.mirror.local import CHANGING, run_files
from sweeper.runs.mirror.parts import JournalParts, is_prefix
from sweeper.runs.mirror.remote import Entry, Remote, StoreError, reason
from sweeper.runs.mirror.urls import local_folder

_AT_ONCE = 4
_INTERVAL_S = 5.0
_LONGEST_INTERVAL_S = 60.0
_END_S = 60.0
_GRACE_S = 10.0
_FIRST_PAUSE_S = 0.5

Note = Callable[[str], None]


class _OutOfTimeError(Exception):
    """The mirror was stopped, and the time that it was given is over."""


def _nothing(text: str) -> None:
    """Ignore a note."""


class Mirror:
    """Keeps a URL the same as a folder.

    Parameters
    ----------
    url : str
    folder : Path
        On this machine.
    note : callable, optional
        Called from another thread with a line when the store stops answering, and when it answers again.

    Raises
    ------
    InputError
        Not a URL that can be opened.
    """

    def __init__(self, url: str, folder: Path, note: Note = _nothing) -> None:
        self._remote = Remote(url)
        self._folder = folder
        self._note = note
        self._lease = Lease(self._remote)
        self._journal = JournalParts(self._remote)
        self._sent: dict[str, tuple[int, int]] = {}
        self._may_go: set[str] = set()
        self._interval_s = _INTERVAL_S
        self._journal_pushed = 0.0
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._end = float("inf")
        self._problem = ""
        self._taken_by: str | None = None
        self._pulled = False

    # ------------------------------------------------------------------ before the sweep

    def pull(self) -> str:
        """Take the lease of the URL and bring here what is there; return a line on what came.

        If the journal at the URL is the beginning of the one here, the files here are the newer ones and
        stay. Otherwise those at the URL replace them.

        Raises
        ------
        InputError
            Nobody answers, no permission, no such bucket, something else is there, or another sweep runs.
        """
        top = self._remote.top()
        if top and not {SPEC, "lease.json", JOURNAL, *FILES} & set(top):
            raise InputError(f"{self._remote.shown}: is not empty and holds no sweep; choose another folder")
        try:
            self._lease.take()
            arrived = self._pull()
            self._pulled = True
            return arrived
        except (StoreError, PermissionError) as error:
            raise self._remote.error(error) from None
        finally:
            if not self._pulled:
                self._release()

    def _pull(self) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        ahead, fetched = self._pull_journal()
        there = {name: entry for name, entry in self._remote.list("").items() if name in FILES}
        features = self._remote.list(FEATURES)
        there |= {name: entry for name, entry in features.items() if name.endswith(".parquet")}
        for folder in CHANGING:
            files = self._remote.list(folder, recursive=True)
            self._may_go |= set(files)
            there |= files
        wanted = {name: entry for name, entry in there.items() if not self._is_here(name, entry, ahead)}

        def fetch(item: tuple[str, Entry]) -> None:
            self._remote.fetch(*item, self._folder / item[0], self._live_on)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(fetch, wanted.items()))
        if any("/" in name for name in there):
            (self._folder / JOURNAL).touch()  # it had begun, without a first evaluation
        for name, entry in there.items():
            status = (self._folder / name).stat()
            if status.st_size == entry.size and status.st_mtime <= entry.modified_s + 1:
                self._sent[name] = (status.st_size, status.st_mtime_ns)
        fetched += sum(entry.size for entry in wanted.values())
        return f"{len(wanted)} files, {fetched / 1e6:.1f} MB from {self._remote.shown}"

    def _pull_journal(self) -> tuple[bool, int]:
        """Fetch the journal if the one here is behind; return whether it was ahead, and bytes that came."""
        here, there = self._folder / JOURNAL, self._folder / f".{JOURNAL}.{os.getpid()}.partial"
        try:
            size = self._journal.fetch(there, self._live_on)
            if is_prefix(there, size, here):
                return True, 0
            if here.exists():
                here.replace(self._folder / f".{JOURNAL}.replaced")
            if size:
                there.replace(here)
            return False, size
        finally:
            there.unlink(missing_ok=True)

    def _is_here(self, name: str, entry: Entry, ahead: bool) -> bool:
        path = self._folder / name
        if not path.is_file():
            return False
        return ahead or (name not in FILES and path.stat().st_size == entry.size)

    # ------------------------------------------------------------------ while it runs

    def start(self, interval_s: float = _INTERVAL_S) -> None:
        """Send what changes from now on, in a thread, every `interval_s` seconds."""
        self._interval_s = interval_s
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        pause = self._interval_s
        while not self._stopping.wait(pause):
            if self._attempt():
                pause = self._interval_s
            else:
                pause = min(2 * pause, max(self._interval_s, _LONGEST_INTERVAL_S))
        self._finish()

    def _attempt(self) -> bool:
        """Send what changed; return False, with a note the first time, if that failed."""
        try:
            self._push()
        except _OutOfTimeError:
            return False
        except Exception as error:
            before, self._problem = self._problem, reason(error)
            if not before:
                self._note(f"{self._remote.shown}: {self._problem}; results are kept in {self._folder}")
            return False
        if self._problem:
            self._problem = ""
            self._note(f"{self._remote.shown}: answers again; everything is there")
        return True

    def _push(self) -> None:
        self._keep_lease()
        self._push_journal()
        for name, path in run_files(self._folder):
            try:
                self._push_file(name, path)
            except FileNotFoundError:
                continue  # gone since it was listed
        for name in sorted(self._may_go):
            if (self._folder / name).exists() or not (self._folder / name.split("/")[0]).is_dir():
                continue
            self._remote.delete(name)
            self._may_go.discard(name)
            self._sent.pop(name, None)

    def _push_journal(self) -> None:
        self._journal.push(self._folder / JOURNAL, self._check_time)
        self._journal_pushed = time.monotonic()

    def _push_file(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            seen = (status.st_size, status.st_mtime_ns)
            if self._sent.get(name) == seen:
                return
            self._check_time()
            if name.split("/")[0] in CHANGING:
                self._may_go.add(name)
            self._remote.send(name, file, 0, status.st_size, self._between)
        self._sent[name] = seen

    def _check_time(self) -> None:
        if time.monotonic() > self._end:
            raise _OutOfTimeError

    def _live_on(self) -> None:
        """Keep the lease between pieces of long files; later, if the store does not answer now."""
        with suppress(StoreError):
            self._keep_lease()

    def _between(self) -> None:
        """Keep the lease and send the journal, which must not wait for the end of a long file."""
        self._check_time()
        self._live_on()
        try:
            if time.monotonic() - self._journal_pushed > self._interval_s:
                self._push_journal()
        except (StoreError, OSError):
            self._journal_pushed = time.monotonic()  # the file goes on; the journal is tried again later

    def _keep_lease(self) -> None:
        """Refresh the lease, if it is time to.

        Raises
        ------
        MirrorError
            Another driver took over: nothing may be written any more.
        """
        self._taken_by = self._taken_by or self._lease.refresh()
        if self._taken_by is not None:
            raise MirrorError(f"{self._taken_by} took this sweep over")

    # ------------------------------------------------------------------ after it

    def stop(self, within_s: float = _END_S) -> None:
        """Send the rest, make one file of the journal, and let go of the lease.

        Raises
        ------
        MirrorError
            Not everything could be sent in this time; names what is missing. Nothing is lost.
        """
        if not self._pulled:
            return
        self._end = time.monotonic() + within_s
        if self._thread is None:
            self._thread = threading.Thread(target=self._finish, name="mirror", daemon=True)
            self._stopping.set()
            self._thread.start()
        self._stopping.set()
        self._thread.join(within_s + _GRACE_S)
        missing = self._missing()
        if missing or self._taken_by is not None:
            self._lease.abandon()  # a request that hangs may keep the thread from letting go
            why = self._problem or "the time was too short"
            raise MirrorError(
                f"{self._remote.shown}: not everything was sent ({missing or 'nothing new'}): {why}; "
                f"everything is in {self._folder}; run the same command again to send it"
            )

    def _finish(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._attempt():
            left = self._end - time.monotonic()
            if left <= 0 or self._taken_by is not None:
                break
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_INTERVAL_S)
        try:
            if self._taken_by is None and not self._problem and not self._missing():
                self._journal.compact(self._folder / JOURNAL, self._check_time)
        except Exception as error:
            self._note(f"{self._remote.shown}: the journal there stays in parts ({reason(error)})")
        self._release()

    def _release(self) -> None:
        """Let go of the lease; one that stays expires, which a store that does not answer is left to."""
        if self._problem:
            self._lease.abandon()
            return
        with suppress(StoreError):
            self._lease.release()

    def _missing(self) -> str:
        """Return what is not at the URL, ``2 files of 1.3 MB, 17 kB of the journal``; empty if nothing."""
        sizes = []
        for name, path in run_files(self._folder):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if self._sent.get(name) != (status.st_size, status.st_mtime_ns):
                sizes.append(status.st_size)
        lines = self._journal.unsent(self._folder / JOURNAL)
        files = [f"{len(sizes)} files of {sum(sizes) / 1e6:.1f} MB"] if sizes else []
        return ", ".join([*files, *([f"{lines / 1e3:.1f} kB of the journal"] if lines else [])])


@contextmanager
def mirrored(url: str, note: Note = _nothing, interval_s: float = _INTERVAL_S) -> Iterator[Path]:
    """Yield a local folder with what is at a URL, and send its changes there until the block ends.

    Parameters
    ----------
    url : str
    note : callable, optional
        Called with lines on what came, and on a store that does not answer.
    interval_s : float
        Time between two looks at what changed.

    Raises
    ------
    InputError
        The URL cannot be used, or another sweep runs there.
    MirrorError
        Not everything was sent by the end. An error of the block goes first, with this one as a note.
    """
    folder = local_folder(url)
    mirror = Mirror(url, folder, note)
    note(mirror.pull())
    mirror.start(interval_s)
    try:
        yield folder
    except BaseException as error:
        try:
            mirror.stop()
        except MirrorError as unsent:
            error.add_note(str(unsent))
            note(str(unsent))
        raise
    mirror.stop()
