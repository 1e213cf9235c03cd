"""How far a sweep is, read from its folder while it runs or after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sweeper.runs.advice import Advice, advise
from sweeper.runs.folder import RunFolder
from sweeper.runs.journal import is_open
from sweeper.runs.leaderboard import build_leaderboard
from sweeper.runs.place import Place, reading, shown


@dataclass(frozen=True)
class Features:
    """The features on disk: each file holds the blocks of a featurizer for some of the frames."""

    folder: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Best:
    """The best of the trials that have their full budget."""

    trial: int
    score: float
    featurizer: str
    classifier: str


@dataclass(frozen=True)
class Status:
    """How far a sweep is.

    Attributes
    ----------
    run : str
        What people call the run.
    running : bool
    holder : str or None
        Who runs the sweep at a URL.
    data, search, space, metric : str
    seed, folds, repeats : int
    trials : int
        Trials that were begun.
    trials_limit : int or None
        Trials that were asked for.
    evaluations_done, evaluations_failed : int
    features : Features or None
        None for a sweep at a URL.
    best : Best or None
    advice : Advice
        What the sweep teaches about the next one, as far as it is.
    """

    run: str
    running: bool
    holder: str | None
    data: str
    search: str
    space: str
    metric: str
    seed: int
    folds: int
    repeats: int
    trials: int
    trials_limit: int | None
    evaluations_done: int
    evaluations_failed: int
    features: Features | None
    best: Best | None
    advice: Advice

    def __str__(self) -> str:
        running = f"running, {self.holder}" if self.holder else "running"
        lines = [
            f"{self.run}: {running if self.running else 'not running'}",
            f"data: {self.data}",
            f"search: {self.search} over {self.space}, seed {self.seed}, {self.folds} folds"
            + (f", {self.repeats} repeats" if self.repeats > 1 else ""),
            f"trials: {self.trials}" + (f" of {self.trials_limit}" if self.trials_limit else ""),
            f"evaluations: {self.evaluations_done} done, {self.evaluations_failed} failed",
        ]
        if (kept := self.features) is not None:
            lines.append(f"features: {kept.bytes / 1e6:.1f} MB in {kept.files} files, {kept.folder}")
        if (best := self.best) is not None:
            name = f"{best.featurizer}+{best.classifier}"
            lines.append(f"best: {self.metric} {best.score:.4f}, {name}, trial {best.trial}")
        return "\n".join([*lines, *self.advice.lines])


def status_of(run: Place) -> Status:
    """Return how far the sweep at a place is; InputError where there is none."""
    with reading(run) as folder:
        return read_status(folder, shown(run), _holder(run))


def _holder(run: Place) -> str | None:
    """Return who runs the sweep at a URL, empty for nobody; None for a folder, whose journal tells."""
    if isinstance(run, Path):
        return None
    from sweeper.runs.mirror import holder

    return holder(run) or ""


def read_status(path: Path, name: str, holder: str | None) -> Status:
    """Read what a sweep is, what it did and what is best so far.

    Parameters
    ----------
    path : Path
    name : str
        What people call the run: of a URL, `path` is a copy without features.
    holder : str or None
        Who runs the sweep at a URL, empty for nobody; None: the journal in `path` tells.
    """
    folder = RunFolder(path)
    spec = folder.load_spec()
    results = folder.results()
    board = build_leaderboard(results, metric=spec.metric, folds=folder.folds())
    first = board.iloc[0] if len(board) and board.status.iloc[0] == "done" else None
    return Status(
        run=name,
        running=is_open(folder.journal) if holder is None else bool(holder),
        holder=holder or None,
        data=spec.data,
        search=spec.search,
        space=spec.space_name,
        metric=spec.metric,
        seed=spec.seed,
        folds=spec.folds,
        repeats=spec.repeats,
        trials=len(results.trials),
        trials_limit=spec.trials,
        evaluations_done=results.outcomes["done"],
        evaluations_failed=results.outcomes["failed"],
        features=_features(Path(spec.features or folder.features)) if holder is None else None,
        best=None
        if first is None
        else Best(int(first.trial), float(first[spec.metric]), first.featurizer, first.classifier),
        advice=advise(results, spec, folder.folds()),
    )


def _features(folder: Path) -> Features:
    sizes = [file.stat().st_size for file in folder.glob("*.parquet")]
    return Features(str(folder), len(sizes), sum(sizes))
