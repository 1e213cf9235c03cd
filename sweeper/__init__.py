"""Sweeper: finds the best way to classify X-ray detector frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["run"]


def run(
    data: str | Path,
    *,
    space: str | dict[str, Any],
    out: str | Path,
    scale: str | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Search a space of pipelines on labelled frames, as `sweeper run` does.

    Parameters
    ----------
    data : str or Path
        Folder of classes, or CSV or Parquet manifest.
    space : str or dict
        Name or path of a search space, or the space as its YAML holds it.
    out : str or Path
        Run folder, or a URL of one; the same call again resumes the sweep.
    scale : str, optional
        A cut of the space that the space names, such as ``small``.
    **settings
        Settings by their names in ``docs/settings.md``: ``trials``, ``time_budget``, ``seed``, ...

    Returns
    -------
    pandas.DataFrame
        The leaderboard, best first.

    Raises
    ------
    ValueError
        Wrong input: the message names the parameter, the rule and the value, and for an unknown setting the
        nearest one.
    """
    from sweeper.commands.arguments import place
    from sweeper.engine.sweep import run_sweep
    from sweeper.runs.place import working
    from sweeper.runs.progress import Progress
    from sweeper.runs.spec import make_spec

    spec = make_spec(data, space, scale=scale, **settings)
    progress = Progress()
    try:
        with working(place(str(out)), progress.note) as folder:
            board: pd.DataFrame = run_sweep(spec, folder, progress)
        return board
    finally:
        progress.close()
