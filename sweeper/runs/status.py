"""How far a sweep is, read from its folder while it runs or after."""

from __future__ import annotations

from pathlib import Path

from sweeper.runs.folder import RunFolder
from sweeper.runs.journal import is_open
from sweeper.runs.leaderboard import build_leaderboard


def _features(folder: Path) -> str:
    """How much is kept of features; each file holds the blocks of a featurizer for some of the frames."""
    sizes = [file.stat().st_size for file in folder.glob("*.parquet")]
    return f"features: {sum(sizes) / 1e6:.1f} MB in {len(sizes)} files, {folder}"


def _running(folder: RunFolder, holder: str | None) -> str:
    if holder is None:
        return "running" if is_open(folder.journal) else "not running"
    return f"running, {holder}" if holder else "not running"


def status(path: Path, name: str, holder: str | None) -> str:
    """Lines that say what a sweep is, what it did and what is best so far.

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
    space = spec.space["name"] if isinstance(spec.space, dict) else spec.space
    lines = [
        f"{name}: {_running(folder, holder)}",
        f"data: {spec.data}",
        f"search: {spec.search} over {space}, seed {spec.seed}, {spec.folds} folds"
        + (f", {spec.repeats} repeats" if spec.repeats > 1 else ""),
        f"trials: {len(results.trials)}" + (f" of {spec.trials}" if spec.trials else ""),
        f"evaluations: {results.outcomes['done']} done, {results.outcomes['failed']} failed",
    ]
    if holder is None:
        lines.append(_features(Path(spec.features) if spec.features else folder.features))
    board = build_leaderboard(results, metric=spec.metric, folds=folder.folds())
    if len(board) and board.status.iloc[0] == "done":
        best = board.iloc[0]
        lines.append(
            f"best: {spec.metric} {best[spec.metric]:.4f}, {best.featurizer}+{best.classifier}, "
            f"trial {best.trial}"
        )
    return "\n".join(lines)
