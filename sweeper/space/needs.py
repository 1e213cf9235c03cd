"""The needs of a space's pipelines before any is evaluated: blocks, networks and their weights."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.api import Network
from sweeper.features.blocks import block_grid
from sweeper.space.domains import Between
from sweeper.space.parts import Part
from sweeper.space.space import Space


def wanted_blocks(space: Space) -> dict[str, list[dict[str, Any]]]:
    """Return the blocks that a space can ask for, by featurizer; networks have none."""
    wanted = {}
    for part in space.parts["featurizer"]:
        featurizer = plugins.featurizer(part.name)
        if isinstance(featurizer, Network):
            continue
        values: dict[str, list[Any]] = {}
        for axis in featurizer.axes:
            domain = part.domains[axis.name]
            chosen = domain.values if hasattr(domain, "values") else list(domain.grid())
            flat = [v for c in chosen for v in (c if axis.many and isinstance(c, tuple) else (c,))]
            values[axis.name] = list(dict.fromkeys(flat))
        wanted[part.name] = block_grid(values)
    return wanted


def searched_networks(space: Space) -> list[tuple[Network, Part]]:
    """Networks of a space with the parts that search them."""
    found = [(plugins.featurizer(part.name), part) for part in space.parts["featurizer"]]
    return [(plugin, part) for plugin, part in found if isinstance(plugin, Network)]


def check_sizes(space: Space) -> None:
    """Raise InputError, naming network and size, where a network cannot take what the space asks for."""
    from sweeper.networks.weights import check_size

    for network, part in searched_networks(space):
        for params in _fixed_params(network, part):
            check_size(network, params)


def find_all_weights(space: Space, folder: str | None) -> dict[str, tuple[str, str]]:
    """File of pretrained weights and its digest for each network that needs one; downloaded if need be.

    Parameters
    ----------
    space : Space
    folder : str or None
        Folder of weights; None: those of timm's hub.

    Raises
    ------
    InputError
        Weights that are neither in ``--weights`` nor to be had from the hub, or of another architecture.
    """
    from sweeper.networks.weights import check_weights, find_weights, weights_digest

    weights: dict[str, tuple[str, str]] = {}
    for network, part in searched_networks(space):
        for params in _fixed_params(network, part):
            if params.get("weights") == "imagenet" and network.name not in weights:
                path = str(Path(find_weights(network, folder)).resolve())  # workers run elsewhere
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
