"""Which representation of a run is meant: by rank, by its words on the leaderboard, or the best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sweeper.errors import InputError
from sweeper.pipeline import Pipeline
from sweeper.plugins import nearest
from sweeper.runs.ensemble import results_with_ensemble
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import build_leaderboard
from sweeper.runs.tables import representation_name


@dataclass(frozen=True)
class Choice:
    """A row of the leaderboard, for its representation.

    Attributes
    ----------
    rank : int
    name : str
        The representation as the leaderboard writes it.
    pipeline : Pipeline
    """

    rank: int
    name: str
    pipeline: Pipeline


def choose(folder: RunFolder, rank: int | None = None, representation: str | None = None) -> Choice:
    """A row that has features: of that rank, or the best with that representation, or the best.

    Parameters
    ----------
    folder : RunFolder
    rank : int, optional
    representation : str, optional
        As the leaderboard writes it, or some of its words: ``lenet balanced``, ``glcm``. One that is
        written so in full goes before the best that has these words.

    Raises
    ------
    ValueError
        No such row, a failed one, or both arguments.
    """
    if rank is not None and representation is not None:
        raise InputError("--rank and --representation are two ways to choose one row, give one of them")
    spec = folder.load_spec()
    results = results_with_ensemble(folder, spec.metric, folder.folds())
    board = build_leaderboard(results, metric=spec.metric, folds=folder.folds())
    rows: list[Any] = list(board[board["trial"] >= 0].itertuples())
    usable = [row for row in rows if row.status != "failed"]
    if not usable:
        raise InputError(f"{folder.path}: no pipeline was evaluated yet")
    if rank is not None:
        ranked = [row for row in rows if row.rank == rank]
        if not ranked:
            what = "an ensemble has no features of its own" if rank <= len(board) else f"1 to {len(board)}"
            raise InputError(f"--rank must be that of a pipeline, {what}, got {rank}")
        row = ranked[0]
        if row.status == "failed":
            raise InputError(f"--rank {rank}: this pipeline failed and may have no features: {row.error}")
    else:
        row = usable[0] if representation is None else _written(usable, representation)
    return Choice(int(row.rank), representation_name(row), results.pipeline(row.trial))


def _written(rows: list[Any], text: str) -> Any:
    """The best row whose representation reads so, else the best with all of these words."""
    words = text.split()
    exact = (row for row in rows if representation_name(row).split() == words)
    having = (row for row in rows if words and set(words) <= set(representation_name(row).split()))
    for row in _chained(exact, having):
        return row
    known = dict.fromkeys(representation_name(row) for row in rows)
    raise InputError(f"--representation must be one of the leaderboard, {nearest(text, known)}; got {text!r}")


def _chained(*parts: Iterator[Any]) -> Iterator[Any]:
    for part in parts:
        yield from part
