"""What networks of a sweep will cost: a few frames trained on and read, on one core of this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweeper import plugins
from sweeper.api import PRETRAINED, Network, NetworkBuild
from sweeper.space.parts import Part
from sweeper.space.space import Space

_BATCH = 2


@dataclass(frozen=True)
class NetworkCost:
    """Seconds a frame, on one core.

    Attributes
    ----------
    label : str
        The part of the space.
    epochs : int
        Of a full fit; 0 for a network that is not trained.
    train_s : float
        A frame in one epoch.
    read_s : float
        Features of a frame.
    """

    label: str
    epochs: int
    train_s: float
    read_s: float

    def fit_s(self, n_train: int) -> float:
        """One full fit."""
        return self.epochs * n_train * self.train_s


def network_costs(space: Space, n_classes: int) -> list[NetworkCost]:
    """Time each network of a space, at one choice of its parameters, on random frames."""
    found = []
    for part in space.parts["featurizer"]:
        plugin = plugins.featurizer(part.name)
        if isinstance(plugin, Network):
            found.append(_cost(plugin, part, n_classes))
    return found


def _cost(network: Network, part: Part, n_classes: int) -> NetworkCost:
    import torch

    params = part.sample(np.random.default_rng(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        module: Any = network.build(NetworkBuild(params, n_classes))
        x = torch.rand(_BATCH, 1, params["size"], params["size"])
        y = torch.arange(_BATCH) % n_classes

        def train() -> None:
            _, logits = module(x)
            torch.nn.functional.cross_entropy(logits, y).backward()

        def read() -> None:
            with torch.inference_mode():
                module.eval()(x)

        learned = params["training_set"] != PRETRAINED
        train_s = _seconds(train) / _BATCH if learned else 0.0
        return NetworkCost(part.label, params.get("epochs", 0), train_s, _seconds(read) / _BATCH)
    finally:
        torch.set_num_threads(threads)


def _seconds(action: Callable[[], None]) -> float:
    """Of the second call: the first sets things up."""
    action()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
