"""A trained network as one safetensors file that says what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.api import Network, NetworkBuild, NetworkModule, Params
from sweeper.atomic import atomically
from sweeper.errors import InputError

_METADATA = "sweeper"


@dataclass(frozen=True)
class ModelInfo:
    """The description of a network in its model file.

    Attributes
    ----------
    network : str
        Name of the plugin.
    version : int
        Of the plugin.
    params : mapping
        Value of every axis.
    n_classes : int
    classes : tuple of str
        Names; may be empty.
    epochs : int
        That it was asked to be trained for; 0: not trained. `history` is shorter where training stopped
        early.
    intensity : mapping
        Settings of the frames that it was trained on.
    history : tuple of mapping
        Loss, accuracy, learning rate and so on of each epoch.
    """

    network: str
    version: int
    params: Params
    n_classes: int
    classes: tuple[str, ...] = ()
    epochs: int = 0
    intensity: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()


def model_path(folder: Path, epochs: int) -> Path:
    """The file, in the folder of a fit, of the model that was trained to `epochs`."""
    return Path(folder) / f"model-{epochs}.safetensors"


def save_weights(path: Path, weights: Mapping[str, Any], info: ModelInfo) -> None:
    """Write a network's weights, its module's ``state_dict``, and what it is.

    Raises
    ------
    OSError
        The file cannot be written; names it.
    """
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    metadata = {_METADATA: json.dumps(asdict(info), sort_keys=True)}
    with atomically(Path(path)) as partial:
        partial.write_bytes(save(tensors, metadata=metadata))


def read_info(path: Path) -> ModelInfo:
    """Return the description of a network in its model file; reads the header alone.

    Raises
    ------
    ValueError
        Not a model file, or damaged.
    OSError
        The file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            values = json.loads(file.metadata()[_METADATA])
        values["params"] = {k: tuple(v) if isinstance(v, list) else v for k, v in values["params"].items()}
        values["classes"], values["history"] = tuple(values["classes"]), tuple(values["history"])
        return ModelInfo(**values)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not a model file, or damaged: {error}") from error


def untrained(
    network: Network, params: Params, n_classes: int, seed: int, weights: str | None
) -> NetworkModule:
    """Return a network as it is before any training, in evaluation mode, on the CPU.

    Parameters
    ----------
    network : Network
    params : mapping
        Value of every axis.
    n_classes : int
    seed : int
        Of what is random in it: all of it, or the head alone where there are pretrained weights.
    weights : str or None
        File of pretrained weights.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: Any = network.build(NetworkBuild(params, n_classes, weights))
    untrained: NetworkModule = module.eval()
    return untrained


def load_model(path: Path) -> tuple[NetworkModule, ModelInfo]:
    """Read a network.

    Returns
    -------
    module : NetworkModule
        In evaluation mode, on the CPU.
    info : ModelInfo

    Raises
    ------
    ValueError
        Not a model file, damaged, or of another version of the network.
    OSError
        The file cannot be read.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    info = read_info(path)
    plugin = plugins.network(info.network)
    if plugin.version != info.version:
        raise InputError(
            f"{path}: {info.network} must be of version {plugin.version}, the file's is {info.version}: "
            "train it again"
        )
    with torch.random.fork_rng(devices=[]):  # a new network is random at first
        module: Any = plugin.build(NetworkBuild(info.params, info.n_classes))
    try:
        module.load_state_dict(load_file(str(path)))
    except (SafetensorError, RuntimeError) as error:
        reason = "; ".join(str(error).split("\n\t")[1:]) or error
        raise InputError(f"{path}: damaged, or not the weights of {info.network}: {reason}") from error
    loaded: NetworkModule = module.eval()
    return loaded, info
