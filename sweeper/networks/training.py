"""Training a network: a pure function of the fit, its data and the number of processes.

One process trains alone; under ``torch.distributed`` all of them call :func:`train` alike.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.api import PRETRAINED, Network, Params
from sweeper.errors import InputError
from sweeper.networks import _ranks
from sweeper.networks._course import Course, Metrics
from sweeper.networks.devices import Device, memory_advice, reproducible, torch_device
from sweeper.networks.fit import Fit, TrainingData
from sweeper.networks.model import model_path


def train(
    fit: Fit,
    data: TrainingData,
    epochs: int,
    device: Device,
    on_epoch: Callable[[Metrics], object] | None = None,
) -> Path:
    """Train a network up to a number of epochs, from its checkpoint where there is one.

    Nothing is done when the model file is there. Training to 2 epochs and then to 4 gives the weights
    that training to 4 gives. When the checkpoint is past `epochs`, training starts from zero and leaves
    that checkpoint alone.

    Parameters
    ----------
    fit : Fit
    data : TrainingData
    epochs : int
        0: the network as it is before training, with its pretrained weights.
    device : Device
    on_epoch : callable, optional
        Called after each epoch, when its checkpoint is written, in every process alike, with the same
        ``epoch``, ``loss``, ``accuracy``, ``learning_rate``, ``seconds`` and, with patience,
        ``held_out_loss`` and ``held_out_accuracy``.

    Returns
    -------
    Path
        The model file: the weights of the last epoch; with patience, of the one with the lowest
        held-out loss.

    Raises
    ------
    ValueError
        A batch or a training set smaller than the number of processes; a training set that cannot be
        made; a network that is not trained asked for more than 0 epochs; a GPU that is not there.
    DivergedError
        The loss is not finite.
    OutOfMemoryError
        The device has too little memory.
    OSError
        A file cannot be read or written.
    """
    plugin = plugins.network(fit.network)
    params = _complete(plugin, fit.params)
    _check(params, epochs, _ranks.world()[1])
    torch_device(device)  # before processes exchange anything
    path = model_path(fit.folder, epochs)
    if not _ranks.from_first(path.exists()):
        advice = memory_advice(device, fit.network, params.get("batch_size", 1), params["size"])
        with advice, reproducible(device):
            Course(fit, data, plugin, params, device, epochs).run(on_epoch)
    _ranks.wait()
    return path


def _complete(plugin: Network, params: Params) -> dict[str, Any]:
    """Parameters with the defaults of those left out; ValueError for an unknown or illegal one."""
    trained = params.get("training_set") != PRETRAINED
    axes = {axis.name: axis for axis in (plugin.all_axes if trained else plugin.axes)}
    for name, value in params.items():
        if name not in axes:
            raise InputError(f"{plugin.name}: parameter must be one of {', '.join(axes)}, got {name!r}")
        axes[name].check(plugin.name, value)
    return {name: axis.default for name, axis in axes.items()} | dict(params)


def _check(params: Params, epochs: int, world: int) -> None:
    if params["training_set"] == PRETRAINED:
        if epochs != 0:
            raise InputError(f"epochs must be 0 with training_set {PRETRAINED}, got {epochs}")
        return
    if not 0 <= epochs <= params["epochs"]:
        raise InputError(f"epochs must be from 0 to the full number, {params['epochs']}, got {epochs}")
    if params["batch_size"] < world:
        raise InputError(
            f"batch_size must be at least the number of workers, {world}, got {params['batch_size']}"
        )
