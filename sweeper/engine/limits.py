"""Time and memory limits that hold, set inside the process that runs a fit."""

from __future__ import annotations

import contextlib
import faulthandler
import resource
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.errors import TimeLimitError


@dataclass(frozen=True)
class Limits:
    """Limits of one fit with its predictions, one codebook, or a featurizer on one frame."""

    time_s: float
    memory_bytes: int

    @contextlib.contextmanager
    def named(self, what: str) -> Iterator[None]:
        """Hold :func:`limits`; who goes past one of them is named in the error."""
        try:
            with limits(self.time_s, self.memory_bytes):
                yield
        except TimeLimitError as error:
            raise TimeLimitError(f"{what}: {self.reached(error)}") from None
        except MemoryError as error:
            raise MemoryError(f"{what}: {self.reached(error)}") from None

    def reached(self, error: TimeLimitError | MemoryError) -> str:
        """Which limit an error of :func:`limits` says was reached."""
        if isinstance(error, TimeLimitError):
            return f"time limit of {self.time_s:g} s reached"
        return f"memory limit of {self.memory_bytes / 2**30:.2g} GiB reached"


GRACE_S = 5.0
"""Native code that never returns to Python is ended, with its process, this long after the limit."""


def _data_bytes() -> int:
    """Private memory that the process has mapped: what RLIMIT_DATA counts."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))


@contextlib.contextmanager
def limits(time_s: float, memory_bytes: int) -> Iterator[None]:
    """Raise TimeLimitError after `time_s`, MemoryError when `memory_bytes` more are allocated.

    The kernel enforces both: an alarm signal raises in Python; a watchdog thread, which needs no
    interpreter lock, ends a process whose native code ignores it; and RLIMIT_DATA refuses memory.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    old_handler = signal.signal(signal.SIGALRM, _raise)
    try:
        with tempfile.TemporaryFile() as trace:
            try:
                faulthandler.dump_traceback_later(time_s * 1.05 + GRACE_S, exit=True, file=trace)
                resource.setrlimit(resource.RLIMIT_DATA, (_allowed(memory_bytes, before), before[1]))
                signal.setitimer(signal.ITIMER_REAL, time_s)
                try:
                    yield
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            finally:
                # Of its own: an alarm that comes just before the timer is off must not leave these on.
                resource.setrlimit(resource.RLIMIT_DATA, before)
                faulthandler.cancel_dump_traceback_later()
    finally:
        signal.signal(signal.SIGALRM, old_handler)


def _allowed(memory_bytes: int, before: tuple[int, int]) -> int:
    """Bytes that RLIMIT_DATA may be: what is in use and `memory_bytes`, or less where less is allowed."""
    wanted = _data_bytes() + memory_bytes
    return min([wanted, *(limit for limit in before if limit != resource.RLIM_INFINITY)])


def _raise(signum: int, frame: Any) -> None:
    raise TimeLimitError
