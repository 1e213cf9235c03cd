"""What a report is made of: a run folder, read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweeper.report.published import STUDIES, published
from sweeper.runs.folder import RunFolder
from sweeper.runs.spec import SweepSpec

if TYPE_CHECKING:
    import pandas as pd

    from sweeper.features.blocks import BlockInfo

HEAD = "head"
"""The classifier that is a network's own last layer."""
KIND = ["featurizer", "training_set", "classifier"]
"""Columns of the leaderboard that say of what kind a pipeline is."""


@dataclass(frozen=True)
class Evaluation:
    """A pipeline at full budget on one fold.

    Attributes
    ----------
    key : str
        In the journal.
    metrics : mapping
        Of :data:`sweeper.evaluate.metrics.METRICS`; None where one is not defined.
    confusion : int64, (n_classes, n_classes)
        Frames of each true class (rows) predicted as each class (columns).
    n_train, n_validation : int
    """

    key: str
    metrics: Mapping[str, float | None]
    confusion: NDArray[np.int64]
    n_train: int
    n_validation: int


@dataclass
class Totals:
    """Sums over a journal.

    Attributes
    ----------
    evaluations, failed : int
        All folds and budgets, the test split included.
    fit_s : float
        Core time of fits of reducers and classifiers; those of networks and their heads are in the curves.
    predict_s : float
    at_budget : Counter
        Evaluations by budget.
    """

    evaluations: int = 0
    failed: int = 0
    fit_s: float = 0.0
    predict_s: float = 0.0
    at_budget: Counter[float] = field(default_factory=Counter)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a record of kind ``evaluation``."""
        self.evaluations += 1
        self.failed += record["status"] != "done"
        self.fit_s += 0.0 if record["pipeline"]["classifier"] == HEAD else record["fit_s"]
        self.predict_s += record["predict_ms_per_frame"] * record["n_validation"] / 1e3
        self.at_budget[record["budget"]] += 1


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
    pipelines : mapping
        Trial to pipeline, as the journal has it.
    folds : mapping
        Trial to its folds at full budget, in order; of the best, and of the best of each kind.
    tests : mapping
        Trial to its evaluation on the test split.
    curves : pandas.DataFrame
        Of :func:`sweeper.runs.curves.learning_curves`; may be empty.
    totals : Totals
    rungs : mapping
        Trial of a network's head to its budgets to the accuracies of the folds.
    sessions : list of dict
        What was computed and what was there before, each time that the sweep was run.
    reruns : mapping
        Trial to its budgets to the other seeds that it was run with to the metrics of the folds.
    """

    name: str
    place: str
    folder: RunFolder
    spec: SweepSpec
    environment: Mapping[str, Any]
    board: pd.DataFrame
    pipelines: Mapping[int, Mapping[str, Any]]
    folds: Mapping[int, tuple[Evaluation, ...]]
    tests: Mapping[int, Evaluation]
    curves: pd.DataFrame
    totals: Totals
    rungs: Mapping[int, Mapping[float, list[float]]]
    sessions: list[dict[str, Any]]
    reruns: Mapping[int, Mapping[float, Mapping[int, list[Mapping[str, float | None]]]]]

    @property
    def space(self) -> Mapping[str, Any]:
        """The search space as ``sweep.yaml`` holds it."""
        return self.spec.space if isinstance(self.spec.space, dict) else {"name": self.spec.space}

    @property
    def space_name(self) -> str:
        return str(self.space.get("name", "space"))

    @property
    def featurizers(self) -> set[str]:
        """Names of those in the space."""
        return set(map(str, self.space.get("featurizers") or ()))

    def domain(self, slot: str, plugin: str, parameter: str) -> Any:
        """What the space says of a parameter of a ``featurizer`` or ``classifier``; None: nothing."""
        plugins = self.space.get(f"{slot}s")
        params = plugins.get(plugin) if isinstance(plugins, dict) else None
        return params.get(parameter) if isinstance(params, dict) else None

    @property
    def metric(self) -> str:
        """What the rows are ranked by."""
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
        some = next((e.confusion for folds in self.folds.values() for e in folds), np.zeros((0, 0)))
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

    def scores(self, trial: int, metric: str | None = None) -> NDArray[np.float64]:
        """Score of each fold, (folds,), NaN where it is not defined; empty where the folds are not known."""
        folds = self.folds.get(trial, ())
        values = [fold.metrics.get(metric or self.metric) for fold in folds]
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    def rerun_scores(self, trial: int, metric: str, budget: float = 1.0) -> NDArray[np.float64]:
        """Mean over the folds with each other seed that all folds were run with, (seeds,)."""
        seeds = self.reruns.get(trial, {}).get(budget, {})
        folds = max((len(found) for found in seeds.values()), default=0)
        values = [[m.get(metric) for m in found] for found in seeds.values() if len(found) == folds]
        if not values:
            return np.zeros(0)
        return np.asarray(np.array(values, dtype=np.float64).mean(axis=1))

    def sizes(self, trial: int) -> tuple[float, float]:
        """Mean rows that a fold was fitted and scored on."""
        folds = self.folds[trial]
        return float(np.mean([f.n_train for f in folds])), float(np.mean([f.n_validation for f in folds]))

    def confusion(self, trial: int) -> NDArray[np.int64] | None:
        """Confusion over all folds, (n_classes, n_classes); repeats count each; None where not known."""
        folds = self.folds.get(trial)
        return np.sum([f.confusion for f in folds], axis=0) if folds else None

    @cached_property
    def blocks(self) -> list[BlockInfo]:
        """What the files of blocks say about themselves; none where they are not at hand."""
        from sweeper.features.blocks import read_info

        folder = self.folder.features
        files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
        return [info for info in map(read_info, files) if info is not None]
