"""Frames that a model must not take for its own, made from some that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.prepared import RawFrame
from sweeper.simulate import simulators
from sweeper.sorter.model import Model
from sweeper.sorter.outline import STRANGER

Counts = NDArray[Any]

_FADED = 0.002  # share of the counts that is left in a beam dump
_HOT = 50  # how many times the counts of an overexposed frame


def _noise(counts: Counts, rng: np.random.Generator) -> Counts:
    mean = max(float(np.mean(np.maximum(counts, 0))), 0.1)
    return np.asarray(rng.poisson(min(mean, 1e6), counts.shape))


def _shuffled(counts: Counts, rng: np.random.Generator) -> Counts:
    return np.asarray(rng.permutation(counts.ravel()).reshape(counts.shape))


def _dark(counts: Counts, rng: np.random.Generator) -> Counts:
    return np.zeros(counts.shape)


def _dumped(counts: Counts, rng: np.random.Generator) -> Counts:
    return np.asarray(rng.poisson(np.clip(counts * _FADED, 0, 1e6)))


def _overexposed(counts: Counts, rng: np.random.Generator) -> Counts:
    return np.asarray(np.maximum(counts, 1) * float(_HOT))


def _enlarged(counts: Counts, rng: np.random.Generator) -> Counts:
    """Return the middle half of the frame at twice its size: pixels of another detector."""
    height, width = counts.shape
    rows = (np.arange(height) // 2 + height // 4).clip(0, height - 1)
    columns = (np.arange(width) // 2 + width // 4).clip(0, width - 1)
    return np.asarray(counts[rows[:, None], columns])


def _cut(counts: Counts, rng: np.random.Generator) -> Counts:
    height, width = counts.shape
    return np.asarray(counts[: max(1, 2 * height // 3), : max(1, width // 2)])


KINDS: dict[str, Callable[[Counts, np.random.Generator], Counts]] = {
    "noise": _noise,
    "pixels in disorder": _shuffled,
    "shutter closed": _dark,
    "beam dump": _dumped,
    "overexposed": _overexposed,
    "another detector, same size": _enlarged,
    "another size": _cut,
}
"""Transformations of a frame, by the kind of stranger that they imitate."""

MASKED, TECHNIQUE = "mostly masked", "another technique"


def impostors(
    frames: Sequence[RawFrame], classes: Sequence[str], seed: int
) -> Iterator[tuple[str, list[RawFrame]]]:
    """Yield each kind of strangers, and one of them for each of some training frames."""
    rng = np.random.default_rng(seed)
    for name, change in KINDS.items():
        yield name, [_with(frame, change(frame.counts, rng)) for frame in frames]
    yield MASKED, [_masked(frame) for frame in frames]
    kind = "scattering" if set(classes) & set(simulators.load("diffraction").labels) else "diffraction"
    yield f"{TECHNIQUE}: {kind}", [_simulated(frame, kind, i) for i, frame in enumerate(frames)]


def _with(frame: RawFrame, counts: Counts) -> RawFrame:
    """Return a frame with other counts, in the type of its own; its mask goes with its size."""
    kind = frame.counts.dtype
    if kind.kind in "iu":
        counts = np.clip(np.rint(counts), 0, np.iinfo(kind).max - 1)
    mask = frame.mask if counts.shape == frame.counts.shape else None
    return replace(frame, counts=counts.astype(kind), mask=mask)


def _masked(frame: RawFrame) -> RawFrame:
    """Return a frame of which four rows in five are masked."""
    mask = np.arange(frame.counts.shape[0]) % 5 > 0
    whole = np.broadcast_to(mask[:, None], frame.counts.shape).copy()
    return replace(frame, mask=whole if frame.mask is None else whole | frame.mask)


def _simulated(frame: RawFrame, kind: str, index: int) -> RawFrame:
    """Return a frame of another experiment, cut or repeated to the size of this one."""
    simulator = simulators.load(kind)
    labels = [label for label in simulator.labels if label not in simulator.by_name]
    options = simulator.prepare(shape="square")[0] if kind == "scattering" else simulator.prepare()[0]
    size = min(512, max(64, max(frame.counts.shape)))
    counts, _ = simulator.draw(labels[index % len(labels)], index, 7, size, **options)
    rows, columns = (np.arange(n) % m for n, m in zip(frame.counts.shape, counts.shape, strict=True))
    return _with(frame, np.maximum(counts, 0)[rows[:, None], columns])


def told_apart(model: Model, frames: Sequence[RawFrame], seed: int) -> dict[str, dict[str, float]]:
    """Return for each kind of strangers which share is told apart, and which is accepted all the same."""
    found = {}
    for name, some in impostors(frames, model.classes, seed):
        verdicts = model.verdicts(some)
        strange = [not v.label or v.reason.startswith(STRANGER) for v in verdicts]
        found[name] = {
            "frames": len(some),
            "told_apart": float(np.mean(strange)),
            "accepted": float(np.mean([v.accepted for v in verdicts])),
        }
    return found
