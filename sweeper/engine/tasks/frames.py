"""Frames as Ray tasks read them: every frame checked once, and frames fetched from the driver's machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray

from sweeper.api import Params, PreparedFrame
from sweeper.data import prepared
from sweeper.data.format import Reading
from sweeper.data.frames import FrameReport
from sweeper.data.prepared import FrameRef, RawFrame, inspect_refs, raw_frames
from sweeper.engine import nodes

# DEFAULT: outside the placement group of the trial that submits, which holds a slot and no core.
ONE_CORE: dict[str, Any] = {"num_cpus": 1, "scheduling_strategy": "DEFAULT"}


@dataclass(frozen=True)
class Reader:
    """Who reads frames for a node that does not see their files.

    Attributes
    ----------
    actor : actor handle
        Of :class:`sweeper.engine.files.Files`.
    samples : tuple of (str, str)
        Files of the data set with their stamps on the driver's machine.
    """

    actor: Any
    samples: tuple[tuple[str, str], ...]

    def is_needed(self) -> bool:
        """Whether this node does not see the data set as the driver's machine does."""
        return not nodes.sees(self.samples)


def inspect(
    files: Sequence[tuple[str, str | None, Sequence[int]]],
    negative: str,
    reading: Reading,
    reader: Reader | None = None,
) -> list[FrameReport]:
    """Check frames fully and digest them: one report a frame.

    Parameters
    ----------
    files : sequence of (path, mask path or None, frame numbers)
    negative : {"masked", "valid"}
        What negative counts are.
    reading : Reading
    reader : Reader, optional
        None where every node sees the files.
    """
    if reader is not None and reader.is_needed():
        fetched: list[FrameReport] = ray.get(reader.actor.inspect.remote(files, negative, reading))
        return fetched
    refs = [FrameRef(path, i, mask, reading=reading) for path, mask, indices in files for i in indices]
    return inspect_refs(refs, negative)


def prepared_frames(
    frames: Sequence[FrameRef], intensity: Params, reader: Reader | None = None
) -> Iterator[PreparedFrame]:
    """Read frames in order and apply the intensity settings.

    Parameters
    ----------
    frames : sequence of FrameRef
    intensity : mapping
    reader : Reader, optional
        None where every node sees the files.
    """
    read: prepared.ReadRaw = raw_frames
    if reader is not None and reader.is_needed():
        read = partial(_fetched_frames, actor=reader.actor)
    return prepared.prepared_frames(frames, intensity, read)


_FETCHED, _AHEAD = 8, 2
"""Frames that travel together, and how many such groups are on their way while one is worked on."""


def _fetched_frames(frames: Sequence[FrameRef], actor: Any) -> Iterator[RawFrame]:
    """Read frames as :func:`~sweeper.data.prepared.raw_frames` does, through the object store."""
    groups = [frames[i : i + _FETCHED] for i in range(0, len(frames), _FETCHED)]
    coming = deque(actor.read.remote(group) for group in groups[:_AHEAD])
    for i in range(len(groups)):
        fetched = ray.get(coming.popleft())
        if i + _AHEAD < len(groups):
            coming.append(actor.read.remote(groups[i + _AHEAD]))
        yield from fetched


inspect_task = ray.remote(max_retries=3, **ONE_CORE)(nodes.checked(inspect))
