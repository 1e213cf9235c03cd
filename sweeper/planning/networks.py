"""The cost of a sweep's networks: they train on a few random frames and read them, on one core here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sweeper.api import PRETRAINED, Network, NetworkBuild
from sweeper.planning.values import NetworkCost
from sweeper.space.needs import searched_networks
from sweeper.space.parts import Part
from sweeper.space.space import Space

_BATCH = 2


def network_costs(space: Space, n_classes: int, n_train: int) -> tuple[NetworkCost, ...]:
    """Return what each network of a space costs, timed at one choice of its parameters on random frames.

    `n_train` is the number of frames that a fit trains on.
    """
    return tuple(_cost(network, part, n_classes, n_train) for network, part in searched_networks(space))


def _cost(network: Network, part: Part, n_classes: int, n_train: int) -> NetworkCost:
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

        learned, epochs = params["training_set"] != PRETRAINED, params.get("epochs", 0)
        train_s = _seconds(train) / _BATCH if learned else 0.0
        read_s = _seconds(read) / _BATCH
        return NetworkCost(part.label, part.size, epochs, train_s, read_s, epochs * n_train * train_s)
    finally:
        torch.set_num_threads(threads)


def _seconds(action: Callable[[], None]) -> float:
    """Return the seconds that a second call takes: the first one sets things up."""
    action()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
