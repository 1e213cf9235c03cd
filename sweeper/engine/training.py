"""What networks of a space need before a sweep starts: weights that are there, sizes, devices."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.api import Network
from sweeper.engine.tasks.networks import Resources
from sweeper.errors import InputError
from sweeper.runs.spec import SweepSpec
from sweeper.space.domains import Between
from sweeper.space.parts import Part
from sweeper.space.space import Space

_MOST_LOADER_CORES = 8
"""Cores that one GPU gets by default: one trains, the others read inputs."""


def networks(space: Space) -> list[tuple[Network, Part]]:
    """Networks of a space with the parts that search them."""
    found = [(plugins.featurizer(part.name), part) for part in space.parts["featurizer"]]
    return [(plugin, part) for plugin, part in found if isinstance(plugin, Network)]


def check_sizes(space: Space) -> None:
    """Raise ValueError, naming network and size, where a network cannot take what the space asks for."""
    from sweeper.networks.weights import check_size

    for network, part in networks(space):
        for params in _fixed_params(network, part):
            check_size(network, params)


def find_all_weights(space: Space, spec: SweepSpec) -> dict[str, tuple[str, str]]:
    """File of pretrained weights and its digest for each network that needs one; downloaded if need be.

    Raises
    ------
    ValueError
        Weights that are neither in ``--weights`` nor to be had from the hub, or of another architecture.
    """
    from sweeper.networks.weights import check_weights, find_weights, weights_digest

    weights: dict[str, tuple[str, str]] = {}
    for network, part in networks(space):
        for params in _fixed_params(network, part):
            if params.get("weights") == "imagenet" and network.name not in weights:
                path = str(Path(find_weights(network, spec.weights)).resolve())  # workers run elsewhere
                check_weights(network, params, path)
                weights[network.name] = (path, weights_digest(path))
    return weights


def _fixed_params(network: Network, part: Part) -> list[dict[str, Any]]:
    """Every choice of what a network is, leaving aside how it is trained; of a range its two ends."""
    values = []
    for axis in network.axes:
        domain = part.domains[axis.name]
        values.append([domain.low, domain.high] if isinstance(domain, Between) else list(domain.grid()))
    names = [axis.name for axis in network.axes]
    return [dict(zip(names, choice, strict=True)) for choice in itertools.product(*values)]


def training_resources(spec: SweepSpec, space: Space) -> Resources:
    """Cores and GPUs that training one network takes, and how many may be trained at once.

    Raises
    ------
    ValueError
        More than the cluster has.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpu = [node for node in nodes if node.get("GPU", 0.0)]
    gpus_there = sum(node["GPU"] for node in with_gpu)
    gpus = min(1.0, gpus_there) if spec.train_gpus is None else spec.train_gpus
    cpus = spec.train_cpus
    if cpus is None:
        shares = [node.get("CPU", 0.0) / node["GPU"] * gpus for node in with_gpu] if gpus else []
        cpus = min(_MOST_LOADER_CORES, max(1.0, min(shares, default=1.0) // 1))
    at_once = workers_at_once(nodes, cpus, gpus)
    if networks(space):
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
