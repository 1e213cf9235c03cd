"""Frames as they arrive in folders: each file once, when it is whole; stacks as they grow.

A file is whole when the kernel says that its writer closed it or moved it there, that nobody writes to it, or
when it has not changed for a while. Where the kernel says nothing, as on network file systems, folders are
looked through instead, the less often the longer that takes. A stack is read as far as it is written, however
long that goes on.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sweeper.data.folders import eiger_master, walk
from sweeper.data.format import Reading
from sweeper.data.frames import count_frames, is_frame_file
from sweeper.errors import FrameError, InputError
from sweeper.sorter.files import Unit, is_stack, ranges
from sweeper.sorter.inotify import Notices

UNCHANGED_S = 2.0
"""A file of which no notice comes is whole when it has not changed for so long."""
PATIENCE_S = 10.0
"""A file that cannot be read is tried again until it has not changed for so long."""

_LOOK_S = 1.0  # between two looks through folders that give no notices
_LOOK_ANYWAY_S = 30.0  # and through those that do
_SHARE = 200  # a look takes at most one part in so many of the time
_GROWING_S = (0.1, 600.0)  # between two looks at a stack: a tenth of the time since it grew
_SET_SIGNAL = 10  # F_SETSIG of Linux, which the module fcntl lacks
_NETWORK = (b"nfs", b"cifs", b"smb", b"fuse", b"lustre", b"beegfs", b"gpfs", b"ceph", b"9p", b"afs")


@dataclass
class _Young:
    """A file that may not be whole."""

    stamp: tuple[int, int]
    since: float


@dataclass
class _Stack:
    """A file that may grow."""

    frames: int = 0
    grew: float = 0.0
    look: float = 0.0
    problem: str = ""


class Watch:
    """Folders that are followed.

    Parameters
    ----------
    folders : sequence of Path
        And those below them.
    mask : str or None
        Mask file of all frames.
    reading : Reading
    done : callable
        Path to the positions of frames that need not be sorted any more.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        mask: str | None,
        reading: Reading,
        done: Callable[[str], Set[int]],
    ) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise InputError(f"{folder}: --watch follows folders, this is none")
        self._folders = [os.path.abspath(folder) for folder in folders]  # noqa: PTH100  links keep their names
        self._mask, self._reading, self._done = mask, reading, done
        self._known: set[str] = set()
        self._young: dict[str, _Young] = {}
        self._stacks: dict[str, _Stack] = {}
        self._next_look = 0.0
        self._notices = self._follow()

    def _follow(self) -> Notices | None:
        """Return what gives notices of the folders; None where they must be looked through."""
        if any(_is_remote(folder) for folder in self._folders):
            return None
        try:
            notices = Notices()
            for folder in self._folders:
                for below, _, _ in os.walk(folder, followlinks=True):
                    notices.add(below)
            return notices
        except OSError:
            return None

    @property
    def waiting(self) -> list[str]:
        """Files that are not whole yet, with what is wrong where that is known."""
        stacks = [f"{path}: {stack.problem}" for path, stack in self._stacks.items() if stack.problem]
        return [*self._young, *stacks]

    def wait(self, timeout_s: float) -> list[Unit]:
        """Return what can be sorted now, waiting so long for something at most."""
        end = time.monotonic() + timeout_s
        while True:
            units = list(self._ready())
            left = min(end, self._next()) - time.monotonic()
            if units or time.monotonic() >= end:
                return units
            units = self._noticed(max(0.0, left))
            if units:
                return units

    def retry(self, path: str) -> bool:
        """Return whether a file that could not be read may not be whole yet: it is tried again."""
        if is_stack(path):
            return False
        try:
            found = Path(path).stat()
        except OSError:
            return False
        if time.time() - found.st_mtime > PATIENCE_S:
            return False
        self._young[path] = _Young((found.st_size, found.st_mtime_ns), time.monotonic())
        return True

    # ------------------------------------------------------------------ what is noticed

    def _noticed(self, timeout_s: float) -> list[Unit]:
        if self._notices is None:
            time.sleep(min(timeout_s, _LOOK_S))
            return []
        units: list[Unit] = []
        for notice in self._notices.wait(timeout_s):
            if not notice.path:
                self._next_look = 0.0
            elif notice.is_folder:
                self._new_folder(notice.path)
            elif (master := eiger_master(notice.path)) is not None and master.exists():
                units += self._whole(str(master), time.time())
            elif self._is_frame(notice.path):
                units += self._whole(notice.path, time.time())
        return units

    def _new_folder(self, folder: str) -> None:
        """Follow a folder that appeared; what is in it already may be whole or not."""
        assert self._notices is not None
        with suppress(OSError):
            for below, _, _ in os.walk(folder, followlinks=True):
                self._notices.add(below)
        self._look_through(folder)

    def _whole(self, path: str, seen: float) -> Iterator[Unit]:
        """Yield a file that is whole, or note a stack to be looked at."""
        self._known.add(path)
        self._young.pop(path, None)
        if is_stack(path):
            self._stacks.setdefault(path, _Stack(grew=_changed(path))).look = 0.0
        elif not self._done(path):
            yield Unit(path, None, self._mask, seen)

    def _is_frame(self, path: str) -> bool:
        name = os.path.basename(path)  # noqa: PTH119
        return is_frame_file(name) and not name.startswith(".")

    # ------------------------------------------------------------------ what is looked for

    def _next(self) -> float:
        """Return when the next look is due."""
        due = [self._next_look, *(stack.look for stack in self._stacks.values())]
        due += [young.since + UNCHANGED_S for young in self._young.values()]
        return min(due)

    def _ready(self) -> Iterator[Unit]:
        now = time.monotonic()
        if now >= self._next_look:
            for folder in self._folders:
                self._look_through(folder)
            took = time.monotonic() - now
            pause = _LOOK_S if self._notices is None else _LOOK_ANYWAY_S
            self._next_look = now + max(pause, _SHARE * took)
        for path, young in list(self._young.items()):
            yield from self._grown_up(path, young, now)
        for path, stack in list(self._stacks.items()):
            if now >= stack.look:
                yield from self._growth(path, stack, now)

    def _look_through(self, folder: str) -> None:
        """Note the files of a folder that were not known."""
        with suppress(OSError):  # it is gone; or it is there again at the next look
            for file, is_frame in walk(Path(folder)):
                path = str(file)
                if is_frame and path not in self._known:
                    self._known.add(path)
                    if is_stack(path):
                        self._stacks.setdefault(path, _Stack(grew=_changed(path)))
                    elif not self._done(path):
                        self._young[path] = _Young((-1, -1), 0.0)

    def _grown_up(self, path: str, young: _Young, now: float) -> Iterator[Unit]:
        """Yield a file that has not changed for a while."""
        if now < young.since + UNCHANGED_S:
            return
        try:
            found = Path(path).stat()
        except OSError:
            del self._young[path]
            self._known.discard(path)
            return
        stamp = (found.st_size, found.st_mtime_ns)
        # A file that is older than that by its own account need not be looked at twice.
        old = time.time() - found.st_mtime > PATIENCE_S
        if stamp == young.stamp or old or (self._notices is not None and _has_no_writer(path)):
            seen = 0.0 if young.stamp == (-1, -1) else time.time()
            yield from self._whole(path, seen)
        else:
            self._young[path] = _Young(stamp, now)

    def _growth(self, path: str, stack: _Stack, now: float) -> Iterator[Unit]:
        """Yield the frames that a stack has and had not before."""
        try:
            count, stack.problem = count_frames(path, self._reading), ""
        except FrameError as error:
            count, stack.problem = stack.frames, error.problem
        if not Path(path).exists():
            del self._stacks[path]
            self._known.discard(path)
            return
        if count > stack.frames:
            done = self._done(path)
            new = [frame for frame in range(stack.frames, count) if frame not in done]
            stack.frames, stack.grew = count, now
            yield from ranges(path, new, self._mask, time.time())
        least, most = _GROWING_S
        stack.look = now + min(most, max(least, 0.1 * (now - stack.grew)))


def _has_no_writer(path: str) -> bool:
    """Return whether the kernel knows that nobody has a file open for writing: a lease is then to be had."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            fcntl.fcntl(file, _SET_SIGNAL, signal.SIGURG)  # which is ignored, should a writer come just now
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except (OSError, AttributeError):  # there is a writer; or no leases, or none on files of others
        return False
    return True


def _changed(path: str) -> float:
    """Return when a file was changed last, by :func:`time.monotonic`."""
    try:
        return time.monotonic() - max(0.0, time.time() - Path(path).stat().st_mtime)
    except OSError:
        return time.monotonic()


def _is_remote(folder: str) -> bool:
    """Return whether a folder is on a file system whose changes by other machines give no notice."""
    best, kind = b"", b""
    with suppress(OSError):
        real = os.fsencode(os.path.realpath(folder))
        for line in Path("/proc/mounts").read_bytes().splitlines():
            _, place, name, *_ = line.split(b" ")
            inside = real == place or real.startswith(place.rstrip(b"/") + b"/")
            if inside and len(place) >= len(best):
                best, kind = place, name
    return kind.startswith(_NETWORK)
