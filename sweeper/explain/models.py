"""Which trained network explains a frame: a model file, or the fold models of a run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeper.errors import InputError
from sweeper.runs.data import run_data
from sweeper.runs.folder import RunFolder

FrameKey = tuple[str, int]
"""Absolute path of a file, and position of a frame in it."""


@dataclass(frozen=True)
class Models:
    """Model files, and which of them did not train on which frame.

    Attributes
    ----------
    files : tuple of Path
        The first explains the frames that `held_out` does not name.
    held_out : mapping of FrameKey to Path
    """

    files: tuple[Path, ...]
    held_out: Mapping[FrameKey, Path] = field(default_factory=dict)

    def of(self, key: FrameKey) -> Path:
        """The model that explains a frame."""
        return self.held_out.get(key, self.files[0])


def find_models(model: Path, trial: int | None = None) -> Models:
    """Models of a file, or of the best network of a run folder.

    Parameters
    ----------
    model : Path
        A model file, or a run folder.
    trial : int, optional
        Of a run folder: another trial than the best.

    Raises
    ------
    ValueError
        No such file, a folder without a sweep, a sweep without a network, or a trial that is none.
    """
    if not model.is_dir():
        if trial is not None:
            raise InputError(f"--trial {trial}: needs a run folder, {model} is not one")
        if not model.exists():
            raise InputError(f"{model}: no such model file or run folder")
        return Models((model,))
    folder = RunFolder(model)
    folder.load_spec()
    files = _model_files(folder.networks, _chosen(model, trial))
    return Models(files, _held_out(folder, files) if len(files) > 1 else {})


def _chosen(run: Path, trial: int | None) -> Mapping[str, Any]:
    """Entry of ``networks/best.json``: the best trial's, or that of the one asked for."""
    best = RunFolder(run).best_networks
    try:
        trials = json.loads(best.read_text())["trials"] if best.exists() else []
        trials = [entry for entry in trials if entry["models"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{best}: must be a list of trials with their models: {error}") from None
    if not trials:
        raise InputError(
            f"{run}: no network here: no pipeline of this sweep has a trained network to explain"
        )
    chosen = next((entry for entry in trials if trial in (None, entry["trial"])), None)
    if chosen is None:
        known = ", ".join(str(entry["trial"]) for entry in trials)
        raise InputError(f"--trial must be one with a network, {known}, got {trial}")
    entry: Mapping[str, Any] = chosen
    return entry


def _model_files(networks: Path, entry: Mapping[str, Any]) -> tuple[Path, ...]:
    files = tuple(networks / name for name in entry["models"])
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: the model of trial {entry['trial']} is missing")
    return files


def _held_out(folder: RunFolder, files: tuple[Path, ...]) -> dict[FrameKey, Path]:
    """For each frame of the sweep's data set the model of a fold that it was held out of.

    Empty where that cannot be told: the data set is gone or changed, or the journal does not say on
    which fold a model was fitted.
    """
    if folder.load_spec().representation_share is not None:  # one model for all folds
        return {}
    folds = {key: fit.fold for key, fit in folder.results().fits.items()}
    of_fold = {folds.get(file.parent.name): file for file in files}
    try:
        data = run_data(folder)
    except InputError:
        return {}
    frames = data.dataset
    return {
        (frames.paths[row], int(frames.index[row])): of_fold[fold]
        for fold, split in enumerate(data.splits)
        if fold in of_fold
        for row in split.validation
    }
