"""Reads a run folder for its report; of the journal only what is shown is kept."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from sweeper.report.run import HEAD, KIND, Evaluation, Run, Totals
from sweeper.runs.curves import learning_curves
from sweeper.runs.ensemble import ensemble_records
from sweeper.runs.folder import RunFolder
from sweeper.runs.journal import read_journal
from sweeper.runs.leaderboard import build_leaderboard

if TYPE_CHECKING:
    import pandas as pd

_TOP = 50
"""Best pipelines whose folds are kept one by one."""


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
    ensemble = ensemble_records(folder, spec.metric, folder.folds())
    records = itertools.chain(read_journal(folder.journal), ensemble)
    board = build_leaderboard(records, metric=spec.metric, folds=folder.folds())
    wanted = set(_wanted(board))
    pipelines, trial_of = _trials(itertools.chain(_of_kind(folder, "trial"), ensemble))
    found = _Found(wanted)
    for record in itertools.chain(_of_kind(folder, "evaluation", "rerun"), ensemble):
        if record["kind"] != "trial":
            found.add(record, trial_of.get(orjson.dumps(record["pipeline"])))
    return Run(
        name=place.rstrip("/").rpartition("/")[2] or folder.name,
        place=place,
        folder=folder,
        spec=spec,
        environment=_environment(folder),
        board=board,
        pipelines=pipelines,
        folds={t: tuple(e for _, e in sorted(of.items())) for t, of in found.folds.items()},
        tests=found.tests,
        curves=_curves(folder),
        totals=found.totals,
        rungs=found.rungs,
        sessions=_sessions(folder),
        reruns=found.reruns,
    )


@dataclass
class _Found:
    """What a report keeps of evaluations, see :class:`Run`; folds one by one of the trials `wanted` alone."""

    wanted: set[int]
    totals: Totals = field(default_factory=Totals)
    folds: dict[int, dict[int, Evaluation]] = field(default_factory=dict)
    tests: dict[int, Evaluation] = field(default_factory=dict)
    rungs: dict[int, dict[float, list[float]]] = field(default_factory=dict)
    reruns: dict[int, dict[float, dict[int, list[Mapping[str, float | None]]]]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any], trial: int | None) -> None:
        """Take in an evaluation or a rerun; `trial` is None where no trial has its pipeline."""
        if trial is None or trial >= 0:
            self.totals.add(record)
        if trial is None or record["status"] != "done":
            return
        if record["kind"] == "rerun":
            seeds = self.reruns.setdefault(trial, {}).setdefault(record["budget"], {})
            seeds.setdefault(record["seed"], []).append(record["metrics"])
            return
        if record["fold"] != "test" and record["pipeline"]["classifier"] == HEAD:
            at = self.rungs.setdefault(trial, {}).setdefault(record["budget"], [])
            at.append(record["metrics"]["accuracy"])
        if record["confusion"] is None:  # the test score of an ensemble
            return
        if record["fold"] == "test":
            self.tests.setdefault(trial, _evaluation(record))
        elif trial in self.wanted and record["budget"] >= 1.0:
            self.folds.setdefault(trial, {}).setdefault(record["fold"], _evaluation(record))


def _wanted(board: pd.DataFrame) -> list[int]:
    """Trials whose folds are looked at one by one."""
    done = board[board["status"] == "done"]
    return [*done["trial"].head(_TOP).tolist(), *done.drop_duplicates(KIND)["trial"].tolist()]


def _of_kind(folder: RunFolder, *kinds: str) -> Iterator[Mapping[str, Any]]:
    return (record for record in read_journal(folder.journal) if record["kind"] in kinds)


def _trials(records: Iterable[Mapping[str, Any]]) -> tuple[dict[int, Mapping[str, Any]], dict[bytes, int]]:
    """Pipeline of each trial, and trial of each pipeline; the first record of a trial counts."""
    pipelines: dict[int, Mapping[str, Any]] = {}
    trial_of: dict[bytes, int] = {}
    for record in records:
        if record["kind"] != "trial":
            continue
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
