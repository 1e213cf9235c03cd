"""Sorting units of frames: in this process, or in several others that each hold the model."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

from sweeper.data.prepared import FrameRef
from sweeper.errors import EXIT_FAULT, FrameError
from sweeper.sorter.files import Unit
from sweeper.sorter.model import Look, Model
from sweeper.sorter.modelfile import load_model
from sweeper.sorter.promises import Promise
from sweeper.sorter.table import Sorted

Done = list[tuple[Unit, list[Sorted]]]
"""Units, and what was said of their frames."""

_BATCH = 64  # frames that are classified together


def sort_units(model: Model, units: Sequence[Unit]) -> Done:
    """Sort some units; what is wrong with a file that cannot be opened is said of its first frame."""
    found: list[tuple[Unit, list[Sorted]]] = [(unit, []) for unit in units]
    waiting: list[tuple[int, FrameRef, Look | FrameError, float]] = []

    def classify() -> None:
        begin = time.time()
        verdicts = model.judge([(ref.path, ref.index, look) for _, ref, look, _ in waiting])
        now = time.time()
        share = (now - begin) / len(waiting)
        for (number, _, _, took), verdict in zip(waiting, verdicts, strict=True):
            seen = units[number].seen
            found[number][1].append(Sorted(verdict, 1e3 * max(0.0, now - seen if seen else took + share)))
        waiting.clear()

    for number, unit in enumerate(units):
        begin = time.time()
        for ref, item in model.frames_of(unit):
            look = model.looked(item)
            waiting.append((number, ref, look, time.time() - begin))
            if len(waiting) == _BATCH:
                classify()
            begin = time.time()
    if waiting:
        classify()
    return found


class Workers(Protocol):
    """A sorter of units: they are submitted, and come back sorted, in any order."""

    @property
    def room(self) -> int:
        """How many more lists of units should be submitted before some are collected."""
        ...

    @property
    def running(self) -> int:
        """How many lists of units were submitted and not collected."""
        ...

    def submit(self, units: Sequence[Unit]) -> None:
        """Have units sorted."""
        ...

    def collect(self, timeout_s: float) -> Done:
        """Return what was sorted, waiting so long for it at most; nothing where nothing is under way."""
        ...


class Here(AbstractContextManager["Here"]):
    """Sorts in this process."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._done: Done = []
        self._limits = model.one_thread()

    def __enter__(self) -> Here:
        self._limits.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._limits.__exit__(*error)

    @property
    def room(self) -> int:
        """One list at a time."""
        return 1 - self.running

    @property
    def running(self) -> int:
        """Whether there is a list to collect."""
        return 1 if self._done else 0

    def submit(self, units: Sequence[Unit]) -> None:
        """Sort units at once."""
        self._done += sort_units(self._model, units)

    def collect(self, timeout_s: float) -> Done:
        """Return what was sorted."""
        done, self._done = self._done, []
        return done


class Processes(AbstractContextManager["Processes"]):
    """Sorts in several processes of this machine.

    Parameters
    ----------
    model : Path
        The file, which each of them reads.
    promise : Promise
    count : int
    """

    def __init__(self, model: Path, promise: Promise, count: int) -> None:
        self._count = count
        self._running: set[Future[Done]] = set()
        self._pool = ProcessPoolExecutor(
            count, get_context("spawn"), initializer=_begin, initargs=(model, promise)
        )

    def __exit__(self, *error: Any) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def room(self) -> int:
        """Two lists for each process: one that it sorts, one that waits."""
        return 2 * self._count - len(self._running)

    @property
    def running(self) -> int:
        """Lists that are sorted or wait."""
        return len(self._running)

    def submit(self, units: Sequence[Unit]) -> None:
        """Hand units to the next process that is free."""
        self._running.add(self._pool.submit(_sort_here, tuple(units)))

    def collect(self, timeout_s: float) -> Done:
        """Return what was sorted."""
        ready, self._running = wait(self._running, timeout_s, FIRST_COMPLETED)
        return [each for future in ready for each in future.result()]


_model: list[Model | Exception] = []
"""The model of this process, or why there is none."""


def _begin(path: Path, promise: Promise) -> None:
    """Read the model in a new process; whoever started the process ends it, also by being killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        model = load_model(path).promising(promise)
    except Exception as error:  # raised where frames are sorted: a pool does not say why its processes end
        _model[:] = [error]
    else:
        _model[:] = [model]
        model.one_thread().__enter__()


def _end_with_parent() -> None:
    """End this process when the one that started it has ended: nobody else would."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(EXIT_FAULT)


def _sort_here(units: Sequence[Unit]) -> Done:
    [model] = _model
    if isinstance(model, Exception):
        raise model
    return sort_units(model, units)
