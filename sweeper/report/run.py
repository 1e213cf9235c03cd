"""A run folder, read once for its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.errors import InputError
from sweeper.evaluate.metrics import WORST_DOMAIN
from sweeper.report.studies.published import STUDIES, published
from sweeper.runs.folder import RunFolder
from sweeper.runs.records import Evaluation, Scored
from sweeper.runs.results import VALUES, Results
from sweeper.runs.spec import SweepSpec

if TYPE_CHECKING:
    import pandas as pd

    from sweeper.features.blocks import BlockInfo

KIND = ["featurizer", "training_set", "classifier"]
"""Columns of the leaderboard that say of what kind a pipeline is."""


@dataclass(frozen=True)
class Totals:
    """Sums over a journal.

    Attributes
    ----------
    evaluations, failed : int
        All folds and budgets, the test split and reruns included.
    fit_s : float
        Core time of fits of reducers and classifiers; those of networks and their heads are in the curves.
    predict_s : float
    at_budget : mapping
        Evaluations by budget.
    """

    evaluations: int
    failed: int
    fit_s: float
    predict_s: float
    at_budget: Mapping[float, int]


@dataclass(frozen=True, eq=False)
class Run:
    """A run, read once.

    Attributes
    ----------
    name, place : str
        Of the run folder: its own name, and where it is, for people.
    folder : RunFolder
    spec : SweepSpec
    environment : mapping
        Empty before the frames were checked.
    board : pandas.DataFrame
        The leaderboard; may be empty.
    results : Results
        What the journal says, with the ensemble.
    curves : pandas.DataFrame
        Of :func:`sweeper.runs.curves.learning_curves`; may be empty.
    sessions : list of dict
        What was computed and what was there before, each time that the sweep was run.
    """

    name: str
    place: str
    folder: RunFolder
    spec: SweepSpec
    environment: Mapping[str, Any]
    board: pd.DataFrame
    results: Results
    curves: pd.DataFrame
    sessions: list[dict[str, Any]]

    @property
    def space(self) -> Mapping[str, Any]:
        """The search space as ``sweep.yaml`` holds it."""
        return self.spec.space

    @property
    def space_name(self) -> str:
        return self.spec.space_name

    @property
    def featurizers(self) -> set[str]:
        """Names of those in the space."""
        return set(map(str, self.space.get("featurizers") or ()))

    def domain(self, slot: str, plugin: str, parameter: str) -> Any:
        """Return the domain of a ``featurizer``'s or ``classifier``'s parameter; None: it has none."""
        plugins = self.space.get(f"{slot}s")
        params = plugins.get(plugin) if isinstance(plugins, dict) else None
        return params.get(parameter) if isinstance(params, dict) else None

    @property
    def metric(self) -> str:
        """Return the metric that ranks the rows."""
        return self.spec.metric

    @property
    def n_frames(self) -> int | None:
        """Frames that take part; None before they were checked."""
        return self.environment.get("frames")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        known = self.environment.get("classes")
        if known:
            return tuple(map(str, known))
        some = next((c for t in self.done["trial"] if (c := self.confusion(t)) is not None), np.zeros((0, 0)))
        return tuple(f"class {i}" for i in range(len(some)))

    @cached_property
    def class_order(self) -> list[int]:
        """Classes in the order of matrices: the space's or its paper's, if it has just these."""
        paper = STUDIES.get(self.space_name)
        named = self.space.get("class_order") or (published(paper).get("classes") if paper else None)
        wanted = [str(name) for name in named or ()]
        if set(wanted) != set(self.classes):
            return list(range(len(self.classes)))
        return [self.classes.index(name) for name in wanted]

    @cached_property
    def tried(self) -> pd.DataFrame:
        """Rows of trials; an ensemble is none."""
        return self.board[self.board["trial"] >= 0]

    @cached_property
    def done(self) -> pd.DataFrame:
        """Rows of full budget, best first."""
        return self.board[self.board["status"] == "done"]

    @cached_property
    def best_of_kind(self) -> pd.DataFrame:
        """The best finished row of each featurizer, training set and classifier, best first."""
        return self.done.drop_duplicates(KIND)

    # ------------------------------------------------------------------ evaluations

    @cached_property
    def _folds(self) -> dict[int, tuple[Scored, ...]]:
        return {}

    def evaluations(self, trial: int) -> tuple[Evaluation, ...]:
        """Evaluations of a trial's folds at full budget, in order; none where it was not finished."""
        return tuple(self.results.evaluations(trial))

    def folds(self, trial: int) -> tuple[Scored, ...]:
        """Return the results of a trial's folds; read once."""
        if trial not in self._folds:
            outcomes = [e.outcome for e in self.evaluations(trial)]
            self._folds[trial] = tuple(o for o in outcomes if isinstance(o, Scored))
        return self._folds[trial]

    def test(self, trial: int) -> Scored | None:
        """Return a trial's outcome on the test split; None where it was not scored there."""
        record = self.results.test(trial)
        return record.outcome if record is not None and isinstance(record.outcome, Scored) else None

    @cached_property
    def tested(self) -> list[int]:
        """Trials that were scored on the test split; an ensemble has no confusion there."""
        return [t for t in self.results.trials if (s := self.test(t)) is not None and s.confusion is not None]

    def scores(self, trial: int, metric: str | None = None) -> NDArray[np.float64]:
        """Score of each fold, (folds,), NaN where it is not defined; empty where the folds are not known."""
        values = [fold.metrics.get(metric or self.metric) for fold in self.folds(trial)]
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    def sizes(self, trial: int) -> tuple[float, float]:
        """Mean rows that a fold was fitted and scored on."""
        folds = self.folds(trial)
        return float(np.mean([f.n_train for f in folds])), float(np.mean([f.n_validation for f in folds]))

    def confusion(self, trial: int) -> NDArray[np.int64] | None:
        """Confusion over all folds, (n_classes, n_classes); repeats count each; None where not known."""
        folds = [np.array(f.confusion, dtype=np.int64) for f in self.folds(trial)]
        return np.sum(folds, axis=0) if folds else None

    def test_confusion(self, trial: int) -> NDArray[np.int64] | None:
        """Confusion on the test split, (n_classes, n_classes); None where it is not known."""
        scored = self.test(trial)
        known = scored is not None and scored.confusion is not None
        return np.array(scored.confusion, dtype=np.int64) if scored is not None and known else None

    def rungs(self, trial: int) -> dict[float, list[float]]:
        """Budgets of a trial to the accuracies of its folds."""
        found: dict[float, list[float]] = {}
        for record in self.results.evaluations(trial, None):
            if isinstance(record.outcome, Scored):
                found.setdefault(record.budget, []).append(record.outcome.metrics["accuracy"] or 0.0)
        return found

    @cached_property
    def reruns(self) -> dict[int, dict[float, dict[int, list[Scored]]]]:
        """Reruns by trial, budget and seed: what came of each fold."""
        found: dict[int, dict[float, dict[int, list[Scored]]]] = {}
        for record in self.results.reruns:
            trial = self.results.trial_of(record.pipeline)
            if trial is not None and isinstance(record.outcome, Scored):
                seeds = found.setdefault(trial, {}).setdefault(record.budget, {})
                seeds.setdefault(record.seed, []).append(record.outcome)
        return found

    def rerun_scores(self, trial: int, metric: str, budget: float = 1.0) -> NDArray[np.float64]:
        """Value of all folds with each other seed that all folds were run with, (seeds,)."""
        seeds = self.reruns.get(trial, {}).get(budget, {})
        folds = max((len(found) for found in seeds.values()), default=0)
        values = [[o.metrics.get(metric) for o in found] for found in seeds.values() if len(found) == folds]
        if not values:
            return np.zeros(0)
        table = np.array(values, dtype=np.float64)
        return np.asarray(table.min(axis=1) if metric == WORST_DOMAIN else table.mean(axis=1))

    @cached_property
    def totals(self) -> Totals:
        """Sums over the journal."""
        results = self.results
        owner, _, _, values = results.columns()
        trial_of, heads = results.owners, set(self.heads)
        of_head = {o for o, trial in trial_of.items() if trial in heads}
        ensembles = {o for o, trial in trial_of.items() if trial < 0}
        ours = ~np.isin(owner, list(ensembles))
        fitted = ours & ~np.isin(owner, list(of_head))
        per_frame, n = (values[:, VALUES.index(c)] for c in ("predict_ms_per_frame", "n_validation"))
        fit_s = float(values[fitted, VALUES.index("fit_s")].sum())
        predict_s = float((per_frame[ours] * n[ours]).sum()) / 1e3
        apart = [r for o, r in results.tests.items() if o not in ensembles] + results.reruns
        for record in apart:
            if isinstance(outcome := record.outcome, Scored):
                fit_s += 0.0 if results.trial_of(record.pipeline) in heads else outcome.fit_s
                predict_s += outcome.predict_ms_per_frame * outcome.n_validation / 1e3
        counted = results.outcomes
        return Totals(counted.total(), counted["failed"], fit_s, predict_s, results.at_budget)

    @cached_property
    def heads(self) -> list[int]:
        """Trials whose classifier is a network's own."""
        board = self.tried
        trials: list[int] = board.loc[board["classifier"].map(_is_head), "trial"].tolist()
        return trials

    @cached_property
    def blocks(self) -> list[BlockInfo]:
        """Return the descriptions that block files hold of themselves; none where they are not at hand."""
        from sweeper.features.blocks import read_info

        folder = self.folder.features
        files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
        return [info for info in map(read_info, files) if info is not None]


def _is_head(classifier: str) -> bool:
    try:
        return plugins.classifier(classifier).is_head
    except InputError:  # an ensemble, or a plugin of the run that is not here
        return False
