"""Disk of the driver's machine, for tasks that run elsewhere: the only one that has to see the run folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper.data.format import Reading
from sweeper.data.frames import FrameReport
from sweeper.data.prepared import FrameRef, RawFrame, raw_frames
from sweeper.engine.cluster import owned
from sweeper.engine.tasks.blocks import Bytes
from sweeper.engine.tasks.frames import Reader, inspect
from sweeper.features import blocks as block_files

_MOST_ACTORS = 8
_AT_ONCE = 4


class Files:
    """Actor that reads and writes files; a few at once, however many tasks ask."""

    def load(self, path: Path) -> list[Any]:
        """Bytes of a block file with its info, after checking its digest; ``[None, None]`` when damaged."""
        data = block_files.load_verified(path)
        return [None, None] if data is None else [block_files.block_info(data), data]

    def write(self, path: Path, data: Bytes) -> None:
        """Write bytes whole or not at all; OSError names the file."""
        block_files.write_atomically(path, data)

    def inspect(
        self, files: Sequence[tuple[str, str | None, Sequence[int]]], negative: str, reading: Reading
    ) -> list[FrameReport]:
        """Check frames fully and digest them, see :func:`sweeper.engine.tasks.frames.inspect`."""
        return inspect(files, negative, reading)

    def read(self, frames: Sequence[FrameRef]) -> list[RawFrame]:
        """Read a few frames with their masks."""
        return list(raw_frames(frames))


_FilesActor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=_AT_ONCE)(Files)


class FileActors:
    """Several of them on one machine, taken in turn.

    Parameters
    ----------
    actors : sequence of actor handles
    samples : tuple of (str, str), or None
        See :class:`~sweeper.engine.tasks.frames.Reader`; None when the cluster is this machine alone.
    """

    def __init__(self, actors: Sequence[Any], samples: tuple[tuple[str, str], ...] | None) -> None:
        self._actors = tuple(actors)
        self._samples = samples
        self._next = 0

    def any(self) -> Any:
        """The next of them."""
        self._next = (self._next + 1) % len(self._actors)
        return self._actors[self._next]

    def reader(self) -> Reader | None:
        """Return the reader for tasks that read frames, on whichever node they run."""
        return None if self._samples is None else Reader(self.any(), self._samples)


def start_file_actors(samples: tuple[tuple[str, str], ...] | None) -> FileActors:
    """Actors on this machine, the driver's."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    count = max(1, min(_MOST_ACTORS, (os.cpu_count() or 1) // 2))
    actors = [owned(_FilesActor.options(scheduling_strategy=here).remote()) for _ in range(count)]
    return FileActors(actors, samples)
