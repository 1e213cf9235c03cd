"""Simulated frames in many processes: a Ray task a shard, on one machine or on a cluster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError

from sweeper.engine import nodes
from sweeper.engine.cluster import connected
from sweeper.engine.private.tune import trial_environment
from sweeper.simulate.frame_files import whole
from sweeper.simulate.sets import Shard, Simulation
from sweeper.simulate.writing import STATE, shard_files, write_shard

Samples = tuple[tuple[str, str], ...]

_IN_FLIGHT_A_CORE = 2
_BYTES_A_PIXEL = 100  # at most, of the arrays behind a frame


def write_shards(
    directory: Path,
    simulation: Simulation,
    shards: Sequence[Shard],
    on_shard: Callable[[Shard], None],
    *,
    cpus: int | None = None,
    address: str | None = None,
) -> None:
    """Write shards of a data set; the same files whoever writes them.

    A machine that sees the folder writes to it, any other sends its files here.

    Parameters
    ----------
    directory : Path
        With its folders made.
    on_shard : callable
        Called with each shard that is written.
    cpus : int, optional
        Cores of a Ray started here; all by default.
    address : str, optional
        Cluster to join.

    Raises
    ------
    ValueError
        What a simulator refuses; no cluster at `address`, or one that runs other code.
    """
    with connected(address, cpus) as cores:
        if address is not None:
            nodes.probe((), trial_environment())
        root = directory.resolve()
        marker = nodes.marker(root / STATE)
        samples = ((str(marker), nodes.stamp(str(marker))),)
        try:
            _run(root, simulation, shards, on_shard, cores, samples)
        finally:
            marker.unlink(missing_ok=True)


def _run(
    directory: Path,
    simulation: Simulation,
    shards: Sequence[Shard],
    on_shard: Callable[[Shard], None],
    cores: int,
    samples: Samples,
) -> None:
    task = ray.remote(num_cpus=1, memory=_memory_bytes(simulation.size))(nodes.checked(_write))
    shared = ray.put(simulation)
    waiting = list(reversed(shards))
    running: dict[Any, Shard] = {}
    while waiting or running:
        while waiting and len(running) < _IN_FLIGHT_A_CORE * cores:
            shard = waiting.pop()
            name = f"simulate {shard.part} {shard.label} {shard.number}"
            running[task.options(name=name).remote(directory, shared, shard, samples)] = shard
        ready, _ = ray.wait(list(running), num_returns=1)
        files = _result(ready[0])
        shard = running.pop(ready[0])
        for path, data in files.items():  # the table comes last
            with whole(directory / path) as partial:
                partial.write_bytes(data)
        on_shard(shard)


def _memory_bytes(size: int) -> int:
    """Return a task's claim of memory, with which large frames do not fill a machine of many cores."""
    had = [node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"]]
    return min(_BYTES_A_PIXEL * size**2, int(max(had)))


def _result(ref: Any) -> dict[str, bytes]:
    try:
        files: dict[str, bytes] = ray.get(ref)
    except RayTaskError as error:
        if isinstance(error.cause, ValueError | OSError):
            raise error.cause from None
        raise
    return files


def _write(directory: Path, simulation: Simulation, shard: Shard, samples: Samples) -> dict[str, bytes]:
    """On a worker: write a shard, or give its files where this machine does not see the folder."""
    if nodes.sees(samples):
        write_shard(directory, simulation, shard)
        return {}
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        names = shard_files(simulation, shard)
        for folder in {(here / name).parent for name in names}:
            folder.mkdir(parents=True, exist_ok=True)
        write_shard(here, simulation, shard)
        return {name: (here / name).read_bytes() for name in names}
