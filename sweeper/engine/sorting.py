"""Sorting frames on a Ray cluster whose machines see the files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import ray

from sweeper.engine import nodes
from sweeper.engine.cluster import connected
from sweeper.engine.private.tune import trial_environment
from sweeper.errors import InputError
from sweeper.sorter.files import Unit
from sweeper.sorter.model import Model
from sweeper.sorter.modelfile import load_model
from sweeper.sorter.promises import Promise
from sweeper.sorter.work import Done, sort_units

_IN_FLIGHT_A_CORE = 2


class Cluster(AbstractContextManager["Cluster"]):
    """Sorts by tasks of one core each; see :class:`sweeper.sorter.work.Workers`.

    Parameters
    ----------
    address : str or None
        Of the cluster; None starts Ray here, or joins the one of this process.
    model : Path
        The file, which is sent along.
    promise : Promise
    samples : sequence of str
        Some of the files: a machine that does not see them as this one does is refused.
    """

    def __init__(self, address: str | None, model: Path, promise: Promise, samples: Sequence[str]) -> None:
        self._address = address
        self._held = ExitStack()
        self._model, self._promise = model, promise
        self._samples = list(samples)
        self._running: list[Any] = []
        self._most = 0

    def __enter__(self) -> Cluster:
        with ExitStack() as stack:
            cores = stack.enter_context(connected(self._address, None))
            asked = nodes.probe(self._samples, trial_environment())
            for path in self._samples:
                if blind := nodes.unseeing(asked, path):
                    raise InputError(f"--address: every machine must see {path}, {blind[0]} does not")
            self._held = stack.pop_all()
        self._most = _IN_FLIGHT_A_CORE * cores
        self._sent = ray.put(self._model.read_bytes())
        return self

    def __exit__(self, *error: Any) -> None:
        for ref in self._running:
            ray.cancel(ref, force=True)
        self._held.close()

    @property
    def room(self) -> int:
        """Two lists for each core of the cluster."""
        return self._most - len(self._running)

    @property
    def running(self) -> int:
        """Lists that are sorted or wait."""
        return len(self._running)

    def submit(self, units: Sequence[Unit]) -> None:
        """Have units sorted on some machine."""
        task = _sort_task.options(name=f"sort {len(units)} files", runtime_env=trial_environment())
        self._running.append(task.remote(self._sent, self._promise, tuple(units)))

    def collect(self, timeout_s: float) -> Done:
        """Return what was sorted."""
        if not self._running:
            return []
        ready, self._running = ray.wait(self._running, timeout=timeout_s, num_returns=1)
        return [each for ref in ready for each in ray.get(ref)]


@lru_cache(maxsize=1)
def _loaded(data: bytes, promise: Promise) -> Model:
    """Return the model, read once in a process."""
    with tempfile.TemporaryDirectory(prefix="sweeper-") as folder:
        path = Path(folder, "model.sweeper")
        path.write_bytes(data)
        return load_model(path).promising(promise)


def _sort(data: bytes, promise: Promise, units: Sequence[Unit]) -> Done:
    model = _loaded(data, promise)
    with model.one_thread():
        return sort_units(model, units)


_sort_task = ray.remote(num_cpus=1, max_retries=3)(nodes.checked(_sort))
