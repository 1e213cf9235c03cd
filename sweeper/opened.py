"""A run that exists, opened from Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sweeper.errors import InputError
from sweeper.runs.contents import FRAMES, PREDICTIONS, SPEC
from sweeper.runs.place import Place, place_of, reading, shown

if TYPE_CHECKING:
    import pandas as pd

    from sweeper.labels import LabelCurve
    from sweeper.pipeline import Pipeline
    from sweeper.runs.folder import RunFolder
    from sweeper.runs.status import Best, Status
    from sweeper.runs.target import Target


class Run:
    """The run in a folder or at a URL.

    Nothing is read before it is asked for, and everything is read anew each time: what is returned is
    current while the sweep runs. A trial is named by its number in the column ``trial`` of the leaderboard;
    the ensemble (−1) is none.

    Parameters
    ----------
    place : str or Path
        Run folder, or a URL of one.

    Raises
    ------
    InputError
        A folder that holds no sweep. Of a URL, the first method that is called says so.
    """

    def __init__(self, place: str | Path) -> None:
        self._place: Place = place_of(place, "run")
        if isinstance(self._place, Path) and not (self._place / SPEC).exists():
            raise InputError(f"{self._place}: no sweep here ({SPEC} is missing)")

    def __repr__(self) -> str:
        return f"open_run({shown(self._place)!r})"

    @contextmanager
    def _folder(self, names: Sequence[str] = ()) -> Iterator[RunFolder]:
        """Give the run folder, or a copy of what is needed of it."""
        from sweeper.runs.folder import RunFolder

        with reading(self._place, names) as path:
            yield RunFolder(path)

    def status(self) -> Status:
        """Return how far the sweep is, and whether it is running; ``print`` shows it as text."""
        from sweeper.runs.status import status_of

        return status_of(self._place)

    @property
    def best(self) -> Best:
        """The best trial: ``trial``, ``score``, ``featurizer`` and ``classifier``.

        Raises
        ------
        InputError
            No trial has reached the full budget yet.
        """
        best = self.status().best
        if best is None:
            raise InputError(f"{shown(self._place)}: no trial has reached the full budget yet")
        return best

    def leaderboard(
        self, *, top: int | None = None, best_per: str | None = None, pareto: bool = False
    ) -> pd.DataFrame:
        """Return the pipelines, best first.

        Parameters
        ----------
        top : int, optional
            Only the first so many.
        best_per : {"featurizer", "classifier", "representation"}, optional
            Only the best of each.
        pareto : bool
            Only pipelines that no other beats in both score and latency.
        """
        from sweeper.runs.ensemble import read_leaderboard

        return read_leaderboard(self._place, top=top, best_per=best_per, pareto=pareto)[0]

    def pipeline(self, trial: int) -> Pipeline:
        """Return the pipeline of a trial, every parameter chosen."""
        with self._folder() as folder:
            return folder.results().pipeline(trial)

    def predictions(self, trial: int, *, test: bool = False) -> pd.DataFrame:
        """Return what a trial predicted for frames that it was not fitted on, one row a frame and fold.

        Parameters
        ----------
        trial : int
        test : bool
            For the test split, and not for the folds of the cross-validation.

        Returns
        -------
        pandas.DataFrame
            ``frame`` (its name in reports), ``path`` and ``index`` (position in the file), ``label``,
            ``predicted``, ``fold``, and ``score[<class>]`` for each class; not all classifiers score by
            probabilities.

        Raises
        ------
        InputError
            No such trial, or its predictions are not there: a run keeps those of the best 50 pipelines at the
            full budget.
        """
        from sweeper.runs.predicted import predicted_frames, prediction_files

        names: list[str] = []
        if not isinstance(self._place, Path):
            with self._folder() as folder:
                files = prediction_files(folder, trial, test=test)
                names = [FRAMES, *(f"{PREDICTIONS}/{name}" for name in files)]
        with self._folder(names) as folder:
            return predicted_frames(folder, trial, test=test)

    def features(self, trial: int) -> pd.DataFrame:
        """Return the features of a trial's representation, before its reducer.

        Returns
        -------
        pandas.DataFrame
            float64, a row a frame, by name as in :meth:`predictions`, and a column a feature, by a name that
            says all of it: ``glcm.contrast[distance=2,angle_deg=45]``. What is fitted comes from one fold:
            of a network that was trained the frames that this fold read.

        Raises
        ------
        InputError
            No such trial; the data set is not there or changed; blocks are missing.
        """
        from sweeper.similar.features import feature_table, needed_files

        names: list[str] = []
        if not isinstance(self._place, Path):
            with self._folder() as folder:
                names = needed_files(folder, folder.results().pipeline(trial))
        with self._folder(names) as folder:
            return feature_table(folder, folder.results().pipeline(trial))

    def label_curve(self, trial: int | None = None, *, draws: int = 5) -> LabelCurve:
        """Return what more labelled frames would buy, as ``sweeper labels`` does.

        Parameters
        ----------
        trial : int, optional
            The pipeline; by default the best whose features were fitted on no frames.
        draws : int
            How often frames are drawn for each number and fold.

        Raises
        ------
        InputError
            No such pipeline; the data set is not there or changed; blocks are missing.
        """
        from sweeper.labels.curve import chosen_pipeline, label_curve
        from sweeper.runs.checks import local_cpus
        from sweeper.similar.features import needed_files

        names: list[str] = []
        if not isinstance(self._place, Path):
            with self._folder() as folder:
                names = needed_files(folder, chosen_pipeline(folder, trial).pipeline)
        with self._folder(names) as folder:
            return label_curve(folder, chosen_pipeline(folder, trial), draws, local_cpus(None))

    def target(self) -> Target | None:
        """Return how far the frames of the sweep's target are; None where it ended without looking at any."""
        from sweeper.runs.contents import TARGET
        from sweeper.runs.target import read_target

        with self._folder([TARGET]) as folder:
            return read_target(folder.target)

    def report(self, html: str | Path | None = None) -> Path:
        """Write the run as one HTML page; return its path.

        Parameters
        ----------
        html : str or Path, optional
            Where the page goes: ``report.html`` in the run folder by default. Required for a run at a URL.
        """
        from sweeper.report import report_of

        return report_of(self._place, None if html is None else Path(html))[0]
