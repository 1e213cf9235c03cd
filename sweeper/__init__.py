"""Sweeper: finds the best way to classify X-ray detector frames.

From Python: :func:`run` searches, :func:`plan` says what a search would cost, :func:`open_run` reads a run,
:func:`load_model` reads what ``sweeper export`` wrote, to classify new frames.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

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
    from sweeper.keywords import Settings
    from sweeper.opened import Run
    from sweeper.planning import Plan
    from sweeper.runs.spec import SweepSpec
    from sweeper.sorter.model import Model

__all__ = [
    "BadFramesError",
    "FaultError",
    "FrameError",
    "InputError",
    "StoppedError",
    "SweeperError",
    "load_model",
    "open_run",
    "plan",
    "run",
]


def run(
    data: str | Path | None = None,
    *,
    space: str | Path | Mapping[str, Any] | None = None,
    out: str | Path,
    frames: Any = None,
    labels: Any = None,
    groups: Any = None,
    split: Any = None,
    mask: Any = None,
    preset: str | None = None,
    scale: str | None = None,
    set: Sequence[str] = (),
    plugins: str | Path | Sequence[str | Path] = (),
    **settings: Unpack[Settings],
) -> pd.DataFrame:
    """Search a space of pipelines on labelled frames, as `sweeper run` does.

    Works in any thread, inside a running event loop, and in a process that is connected to a Ray already: it
    joins that one and leaves it up. One sweep runs at a time in a process.

    Parameters
    ----------
    data : str or Path, optional
        Folder of classes, CSV or Parquet manifest, or a YAML file with settings, `data` and `space` among
        them.
    space : str, Path or mapping, optional
        Name or path of a search space, or the space as its YAML holds it. Required unless a YAML file of
        settings names it or a preset brings one.
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
    preset : str, optional
        Values for what is not given, the space among them: ``quick``, ``balanced`` or ``best``.
    scale : str, optional
        A cut of the space that the space names, such as ``small``.
    set : sequence of str
        Other choices for parameters of the space, as its YAML writes them: ``["glcm.distance=[1, 2]"]``.
    plugins : str, Path, or sequence of them
        Folders of your own featurizers, classifiers, searches and search spaces. From then on their plugins
        are known in this process and in those that it starts.
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
    _add(plugins)
    spec, arrays = _given(data, space, frames, labels, groups, split, mask, preset, scale, set, settings)
    check_place(spec, place)
    progress = Progress()
    try:
        with working(place, progress.note) as path:
            if arrays is not None:
                folder = RunFolder(path)
                spec = _over(arrays, folder.arrays, spec)
                with folder.held(spec):
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
    space: str | Path | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    frames: Any = None,
    labels: Any = None,
    groups: Any = None,
    split: Any = None,
    mask: Any = None,
    preset: str | None = None,
    scale: str | None = None,
    set: Sequence[str] = (),
    plugins: str | Path | Sequence[str | Path] = (),
    **settings: Unpack[Settings],
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
    from sweeper.runs.contents import ARRAYS

    _add(plugins)
    spec, arrays = _given(data, space, frames, labels, groups, split, mask, preset, scale, set, settings)
    if arrays is None:
        return plan(spec)
    with tempfile.TemporaryDirectory(prefix="sweeper-plan-") as scratch:
        folder = Path(scratch, ARRAYS)
        arrays.write(folder)
        return plan(_over(arrays, folder, spec))


def open_run(run: str | Path, *, plugins: str | Path | Sequence[str | Path] = ()) -> Run:
    """Open a run to read its leaderboard, predictions, features and report, also while it is running.

    Parameters
    ----------
    run : str or Path
        Run folder, or a URL of one.
    plugins : str, Path, or sequence of them
        Folders of plugins that the run used, see :func:`run`.

    Raises
    ------
    InputError
        A folder that holds no sweep.
    """
    from sweeper.opened import Run

    _add(plugins)
    return Run(run)


def load_model(path: str | Path, *, plugins: str | Path | Sequence[str | Path] = ()) -> Model:
    """Read a model that ``sweeper export`` wrote, to classify new frames: no Ray, no run folder.

    Nothing that stands in the file is run, and plugins are not in it.

    Parameters
    ----------
    path : str or Path
    plugins : str, Path, or sequence of them
        Folders of plugins that the model uses, see :func:`run`.

    Returns
    -------
    Model
        Its ``predict``, ``predict_proba`` and ``accept`` take arrays, paths and data sets.

    Raises
    ------
    InputError
        It is no model, is damaged, or needs another version or a library that is not here.
    """
    from sweeper.sorter.modelfile import load_model

    _add(plugins)
    return load_model(path)


def _add(folders: str | Path | Sequence[str | Path]) -> None:
    """Add folders of plugins."""
    from sweeper.plugins import add_folder

    listed = [folders] if isinstance(folders, str | os.PathLike) else folders
    if not isinstance(listed, Sequence):
        raise InputError(f"plugins must be a path or a list of paths, got {folders!r}")
    for folder in listed:
        if not isinstance(folder, str | os.PathLike) or not str(folder).strip():
            raise InputError(f"plugins must be a path or a list of paths, got {folder!r}")
        add_folder(Path(folder))


def _given(
    data: str | Path | None,
    space: str | Path | Mapping[str, Any] | None,
    frames: Any,
    labels: Any,
    groups: Any,
    split: Any,
    mask: Any,
    preset: str | None,
    scale: str | None,
    changes: Sequence[str],
    settings: Mapping[str, Any],
) -> tuple[SweepSpec, FrameArrays | None]:
    """Return the spec that the arguments ask for, and the arrays that its data are to be."""
    from sweeper.data.arrays import frame_arrays
    from sweeper.runs.spec import spec_of

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
    if isinstance(changes, str):
        raise InputError(f"set must be a list such as ['glcm.distance=[1, 2]'], got {changes!r}")
    given = _by_field(settings)
    for name in _OF_FILES if data is None else ():
        if given.get(name):
            instead = {"group_by": "frames have groups", "hold_out": "frames have no domains"}.get(
                name, "frames are no files"
            )
            raise InputError(f"{name} goes with data: {instead}")
    if is_file:
        given["mask"] = mask
    source = "frames" if data is None else data
    spec = spec_of(source, space, preset=preset, scale=scale, settings=changes, **given)
    if frames is None:
        return spec, None
    return spec, frame_arrays(frames, labels, groups, split, None if is_file else mask)


_OF_FILES = ("group_by", "hold_out", "dataset", "scan_grid", "ignore_file_mask", "allow_outside")
"""Settings that say how files of frames are read and grouped."""


def _by_field(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by the names of their fields; InputError for an unknown one, with the nearest."""
    from inspect import signature

    from sweeper.runs.settings import from_written
    from sweeper.runs.spec import SETTINGS

    values = {name: value.item() if _is_numpy(value) else value for name, value in settings.items()}
    return from_written(values, SETTINGS, others=[*signature(run).parameters][:-1])


def _is_numpy(value: Any) -> bool:
    """Return whether a value is one number of numpy, such as a seed out of a range."""
    return getattr(value, "shape", None) == () and hasattr(value, "item")


def _over(arrays: FrameArrays, folder: Path, spec: SweepSpec) -> SweepSpec:
    """Return the same spec over arrays that are written into a folder."""
    from dataclasses import replace

    return replace(spec, data=str(arrays.manifest(folder)))
