"""Starting Ray here, or joining a cluster."""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.engine import nodes
from sweeper.engine.private.core import config_without_folders, on_loopback
from sweeper.errors import InputError
from sweeper.extras import CLUSTER, check_libraries
from sweeper.runs.checks import local_cpus

TRIAL_SLOT = "trial_slot"
"""Custom resource that a trial holds: it waits for tasks, and takes no core itself."""

_OF_WORKERS = {
    # Threads equal Ray CPUs: tasks take one core each.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    # Ray Train takes a worker's report when it looks after its health, every two seconds by default.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
}
_ENVIRONMENT = {
    **_OF_WORKERS,
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_THRESHOLD_S": "30",
    # Actors count as workers, so there are always more than cores, and Ray would end task workers that are
    # idle for a second. (A higher soft limit keeps them too, but Ray starts as many at a queue of tasks.)
    "RAY_idle_worker_killing_time_threshold_ms": "600000",
    # Ray warns on stdout when more processes than this run; waiting actors are processes too.
    "RAY_worker_maximum_startup_concurrency": "64",
    # Nothing is restored from Tune's own snapshots.
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
}


@contextmanager
def connected(
    address: str | None,
    cpus: int | None,
    *,
    folds: int = 1,
    object_store_gb: float | None = None,
    dashboard: bool = False,
) -> Iterator[int]:
    """Start Ray here, or join it at `address`; gives the number of cores.

    `folds` is how many tasks a trial gives at once: with as many trials as fill the cores, and one more to
    take the place of one that ends, no core waits, and no process is started that only waits.

    Raises
    ------
    ValueError
        No cluster answers at `address`.
    """
    if address is not None or dashboard:
        check_libraries(CLUSTER, "--dashboard" if address is None else f"--address {address}")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", category=FutureWarning, module="(ray|statsmodels).*")
    import ray

    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": f"sweeper-{os.getpid()}"}
    if address is None:
        n = local_cpus(cpus)
        os.environ[plugins.VARIABLE] = os.pathsep.join(map(str, plugins.folders()))  # workers inherit it
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(2 * n)
        with on_loopback():
            ray.init(
                address="local",
                num_cpus=n,
                resources={TRIAL_SLOT: -(-n // folds) + 1},
                object_store_memory=_store_bytes(object_store_gb),
                include_dashboard=dashboard,
                configure_logging=False,
                job_config=config_without_folders(),
                **quiet,
            )
    else:
        try:
            with _plugins_sent() as modules:
                environment = {"env_vars": _for_workers(), **modules}
                ray.init(
                    address=address, runtime_env=environment, job_config=config_without_folders(), **quiet
                )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"--address {address}: no Ray cluster answers ({error})") from None
        n = int(ray.cluster_resources().get("CPU", 1))
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(2 * n)
    try:
        with _interruptible():
            yield n
    finally:
        ray.shutdown()


@contextmanager
def _plugins_sent() -> Iterator[dict[str, list[str]]]:
    """Give the part of a runtime environment that brings the folders of plugins to the workers."""
    with tempfile.TemporaryDirectory(prefix="sweeper-plugins-") as scratch:
        copies = Path(scratch, plugins.SENT)
        yield {"py_modules": [str(copies)]} if plugins.copy_folders(copies) else {}


def _for_workers() -> dict[str, str]:
    """Return the environment of this sweep's workers on every machine of a cluster that runs already."""
    kept = {name: os.environ[name] for name in _OF_WORKERS}
    return {**kept, nodes.EXPECTED: nodes.expected(), plugins.VARIABLE: ""}


_interrupted = threading.Event()


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM, which batch systems send and for which Ray's own handler aborts, interrupt."""
    _interrupted.clear()
    known = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    if known[signal.SIGINT] is signal.SIG_IGN:  # started in the background of a script: it stays ignored
        del known[signal.SIGINT]
    for number in known:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, handler in known.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _interrupt(signum: int, frame: Any) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def check_interrupted() -> None:
    """Interrupt once more: Python drops what is raised while it runs a destructor or a callback of C code."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


_SMALLEST_STORE_BYTES = 80 * 2**20
"""Ray refuses less than 75 MiB."""


def _store_bytes(gb: float | None) -> int | None:
    return None if gb is None else max(_SMALLEST_STORE_BYTES, int(gb * 2**30))


def trial_resources() -> tuple[dict[str, float], int]:
    """What one trial holds, and how many may run at once.

    A slot where the cluster declares them, else a share of the memory that Ray counts, one for each
    core and one more; never a core, which the tasks that a trial waits for need.
    """
    import ray

    resources = ray.cluster_resources()
    slots = int(resources.get(TRIAL_SLOT, 0))
    if slots >= 1:
        return {"CPU": 0, TRIAL_SLOT: 1}, slots
    slots = int(resources.get("CPU", 1)) + 1
    return {"CPU": 0, "memory": resources["memory"] // slots}, slots
