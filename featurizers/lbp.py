"""Local binary patterns: which points on a small circle are at least as bright as its centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Axis, Featurizer, OneOf, Params, PreparedFrame


def _columns(params: Params) -> tuple[str, ...]:
    return tuple(f"bin{i}" for i in range(params["points"] + 2))


@dataclass(frozen=True)
class _Plan:
    """The pixels and weights that several settings of one radius share.

    Attributes
    ----------
    row, column : float64, (samples,) and (columns,)
        Row offset of each distinct sample, and the distinct column offsets.
    sample_column : int64, (samples,)
        Index into `column`.
    members, member_start : int64
        Samples of each setting, one setting after the other.
    reads, read_start : int64, (n, 2)
        Offsets of the pixels that each setting reads, its centre included.
    """

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    sample_column: NDArray[np.int64]
    members: NDArray[np.int64]
    member_start: NDArray[np.int64]
    reads: NDArray[np.int64]
    read_start: NDArray[np.int64]


def _circle(points: int, radius: int) -> list[tuple[float, float]]:
    """Return row and column offsets, anticlockwise from the right, rounded to five decimals as the reference.

    Rounding makes the offsets that settings have in common equal to the last bit, so they are shared.
    """
    angle = 2 * np.pi * np.arange(points, dtype=np.float64) / points
    rows = np.round(-radius * np.sin(angle), 5) + 0.0  # no negative zeros
    columns = np.round(radius * np.cos(angle), 5) + 0.0
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _pixels_read(circle: list[tuple[float, float]]) -> list[tuple[int, int]]:
    """Return offsets of the pixels that interpolation on `circle` reads, and of the centre."""
    read = {(0, 0)}
    for row, column in circle:
        for r in {int(np.floor(row)), int(np.ceil(row))}:
            read.update({(r, int(np.floor(column))), (r, int(np.ceil(column)))})
    return sorted(read)


@lru_cache(maxsize=64)
def _plan(radius: int, points: tuple[int, ...]) -> _Plan:
    circles = [_circle(p, radius) for p in points]
    samples = {sample: i for i, sample in enumerate(dict.fromkeys(s for c in circles for s in c))}
    columns = {column: i for i, column in enumerate(sorted({column for _, column in samples}))}
    reads = [_pixels_read(c) for c in circles]
    return _Plan(
        row=np.array([row for row, _ in samples]),
        column=np.array(list(columns)),
        sample_column=np.array([columns[column] for _, column in samples]),
        members=np.array([samples[s] for c in circles for s in c]),
        member_start=np.cumsum([0, *points]),
        reads=np.array([offset for r in reads for offset in r]),
        read_start=np.cumsum([0, *(len(r) for r in reads)]),
    )


def _weights(offset: NDArray[np.float64], length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weights of the pixels before and behind position + offset, each (offsets, length)."""
    position = np.arange(length) + offset[:, None]
    behind = position - np.floor(position)
    return 1 - behind, behind


def _histograms(frame: PreparedFrame, radius: int, points: tuple[int, ...]) -> dict[int, NDArray[np.float64]]:
    """Return a normalised histogram, (points + 2,), for each number of points at one radius."""
    from . import _lbp_kernels as kernels

    plan = _plan(radius, points)
    height, width = frame.valid.shape
    left_weight, right_weight = _weights(plan.column, width)
    top_weight, bottom_weight = _weights(plan.row, height)
    masked = not frame.valid.all()
    pad = radius + 1
    counts = np.zeros((kernels.STREAMS, kernels.SLOTS), np.int64)
    kernels.pattern_histograms(
        np.pad(frame.quantised, pad),
        np.pad(~frame.valid, pad).view(np.uint8) if masked else np.zeros((0, 0), np.uint8),
        radius,
        np.floor(plan.column).astype(np.int64),
        left_weight,
        right_weight,
        plan.sample_column,
        np.floor(plan.row).astype(np.int64),
        np.ceil(plan.row).astype(np.int64),
        top_weight,
        bottom_weight,
        plan.members,
        plan.member_start,
        plan.reads,
        plan.read_start if masked else np.zeros_like(plan.read_start),
        counts,
    )
    rows = {p: counts[m, : p + 2] for m, p in enumerate(points)}
    return {p: row / max(1, int(row.sum())) for p, row in rows.items()}


def _compute(frame: PreparedFrame, blocks: Sequence[Params]) -> list[NDArray[Any]]:
    """Compute a histogram for each (points, radius); see :data:`FEATURIZER`."""
    wanted: dict[int, set[int]] = {}
    for block in blocks:
        wanted.setdefault(block["radius"], set()).add(block["points"])
    found = {radius: _histograms(frame, radius, tuple(sorted(p))) for radius, p in wanted.items()}
    return [found[block["radius"]][block["points"]].copy() for block in blocks]


FEATURIZER = Featurizer(
    name="lbp",
    version=1,
    source="Ojala, Pietikäinen, Mäenpää, IEEE Trans. PAMI 24 (2002) 971; DiffraNet, Table 7",
    axes=(
        Axis("points", OneOf(4, 8, 16, 24), default=8, doc="samples on the circle"),
        Axis(
            "radius",
            OneOf(1, 2, 3),
            default=1,
            refused={
                0: "at radius 0 every sample is the centre pixel itself, "
                "so every frame has the same histogram"
            },
            doc="of the circle, in pixels",
        ),
    ),
    columns=_columns,
    compute=_compute,
)
"""Histogram of rotation-invariant uniform patterns of the quantised frame.

A block is one (points, radius). A pixel's pattern says which of ``points`` samples on the circle,
interpolated bilinearly, are at least as bright as the pixel; outside the frame is level 0. Patterns with
at most two changes along the samples count by their number of ones (``bin0`` to ``bin{points}``), all
others in ``bin{points + 1}``: always points + 2 columns, whatever the frame shows. Bins sum to 1.

Equal to ``skimage.feature.local_binary_pattern(method="uniform")``, ties and border included.

Pixels of whose neighbourhood (the pixel and all that interpolation reads, also with weight 0) any is
invalid are left out; when none is left all bins are 0.
"""
