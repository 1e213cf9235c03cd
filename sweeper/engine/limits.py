"""Time and memory limits that hold, set inside the process that runs a fit."""

from __future__ import annotations

import contextlib
import faulthandler
import resource
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class TimeLimitError(Exception):
    """The time limit was reached."""


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
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    old_handler = signal.signal(signal.SIGALRM, _raise)
    with tempfile.TemporaryFile() as trace:
        faulthandler.dump_traceback_later(time_s * 1.05 + GRACE_S, exit=True, file=trace)
        resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + memory_bytes, hard))
        signal.setitimer(signal.ITIMER_REAL, time_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old_handler)
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
            faulthandler.cancel_dump_traceback_later()


def _raise(signum: int, frame: Any) -> None:
    raise TimeLimitError
