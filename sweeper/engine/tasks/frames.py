"""Frames as Ray tasks read them: every frame checked once, and frames fetched from the driver's machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from sweeper.api import Params, PreparedFrame
from sweeper.data.frames import FrameReport
from sweeper.engine import nodes

# DEFAULT: outside the placement group of the trial that submits, which holds a slot and no core.
ONE_CORE: dict[str, Any] = {"num_cpus": 1, "scheduling_strategy": "DEFAULT"}


@dataclass(frozen=True)
class FrameRef:
    """Where one frame is: file, number in the file, and its mask file or None."""

    path: str
    index: int
    mask: str | None


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
    files: Sequence[tuple[str, str | None, Sequence[int]]], negative: str, reader: Reader | None = None
) -> list[FrameReport]:
    """Check frames fully and digest them: one report a frame.

    Parameters
    ----------
    files : sequence of (path, mask path or None, frame numbers)
    negative : {"masked", "valid"}
        What negative counts are.
    reader : Reader, optional
        None where every node sees the files.
    """
    from sweeper.data.frames import inspect_frames

    if reader is not None and reader.is_needed():
        fetched: list[FrameReport] = ray.get(reader.actor.inspect.remote(files, negative))
        return fetched
    reports: list[FrameReport] = []
    for path, mask, indices in files:
        try:
            loaded = None if mask is None else _mask(mask)
        except ValueError as error:
            reports += [FrameReport(path, index, 0, 0, "", "", str(error)) for index in indices]
        else:
            reports += inspect_frames(path, indices, negative, loaded)
    return reports


@lru_cache(maxsize=8)
def _mask(path: str) -> NDArray[np.bool_]:
    from sweeper.data.intensity import load_mask

    return load_mask(path)


Raw = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""Counts (height, width) of a frame, and its mask, True where invalid."""


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
    from sweeper.data.intensity import prepare

    actor = reader.actor if reader is not None and reader.is_needed() else None
    for counts, mask in raw_frames(frames) if actor is None else _fetched_frames(frames, actor):
        yield prepare(counts, intensity, mask)


def raw_frames(frames: Sequence[FrameRef]) -> Iterator[Raw]:
    """Counts and mask of frames in order, each file opened once."""
    from sweeper.data.frames import read_frames

    for (path, mask_path), refs in groupby(frames, key=lambda f: (f.path, f.mask)):
        mask = None if mask_path is None else _mask(mask_path)
        for counts in read_frames(path, [ref.index for ref in refs]):
            yield counts, mask


_FETCHED, _AHEAD = 8, 2
"""Frames that travel together, and how many such groups are on their way while one is worked on."""


def _fetched_frames(frames: Sequence[FrameRef], actor: Any) -> Iterator[Raw]:
    """The same through the object store."""
    groups = [frames[i : i + _FETCHED] for i in range(0, len(frames), _FETCHED)]
    coming = deque(actor.read.remote(group) for group in groups[:_AHEAD])
    for i in range(len(groups)):
        fetched = ray.get(coming.popleft())
        if i + _AHEAD < len(groups):
            coming.append(actor.read.remote(groups[i + _AHEAD]))
        yield from fetched


inspect_task = ray.remote(max_retries=3, **ONE_CORE)(nodes.checked(inspect))
