"""Starting Ray here, or joining a cluster."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.engine import nodes
from sweeper.engine.address import check_answers
from sweeper.engine.ground import ground
from sweeper.engine.private.core import few_services, job_config, on_loopback, shut_down, signals_left_alone
from sweeper.errors import InputError, StoppedError, described
from sweeper.extras import CLUSTER, check_libraries
from sweeper.interrupts import interruptible, retake_signals, undisturbed, was_interrupted, without_hangups
from sweeper.process import ALLOCATION, for_children, variables
from sweeper.runs.checks import local_cpus

TRIAL_SLOT = "trial_slot"
"""Custom resource that a trial holds: it waits for tasks, and takes no core itself."""

OF_TRAINING = {"memory": 4099.0}
"""A few bytes that each process of Ray Train holds: what it left is known by them."""

_SHARED_BY_TRIALS = 0.9  # of the memory: the networks that trials wait for need some as well

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
    # A process for each fit that warns of machines that will go: every epoch has its checkpoint as it is.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
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


_PENDING = "TUNE_MAX_PENDING_TRIALS_PG"
_BY_RAY = ("RAY_AUTH_MODE", "PYTHONBREAKPOINT")
"""Variables that Ray sets when it starts."""
_connected = threading.Lock()
_actors: list[Any] = []


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

    A process that is connected to a Ray already works in that one, which stays up: `cpus`,
    `object_store_gb` and `dashboard` are its own matter. `folds` is how many tasks a trial gives at once:
    with as many trials as fill the cores, and one more to take the place of one that ends, no core waits,
    and no process is started that only waits.

    Raises
    ------
    InputError
        No cluster answers at `address`, the process is connected to another one, or it is in this block
        already.
    """
    if address is not None or dashboard:
        check_libraries(CLUSTER, "--dashboard" if address is None else f"--address {address}")
    if not _connected.acquire(blocking=False):
        raise InputError("one sweep or simulation at a time must run in a process, another one is running")
    try:
        with _surroundings(), ExitStack() as stack:
            import ray

            if ray.is_initialized():
                n = stack.enter_context(_joined(address))
            elif address is None:
                n = local_cpus(cpus)
                stack.enter_context(_started(n, folds, object_store_gb, dashboard))
            else:
                n = stack.enter_context(_cluster(address))
            os.environ[_PENDING] = str(2 * n)
            with interruptible():
                yield n
    finally:
        _connected.release()


def is_shared(address: str | None) -> bool:
    """Return whether :func:`connected` would join a Ray that somebody else started."""
    import ray

    return address is not None or ray.is_initialized()


def owned(actor: Any) -> Any:
    """Return an actor, noted as one that ends with the block of :func:`connected` even if its Ray goes on."""
    _actors.append(actor)
    return actor


@contextmanager
def _surroundings() -> Iterator[None]:
    """Set this process up for a sweep; whatever else it does finds it as it was before."""
    levels = {name: logging.getLogger(name).level for name in ("ray", "ray.tune")}
    as_now = (*_BY_RAY, _PENDING, nodes.EXPECTED, plugins.VARIABLE)
    changes = {
        **{name: os.environ.get(name) for name in as_now},
        **{name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()},
        **for_children(),
    }
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=FutureWarning, module="(ray|statsmodels).*")
    try:
        with variables(changes):
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def quieten() -> None:
    """Keep what Ray notes for its own users in this worker out of what a caller's own Ray prints."""
    logging.getLogger("ray").setLevel(logging.ERROR)


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": f"sweeper-{os.getpid()}"}


@contextmanager
def _started(cpus: int, folds: int, object_store_gb: float | None, dashboard: bool) -> Iterator[None]:
    """Start Ray on this machine and end it again."""
    from sweeper.engine.private.tune import nothing_sent_to_trials

    os.environ[plugins.VARIABLE] = _plugin_folders()  # workers inherit it
    with ground(object_store_gb) as options:
        options["num_cpus"] = cpus
        options["resources"] = {TRIAL_SLOT: -(-cpus // folds) + 1}
        options["include_dashboard"] = dashboard
        try:
            _start(options)
            with nothing_sent_to_trials():
                yield
        finally:
            _leave()


def _start(options: dict[str, Any]) -> None:
    """Start Ray; once more where it did not come up in time, as on a machine that is busy.

    Raises
    ------
    StoppedError
        It did not start.
    """
    import ray

    for final in (False, True):
        try:
            services = nullcontext() if options.get("include_dashboard") else few_services()
            with on_loopback(), signals_left_alone(), without_hangups(), services:
                ray.init(
                    address="local", configure_logging=False, job_config=job_config(), **options, **_quiet()
                )
            return
        except Exception as error:
            ray.shutdown()
            if final or was_interrupted():
                raise StoppedError(f"Ray did not start on this machine ({described(error)})") from error


def _leave() -> None:
    """End the connection to Ray, and with it a Ray that was started here."""
    with undisturbed():
        _actors.clear()
        shut_down(retake_signals)


@contextmanager
def _cluster(address: str) -> Iterator[int]:
    """Join the cluster at an address and leave it again."""
    import ray

    check_answers(address)
    try:
        with _plugins_sent() as modules:
            environment = {"env_vars": _for_workers(folders=""), **modules}
            with signals_left_alone():
                ray.init(address=address, runtime_env=environment, job_config=job_config(), **_quiet())
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"--address {address}: no Ray cluster answers ({error})") from None
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        _leave()


@contextmanager
def _plugins_sent() -> Iterator[dict[str, list[str]]]:
    """Give the part of a runtime environment that brings the folders of plugins to the workers."""
    with tempfile.TemporaryDirectory(prefix="sweeper-plugins-") as scratch:
        copies = Path(scratch, plugins.SENT)
        yield {"py_modules": [str(copies)]} if plugins.copy_folders(copies) else {}


@contextmanager
def _joined(address: str | None) -> Iterator[int]:
    """Work in the Ray that this process is connected to, and leave nothing behind in it.

    Its job has the environment that the caller gave it: what workers of a sweep need comes with each trial.
    Plugins are not sent there: machines that lack their folders say so.
    """
    import ray

    from sweeper.engine.private.tune import sent_to_trials

    here = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", here):
        raise InputError(
            f"--address {address}: this process is connected to the Ray cluster at {here}; leave the address "
            "out to use that one, or disconnect by ray.shutdown()"
        )
    variables = _for_workers(folders=_plugin_folders())
    os.environ.update(variables)
    try:
        with sent_to_trials(variables):
            yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        with undisturbed():
            while _actors:
                ray.kill(_actors.pop())
            remove_groups(OF_TRAINING)


def remove_groups(resources: dict[str, float]) -> None:
    """Remove the placement groups of this process whose every bundle has these resources, with their actors.

    Tune and Train remove theirs, unless they are interrupted.
    """
    import ray
    from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

    job = ray.get_runtime_context().get_job_id()
    wanted = {(name, count) for name, count in resources.items() if count}
    for group in placement_group_table().values():
        name, bundles = group["placement_group_id"], list(group["bundles"].values())
        if name.endswith(job) and bundles and all(wanted <= bundle.items() for bundle in bundles):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(name)))


def _for_workers(folders: str) -> dict[str, str]:
    """Return the environment of this sweep's workers on every machine of a cluster that runs already."""
    kept = {name: os.environ[name] for name in (*_OF_WORKERS, *ALLOCATION)}
    return {**kept, nodes.EXPECTED: nodes.expected(), plugins.VARIABLE: folders}


def _plugin_folders() -> str:
    return os.pathsep.join(map(str, plugins.folders()))


def trial_resources() -> tuple[dict[str, float], int]:
    """Return the resources that one trial holds, and how many trials may run at once.

    A slot where the cluster declares them, else a share of the memory that Ray counts, one for each
    core and one more; never a core, which the tasks that a trial waits for need.
    """
    import ray

    resources = ray.cluster_resources()
    slots = int(resources.get(TRIAL_SLOT, 0))
    if slots >= 1:
        return {"CPU": 0, TRIAL_SLOT: 1}, slots
    slots = int(resources.get("CPU", 1)) + 1
    return {"CPU": 0, "memory": _SHARED_BY_TRIALS * resources["memory"] // slots}, slots
