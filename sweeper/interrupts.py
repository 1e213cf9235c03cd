"""Signals that end a command in order: SIGINT (Ctrl-C), SIGTERM of a batch system, SIGHUP of a lost terminal.

Each becomes a KeyboardInterrupt; those that come in one go are one. However many there are, none disturbs
what a command does to end, unless that takes too long. Python takes signals in the main thread alone: in
another thread all this has no effect.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sweeper.errors import EXIT_INTERRUPTED

MESSAGE = "sweeper: interrupted; run the same command again to resume"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 15.0
"""A command that was interrupted may take so long to end; then its process ends at once."""
_IN_ONE_GO_S = 1.0

_of_a_command = False
_depth = 0
_ending = 0
_first: float | None = None
"""When the first signal came, by :func:`time.monotonic`."""
_raised = float("-inf")
"""When one was last turned into a KeyboardInterrupt."""


def take_signals() -> None:
    """Have signals interrupt this process, which runs a command, from now on; ignored ones stay ignored."""
    global _depth, _of_a_command
    _depth += 1
    _of_a_command = True
    for number in _not_ignored():
        signal.signal(number, _interrupt)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have signals interrupt this block; those that are ignored, as under nohup, stay ignored.

    Blocks may be nested: each sets the handlers anew, which libraries may have changed.
    """
    global _depth, _first, _raised
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    known = _not_ignored()
    _depth += 1
    for number in known:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            _first, _raised = None, float("-inf")
        for number, handler in known.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run a block that ends something: signals that come meanwhile do not interrupt it."""
    global _ending
    _ending += 1
    try:
        yield
    finally:
        _ending -= 1


@contextmanager
def without_hangups() -> Iterator[None]:
    """Run a block that starts processes which outlive a lost terminal: this one ends them in order."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def retake_signals() -> None:
    """Set the handlers that Python knows once more: native code changes them behind its back."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if (handler := signal.getsignal(number)) is not None:
                signal.signal(number, handler)


def check_interrupted() -> None:
    """Interrupt once more: Python drops what is raised while it runs a destructor or a callback of C code."""
    if _depth and _first is not None:
        raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Return whether a signal came: what fails after it may fail because of it."""
    return _first is not None


def ignore_signals() -> None:
    """Ignore signals from now on: the process ends anyway."""
    global _ending
    _ending += 1  # those that have come already, and that Python is about to handle
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _not_ignored() -> dict[signal.Signals, Any]:
    """Return the handlers of signals that are not ignored."""
    known = {number: signal.getsignal(number) for number in _SIGNALS}
    return {number: handler for number, handler in known.items() if handler is not signal.SIG_IGN}


def _interrupt(signum: int, frame: Any) -> None:
    global _first, _raised
    now = time.monotonic()
    if _first is None:
        _first = now
    if _ending or now - _raised <= _IN_ONE_GO_S:
        return
    if _of_a_command and _raised == float("-inf"):
        _thread.start_new_thread(_end_in_time, ())  # takes no lock that the code below this may hold
    _raised = now
    raise KeyboardInterrupt


def _end_in_time() -> None:
    time.sleep(_PATIENCE_S)
    with suppress(OSError):
        os.write(2, f"{MESSAGE}\n".encode())
    os._exit(EXIT_INTERRUPTED)
