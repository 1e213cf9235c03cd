"""Training a network: a pure function of what :class:`Fit` holds and of the number of processes.

One process trains alone; under ``torch.distributed`` all of them call :func:`train` alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import PRETRAINED, Network, Params
from sweeper.errors import DivergedError, InputError, OutOfMemoryError
from sweeper.networks import _ranks
from sweeper.networks._course import FIT_VERSION, Course, Metrics
from sweeper.networks.devices import Device, memory_advice, reproducible, torch_device
from sweeper.networks.inputs import Inputs
from sweeper.networks.model import model_path, trained_s
from sweeper.networks.training_sets import Rows

__all__ = [
    "FIT_VERSION",
    "Device",
    "DivergedError",
    "Fit",
    "OutOfMemoryError",
    "model_path",
    "train",
    "trained_s",
]


@dataclass(frozen=True, eq=False)
class Fit:
    """What is trained, and on what.

    Attributes
    ----------
    network : str
        Name of the plugin.
    params : mapping
        Values of its axes; defaults for those left out.
    n_classes : int
    seed : int
    labels : int64, (n_frames,)
        Of all frames of the data set.
    train : int64, (n,)
        Training rows; the parameter ``training_set`` says what is made of them.
    groups : int64, (n_frames,), or None
        Frames that stay together when some are held out.
    inputs : Inputs
        Of all frames of the data set.
    weights : str or None
        File of pretrained weights.
    folder : Path
        Holds the checkpoint and the model files. Processes of several machines share it.
    snapshots : tuple of int
        Epochs after which, beside the last, a model file is written in passing.
    classes : tuple of str
        Names, for the model file.
    intensity : mapping
        Settings of the frames, for the model file.
    """

    network: str
    params: Params
    n_classes: int
    seed: int
    labels: NDArray[np.int64]
    train: Rows
    groups: NDArray[np.int64] | None
    inputs: Inputs
    weights: str | None
    folder: Path
    snapshots: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    intensity: Mapping[str, Any] = field(default_factory=dict)


def train(fit: Fit, epochs: int, device: Device, on_epoch: Callable[[Metrics], object] | None = None) -> Path:
    """Train a network up to a number of epochs, from its checkpoint where there is one.

    Nothing is done when the model file is there. Training to 2 epochs and then to 4 gives the weights
    that training to 4 gives. When the checkpoint is past `epochs`, training starts from zero and leaves
    that checkpoint alone.

    Parameters
    ----------
    fit : Fit
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
            Course(fit, plugin, params, device, epochs).run(on_epoch)
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
