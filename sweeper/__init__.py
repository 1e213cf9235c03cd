"""Sweeper: finds the best way to classify X-ray detector frames.

From Python: :func:`run` searches, :func:`plan` says what a search would cost, :func:`open_run` reads a run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.errors import (
    BadFramesError,
    FaultError,
    FrameError,
    InputError,
    StoppedError,
    SweeperError,
)

if TYPE_CHECKING:
    import pandas as pd

    from sweeper.data.arrays import FrameArrays
    from sweeper.opened import Run
    from sweeper.planning import Plan
    from sweeper.runs.spec import SweepSpec

__all__ = [
    "BadFramesError",
    "FaultError",
    "FrameError",
    "InputError",
    "StoppedError",
    "SweeperError",
    "open_run",
    "plan",
    "run",
]


def run(
    data: str | Path | None = None,
    *,
    space: str | Path | Mapping[str, Any],
    out: str | Path,
    frames: Any = None,
    labels: Any = None,
    groups: Any = None,
    split: Any = None,
    mask: Any = None,
    scale: str | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Search a space of pipelines on labelled frames, as `sweeper run` does.

    Works in any thread, inside a running event loop, and in a process that is connected to a Ray already: it
    joins that one and leaves it up. One sweep runs at a time in a process.

    Parameters
    ----------
    data : str or Path, optional
        Folder of classes, or CSV or Parquet manifest.
    space : str, Path or mapping
        Name or path of a search space, or the space as its YAML holds it.
    out : str or Path
        Run folder, or a URL of one; the same call again resumes the sweep.
    frames : array (n, height, width), or sequence of arrays (height, width), optional
        Frames in memory, instead of `data`: integers of 8 to 64 bits or floats of 16 to 64. They are written
        once, into the run folder.
    labels : sequence
        Class of each of `frames`: a name, or a whole number.
    groups : sequence, optional
        A name or whole number for each of `frames`: those of a group never stand on both sides of a split.
    split : sequence, optional
        ``train``, ``val`` or ``test`` for each of `frames`; or ``test`` for some and nothing for the others.
    mask : str, Path, array (height, width), or sequence of arrays, optional
        Mask of the detector: pixels that are not zero in it are invalid. A file; or, with `frames`, an array
        for all of them, or one for each.
    scale : str, optional
        A cut of the space that the space names, such as ``small``.
    **settings
        Settings by their names in ``docs/settings.md``: ``trials``, ``time_budget``, ``seed``, ...

    Returns
    -------
    pandas.DataFrame
        The leaderboard, best first.

    Raises
    ------
    InputError
        Wrong input: the message names the parameter, the rule and the value, and for an unknown setting the
        nearest one.
    StoppedError
        The sweep cannot go on for a reason outside it, such as a full disk; the same call resumes it.
    KeyboardInterrupt
        It was interrupted; the same call resumes it.
    """
    from sweeper.engine.sweep import run_sweep
    from sweeper.runs.checks import check_place
    from sweeper.runs.folder import RunFolder
    from sweeper.runs.place import place_of, working
    from sweeper.runs.progress import Progress

    place = place_of(out, "out")
    spec, arrays = _given(data, space, frames, labels, groups, split, mask, scale, settings)
    check_place(spec, place)
    progress = Progress()
    try:
        with working(place, progress.note) as path:
            if arrays is not None:
                folder = RunFolder(path)
                spec = _over(arrays, folder.arrays, spec)
                folder.check(spec)
                progress.stage("writing the frames")
                arrays.write(folder.arrays)
            board: pd.DataFrame = run_sweep(spec, path, progress)
        return board
    finally:
        progress.close()


def plan(
    data: str | Path | None = None,
    *,
    space: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    frames: Any = None,
    labels: Any = None,
    groups: Any = None,
    split: Any = None,
    mask: Any = None,
    scale: str | None = None,
    **settings: Any,
) -> Plan:
    """Say what a sweep would cost, as `sweeper plan` does: a few frames and fits are timed.

    Parameters are those of :func:`run`; nothing is written to `out`.

    Returns
    -------
    Plan
        Counts and costs as numbers; ``print`` and notebooks show it as text.

    Raises
    ------
    InputError
        As :func:`run`, for whatever can be checked without reading all frames.
    """
    import tempfile

    from sweeper.planning.plan import plan

    spec, arrays = _given(data, space, frames, labels, groups, split, mask, scale, settings)
    if arrays is None:
        return plan(spec)
    with tempfile.TemporaryDirectory(prefix="sweeper-plan-") as scratch:
        arrays.write(Path(scratch))
        return plan(_over(arrays, Path(scratch), spec))


def open_run(run: str | Path) -> Run:
    """Open a run to read its leaderboard, predictions, features and report, also while it is running.

    Parameters
    ----------
    run : str or Path
        Run folder, or a URL of one.

    Raises
    ------
    InputError
        A folder that holds no sweep.
    """
    from sweeper.opened import Run

    return Run(run)


def _given(
    data: str | Path | None,
    space: str | Path | Mapping[str, Any],
    frames: Any,
    labels: Any,
    groups: Any,
    split: Any,
    mask: Any,
    scale: str | None,
    settings: Mapping[str, Any],
) -> tuple[SweepSpec, FrameArrays | None]:
    """Return the spec that the arguments ask for, and the arrays that its data are to be."""
    from sweeper.data.arrays import frame_arrays
    from sweeper.runs.spec import make_spec

    is_file = isinstance(mask, str | os.PathLike)
    if (data is None) == (frames is None):
        raise InputError("data or frames must be given, and not both")
    if data is not None:
        if not isinstance(data, str | os.PathLike):
            raise InputError(f"data must be a path, got {type(data).__name__}; arrays are given as frames")
        for name, value in {"labels": labels, "groups": groups, "split": split}.items():
            if value is not None:
                raise InputError(f"{name} goes with frames: the folder or manifest in data has its own")
        if mask is not None and not is_file:
            raise InputError(f"mask must be a path, got {type(mask).__name__}; an array goes with frames")
    given = {**settings, "mask": mask} if is_file else dict(settings)
    spec = make_spec("frames" if data is None else data, space, scale=scale, **given)
    if frames is None:
        return spec, None
    return spec, frame_arrays(frames, labels, groups, split, None if is_file else mask)


def _over(arrays: FrameArrays, folder: Path, spec: SweepSpec) -> SweepSpec:
    """Return the same spec over arrays that are written into a folder."""
    from dataclasses import replace

    return replace(spec, data=str(arrays.manifest(folder)))
