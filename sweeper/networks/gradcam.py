"""Grad-CAM: where in a frame a network saw evidence for a class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError

if TYPE_CHECKING:
    from sweeper.api import NetworkModule

_BATCH = 16  # gradients need the activations of a whole batch at once
_LEAST_POSITIONS = 2
_NO_MAPS = "Grad-CAM needs a network whose last feature maps, (n, channels, height, width), have positions"
_ROUNDING = 1e-5  # of float32 sums over channels; less of a difference is no place in the frame


def grad_cam(
    module: NetworkModule, x: Any, target: int | NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return heat maps of the evidence for a class (Selvaraju et al. 2017, equations 1 and 2).

    The gradient of the class's logit with respect to each feature map, averaged over positions, is the
    map's weight; the positive part of the weighted sum is the evidence. Each frame's evidence is scaled
    to [0, 1] from its least to its most, as pytorch-grad-cam does, before and after it is interpolated
    bilinearly to the size of the input. Heat maps of different frames can therefore not be compared in
    strength.

    Parameters
    ----------
    module : NetworkModule
        Is in evaluation mode meanwhile: dropout and batch statistics would make the result random.
    x : torch.Tensor, float, (n, 1, size, size)
    target : int or int64 array (n,), optional
        The class to look for evidence of; by default the one predicted for each frame.

    Returns
    -------
    heatmaps : float32, (n, size, size)
        In [0, 1]; all 0 for a frame without positive evidence, or with the same evidence everywhere.
    logits : float32, (n, n_classes)

    Raises
    ------
    ValueError
        The network has no feature maps with positions, or a target is no class of it.
    """
    import torch

    if not getattr(module, "has_maps", True):
        raise InputError(f"{_NO_MAPS}; this one's features are read from a class token or the like")
    device = next(module.parameters()).device  # type: ignore[attr-defined]
    heatmaps, logits = [], []
    with _evaluating(module), torch.enable_grad():
        for start in range(0, len(x), _BATCH):
            part = slice(start, start + _BATCH)
            chosen = target[part] if isinstance(target, np.ndarray) else target
            evidence, scores = _evidence(module, x[part].to(device), chosen)
            heatmaps.append(_scaled(evidence, x.shape[-2:]).cpu().numpy())
            logits.append(scores.float().cpu().numpy())
    return np.concatenate(heatmaps), np.concatenate(logits)


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def _evidence(module: NetworkModule, x: Any, target: int | NDArray[np.int64] | None) -> tuple[Any, Any]:
    """Evidence at each position, (n, height, width), at least 0, and logits, (n, n_classes)."""
    import torch

    with torch.no_grad():
        found = module.maps(x)  # (n, channels, height, width)
    _check_maps(found)
    maps = found.detach().requires_grad_()
    _, logits = module.read(maps.clone())  # a copy: a layer that works in place may not touch a leaf
    chosen = logits.detach().argmax(dim=1) if target is None else _classes(target, logits)
    score = logits.gather(1, chosen[:, None]).sum()  # frames do not mix, so one pass serves all of them
    (gradient,) = torch.autograd.grad(score, maps)
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # (n, channels, 1, 1), equation 1
    return (weights * maps.detach()).sum(dim=1).clamp(min=0).float(), logits.detach()  # equation 2


def _check_maps(maps: Any) -> None:
    if maps.ndim != 4:
        raise InputError(f"{_NO_MAPS}; those of this one have shape {tuple(maps.shape)}")
    if max(maps.shape[2:]) < _LEAST_POSITIONS:
        raise InputError(f"{_NO_MAPS}; at its input size this one's are {maps.shape[2]} x {maps.shape[3]}")


def _classes(target: int | NDArray[np.int64], logits: Any) -> Any:
    import torch

    n, n_classes = logits.shape
    wanted = np.broadcast_to(np.asarray(target, dtype=np.int64), n)
    if wanted.min() < 0 or wanted.max() >= n_classes:
        raise InputError(f"target must be a class from 0 to {n_classes - 1}, got {target}")
    return torch.from_numpy(wanted.copy()).to(logits.device)


def _scaled(evidence: Any, size: tuple[int, int]) -> Any:
    """Evidence interpolated to `size` with each frame's in [0, 1], (n, *size)."""
    from torch.nn.functional import interpolate

    fine = interpolate(_stretched(evidence)[:, None], size=tuple(size), mode="bilinear", align_corners=False)
    return _stretched(fine[:, 0])


def _stretched(evidence: Any) -> Any:
    """Each frame from its least to its most mapped to [0, 1]; 0 where they are equal but for rounding."""
    most = evidence.amax(dim=(1, 2), keepdim=True)
    least = evidence.amin(dim=(1, 2), keepdim=True)
    flat = most - least <= _ROUNDING * most
    return (evidence - least).masked_fill(flat, 0) / (most - least).masked_fill(flat, 1)
