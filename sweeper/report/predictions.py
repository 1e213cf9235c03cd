"""What pipelines said of each frame: ``RUN/predictions``, one file an evaluation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError
from sweeper.evaluate.ensembles import are_probabilities
from sweeper.report.run import Run
from sweeper.runs.data import run_data
from sweeper.runs.predictions import read_predictions


@dataclass(frozen=True)
class FrameScores:
    """Scores of a pipeline for frames that it was not fitted on.

    Attributes
    ----------
    frame : int64, (n,)
        Position in the data set, each once, ascending.
    label : int64, (n,)
        True class.
    scores : float64, (n, n_classes)
        Mean over repeats of the cross-validation.
    """

    frame: NDArray[np.int64]
    label: NDArray[np.int64]
    scores: NDArray[np.float64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class of the largest score, (n,)."""
        return np.asarray(self.scores.argmax(axis=1), dtype=np.int64)

    @property
    def margin(self) -> NDArray[np.float64]:
        """Score of the predicted class less that of the true one, or of the next where it is right, (n,)."""
        rows = np.arange(len(self.label))
        top = self.scores.max(axis=1)
        others = self.scores.copy()
        others[rows, self.predicted] = -np.inf
        wrong = self.predicted != self.label
        return np.asarray(top - np.where(wrong, self.scores[rows, self.label], others.max(axis=1)))

    @property
    def are_probabilities(self) -> bool:
        """Whether scores of a frame add up to 1 and none is below 0."""
        return are_probabilities(self.scores)


def read_scores(run: Run, trial: int) -> FrameScores | None:
    """Scores of a trial on the frames that its folds held out; None where they were not kept.

    Raises
    ------
    ValueError
        A file cannot be read, or is not of this form.
    """
    import pyarrow as pa

    parts = []
    for fold in run.evaluations(trial):
        path = run.folder.predictions / f"{fold.key}.parquet"
        if not path.is_file():
            return None
        try:
            parts.append(read_predictions(path))
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: must be a file of predictions: {' '.join(str(error).split())}"
            ) from None
    if not parts:
        return None
    frame, label, scores = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("frames", "labels", "scores")
    )
    distinct, first, inverse = np.unique(frame.astype(np.int64), return_index=True, return_inverse=True)
    mean = np.zeros((len(distinct), scores.shape[1]))
    np.add.at(mean, inverse, scores.astype(np.float64))
    mean /= np.bincount(inverse)[:, None]
    return FrameScores(distinct, label[first].astype(np.int64), mean)


@dataclass(frozen=True)
class FrameList:
    """Files of the frames of a data set, in its order.

    Attributes
    ----------
    path : list of str
        Absolute.
    index : list of int
        Position in the file.
    """

    path: list[str]
    index: list[int]

    @cached_property
    def _root(self) -> str:
        folders = {os.path.dirname(path) for path in self.path}  # noqa: PTH120  many paths
        return os.path.commonpath(folders) if folders else ""

    def name(self, row: int) -> str:
        """Path from the folder that holds all of them, with ``#index`` in a file of several frames."""
        short = os.path.relpath(self.path[row], self._root)
        several = self.path[max(0, row - 1) : row + 2].count(self.path[row]) > 1
        return f"{short}#{self.index[row]}" if several else short


def read_frame_list(run: Run) -> FrameList | None:
    """The frames of a run, those left out as bad aside; None where the list is not at hand."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if run.spec.drop_duplicates:  # which of them took part is known by their labels and splits
        try:
            data = run_data(run.folder).dataset
        except InputError:
            return None
        return FrameList(data.paths.tolist(), data.index.tolist())
    try:
        table = pq.read_table(run.folder.frames, columns=["path", "index", "error"])
    except (OSError, pa.ArrowException):
        return None
    good = [error is None for error in table.column("error").to_pylist()]
    path, index = table.column("path").to_pylist(), table.column("index").to_pylist()
    listed = [(p, i) for p, i, kept in zip(path, index, good, strict=True) if kept]
    if run.n_frames is not None and len(listed) != run.n_frames:
        return None
    return FrameList([p for p, _ in listed], [i for _, i in listed])
