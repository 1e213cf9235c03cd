"""Private parts of Ray's core: addresses, clusters, imports of workers, the dashboard, object sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import ray


@contextmanager
def on_loopback() -> Iterator[None]:
    """Have a Ray that is started in this block listen on the loopback address alone.

    The public switch (RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER) is meant for systems with firewalls that ask, and
    read when Ray is imported.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def few_services() -> Iterator[None]:
    """Have a Ray that is started in this block leave out what one machine without a dashboard has no use for.

    The autoscaler's monitor, the one that forwards what workers print, and the server behind the dashboard
    take some two seconds of CPU time; ``include_dashboard=False`` starts that server all the same.
    """
    from ray._private import parameter, services

    parameters, start_api_server = parameter.RayParams, services.start_api_server
    parameter.RayParams = partial(parameters, no_monitor=True, include_log_monitor=False)
    services.start_api_server = lambda *arguments, **options: ("", None)
    try:
        yield
    finally:
        parameter.RayParams, services.start_api_server = parameters, start_api_server


@contextmanager
def signals_left_alone() -> Iterator[None]:
    """Have ``ray.init`` in this block leave the handler of SIGTERM as it is.

    Its own ends the process at once, with the signal's number as exit status.
    """
    from ray._private import utils

    before = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = before


def shut_down(when_disconnected: Callable[[], None]) -> None:
    """Disconnect from Ray, and end one that was started here.

    Native code then takes handlers of signals away, so `when_disconnected` is called as soon as that is
    done: the processes that have to end take a while.
    """
    node = ray._private.worker._global_node
    if node is not None:
        end_processes = node.kill_all_processes

        def end(*arguments: Any, **options: Any) -> None:
            when_disconnected()
            end_processes(*arguments, **options)

        node.kill_all_processes = end
    ray.shutdown()
    when_disconnected()


def job_config() -> Any:
    """Return a job's configuration that leaves the import path of workers alone.

    Ray puts the driver's current folder, and its script's, in front of the path of every worker, where a
    ``random.py`` or ``numpy.py`` of the user's own would be imported. It has no public setting for that.
    """
    from ray.job_config import JobConfig

    class KeptEmpty(list[str]):
        def extend(self, folders: Iterable[str]) -> None:
            """Take none of them."""

    config = JobConfig()
    config._py_driver_sys_path = KeptEmpty()
    return config


def cluster_address(address: str) -> str:
    """Return ``host:port`` of the cluster that Ray would connect to at an address without a scheme.

    Raises
    ------
    ConnectionError
        It is ``auto``, and Ray finds no cluster on this machine.
    ValueError
        It is no address.
    """
    from ray._private.services import canonicalize_bootstrap_address

    return str(canonicalize_bootstrap_address(address))


def dashboard_url() -> str:
    """Return the address of Ray's dashboard; empty when it does not run.

    ``ray.init`` returns it to the process that starts Ray, and not to one that joins.
    """
    return ray._private.worker.get_dashboard_url() or ""


def bytes_held(references: Sequence[Any]) -> int:
    """Return the size of objects as this process knows it, without asking another one."""
    from ray.experimental.locations import get_local_object_locations

    known = get_local_object_locations(list(references)).values() if references else ()
    return sum(location["object_size"] or 0 for location in known)
