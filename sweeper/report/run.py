"""What a report is made of: a run folder, read once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from sweeper.curves import learning_curves
from sweeper.journal import read_journal
from sweeper.leaderboard import build_leaderboard
from sweeper.report.published import STUDIES, published
from sweeper.runfolder import RunFolder
from sweeper.spec import SweepSpec

if TYPE_CHECKING:
    import pandas as pd

    from sweeper.blocks import BlockInfo

_TOP = 50
"""Best pipelines whose folds are kept one by one."""
HEAD = "head"
"""The classifier that is a network's own last layer."""
_KIND = ["featurizer", "training_set", "classifier"]
"""Columns of the leaderboard that say of what kind a pipeline is."""


@dataclass(frozen=True)
class Evaluation:
    """A pipeline at full budget on one fold.

    Attributes
    ----------
    key : str
        In the journal.
    metrics : mapping
        Of :data:`sweeper.metrics.METRICS`; None where one is not defined.
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
        Of :func:`sweeper.curves.learning_curves`; may be empty.
    totals : Totals
    rungs : mapping
        Trial of a network's head to its budgets to the accuracies of the folds.
    sessions : list of dict
        What was computed and what was there before, each time that the sweep was run.
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
    def done(self) -> pd.DataFrame:
        """Rows of full budget, best first."""
        return self.board[self.board["status"] == "done"]

    @cached_property
    def best_of_kind(self) -> pd.DataFrame:
        """The best finished row of each featurizer, training set and classifier, best first."""
        return self.done.drop_duplicates(_KIND)

    def scores(self, trial: int, metric: str | None = None) -> NDArray[np.float64]:
        """Score of each fold, (folds,), NaN where it is not defined; empty where the folds are not known."""
        folds = self.folds.get(trial, ())
        values = [fold.metrics.get(metric or self.metric) for fold in folds]
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

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
        from sweeper.blocks import read_info

        folder = self.folder.features
        files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
        return [info for info in map(read_info, files) if info is not None]


def read_run(folder: RunFolder, place: str) -> Run:
    """Read a run folder; of its journal only what a report shows is kept.

    Parameters
    ----------
    folder : RunFolder
    place : str
        What to call it.

    Raises
    ------
    ValueError
        No sweep is there.
    """
    spec = folder.load_spec()
    board = build_leaderboard(read_journal(folder.journal), metric=spec.metric, folds=folder.folds())
    wanted = set(_wanted(board))
    pipelines, trial_of = _trials(folder)
    totals = Totals()
    folds: dict[int, dict[int, Evaluation]] = {}
    tests: dict[int, Evaluation] = {}
    rungs: dict[int, dict[float, list[float]]] = {}
    for record in _of_kind(folder, "evaluation"):
        totals.add(record)
        trial = trial_of.get(orjson.dumps(record["pipeline"]))
        if trial is None or record["status"] != "done":
            continue
        if record["fold"] != "test" and record["pipeline"]["classifier"] == HEAD:
            at = rungs.setdefault(trial, {}).setdefault(record["budget"], [])
            at.append(record["metrics"]["accuracy"])
        if record["fold"] == "test":
            tests.setdefault(trial, _evaluation(record))
        elif trial in wanted and record["budget"] >= 1.0:
            folds.setdefault(trial, {}).setdefault(record["fold"], _evaluation(record))
    return Run(
        name=place.rstrip("/").rpartition("/")[2] or folder.name,
        place=place,
        folder=folder,
        spec=spec,
        environment=_environment(folder),
        board=board,
        pipelines=pipelines,
        folds={t: tuple(e for _, e in sorted(found.items())) for t, found in folds.items()},
        tests=tests,
        curves=_curves(folder),
        totals=totals,
        rungs=rungs,
        sessions=_sessions(folder),
    )


def _wanted(board: pd.DataFrame) -> list[int]:
    """Trials whose folds are looked at one by one."""
    done = board[board["status"] == "done"]
    return [*done["trial"].head(_TOP).tolist(), *done.drop_duplicates(_KIND)["trial"].tolist()]


def _of_kind(folder: RunFolder, kind: str) -> Iterator[Mapping[str, Any]]:
    return (record for record in read_journal(folder.journal) if record["kind"] == kind)


def _trials(folder: RunFolder) -> tuple[dict[int, Mapping[str, Any]], dict[bytes, int]]:
    """Pipeline of each trial, and trial of each pipeline; the first record of a trial counts."""
    pipelines: dict[int, Mapping[str, Any]] = {}
    trial_of: dict[bytes, int] = {}
    for record in _of_kind(folder, "trial"):
        pipelines.setdefault(record["trial"], record["pipeline"])
        trial_of.setdefault(orjson.dumps(record["pipeline"]), record["trial"])
    return pipelines, trial_of


def _evaluation(record: Mapping[str, Any]) -> Evaluation:
    confusion = np.array(record["confusion"], dtype=np.int64)
    return Evaluation(record["key"], record["metrics"], confusion, record["n_train"], record["n_validation"])


def _environment(folder: RunFolder) -> Mapping[str, Any]:
    try:
        found = json.loads(folder.environment.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sessions(folder: RunFolder) -> list[dict[str, Any]]:
    try:
        lines = folder.sessions.read_text().splitlines()
    except (OSError, ValueError):
        return []
    found = []
    for line in lines:
        try:
            session = json.loads(line)
        except ValueError:
            continue
        if isinstance(session, dict):
            found.append(session)
    return found


def _curves(folder: RunFolder) -> pd.DataFrame:
    """Learning curves; evaluations are read again only where a network was trained."""
    if next(_of_kind(folder, "fit"), None) is None:
        return learning_curves([])
    return learning_curves(read_journal(folder.journal))
