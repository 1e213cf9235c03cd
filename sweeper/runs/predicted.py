"""Predictions of a pipeline for each frame, as a table that names frames and classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sweeper.errors import InputError
from sweeper.runs.folder import RunFolder
from sweeper.runs.frame_list import read_frame_list
from sweeper.runs.predictions import KEPT, kept_predictions, prediction_file, score_column
from sweeper.runs.records import TEST, Evaluation, Failed

if TYPE_CHECKING:
    import pandas as pd


def predicted_frames(folder: RunFolder, trial: int, *, test: bool = False) -> pd.DataFrame:
    """Return what a trial predicted for frames that it was not fitted on, one row a frame and fold.

    Parameters
    ----------
    folder : RunFolder
    trial : int
    test : bool
        For the test split, and not for the folds of the cross-validation.

    Returns
    -------
    pandas.DataFrame
        ``frame`` (its name in reports), ``path`` and ``index`` (position in the file), ``label``,
        ``predicted``, ``fold``, and ``score[<class>]`` for each class. In the order of folds and, in
        each, of the data set.

    Raises
    ------
    InputError
        No such trial, or its predictions are not there; the message says why.
    """
    import pandas as pd

    records = _evaluations(folder, trial, test)
    kept = kept_predictions(folder.predictions, records)
    if kept is None:
        raise InputError(
            f"trial {trial}: its predictions were not kept, a run keeps those of the best {KEPT} pipelines"
        )
    listed = read_frame_list(folder, folder.read_environment().get("frames"))
    if listed is None:
        raise InputError(f"{folder.frames}: must be the list of the run's frames, it is missing or another's")
    parts = []
    for record, found in zip(records, kept, strict=True):
        rows, classes = found.frames.tolist(), np.array(found.classes, dtype=object)
        columns = {
            "frame": listed.names(rows),
            "path": [listed.path[row] for row in rows],
            "index": [listed.index[row] for row in rows],
            "label": classes[found.labels],
            "predicted": classes[found.predicted],
            "fold": record.fold,
            **{score_column(name): found.scores[:, i] for i, name in enumerate(found.classes)},
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def prediction_files(folder: RunFolder, trial: int, *, test: bool = False) -> list[str]:
    """Return the names of the files of predictions that :func:`predicted_frames` reads."""
    return [prediction_file(record) for record in _evaluations(folder, trial, test)]


def _evaluations(folder: RunFolder, trial: int, test: bool) -> list[Evaluation]:
    """Return what gave a score at the full budget."""
    results = folder.results()
    results.pipeline(trial)
    if not test:
        records = list(results.evaluations(trial))
        if not records:
            raise InputError(f"trial {trial}: has no predictions, it did not reach the full budget")
        return records
    record = results.test(trial)
    if record is None or isinstance(record.outcome, Failed):
        raise InputError(
            f"trial {trial}: was not scored on a test split; only the best trials are, where there is one"
        )
    assert record.fold == TEST
    return [record]
