"""Batches of inputs, read by the process itself or by others ahead of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.networks.devices import Device
from sweeper.networks.inputs import Inputs
from sweeper.networks.training_sets import TrainingFrames

_AHEAD = 4  # batches that each loader keeps ready

Positions = NDArray[np.int64]


class Frames:
    """A map-style data set whose unit is the batch: positions to inputs and labels."""

    def __init__(self, inputs: Inputs, frames: TrainingFrames, labels: NDArray[np.int64]) -> None:
        self._inputs, self._frames, self._labels = inputs, frames, labels

    def __len__(self) -> int:
        return len(self._frames)

    def __getitems__(self, positions: Positions) -> tuple[Any, Any]:
        """Inputs, float16, (n, 1, size, size), and labels, int64, (n,)."""
        import torch

        rows = self._frames.rows[positions]
        turns = self._frames.quarter_turns[positions]
        x = self._inputs.batch(rows, turns if turns.any() else None)
        return torch.from_numpy(x), torch.from_numpy(self._labels[rows])


class ShuffledBatches:
    """One rank's share of the batches of an epoch, in that epoch's order."""

    def __init__(self, n: int, batch_size: int, rank: int, world: int, seed: int) -> None:
        self._n, self._batch_size, self._seed = n, batch_size, seed
        self._rank, self._world = rank, world
        self.epoch = 0
        """Number of the epoch, from 1: set before each."""

    def sizes(self) -> list[int]:
        """Frames of each batch, over all ranks.

        What is left over is a smaller batch, unless it would give some rank a single frame, of which
        batch norm has no variance, or none.
        """
        whole, rest = divmod(self._n, self._batch_size)
        keep_rest = rest >= 2 * self._world or (rest > 0 and whole == 0)
        return [self._batch_size] * whole + [rest] * keep_rest

    def __len__(self) -> int:
        return len(self.sizes())

    def __iter__(self) -> Iterator[Positions]:
        order = np.random.default_rng([self._seed, self.epoch]).permutation(self._n)
        start = 0
        for size in self.sizes():
            yield np.array_split(order[start : start + size], self._world)[self._rank]
            start += size


def in_order(n: int, batch_size: int) -> list[Positions]:
    """Positions 0 to n − 1 in batches."""
    return [np.arange(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]


def loader(data: Frames, batches: Any, device: Device, *, again: bool) -> Any:
    """DataLoader of a data set; `again` when it is gone through more than once."""
    import torch

    ahead = {"prefetch_factor": _AHEAD, "persistent_workers": again} if device.loaders else {}
    return torch.utils.data.DataLoader(
        data,
        batch_sampler=batches,
        collate_fn=_as_it_is,
        num_workers=device.loaders,
        pin_memory=device.kind == "cuda",
        generator=torch.Generator().manual_seed(0),  # else each pass draws from the global one
        **ahead,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def on_device(x: Any, where: Any) -> Any:
    """Inputs as networks take them: float32 on the device, copied there as float16."""
    import torch

    return x.to(where, non_blocking=True).to(torch.float32)
