"""One process's part of a training: the network on its device, its optimizer, one epoch after another."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from sweeper.api import NetworkModule, Params
from sweeper.errors import DivergedError
from sweeper.networks import _ranks
from sweeper.networks._loading import ShuffledBatches, on_device
from sweeper.networks.devices import Device, mixed_dtype, torch_device
from sweeper.networks.schedule import learning_rate

_STEPS_PER_LOOK = 50
"""Steps between two looks at the loss where a look makes a GPU or other processes wait."""


def seed_torch(*numbers: int) -> None:
    """Seed torch, on the CPU and the GPUs, from several numbers."""
    import torch

    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1))


class Learner:
    """A network that learns.

    Parameters
    ----------
    module : NetworkModule
        With the same weights in every process.
    params : mapping
        Value of every axis.
    device : Device
    seed : int
    state : mapping or None
        What :meth:`state` gave, to go on from there.
    """

    def __init__(
        self,
        module: NetworkModule,
        params: Params,
        device: Device,
        seed: int,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        import torch

        self._params, self._device, self._seed = params, device, seed
        self._rank, self._world = _ranks.world()
        self._where, self._dtype = torch_device(device), mixed_dtype(device)
        # Channels last is what tensor cores read; on a CPU, one to two times as fast, never slower.
        self.module: Any = module.to(self._where, memory_format=torch.channels_last)  # type: ignore[attr-defined]
        self._optimizer = torch.optim.SGD(
            self.module.parameters(),
            lr=params["learning_rate"],
            momentum=params["momentum"],
            weight_decay=params["weight_decay"],
            fused=True,
        )
        # Gradients of half precision, unlike those of bfloat16, vanish unless the loss is scaled.
        self._scaler = torch.amp.GradScaler(device.kind, enabled=self._dtype is torch.float16)
        if state is not None:
            self.module.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._scaler.load_state_dict(state["scaler"])
        self._run = self._wrapped()

    def _wrapped(self) -> Any:
        """The module as it is run: in step with the other processes, compiled."""
        import torch

        run = self.module
        if self._world > 1:
            ids = [self._device.index] if self._device.kind == "cuda" else None
            run = torch.nn.parallel.DistributedDataParallel(run, device_ids=ids, gradient_as_bucket_view=True)
        return torch.compile(run) if self._device.compile else run

    def state(self) -> dict[str, Any]:
        """Weights, optimizer and scaler; the tensors are those in use."""
        return {
            "model": self.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def epoch(self, batches: ShuffledBatches, data: Any, number: int) -> dict[str, float]:
        """Go through the training set once, its `number`-th time.

        Parameters
        ----------
        batches : ShuffledBatches
        data : torch.utils.data.DataLoader
            Over `batches`.
        number : int
            From 1.

        Returns
        -------
        dict
            ``epoch``, ``loss``, ``accuracy``, ``learning_rate`` of its last step, ``seconds``; the same in
            every process but for the seconds.

        Raises
        ------
        DivergedError
            The loss or a weight is not finite.
        """
        import torch

        start = time.monotonic()
        seed_torch(self._seed, number, self._rank)  # dropout
        batches.epoch = number
        sizes = batches.sizes()
        self._run.train()
        sums = torch.zeros(2, dtype=torch.float64, device=self._where)  # loss, right answers
        waits = self._device.kind == "cuda" or self._world > 1
        rate = 0.0
        for i, (size, (x, y)) in enumerate(zip(sizes, data, strict=True)):
            rate = learning_rate((number - 1) * len(sizes) + i, len(sizes), self._params)
            self._step(x, y, size, rate, sums)
            if not waits or i % _STEPS_PER_LOOK == _STEPS_PER_LOOK - 1:
                self._look(sums, number)
        loss, right = (_ranks.total(sums) / sum(sizes)).tolist()
        _ranks.share_buffers(self.module)
        if not math.isfinite(loss) or not self._weights_are_finite():
            self._diverged(number)
        seconds = time.monotonic() - start
        return {"epoch": number, "loss": loss, "accuracy": right, "learning_rate": rate, "seconds": seconds}

    def _step(self, x: Any, y: Any, size: int, rate: float, sums: Any) -> None:
        """One step on this rank's share of a batch of `size` frames."""
        import torch

        x, y = on_device(x, self._where), y.to(self._where, non_blocking=True)
        with torch.autocast(self._device.kind, dtype=self._dtype, enabled=self._dtype is not None):
            logits = self._run(x)[1].float()
        loss = torch.nn.functional.cross_entropy(
            logits, y, reduction="sum", label_smoothing=self._params["label_smoothing"]
        )
        # The ranks' gradients are averaged: each counts by the frames that it has.
        self._scaler.scale(loss * (self._world / size)).backward()
        if self._params["clip_norm"] is not None:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self._params["clip_norm"])
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        sums[0] += loss.detach()
        sums[1] += (logits.detach().argmax(dim=1) == y).sum()

    def evaluate(self, data: Any, n: int) -> dict[str, float]:
        """Cross-entropy and accuracy on frames that are not learnt from, the same in every process.

        Parameters
        ----------
        data : torch.utils.data.DataLoader
            This process's share of them.
        n : int
            Frames of all processes.
        """
        import torch

        self.module.eval()
        sums = torch.zeros(2, dtype=torch.float64, device=self._where)
        with torch.inference_mode():
            for x, y in data:
                y = y.to(self._where, non_blocking=True)
                with torch.autocast(self._device.kind, dtype=self._dtype, enabled=self._dtype is not None):
                    logits = self.module(on_device(x, self._where))[1].float()
                sums[0] += torch.nn.functional.cross_entropy(logits, y, reduction="sum")
                sums[1] += (logits.argmax(dim=1) == y).sum()
        loss, right = (_ranks.total(sums) / n).tolist()
        return {"held_out_loss": loss, "held_out_accuracy": right}

    def _look(self, sums: Any, number: int) -> None:
        if not math.isfinite(_ranks.total(sums.clone())[0].item()):
            self._diverged(number)

    def _weights_are_finite(self) -> bool:
        import torch

        tensors = [t for t in self.module.state_dict().values() if t.is_floating_point()]
        return math.isfinite(torch.stack([t.sum(dtype=torch.float64) for t in tensors]).sum().item())

    def _diverged(self, number: int) -> None:
        raise DivergedError(
            f"loss is not finite at epoch {number}: learning_rate {self._params['learning_rate']:g} is too "
            "large, or clip_norm is needed"
        )
