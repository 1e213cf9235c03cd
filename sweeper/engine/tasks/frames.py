"""The work on frames that Ray spreads over the cluster: scanning, featurizing, fitting codebooks.

Each function is plain and pure; ``engine.scan`` and ``engine.store`` submit them as Ray tasks of one core.
What they make goes to disk by ``engine.files``, on the driver's machine.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError

from sweeper import plugins
from sweeper.api import Params, PreparedFrame
from sweeper.data.frames import FrameReport
from sweeper.engine import nodes
from sweeper.engine.limits import Limits
from sweeper.features import blocks as block_files
from sweeper.features.names import block_name

Bytes = NDArray[np.uint8]

NO_ROOM = (OutOfDiskError, ObjectStoreFullError)
"""A machine's object store is full, and so is the disk that it spills to: no fault of a pipeline's."""
NO_ROOM_SAID = "a machine's object store and the disk that it spills to are full; nothing recorded is lost"


# --------------------------------------------------------------------------- frames


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


# --------------------------------------------------------------------------- blocks


def featurize(
    frames: Sequence[FrameRef],
    intensity: Params,
    jobs: Mapping[str, list[dict[str, Any]]],
    limit: Limits,
    reader: Reader | None = None,
) -> list[Any]:
    """Compute blocks of one shard in one pass over its frames.

    Parameters
    ----------
    frames : sequence of FrameRef
    intensity : mapping
    jobs : mapping
        Featurizer name to the parameters of its blocks.
    limit : Limits
        Of one featurizer on one frame.
    reader : Reader, optional
        See :func:`prepared_frames`.

    Returns
    -------
    list
        First a list of :class:`~sweeper.features.blocks.BlockInfo`, then the bytes of each file, in the
        order of `jobs`.
    """
    names = list(jobs)
    featurizers = [plugins.texture(name) for name in names]
    rows: list[list[list[NDArray[Any]]]] = [[] for _ in names]
    prepare_s: list[float] = []
    compute_s: list[list[float]] = [[] for _ in names]
    now = time.perf_counter()
    for frame in prepared_frames(frames, intensity, reader):
        before, now = now, time.perf_counter()
        prepare_s.append(now - before)
        for i, featurizer in enumerate(featurizers):
            with limit.named(f"{names[i]} on one frame"):
                rows[i].append(featurizer.compute(frame, jobs[names[i]]))
            before, now = now, time.perf_counter()
            compute_s[i].append(now - before)
    infos, files = [], []
    for i, featurizer in enumerate(featurizers):
        wanted = jobs[names[i]]
        info = block_files.BlockInfo(
            tuple(block_name(featurizer.name, b) for b in wanted),
            len(frames),
            # Medians: a worker's first frame waits for libraries and kernels to load.
            1e3 * statistics.median(prepare_s),
            1e3 * statistics.median(compute_s[i]),
        )
        data = block_files.to_parquet(block_files.dense_table(featurizer, wanted, rows[i]), info)
        infos.append(info)
        files.append(data)
    return [infos, *files]


def fit_codebook(
    featurizer_name: str,
    params: Params,
    train: NDArray[np.int64],
    seed: int,
    limit: Limits,
    layout: Sequence[int],
    *files: Bytes,
) -> list[Any]:
    """Fit a bag of visual words on training rows and encode every frame with it: a block's info and bytes."""
    from sweeper.features import codebook

    featurizer = plugins.texture(featurizer_name)
    assert featurizer.codebook is not None
    clusters = int(params[featurizer.codebook.name])
    block = {axis.name: params[axis.name] for axis in featurizer.axes}
    started = time.perf_counter()
    descriptors = block_files.read_descriptors(
        by_shard(layout, files),
        block_name(featurizer_name, block),
        featurizer.descriptor_width,
    )
    with limit.named(f"the codebook of {featurizer_name}"):
        sample = codebook.sample_descriptors([descriptors[i] for i in train], clusters, seed)
        words = codebook.encode(descriptors, codebook.fit_codebook(sample, clusters, seed), clusters)
    columns = block_files.codebook_columns(featurizer, params)
    info = block_files.BlockInfo(
        (block_name(featurizer_name, params),),
        len(descriptors),
        0.0,
        1e3 * (time.perf_counter() - started) / len(descriptors),
    )
    import pyarrow as pa

    table = pa.table({c: np.ascontiguousarray(words[:, j]) for j, c in enumerate(columns)})
    return [info, block_files.to_parquet(table, info)]


def by_shard(layout: Sequence[int], files: Sequence[Bytes]) -> list[Sequence[Bytes]]:
    """Group a flat list of files again: `layout` says how many each shard has."""
    ends = np.cumsum(layout)
    return [files[end - count : end] for end, count in zip(ends, layout, strict=True)]


# DEFAULT: outside the placement group of the trial that submits, which holds a slot and no core.
ONE_CORE: dict[str, Any] = {"num_cpus": 1, "scheduling_strategy": "DEFAULT"}
inspect_task = ray.remote(max_retries=3, **ONE_CORE)(nodes.checked(inspect))
featurize_task = ray.remote(max_retries=3, **ONE_CORE)(nodes.checked(featurize))
codebook_task = ray.remote(max_retries=3, num_returns=2, **ONE_CORE)(nodes.checked(fit_codebook))
