"""Log messages of a library that reads a file: kept for the thread that reads, and shown to nobody else."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


class _Listener(logging.Handler):
    """Takes what a library logs in a thread that listens, and passes on what it logs in others."""

    def __init__(self) -> None:
        super().__init__()
        self.of_thread = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        heard: list[str] | None = getattr(self.of_thread, "heard", None)
        if heard is None:
            logging.getLogger().callHandlers(record)
        elif record.levelno >= logging.ERROR:
            heard.append(record.getMessage())


@cache
def _listener(library: str) -> _Listener:
    logger, listener = logging.getLogger(library), _Listener()
    logger.addHandler(listener)
    logger.propagate = False
    return listener


@contextmanager
def listening(library: str) -> Iterator[list[str]]:
    """Keep a library quiet in this thread, and collect the errors that it logs."""
    of_thread = _listener(library).of_thread
    before = getattr(of_thread, "heard", None)
    heard: list[str] = []
    of_thread.heard = heard
    try:
        yield heard
    finally:
        of_thread.heard = before
