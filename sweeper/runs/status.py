"""How far a sweep is, read from its folder while it runs or after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sweeper.runs.folder import RunFolder
from sweeper.runs.journal import is_open
from sweeper.runs.leaderboard import build_leaderboard


@dataclass(frozen=True)
class Features:
    """What is kept of features: each file holds the blocks of a featurizer for some of the frames."""

    folder: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Best:
    """The first row of the leaderboard, once a pipeline has its full budget; an ensemble is trial −1."""

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
    )


def _features(folder: Path) -> Features:
    sizes = [file.stat().st_size for file in folder.glob("*.parquet")]
    return Features(str(folder), len(sizes), sum(sizes))


def status_text(status: Status) -> str:
    """Return a status as lines of text."""
    running = f"running, {status.holder}" if status.holder else "running"
    lines = [
        f"{status.run}: {running if status.running else 'not running'}",
        f"data: {status.data}",
        f"search: {status.search} over {status.space}, seed {status.seed}, {status.folds} folds"
        + (f", {status.repeats} repeats" if status.repeats > 1 else ""),
        f"trials: {status.trials}" + (f" of {status.trials_limit}" if status.trials_limit else ""),
        f"evaluations: {status.evaluations_done} done, {status.evaluations_failed} failed",
    ]
    if (features := status.features) is not None:
        lines.append(f"features: {features.bytes / 1e6:.1f} MB in {features.files} files, {features.folder}")
    if (best := status.best) is not None:
        lines.append(
            f"best: {status.metric} {best.score:.4f}, {best.featurizer}+{best.classifier}, trial {best.trial}"
        )
    return "\n".join(lines)
