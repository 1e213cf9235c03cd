"""Blocks as Ray tasks compute them: featurizing a shard of frames, fitting a codebook.

Each function is plain and pure; ``engine.store`` submits them as tasks of one core. What they make goes to
disk by ``engine.files``, on the driver's machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import Params
from sweeper.data.prepared import FrameRef
from sweeper.engine import nodes
from sweeper.engine.limits import Limits
from sweeper.engine.tasks.frames import ONE_CORE, Reader, prepared_frames
from sweeper.features import blocks as block_files
from sweeper.features.names import block_name
from sweeper.features.representation import Words

Bytes = NDArray[np.uint8]


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
    kind = Words(params, plugins.texture(featurizer_name))
    started = time.perf_counter()
    descriptors = block_files.read_descriptors(
        block_files.by_shard(layout, files),
        block_name(featurizer_name, kind.blocks[0]),
        kind.featurizer.descriptor_width,
    )
    with limit.named(f"the codebook of {featurizer_name}"):
        words = kind.fitted([descriptors[i] for i in train], seed).encode(descriptors)
    info = block_files.BlockInfo(
        (block_name(featurizer_name, params),),
        len(descriptors),
        0.0,
        1e3 * (time.perf_counter() - started) / len(descriptors),
    )
    import pyarrow as pa

    table = pa.table({c: np.ascontiguousarray(words[:, j]) for j, c in enumerate(kind.columns)})
    return [info, block_files.to_parquet(table, info)]


featurize_task = ray.remote(max_retries=3, **ONE_CORE)(nodes.checked(featurize))
codebook_task = ray.remote(max_retries=3, num_returns=2, **ONE_CORE)(nodes.checked(fit_codebook))
