"""Predictions of each frame by pipelines: ``RUN/predictions``, one file an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.evaluate.ensembles import are_probabilities
from sweeper.report.run import Run
from sweeper.runs.predictions import kept_predictions


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
    parts = kept_predictions(run.folder.predictions, run.evaluations(trial))
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
