"""The ensemble of a run as records of a journal, so that the leaderboard ranks it like a pipeline.

It is a function of the journal and of RUN/predictions, kept in RUN/ensemble.json until either changes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from sweeper.atomic import write_text
from sweeper.evaluate.ensembles import ENSEMBLE_VERSION, Ensemble, Library, blend, select_ensemble
from sweeper.evaluate.metrics import METRICS, score
from sweeper.pipeline import digest
from sweeper.runs.columns import TIMES
from sweeper.runs.folder import RunFolder
from sweeper.runs.journal import Record, read_journal
from sweeper.runs.leaderboard import ENSEMBLE, build_leaderboard
from sweeper.runs.predictions import read_predictions

if TYPE_CHECKING:
    import pandas as pd

    from sweeper.runs.predictions import Predictions

_TEST = "test"
_LEAST_WEIGHT_DIGITS = 4

_Folds = dict[int | str, Record]
"""Records of one pipeline's evaluations at the full budget, by fold."""


def run_leaderboard(folder: RunFolder, *, metric: str, folds: int | None) -> pd.DataFrame:
    """The leaderboard of a run with its ensemble; see :func:`sweeper.runs.leaderboard.build_leaderboard`."""
    records = itertools.chain(read_journal(folder.journal), ensemble_records(folder, metric, folds))
    return build_leaderboard(records, metric=metric, folds=folds)


def ensemble_records(folder: RunFolder, metric: str, folds: int | None) -> list[Record]:
    """Records of the ensemble of a run: its place on the leaderboard and an evaluation a fold.

    Empty where there is none: fewer than two pipelines were evaluated fully, their predictions are not
    there, or a single split cannot be cut further.
    """
    if folds is None:
        return []
    pipelines = _with_predictions(folder, folds)
    key = digest([ENSEMBLE_VERSION, metric, [[r["key"] for r in p.values()] for p in pipelines]])
    if (kept := _kept(folder, key, has_files=bool(pipelines))) is not None:
        return kept
    records = _computed(folder, pipelines, metric) if len(pipelines) > 1 else []
    if pipelines:
        with suppress(OSError):  # a run folder that others own is still good to look into
            write_text(folder.ensemble, json.dumps({"key": key, "records": records}))
    return records


def _kept(folder: RunFolder, key: str, *, has_files: bool) -> list[Record] | None:
    """What was kept under this key; without files of predictions, as from a URL, whatever was kept."""
    try:
        kept = json.loads(folder.ensemble.read_text())
        records: list[Record] = kept["records"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return records if kept.get("key") == key or not has_files else None


def _with_predictions(folder: RunFolder, folds: int) -> list[_Folds]:
    """Pipelines of which the predictions of every fold are there.

    In an order that does not depend on who was done first, like everything else.
    """
    files = {path.stem for path in folder.predictions.glob("[!.]*.parquet")}
    found: dict[str, _Folds] = {}
    for record in read_journal(folder.journal) if files else ():
        if record["kind"] == "evaluation" and record["key"] in files and record["status"] == "done":
            found.setdefault(digest(record["pipeline"]), {}).setdefault(record["fold"], record)
    complete = [name for name in sorted(found) if len(found[name].keys() - {_TEST}) == folds]
    return [{fold: found[name][fold] for fold in sorted(found[name], key=str)} for name in complete]


def _computed(folder: RunFolder, pipelines: Sequence[_Folds], metric: str) -> list[Record]:
    import pyarrow as pa

    folds = sorted(fold for fold in pipelines[0] if fold != _TEST)
    try:
        library = _library(folder, pipelines, folds)
    except (OSError, pa.ArrowException, KeyError):  # removed by a sweep that goes on, or damaged
        return []
    if library is None:
        return []
    ensemble = select_ensemble(library, metric, folder.load_spec().seed)
    return [] if ensemble is None else list(_records(folder, pipelines, ensemble))


def _library(folder: RunFolder, pipelines: Sequence[_Folds], folds: Sequence[int | str]) -> Library | None:
    """Predictions of all folds as arrays; None where pipelines were not asked for the same frames."""
    parts = [[_read(folder, pipeline[fold]) for fold in folds] for pipeline in pipelines]
    first = parts[0]
    same = all(
        np.array_equal(mine.frames, theirs.frames) and np.array_equal(mine.labels, theirs.labels)
        for part in parts
        for mine, theirs in zip(part, first, strict=True)
    )
    if not same:
        return None
    frame = np.concatenate([p.frames for p in first]).astype(np.int64)
    return Library(
        scores=np.stack([np.concatenate([p.scores for p in part]) for part in parts]),
        fold=np.repeat(np.array(folds, dtype=np.int64), [len(p.frames) for p in first]),
        frame=frame,
        labels=np.concatenate([p.labels for p in first]).astype(np.int64),
        groups=_groups(folder, frame) if len(folds) == 1 else None,
    )


def _groups(folder: RunFolder, frame: Any) -> Any:
    """Groups of the frames of a single split, which folds keep apart where there are several."""
    from sweeper.runs.data import run_data

    groups = run_data(folder).dataset.groups
    return None if groups is None else groups[frame]


def _read(folder: RunFolder, record: Record) -> Predictions:
    return read_predictions(folder.predictions / f"{record['key']}.parquet")


# --------------------------------------------------------------------------- records


def _records(folder: RunFolder, pipelines: Sequence[_Folds], ensemble: Ensemble) -> Iterator[Record]:
    heaviest = np.argsort(-ensemble.weights, kind="stable")[: np.count_nonzero(ensemble.weights)]
    members = [(pipelines[i], float(ensemble.weights[i])) for i in heaviest]
    trials = _trials(folder)
    described = [next(iter(pipeline.values()))["pipeline"] for pipeline, _ in members]
    pipeline = {
        "intensity": described[0]["intensity"],
        "featurizer": ENSEMBLE,
        "featurizer_params": {},
        "reducer": "none",
        "reducer_params": {},
        "classifier": ENSEMBLE,
        "classifier_params": {
            "members": [
                {"trial": trials.get(digest(one), -1), "weight": round(weight, _LEAST_WEIGHT_DIGITS)}
                for one, (_, weight) in zip(described, members, strict=True)
            ]
        },
    }
    yield {"kind": "trial", "trial": -1, "pipeline": pipeline}
    for fold, values, confusion in zip(ensemble.folds, ensemble.metrics, ensemble.confusion, strict=True):
        yield _evaluation(pipeline, fold, values, confusion, [p[fold] for p, _ in members])
    if all(_TEST in p for p, _ in members):
        tests = [p[_TEST] for p, _ in members]
        parts = [_read(folder, record) for record in tests]
        scores = np.stack([p.scores for p in parts])
        blended = blend(scores, ensemble.weights[heaviest], ensemble.sharpness[heaviest])
        values = score(parts[0].labels.astype(np.int64), blended, blended.shape[1])
        yield _evaluation(pipeline, _TEST, values, None, tests)


def _trials(folder: RunFolder) -> dict[str, int]:
    """Trial number of each pipeline, by its digest."""
    return {digest(r["pipeline"]): r["trial"] for r in read_journal(folder.journal) if r["kind"] == "trial"}


def _evaluation(
    pipeline: Mapping[str, Any],
    fold: int | str,
    values: Mapping[str, float | None],
    confusion: list[list[int]] | None,
    members: Sequence[Record],
) -> Record:
    """A fold of the ensemble; it takes the time of its members, a representation that they share once."""
    featurized = {
        digest([m["pipeline"][k] for k in ("featurizer", "featurizer_params", "intensity")]): m[TIMES[0]]
        for m in members
    }
    times = {name: round(sum(m[name] for m in members), 6) for name in TIMES[1:]}
    return {
        "kind": "evaluation",
        "key": digest([ENSEMBLE_VERSION, dict(pipeline), fold]),
        "pipeline": dict(pipeline),
        "budget": 1.0,
        "fold": fold,
        "status": "done",
        "error": None,
        "metrics": {name: values[name] for name in METRICS},
        "confusion": confusion,
        "n_train": members[0]["n_train"],
        "n_validation": members[0]["n_validation"],
        TIMES[0]: round(sum(featurized.values()), 6),
        **times,
    }
