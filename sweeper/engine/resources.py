"""Resources for training one network, and how many are trained at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray

from sweeper.errors import InputError
from sweeper.networks.devices import Device
from sweeper.runs.spec import SweepSpec

_MOST_LOADER_CORES = 8
"""Cores that one GPU gets by default: one trains, the others read inputs."""


@dataclass(frozen=True)
class Resources:
    """The resources for training one network.

    Attributes
    ----------
    workers : int
        Processes that train it together, each with a device of its own.
    cpus, gpus : float
        Of one worker; a fraction of a GPU is shared with others.
    compile : bool
        Use ``torch.compile``.
    slots : int
        Networks that may be trained at once.
    """

    workers: int
    cpus: float
    gpus: float
    compile: bool
    slots: int

    @property
    def numerics(self) -> list[Any]:
        """Those that change the weights that come out."""
        return [self.workers, self.compile]

    def device(self, gpu: int = 0) -> Any:
        """The device of one worker: its cores, or the GPU of that number among those that it sees."""
        cores = max(1, int(self.cpus))
        if self.gpus > 0:
            return Device("cuda", gpu, threads=cores, loaders=max(1, cores - 1), compile=self.compile)
        return Device("cpu", 0, threads=cores, loaders=0, compile=self.compile)


def training_resources(spec: SweepSpec, *, trains: bool) -> Resources:
    """Return the cores and GPUs that training one network takes, and how many may be trained at once.

    `trains` says whether any network is searched at all.

    Raises
    ------
    InputError
        More than the cluster has.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpu = [node for node in nodes if node.get("GPU", 0.0)]
    gpus_there = sum(node["GPU"] for node in with_gpu)
    gpus = min(1.0, gpus_there) if spec.train_gpus is None else spec.train_gpus
    cpus = spec.train_cpus
    if cpus is None:
        shares = [node.get("CPU", 0.0) / node["GPU"] * gpus for node in with_gpu] if gpus else []
        cpus = min(_MOST_LOADER_CORES, max(1.0, min(shares, default=1.0) // 1))
    at_once = workers_at_once(nodes, cpus, gpus)
    if trains:
        cpus_there = sum(node.get("CPU", 0.0) for node in nodes)
        of = f" for each of {spec.train_workers} workers" if spec.train_workers > 1 else ""
        for name, each, there in (("train_gpus", gpus, gpus_there), ("train_cpus", cpus, cpus_there)):
            if each * spec.train_workers > there:
                what = "GPUs" if name == "train_gpus" else "cores"
                raise InputError(f"{name} = {each:g}{of} must be at most what Ray has here: {there:g} {what}")
        if at_once < spec.train_workers:
            raise InputError(
                f"train_cpus = {cpus:g} with train_gpus = {gpus:g}{of} must be at most what one machine has: "
                f"the cluster has a place for {at_once} such workers"
            )
    return Resources(
        spec.train_workers, cpus, gpus, spec.train_compile, max(1, at_once // spec.train_workers)
    )


def workers_at_once(nodes: list[dict[str, float]], cpus: float, gpus: float) -> int:
    """How many workers find a place at once: each takes its cores and GPUs from one machine."""

    def on(node: dict[str, float]) -> int:
        takes = [node.get(name, 0.0) / each for name, each in (("CPU", cpus), ("GPU", gpus)) if each]
        return int(min(takes) + 1e-9)  # 1 / 0.1 may be below 10

    return sum(on(node) for node in nodes)
