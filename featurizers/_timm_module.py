"""Models of timm as modules that are read at two places; torch is imported here, so import it lazily."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import timm
import torch
from torch import nn

from sweeper.api import InputError, NetworkBuild

from ._timm_weights import load_pretrained


@dataclass(frozen=True)
class Probe:
    """The layout of a model's maps, found by running it without computing anything.

    Attributes
    ----------
    layout : {"channels first", "channels last", "grid of tokens", "none"}
        "none": no maps with positions that the features are read from, as where a class token is.
    grid : tuple of int
        Height and width of the maps; (0, 0) for "none".
    width : int
        Number of features.
    """

    layout: Literal["channels first", "channels last", "grid of tokens", "none"]
    grid: tuple[int, int]
    width: int


class Backbone(nn.Module):  # type: ignore[misc]
    """A model of timm without its classifier, and a linear head of our own.

    Parameters
    ----------
    model : Module
        Created by timm for one channel and no classes.
    probe : Probe
    n_classes : int

    Attributes
    ----------
    has_maps : bool
        Whether `maps` are (n, channels, height, width), which Grad-CAM needs; else they are tokens.

    Notes
    -----
    The input in [0, 1] is normalised by the mean of what the pretrained weights expect of the three
    channels. The head starts uniform after Glorot and Bengio, AISTATS (2010), equation 16; biases 0.
    """

    def __init__(self, model: nn.Module, probe: Probe, n_classes: int) -> None:
        super().__init__()
        self.model = model
        self.layout = probe.layout
        self.grid = probe.grid
        self.has_maps = probe.layout != "none"
        mean, std = model.pretrained_cfg["mean"], model.pretrained_cfg["std"]
        self.mean = sum(mean) / len(mean)
        self.std = sum(std) / len(std)
        self.head = nn.Linear(probe.width, n_classes)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Return the last maps, (n, channels, height, width) where `has_maps`; else the model's tokens."""
        maps: torch.Tensor = self.model.forward_features((x - self.mean) / self.std)
        if self.layout == "channels last":
            maps = maps.permute(0, 3, 1, 2)
        elif self.layout == "grid of tokens":
            maps = maps.transpose(1, 2).unflatten(2, self.grid)
        return maps

    def read(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features that the classifier would read, (n, width), and logits, (n, n_classes)."""
        if self.layout == "channels last":
            maps = maps.permute(0, 2, 3, 1)
        elif self.layout == "grid of tokens":
            maps = maps.flatten(2).transpose(1, 2)
        features = self.model.forward_head(maps, pre_logits=True)
        return features, self.head(features)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``read(maps(x))``."""
        return self.read(self.maps(x))


def default_size(model: str) -> int:
    """Return width and height of the input that a model's weights were trained at, in pixels."""
    size: int = timm.get_pretrained_cfg(model).input_size[-1]
    return size


def _options(model: str, size: int) -> dict[str, Any]:
    """Return what timm must know about the input: some models are made for one size."""
    fixed = timm.get_pretrained_cfg(model).fixed_input_size
    return {"in_chans": 1, **({"img_size": size} if fixed else {})}


def _grid_of_tokens(net: nn.Module, maps: Any) -> tuple[int, int] | None:
    """Return height and width of maps that are tokens alone, (n, height * width, channels)."""
    embedding = getattr(net, "patch_embed", None) or getattr(net, "stem", None)
    grid = tuple(getattr(embedding, "grid_size", None) or ())
    only_patches = not getattr(net, "num_prefix_tokens", 0) and not hasattr(net, "cls_token")
    if maps.ndim == 3 and len(grid) == 2 and only_patches and maps.shape[1] == grid[0] * grid[1]:
        return int(grid[0]), int(grid[1])
    return None


def _describe(net: nn.Module, maps: Any, width: int) -> Probe:
    if isinstance(maps, torch.Tensor) and maps.ndim == 4:
        if getattr(net, "output_fmt", "NCHW") == "NHWC":
            return Probe("channels last", (maps.shape[1], maps.shape[2]), width)
        return Probe("channels first", (maps.shape[2], maps.shape[3]), width)
    if isinstance(maps, torch.Tensor) and (grid := _grid_of_tokens(net, maps)) is not None:
        return Probe("grid of tokens", grid, width)
    return Probe("none", (0, 0), width)


def _run(model: str, size: int, device: str) -> Probe:
    with torch.device(device), torch.random.fork_rng(devices=[]), torch.no_grad():
        net = timm.create_model(model, pretrained=False, num_classes=0, **_options(model, size)).eval()
        maps = net.forward_features(torch.zeros(2, 1, size, size))
        features = net.forward_head(maps, pre_logits=True)
    return _describe(net, maps, int(features.shape[1]))


def _patch_size(model: str) -> int:
    """Return the side of the patches that a transformer of fixed size sees; 1 elsewhere."""
    if not timm.get_pretrained_cfg(model).fixed_input_size:
        return 1
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        net = timm.create_model(model, pretrained=False, in_chans=1)
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", 1)
    return int(patch if isinstance(patch, int) else patch[0])


@lru_cache(maxsize=256)
def probe(owner: str, model: str, size: int) -> Probe:
    """Find layout and width of a timm model at an input size; nothing is computed.

    Raises
    ------
    ValueError
        The layers of the model cannot take the size, or one channel; the message begins with `owner`.
    """
    patch, own = _patch_size(model), default_size(model)
    if size % patch:
        raise InputError(f"{owner}: size must be a multiple of its patches of {patch} pixels, got {size}")
    try:
        try:
            return _run(model, size, "meta")
        except NotImplementedError:  # an operator that torch's meta device lacks
            return _run(model, size, "cpu")
    except Exception as error:  # layers refuse what does not fit in as many ways as there are models
        reason = str(error).partition("\n")[0]
        if size == own:
            raise InputError(f"{owner}: its layers cannot take one channel: {reason}") from error
        rule = f"size must be one that its layers can take, such as {own}"
        raise InputError(f"{owner}: {rule}, got {size}: {reason}") from error


def build_backbone(owner: str, model: str, build: NetworkBuild) -> Backbone:
    """Return a model of timm that is read at its last maps and at its features.

    Raises
    ------
    ValueError
        It cannot take ``build.params["size"]``; or ``build.weights`` are not its own.
    """
    size = build.params["size"]
    found = probe(owner, model, size)
    options = _options(model, size)
    if build.weights is None:
        net = timm.create_model(model, pretrained=False, num_classes=0, **options)
    else:
        net = load_pretrained(model, build.weights, options)
    return Backbone(net, found, build.n_classes)
