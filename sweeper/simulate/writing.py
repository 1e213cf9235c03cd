"""A folder of simulated frames and its manifest."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Job:
    """One frame to be drawn: its path below the folder, its class and its place in the class."""

    path: str
    label: str
    index: int


Draw = Callable[[Job], tuple[NDArray[np.uint16], dict[str, Any]]]


def _partial(path: Path) -> Path:
    """Where `path` is written before it takes its name; hidden, so that no reader takes it for a frame."""
    return path.with_name(f".{path.name}.partial")


def _check_folder(directory: Path, jobs: Sequence[Job]) -> None:
    """Refuse a folder that holds anything but frames of `jobs`, whole or interrupted."""
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory}: must be a folder, but is a file")
    ours = {directory / MANIFEST} | {directory / job.path for job in jobs}
    ours |= {_partial(path) for path in ours} | {path.parent for path in ours}
    for path in sorted(directory.rglob("*")):
        if path not in ours:
            raise ValueError(
                f"{directory}: must be new, empty or of the same simulation, but holds "
                f"{path.relative_to(directory)}"
            )


def _is_complete(directory: Path, jobs: Sequence[Job], identity: Mapping[str, str]) -> bool:
    """Whether the folder holds this very simulation; ValueError where it holds another."""
    manifest = directory / MANIFEST
    if not manifest.exists():
        return False
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name, value in identity.items():
        found = {row.get(name) for row in rows}
        if found != {value}:
            held = ", ".join(sorted(str(f) for f in found)) or "nothing"
            raise ValueError(f"{directory}: holds another simulation: {name} must be {value}, got {held}")
    return [row["path"] for row in rows] == [job.path for job in jobs] and all(
        (directory / job.path).exists() for job in jobs
    )


def _cell(value: Any) -> str:
    """One cell of the manifest: NaN is empty, a float keeps nine digits."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.9g}"
    return str(value)


def _write_manifest(manifest: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with _partial(manifest).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        file.flush()
        os.fsync(file.fileno())
    _partial(manifest).replace(manifest)


def write_frame(path: Path, counts: NDArray[np.uint16]) -> None:
    """Write one 16-bit TIFF, whole or not at all."""
    import tifffile

    tifffile.imwrite(_partial(path), counts, photometric="minisblack")
    _partial(path).replace(path)


def write_frames(
    directory: Path,
    jobs: Sequence[Job],
    draw: Draw,
    identity: Mapping[str, str],
    on_frame: Callable[[int, int], None] | None,
) -> Path:
    """Draw and write every job, then the manifest.

    Parameters
    ----------
    identity : mapping
        Columns that every row of the manifest has with these values: what makes two simulations
        the same.

    Raises
    ------
    ValueError
        Where the folder holds something else.
    """
    _check_folder(directory, jobs)
    manifest = directory / MANIFEST
    if _is_complete(directory, jobs, identity):
        if on_frame is not None:
            on_frame(len(jobs), len(jobs))
        return manifest
    for folder in sorted({(directory / job.path).parent for job in jobs}):
        folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for done, job in enumerate(jobs, start=1):
        counts, drawn = draw(job)
        write_frame(directory / job.path, counts)
        rows.append({"path": job.path, **drawn})
        if on_frame is not None:
            on_frame(done, len(jobs))
    _write_manifest(manifest, rows)
    return manifest
