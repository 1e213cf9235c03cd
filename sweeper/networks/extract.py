"""Features and logits of frames, from a trained network."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import NetworkModule
from sweeper.data.splits import Rows
from sweeper.errors import DivergedError
from sweeper.networks._loading import Frames, in_order, loader, on_device
from sweeper.networks.devices import Device, memory_advice, mixed_dtype, torch_device
from sweeper.networks.inputs import Inputs
from sweeper.networks.training_sets import TrainingFrames

_PIXELS = {"cpu": 8 * 224**2, "cuda": 256 * 224**2}
"""Pixels of a batch: enough to keep the device busy, and well within its memory."""
_MOST_FRAMES = {"cpu": 64, "cuda": 1024}


def default_batch_size(size: int, device: Device) -> int:
    """Frames of a batch, by the width and height of an input."""
    return int(min(_MOST_FRAMES[device.kind], max(1, _PIXELS[device.kind] // size**2)))


def extract(
    module: NetworkModule,
    inputs: Inputs,
    rows: Rows,
    device: Device,
    batch_size: int | None = None,
    *,
    mixed: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read a network on some frames.

    Parameters
    ----------
    module : NetworkModule
        Put on the device and into evaluation mode, where it stays.
    inputs : Inputs
    rows : int64, (n,)
        At least one.
    device : Device
    batch_size : int, optional
        By default one that suits the input's size; the result depends on it by rounding alone.
    mixed : bool
        Mixed precision on a GPU: faster, and features differ from the third digit on. Otherwise
        float32 throughout, TF32 left out.

    Returns
    -------
    features : float32, (n, width)
    logits : float32, (n, n_classes)

    Raises
    ------
    DivergedError
        Features or logits that are not finite.
    ValueError
        A GPU that is not there.
    OutOfMemoryError
        The device has too little memory.
    """
    import torch

    where = torch_device(device)
    batch_size = batch_size or default_batch_size(inputs.size, device)
    run: Any = module
    parts: list[tuple[Any, Any]] = []
    upright = Frames(inputs, TrainingFrames.upright(rows), np.zeros(len(inputs), dtype=np.int64))
    data = loader(upright, in_order(len(rows), batch_size), device, again=False)
    dtype = mixed_dtype(device) if mixed else None
    with (
        memory_advice(device, "extraction", batch_size, inputs.size),
        torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=dtype is not None
        ),
        torch.inference_mode(),
        torch.autocast(device.kind, dtype=dtype, enabled=dtype is not None),
    ):
        run = run.to(where, memory_format=torch.channels_last).eval()
        for x, _ in data:
            features, logits = run(on_device(x, where))
            parts.append((features.float(), logits.float()))
        features, logits = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
    finite = np.isfinite(features).all(axis=1) & np.isfinite(logits).all(axis=1)
    if not finite.all():
        row = int(rows[np.flatnonzero(~finite)[0]])
        raise DivergedError(
            f"features of {int((~finite).sum())} frames are not finite, the first is row {row}: the network "
            "has diverged"
        )
    return features, logits
