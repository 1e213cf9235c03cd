"""Checking every frame of a data set before compute is spent on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import ray

from sweeper.data.dataset import Dataset
from sweeper.data.formats import split_location
from sweeper.data.frames import FrameReport
from sweeper.data.prepared import FrameRef
from sweeper.engine.private.tune import trial_environment
from sweeper.engine.tasks.frames import Reader, inspect_task

_FRAMES_A_TASK = 64
_IN_FLIGHT = 256


def scan(
    dataset: Dataset,
    cache: Path,
    negative: str,
    on_progress: Callable[[int, int], None],
    reader: Callable[[], Reader | None] = lambda: None,
) -> list[FrameReport]:
    """Read every frame in full, in parallel, and report on each, in the order of the data set.

    `reader` gives who reads files for a node that does not see them. Reports are kept in `cache`
    (Parquet) with each file's size and time of change; a file that did not change is not read again.
    """
    n = len(dataset)
    frames = frame_refs(dataset)
    stamps = {path: _stamp(path) for ref in frames for path in (ref.path, ref.mask) if path is not None}
    keys = [_key(ref, stamps) for ref in frames]
    settings = {"negative": negative, "reading": repr(dataset.reading)}
    known = _read_cache(cache, settings)
    found = {row: known[key] for row, key in enumerate(keys) if key in known}
    missing = [row for row in range(n) if row not in found]
    done = len(found)
    running: dict[Any, list[int]] = {}
    try:
        for start in range(0, len(missing), _FRAMES_A_TASK):
            rows = missing[start : start + _FRAMES_A_TASK]
            task = inspect_task.options(
                name=f"inspect frames {rows[0]} to {rows[-1]}", runtime_env=trial_environment()
            )
            given = _files([frames[row] for row in rows]), negative, dataset.reading, reader()
            running[task.remote(*given)] = rows
            while len(running) >= _IN_FLIGHT:
                done += _collect(running, found)
                on_progress(done, n)
        while running:
            done += _collect(running, found)
            on_progress(done, n)
    finally:
        for ref in running:
            ray.cancel(ref, force=True)
    if missing:
        # In the order of the data set: rows of predictions count by it.
        _write_cache(cache, settings, {keys[row]: found[row] for row in range(n)})
    return [found[row] for row in range(n)]


def frame_refs(dataset: Dataset) -> list[FrameRef]:
    """Where each frame of a data set is, in its order."""
    masks = dataset.masks if dataset.masks is not None else [None] * len(dataset)
    return [
        FrameRef(path, int(index), mask, reading=dataset.reading)
        for path, index, mask in zip(dataset.paths, dataset.index, masks, strict=True)
    ]


def _collect(running: dict[Any, list[int]], found: dict[int, FrameReport]) -> int:
    ready, _ = ray.wait(list(running), num_returns=1)
    rows = running.pop(ready[0])
    found.update(zip(rows, ray.get(ready[0]), strict=True))
    return len(rows)


def _files(frames: Sequence[FrameRef]) -> list[tuple[str, str | None, list[int]]]:
    """Runs of frames of the same file."""
    return [
        (path, mask, [ref.index for ref in group])
        for (path, mask), group in groupby(frames, key=lambda ref: (ref.path, ref.mask))
    ]


def _stamp(path: str) -> str:
    try:
        status = split_location(path)[0].stat()
    except OSError:
        return "missing"
    return f"{status.st_size}-{status.st_mtime_ns}"


def _key(ref: FrameRef, stamps: dict[str, str]) -> tuple[str, int, str]:
    stamp = stamps[ref.path] if ref.mask is None else f"{stamps[ref.path]}/{ref.mask}/{stamps[ref.mask]}"
    return ref.path, ref.index, stamp


def _read_cache(cache: Path, settings: dict[str, str]) -> dict[tuple[str, int, str], FrameReport]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(cache)
    except (OSError, pa.ArrowException):
        return {}
    stored = table.schema.metadata or {}
    if any(stored.get(name.encode()) != value.encode() for name, value in settings.items()):
        return {}
    rows = table.to_pylist()
    stamps = [row.pop("stamp") for row in rows]
    reports = [FrameReport(**row) for row in rows]
    return {(r.path, r.index, stamp): r for r, stamp in zip(reports, stamps, strict=True)}


def _write_cache(
    cache: Path, settings: dict[str, str], reports: dict[tuple[str, int, str], FrameReport]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{**asdict(report), "stamp": key[2]} for key, report in reports.items()]
    partial = cache.with_name(f".{cache.name}.partial")
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(settings), partial)
    partial.replace(cache)
