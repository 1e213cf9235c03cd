"""What networks of a space need before a sweep starts: weights that are there, sizes, devices."""

from __future__ import annotations

import itertools
from typing import Any

from sweeper import plugins
from sweeper.api import Network
from sweeper.domains import Between
from sweeper.engine.network_tasks import Resources
from sweeper.space import Part, Space
from sweeper.spec import SweepSpec

_MOST_LOADER_CORES = 8
"""Cores that one GPU gets by default: one trains, the others read inputs."""


def networks(space: Space) -> list[tuple[Network, Part]]:
    """Networks of a space with the parts that search them."""
    found = [(plugins.featurizer(part.name), part) for part in space.parts["featurizer"]]
    return [(plugin, part) for plugin, part in found if isinstance(plugin, Network)]


def check_networks(space: Space, spec: SweepSpec) -> dict[str, tuple[str, str]]:
    """Check sizes and pretrained weights; gives the file and its digest for each network that needs one.

    Raises
    ------
    ValueError
        A size that a network cannot take; weights that are neither in ``--weights`` nor to be had from the
        hub, or that are of another architecture.
    """
    from sweeper.networks.weights import check_size, check_weights, find_weights, weights_digest

    weights: dict[str, tuple[str, str]] = {}
    for network, part in networks(space):
        for params in _fixed_params(network, part):
            check_size(network, params)
            if params.get("weights") == "imagenet" and network.name not in weights:
                path = find_weights(network, spec.weights)
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

    have = ray.cluster_resources()
    cpus_there, gpus_there = have.get("CPU", 1.0), have.get("GPU", 0.0)
    gpus = min(1.0, gpus_there) if spec.train_gpus is None else spec.train_gpus
    cpus = spec.train_cpus
    if cpus is None:
        share = cpus_there * gpus // gpus_there if gpus and gpus_there else 1.0
        cpus = min(_MOST_LOADER_CORES, max(1.0, share))
    if networks(space):
        for name, each, there in (("train_gpus", gpus, gpus_there), ("train_cpus", cpus, cpus_there)):
            if each * spec.train_workers > there:
                of = f" for each of {spec.train_workers} workers" if spec.train_workers > 1 else ""
                what = "GPUs" if name == "train_gpus" else "cores"
                raise ValueError(f"{name} = {each:g}{of} must be at most what Ray has here: {there:g} {what}")
    slots = cpus_there // cpus if not gpus else min(cpus_there // cpus, gpus_there // gpus)
    return Resources(
        spec.train_workers, cpus, gpus, spec.train_compile, max(1, int(slots) // spec.train_workers)
    )
