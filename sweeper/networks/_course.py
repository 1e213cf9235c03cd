"""The course of a training: from its checkpoint, epoch by epoch, to the model files that are due."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.api import PRETRAINED, Network, NetworkBuild, NetworkModule, Params
from sweeper.atomic import remove_partial
from sweeper.errors import InputError
from sweeper.networks import _checkpoint, _ranks
from sweeper.networks._checkpoint import Checkpoint
from sweeper.networks._learner import Learner, seed_torch
from sweeper.networks._loading import Frames, ShuffledBatches, in_order, loader
from sweeper.networks.devices import Device, torch_device
from sweeper.networks.fit import FIT_VERSION, Fit, TrainingData
from sweeper.networks.model import ModelInfo, model_path, save_weights
from sweeper.networks.training_sets import TrainingFrames, hold_out, training_frames
from sweeper.pipeline import digest

_CHECKPOINT = "checkpoint.pt"
_MEAN_BATCH = 16

Metrics = dict[str, float]


class Course:
    """A training on its way to a number of epochs."""

    def __init__(
        self, fit: Fit, data: TrainingData, plugin: Network, params: Params, device: Device, epochs: int
    ) -> None:
        self._fit, self._data, self._plugin, self._params = fit, data, plugin, params
        self._device, self._epochs = device, epochs
        self._rank, self._world = _ranks.world()
        self._patience: int | None = params.get("patience")
        self._frames, self._held_out = self._training_set()
        self._progress, self._checkpoint = self._starting_point()

    def run(self, on_epoch: Callable[[Metrics], object] | None) -> None:
        """Train, and write the model files."""
        fit, progress = self._fit, self._progress
        started = progress.epoch > 0
        if not started or not self._finished():
            module = self._module()
        if not started:
            progress.state = {"model": module.state_dict()}  # type: ignore[attr-defined]
        self._write_models()
        if not self._finished():
            state = progress.state if started else None
            self._go_on(Learner(module, self._params, self._device, fit.seed, state), on_epoch)
        if self._rank == 0 and self._checkpoint != fit.folder / _CHECKPOINT:
            self._checkpoint.unlink(missing_ok=True)

    def _go_on(self, learner: Learner, on_epoch: Callable[[Metrics], object] | None) -> None:
        progress, batch_size = self._progress, self._params["batch_size"]
        batches = ShuffledBatches(len(self._frames), batch_size, self._rank, self._world, self._fit.seed)
        data = self._loader(self._frames, batches)
        held_out = self._loader(
            self._held_out, in_order(len(self._held_out), batch_size)[self._rank :: self._world]
        )
        while not self._finished():
            metrics = learner.epoch(batches, data, progress.epoch + 1)
            if self._patience is not None:
                metrics |= learner.evaluate(held_out, len(self._held_out))
            metrics = _ranks.from_first(metrics)
            progress.epoch += 1
            progress.history.append(metrics)
            progress.state = learner.state()
            if self._patience is not None and _best_epoch(progress.history) == progress.epoch:
                weights = progress.state["model"]
                progress.best = {name: t.detach().to("cpu", copy=True) for name, t in weights.items()}
            if self._rank == 0:
                _checkpoint.save(self._checkpoint, progress)
            self._write_models()
            if on_epoch is not None:
                on_epoch(dict(metrics))

    def _loader(self, frames: TrainingFrames, batches: Any) -> Any:
        return loader(Frames(self._data.inputs, frames, self._data.labels), batches, self._device, again=True)

    def _training_set(self) -> tuple[TrainingFrames, TrainingFrames]:
        """Return the rows that are learnt from and, with patience, those held out of them."""
        data, none = self._data, np.empty(0, dtype=np.int64)
        kind = self._params["training_set"]
        if kind == PRETRAINED:
            return TrainingFrames.upright(none), TrainingFrames.upright(none)
        frames = training_frames(kind, data.labels, data.rows, self._fit.seed)
        held_out = none
        if self._patience is not None:
            frames, held_out = hold_out(data.labels, frames, data.groups, self._fit.seed)
        if len(frames) < self._world:
            raise InputError(
                f"a training set must have a frame for each worker, {self._world}, it has {len(frames)}"
            )
        return frames, TrainingFrames.upright(held_out)

    def _starting_point(self) -> tuple[Checkpoint, Path]:
        """How far the training is, and the checkpoint that it goes on writing.

        The folder's checkpoint, unless it is past the epochs asked for: then one of its own, which is
        removed at the end.
        """
        key = self._key()
        main = self._fit.folder / _CHECKPOINT
        progress, checkpoint = None, main
        if self._rank == 0:
            remove_partial(self._fit.folder)
            progress = _checkpoint.load(main, key)
            if progress is not None and progress.epoch > self._epochs:
                checkpoint = main.with_name(f"checkpoint-to-{self._epochs}.pt")
                progress = _checkpoint.load(checkpoint, key)
        progress = _ranks.from_first(progress)
        return progress or Checkpoint(key), checkpoint

    def _key(self) -> str:
        fit, data = self._fit, self._data
        groups = [] if data.groups is None else [data.groups[data.rows]]
        parts = [data.rows, data.labels[data.rows], *groups]
        rows = hashlib.blake2b(
            b"".join(np.asarray(p, dtype=np.int64).tobytes() for p in parts), digest_size=16
        )
        return digest(
            [
                [FIT_VERSION, fit.network, self._plugin.version, self._params, dict(fit.intensity)],
                [fit.n_classes, fit.seed, self._world, rows.hexdigest()],
            ]
        )

    def _module(self) -> NetworkModule:
        """The network as it is before the first epoch."""
        fit = self._fit
        seed_torch(fit.seed)
        module = self._plugin.build(NetworkBuild(self._params, fit.n_classes, fit.weights))
        if self._plugin.pixel_mean and self._progress.epoch == 0 and len(self._frames):
            self._put_pixel_mean(module)
        return module

    def _put_pixel_mean(self, module: NetworkModule) -> None:
        """Mean of the training set's inputs, rotations included; each process sums its share."""
        import torch

        size = self._data.inputs.size
        summed = np.zeros((1, size, size))
        for at in in_order(len(self._frames), _MEAN_BATCH)[self._rank :: self._world]:
            x = self._data.inputs.batch(self._frames.rows[at], self._frames.quarter_turns[at])
            summed += x.sum(axis=0, dtype=np.float64)
        where = torch_device(self._device)
        mean = _ranks.total(torch.from_numpy(summed).to(where)) / len(self._frames)
        buffer: Any = module.pixel_mean  # type: ignore[attr-defined]
        buffer.copy_(mean)

    def _finished(self) -> bool:
        """Whether the epochs are done, or patience has run out."""
        done, patience = self._progress.epoch, self._patience
        if done >= self._epochs:
            return True
        return patience is not None and done > 0 and done - _best_epoch(self._progress.history) >= patience

    def _write_models(self) -> None:
        """Write the model files that are due: also later ones, once patience has run out."""
        if self._rank != 0:
            return
        fit, progress = self._fit, self._progress
        last = self._epochs if self._finished() else progress.epoch
        for epochs in {*fit.snapshots, self._epochs}:
            due = progress.epoch <= epochs <= last and (epochs > 0 or self._epochs == 0)
            if due and not model_path(fit.folder, epochs).exists():
                save_weights(
                    model_path(fit.folder, epochs),
                    progress.best or progress.state["model"],
                    self._info(epochs),
                )

    def _info(self, epochs: int) -> ModelInfo:
        fit = self._fit
        return ModelInfo(
            network=fit.network,
            version=self._plugin.version,
            params=self._params,
            n_classes=fit.n_classes,
            classes=fit.classes,
            epochs=epochs,
            intensity=fit.intensity,
            history=tuple(self._progress.history),
        )


def _best_epoch(history: Sequence[Metrics]) -> int:
    """Number of the epoch with the lowest held-out loss, the first of equals."""
    return 1 + int(np.argmin([metrics["held_out_loss"] for metrics in history]))
