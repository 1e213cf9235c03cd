"""What a file says of how the frame was taken: geometry, and the scattering angles and q that it reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Featurizer, Params, PreparedFrame

NODES: dict[str, tuple[float, ...]] = {
    "distance_mm": (50, 100, 200, 400, 800, 1600, 3200, 6400, 12800),
    "wavelength_angstrom": (0.15, 0.3, 0.6, 1.0, 1.6, 2.5),
    "pixel_mm": (0.01, 0.025, 0.055, 0.1, 0.2, 0.4),
    "beam_column": (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5),
    "beam_row": (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5),
    "incidence_deg": (0.0, 0.1, 0.2, 0.4, 1.0, 5.0, 90.0),
    "angle_least_deg": (0.0, 0.5, 2.0, 8.0, 30.0),
    "angle_most_deg": (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 90.0),
    "q_least_per_angstrom": (0.0, 0.01, 0.05, 0.2, 1.0),
    "q_most_per_angstrom": (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
}
"""Quantities, and the values that each is placed among."""


def quantities(header: Mapping[str, float]) -> dict[str, float]:
    """Return the quantities of :data:`NODES` that follow from a header; those that do not are absent.

    The place of the beam is in widths and heights of the frame. Angles and q are those of the nearest and of
    the farthest point of a frame that stands upright on the beam.
    """
    found = {name: float(header[name]) for name in NODES if name in header}
    if not {"beam_row_px", "beam_column_px", "height_px", "width_px"} <= header.keys():
        return found
    beam = np.array([header["beam_row_px"], header["beam_column_px"]])
    size = np.array([header["height_px"], header["width_px"]])
    found["beam_row"], found["beam_column"] = (beam / size).tolist()
    if "pixel_mm" not in header or "distance_mm" not in header:
        return found
    scale = header["pixel_mm"] / header["distance_mm"]
    away = {
        "least": np.hypot(*np.maximum(np.maximum(-beam, beam - size), 0)),
        "most": np.hypot(*np.maximum(np.abs(beam), np.abs(size - beam))),
    }
    for which, pixels in away.items():
        angle = float(np.arctan(pixels * scale))
        found[f"angle_{which}_deg"] = np.degrees(angle)
        if "wavelength_angstrom" in header:
            found[f"q_{which}_per_angstrom"] = 4 * np.pi * np.sin(angle / 2) / header["wavelength_angstrom"]
    return found


def _placed(name: str, value: float | None) -> NDArray[np.float64]:
    """Return how near a value is to each of its nodes, (nodes,): shares of the two beside it, or nothing."""
    nodes = np.array(NODES[name])
    shares = np.zeros(len(nodes))
    if value is None:
        return shares
    at = float(np.interp(value, nodes, np.arange(len(nodes))))
    below = min(int(at), len(nodes) - 2)
    shares[below], shares[below + 1] = below + 1 - at, at - below
    return shares


def _columns(params: Params) -> tuple[str, ...]:
    return tuple(f"{name}_near_{_written(node)}" for name, nodes in NODES.items() for node in nodes)


def _written(node: float) -> str:
    return f"{node:g}".replace("-", "minus_").replace(".", "_")


def _compute(frame: PreparedFrame, blocks: Sequence[Params]) -> list[NDArray[Any]]:
    found = quantities(frame.header)
    row = np.concatenate([_placed(name, found.get(name)) for name in NODES])
    return [row.copy() for _ in blocks]


FEATURIZER = Featurizer(
    name="header",
    version=1,
    source="Sweeper's own; q = 4 pi sin(theta) / lambda",
    axes=(),
    columns=_columns,
    compute=_compute,
    reads_header=True,
)
"""Geometry as far as the file states it, and no pixel.

Each quantity is placed among fixed values: its columns hold shares of the two beside it, which sum to 1. If a
quantity is not stated all of its columns are 0, which no value gives: what is absent differs from every one,
and no number stands in for it. A class that is told by it alone is told by how frames were taken, and not by
what they show.
"""
