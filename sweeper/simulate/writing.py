"""A simulated data set on disk: shards of frames, a table for each, and the manifest at the end.

While a set is being made, its folder holds ``.simulation/`` with a table for each finished shard.
The same command again resumes with the other shards.
"""

from __future__ import annotations

import csv
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.errors import InputError
from sweeper.simulate.frame_files import frame_writer, partial_of, whole
from sweeper.simulate.sets import Shard, Simulation, shards

MANIFEST = "manifest.csv"
STATE = ".simulation"
"""Folder of the shards' tables; hidden, so that no reader takes it for a class."""
MARKER = ".seen-"
"""Prefix of the files that the engine puts there for a while."""

OnFrame = Callable[[int, int], None]
"""Called with the number of frames done and the number of all frames."""
Elsewhere = Callable[[Path, Simulation, Sequence[Shard], Callable[[Shard], None]], None]
"""Writes shards by :func:`write_shard` in other processes, and reports each one when it is there."""

_PROBE_S = 2.0
_WORTH_S = 20.0


def write_set(
    directory: Path,
    simulation: Simulation,
    on_frame: OnFrame | None = None,
    elsewhere: Elsewhere | None = None,
    worth_s: float = _WORTH_S,
) -> Path:
    """Write a data set as ``directory/[part/]<class>/<class>_<number>``, then its manifest.

    The same call again over its own folder completes it, or does nothing when it is complete.

    Parameters
    ----------
    directory : Path
        New, empty, or holding the same simulation.
    simulation : Simulation
    on_frame : callable, optional
    elsewhere : callable, optional
        Takes over when this process would need more than `worth_s` for the rest; the frames are the same.
        worth_s : float
            Seconds; 0 leaves everything to `elsewhere`.

    Returns
    -------
    Path
        ``directory/manifest.csv``: ``path`` (relative), ``label``, ``split`` and ``frame`` where they carry
        information, and what each frame was drawn from.

    Raises
    ------
    InputError
        If the folder holds something else, or the set cannot be split as asked.
    """
    wanted = shards(simulation)
    _check_folder(directory, simulation, wanted)
    manifest = directory / MANIFEST
    progress = _Progress(simulation.frames, on_frame)
    if _is_complete(directory, simulation, wanted):
        shutil.rmtree(directory / STATE, ignore_errors=True)
        progress.add(simulation.frames)
        return manifest
    for folder in sorted(
        {(directory / path).parent for s in wanted for path, _ in s.files(simulation.format)}
    ):
        folder.mkdir(parents=True, exist_ok=True)
    (directory / STATE).mkdir(exist_ok=True)
    missing: Sequence[Shard] = [shard for shard in wanted if not _is_written(directory, simulation, shard)]
    progress.add(simulation.frames - sum(len(shard.indices) for shard in missing))
    if elsewhere is None or worth_s > 0:
        missing = _write_here(directory, simulation, missing, progress, worth_s if elsewhere else None)
    if missing:
        assert elsewhere is not None
        elsewhere(directory, simulation, missing, lambda shard: progress.add(len(shard.indices)))
    _write_manifest(manifest, simulation, [_table(directory, simulation, shard) for shard in wanted])
    shutil.rmtree(directory / STATE)
    return manifest


def write_shard(
    directory: Path, simulation: Simulation, shard: Shard, on_drawn: Callable[[], None] | None = None
) -> None:
    """Draw and write the frames of one shard, then its table; the folders must exist."""
    rows: list[dict[str, Any]] = []
    files = shard.files(simulation.format)
    with frame_writer(directory, simulation.format, files, simulation.identity) as write:
        for (path, position), index in zip(files, shard.indices, strict=True):
            counts, drawn = simulation.draw(shard.label, index)
            write(path, counts)
            place: dict[str, Any] = {"path": path}
            place |= {"split": shard.part} if shard.part else {}
            place |= {} if position is None else {"frame": position}
            rows.append({**place, **drawn, **simulation.identity})
            if on_drawn is not None:
                on_drawn()
    names = list(dict.fromkeys(name for row in rows for name in row))
    with whole(_table(directory, simulation, shard)) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=names, restval="")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def shard_files(simulation: Simulation, shard: Shard) -> list[str]:
    """Return all that :func:`write_shard` writes, relative to the set's folder, the table last."""
    frames = dict.fromkeys(path for path, _ in shard.files(simulation.format))
    return [*frames, str(_table(Path(), simulation, shard))]


# --------------------------------------------------------------------------- in this process


class _ElsewhereError(Exception):
    """The remaining shards are worth starting other processes."""


class _Progress:
    """The number of frames that are done, reported to the caller's function if there is one."""

    def __init__(self, total: int, on_frame: OnFrame | None) -> None:
        self.done, self.total = 0, total
        self._on_frame = on_frame

    def add(self, frames: int) -> None:
        self.done += frames
        if self._on_frame is not None and frames:
            self._on_frame(self.done, self.total)


def _write_here(
    directory: Path,
    simulation: Simulation,
    missing: Sequence[Shard],
    progress: _Progress,
    worth_s: float | None,
) -> Sequence[Shard]:
    """Write shards until none is left or the rest would take longer than `worth_s`; return the rest."""
    clock = _Clock(worth_s)
    for done, shard in enumerate(missing):
        before = progress.done

        def on_drawn() -> None:
            progress.add(1)
            clock.drawn(progress.total - progress.done)

        try:
            write_shard(directory, simulation, shard, on_drawn)
        except _ElsewhereError:
            progress.done = before
            return missing[done:]
    return []


class _Clock:
    """A clock that tells, after some seconds of drawing, whether the rest is worth other processes."""

    def __init__(self, worth_s: float | None) -> None:
        self._worth_s = worth_s
        self._start = 0.0
        self._frames = -1  # the first frame compiles, and does not count

    def drawn(self, left: int) -> None:
        self._frames += 1
        now = time.perf_counter()
        if self._frames == 0:
            self._start = now
            return
        elapsed = now - self._start
        if self._worth_s is not None and elapsed > _PROBE_S and left * elapsed > self._worth_s * self._frames:
            raise _ElsewhereError


# --------------------------------------------------------------------------- tables


def _table(directory: Path, simulation: Simulation, shard: Shard) -> Path:
    name = "-".join(filter(None, (shard.part, shard.label, f"{shard.number:05d}")))
    return directory / STATE / f"{name}-{shard.digest(simulation)}.csv"


def _cell(value: Any) -> str:
    """Return one cell of the manifest: NaN is empty, a float keeps nine digits."""
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.9g}"
    return str(value)


def _write_manifest(manifest: Path, simulation: Simulation, tables: Sequence[Path]) -> None:
    """Join the shards' tables, with one shard at a time in memory."""
    names: dict[str, None] = {}
    for table in tables:
        with table.open(newline="") as file:
            names |= dict.fromkeys(next(csv.reader(file)))
    with whole(manifest) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(names), restval="")
        writer.writeheader()
        for table in tables:
            with table.open(newline="") as rows:
                writer.writerows(csv.DictReader(rows))
        file.flush()
        os.fsync(file.fileno())


def _is_written(directory: Path, simulation: Simulation, shard: Shard) -> bool:
    return all((directory / path).exists() for path in shard_files(simulation, shard))


def _check_folder(directory: Path, simulation: Simulation, wanted: Sequence[Shard]) -> None:
    """Refuse a folder that holds anything but files of this simulation, finished or not."""
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: must be a folder, but is a file")
    ours = {directory / MANIFEST}
    ours |= {directory / path for shard in wanted for path in shard_files(simulation, shard)}
    ours |= {partial_of(path) for path in ours}
    ours |= {folder for path in ours for folder in path.parents}
    for path in sorted(directory.rglob("*")):
        if path not in ours and not _is_marker(directory, path):
            raise InputError(
                f"{directory}: must be new, empty or of the same simulation, but holds "
                f"{path.relative_to(directory)}"
            )


def _is_marker(directory: Path, path: Path) -> bool:
    """Return whether a path is a file by which machines of a cluster tell this folder from others."""
    return path.parent == directory / STATE and path.name.startswith(MARKER)


def _is_complete(directory: Path, simulation: Simulation, wanted: Sequence[Shard]) -> bool:
    """Return whether the folder holds this very simulation; raise InputError where it holds another."""
    manifest = directory / MANIFEST
    if not manifest.exists():
        return False
    found: list[tuple[str, str]] = []
    with manifest.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in simulation.identity.items():
                if row.get(name) != value:
                    held = row.get(name) or "nothing"
                    raise InputError(
                        f"{directory}: holds another simulation: {name} must be {value}, got {held}"
                    )
            found.append((row["path"], row.get("frame", "")))
    named = [file for shard in wanted for file in shard.files(simulation.format)]
    if found != [(path, "" if position is None else str(position)) for path, position in named]:
        return False
    return all((directory / path).exists() for path, _ in named)
