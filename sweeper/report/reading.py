"""Reads a run folder for its report."""

from __future__ import annotations

import json
from typing import Any

from sweeper.report.run import Run
from sweeper.runs.curves import learning_curves
from sweeper.runs.ensemble import results_with_ensemble
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import build_leaderboard


def read_run(folder: RunFolder, place: str) -> Run:
    """Read a run folder.

    Parameters
    ----------
    folder : RunFolder
    place : str
        What to call it.

    Raises
    ------
    InputError
        No sweep is there.
    """
    spec, folds = folder.load_spec(), folder.folds()
    results = results_with_ensemble(folder, spec.metric, folds)
    return Run(
        name=place.rstrip("/").rpartition("/")[2] or folder.name,
        place=place,
        folder=folder,
        spec=spec,
        environment=folder.read_environment(),
        board=build_leaderboard(results, metric=spec.metric, folds=folds),
        results=results,
        curves=learning_curves(results),
        sessions=_sessions(folder),
    )


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
