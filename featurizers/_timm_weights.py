"""Pretrained weights from a file into a model of timm, all of them or none."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import timm
import torch
from torch import nn

from sweeper.api import InputError

Shapes = Mapping[str, tuple[int, ...]]
SHOWN = 3  # layers named in a message


def _shapes(path: str) -> Shapes:
    """Return the shape of each tensor in a file of weights, even under "model" or "state_dict"."""
    try:
        if path.endswith(".safetensors"):
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        state = timm.models.load_state_dict(path, weights_only=True)
        return {name: tuple(value.shape) for name, value in state.items()}
    except Exception as error:  # readers raise what they like on a file that is cut or of another kind
        reason = str(error).partition("\n")[0].partition(". ")[0] or type(error).__name__
        raise InputError(f"weights {path}: must be a file of safetensors or PyTorch: {reason}") from error


def _names(value: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    return () if not value else (value,) if isinstance(value, str) else tuple(value)


def _adaptable(expected: tuple[int, ...], found: tuple[int, ...]) -> bool:
    """Return whether timm's sum over three channels makes a first convolution one of ours."""
    return len(found) == 4 and found == (expected[0], 3 * expected[1], *expected[2:])


def _list(names: list[str]) -> str:
    more = f", ... {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def differences(expected: Shapes, found: Shapes, first: tuple[str, ...]) -> str:
    """Say how the layers of a file differ from those of a model without classifier; empty if they do not."""
    both = [n for f in first if (n := f"{f}.weight") in found and n in expected]
    adapted = {n for n in both if _adaptable(expected[n], found[n])}
    missing = [n for n in expected if n not in found]
    unknown = [n for n in found if n not in expected]
    other = [
        f"{n} {found[n]} for {shape}"
        for n, shape in expected.items()
        if n not in adapted and found.get(n, shape) != shape
    ]
    parts = [
        f"{len(missing)} of its {len(expected)} layers missing ({_list(missing)})" if missing else "",
        f"{len(unknown)} of the file's {len(found)} unknown ({_list(unknown)})" if unknown else "",
        f"{len(other)} of another shape ({_list(other)})" if other else "",
    ]
    return "; ".join(part for part in parts if part)


def _ways(config: Any, found: Shapes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield numbers of classes to load with, and what timm's configuration must say for each.

    timm loads strictly where model and configuration agree on the classes, so the classifier is loaded with
    the rest, as large as it stands in the file, and dropped afterwards.
    """
    rows = [found[f"{n}.weight"][0] for n in _names(config.classifier) if f"{n}.weight" in found]
    if rows and rows[0] != config.num_classes + (config.label_offset or 0):
        yield rows[0], {"num_classes": rows[0], "label_offset": None}
        return
    if not rows:
        yield 0, {"classifier": None}
    yield config.num_classes, {}


def load_pretrained(model: str, path: str, options: Mapping[str, Any]) -> nn.Module:
    """Return a model of timm without classifier, with weights from a file, adapted to one channel.

    Files of other layouts that timm knows how to convert are converted; position embeddings are resampled
    to ``options["img_size"]``. On torch's meta device this checks a file against the model.

    Raises
    ------
    ValueError
        The file cannot be read, or lacks a layer, or has one more or of another shape.
    """
    config = timm.get_pretrained_cfg(model)
    found = _shapes(path)
    first, heads = _names(config.first_conv), tuple(f"{name}." for name in _names(config.classifier))
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        bare = timm.create_model(model, pretrained=False, num_classes=0, **options)
    expected = {name: tuple(value.shape) for name, value in bare.state_dict().items()}
    layers = {name: shape for name, shape in found.items() if not name.startswith(heads)}
    difference = differences(expected, layers, first)
    overlay: dict[str, Any] = {"file": path, "custom_load": False}
    starts = [f"{name}.weight" for name in first]
    if any(n in found and found[n] == expected.get(n) for n in starts):  # made for one channel already
        overlay["input_size"] = (1, *config.input_size[1:])
    failure: Exception | None = None
    for n_classes, changes in _ways(config, found):
        asked = {"num_classes": n_classes, "pretrained_cfg_overlay": overlay | changes, **options}
        try:
            net = _create(model, asked) if not difference else _convert(model, asked)
        except Exception as error:  # each model has a converter of its own, which may stumble in its own way
            failure = failure or error
            continue
        net.reset_classifier(0)
        return net
    reason = difference or str(failure).partition("\n")[0]
    raise InputError(f"weights {path}: not those of {model}: {reason}") from failure


def _create(model: str, asked: Mapping[str, Any], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # On the meta device, where a file is only checked, copying does nothing, and torch says so.
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter", category=UserWarning)
        torch.manual_seed(seed)
        return timm.create_model(model, pretrained=True, **asked)


def _convert(model: str, asked: Mapping[str, Any]) -> nn.Module:
    """Load a file whose layers are not named or shaped as the model's, if timm can convert it.

    Some conversions leave layers out without an error. Those then differ between two initialisations.
    """
    with torch.device("cpu"):
        net, other = (_create(model, asked, seed) for seed in (0, 1))
    pairs = zip(net.named_parameters(), other.parameters(), strict=True)
    left_out = [name for (name, value), twin in pairs if not torch.equal(value, twin)]
    if left_out:
        raise InputError(f"{len(left_out)} layers left out ({_list(left_out)})")
    return net
