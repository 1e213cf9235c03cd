"""The networks of a model that is exported, put on a runtime for CPUs and compared with PyTorch on frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sweeper.data.prepared import RawFrame
from sweeper.features.representation import Kind, NetworkFeatures
from sweeper.networks.inputs import input_array
from sweeper.networks.runtime import TOLERANCE, Reader, difference, read_eagerly
from sweeper.pipeline import canonical_json
from sweeper.sorter.model import Model, Part
from sweeper.sorter.refit import Note


def on_runtime(
    model: Model, frames: Sequence[RawFrame], note: Note
) -> tuple[Model, dict[str, dict[str, Any]]]:
    """Return a model whose networks ONNX Runtime reads, and what the card says of each.

    A network that comes to other features than in PyTorch stays there, and `note` is told.

    Parameters
    ----------
    model : Model
        As it was fitted.
    frames : sequence of RawFrame
        Training frames on which both read each network.
    note : callable
    """
    readers: dict[int, Reader | None] = {}
    found: dict[str, dict[str, Any]] = {}

    def put(part: Part, kind: Kind) -> Kind:
        if not isinstance(kind, NetworkFeatures):
            return kind
        if id(kind.module) not in readers:
            readers[id(kind.module)], found[_called(kind)] = _tried(part, kind, frames, note)
        return replace(kind, reader=readers[id(kind.module)])

    parts = tuple(replace(part, kinds=tuple(put(part, kind) for kind in part.kinds)) for part in model.parts)
    return replace(model, parts=parts), found


def _called(kind: NetworkFeatures) -> str:
    return f"{kind.network.name} {canonical_json(kind.params)}"


def _tried(
    part: Part, kind: NetworkFeatures, frames: Sequence[RawFrame], note: Note
) -> tuple[Reader | None, dict[str, Any]]:
    """Return what reads a network, and what the card says of it."""
    size = int(kind.params["size"])
    assert kind.module is not None
    reader = Reader(kind.module, size, kind.network.name)
    far = 0.0
    for frame in frames:
        prepared = frame.prepared(part.pipeline.intensity)
        x = input_array(prepared, size).astype(np.float32)[None, None]
        far = max(far, difference(reader(x), read_eagerly(kind.module, x)))
    about = {"network": kind.network.name, "library": reader.library, "difference": far}
    if far <= TOLERANCE:
        return reader, about
    note(f"{kind.network.name} stays in PyTorch: {reader.library} differs by {far:.1g} of the largest value")
    return None, {"network": kind.network.name, "library": "PyTorch", "difference": 0.0}
