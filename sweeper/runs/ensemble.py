"""The ensemble of a run as records, so that the leaderboard ranks it like a pipeline.

It is a function of the journal and of RUN/predictions, kept in RUN/ensemble.json until either changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sweeper.atomic import write_text
from sweeper.evaluate.ensembles import ENSEMBLE_VERSION, Ensemble, Library, blend, select_ensemble
from sweeper.evaluate.metrics import RANKED_BY, score
from sweeper.pipeline import FeaturizerChoice, Pipeline, digest
from sweeper.runs import contents
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import ENSEMBLE, build_leaderboard, select
from sweeper.runs.place import Place, reading
from sweeper.runs.predictions import Predictions, read_predictions
from sweeper.runs.records import TEST, Evaluation, FoldName, Scored, Trial, read_pipeline
from sweeper.runs.results import Results

if TYPE_CHECKING:
    import pandas as pd

_LEAST_WEIGHT_DIGITS = 4

_Folds = dict[FoldName, Evaluation]
"""Evaluations of one pipeline at the full budget, by fold."""


@dataclass(frozen=True, eq=False)
class Selection:
    """The ensemble of a run: its members, the heaviest first, and what it says of frames.

    Attributes
    ----------
    trials : list of int
    weights, sharpness : float64, (members,)
        See :class:`sweeper.evaluate.ensembles.Ensemble`.
    frame, labels : int64, (rows,)
        Row of the data set, and its class.
    nested : float64, (rows, n_classes)
        Probabilities by members that were selected without the row's fold.
    """

    trials: list[int]
    weights: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    frame: NDArray[np.int64]
    labels: NDArray[np.int64]
    nested: NDArray[np.float64]


class _Kept(msgspec.Struct, frozen=True):
    """The content of RUN/ensemble.json: the records, and a digest of all that they depend on."""

    key: str
    records: list[Trial | Evaluation]


def run_leaderboard(folder: RunFolder, *, metric: str, folds: int | None) -> pd.DataFrame:
    """Return the leaderboard of a run with its ensemble; see
    :func:`sweeper.runs.leaderboard.build_leaderboard`.
    """
    return build_leaderboard(results_with_ensemble(folder, metric, folds), metric=metric, folds=folds)


def read_leaderboard(
    run: Place, *, top: int | None = None, best_per: str | None = None, pareto: bool = False
) -> tuple[pd.DataFrame, str]:
    """Return the leaderboard of the run at a place, or some rows of it, and the metric that ranks it.

    The options are those of :func:`sweeper.runs.leaderboard.select`.
    """
    with reading(run, [contents.ENSEMBLE]) as local:
        folder = RunFolder(local)
        metric = folder.load_spec().metric
        board = run_leaderboard(folder, metric=metric, folds=folder.folds())
    return select(board, top=top, best_per=best_per, pareto=pareto, metric=metric), metric


def results_with_ensemble(folder: RunFolder, metric: str, folds: int | None) -> Results:
    """Return what the journal says, and the ensemble's records."""
    results = folder.results()
    return results.add(ensemble_records(folder, results, metric, folds))


def ensemble_records(
    folder: RunFolder, results: Results, metric: str, folds: int | None
) -> list[Trial | Evaluation]:
    """Return the records of the ensemble of a run: its place on the leaderboard and an evaluation a fold.

    Empty where there is none: fewer than two pipelines were evaluated fully, their predictions are not
    there, or a single split cannot be cut further.
    """
    if folds is None:
        return []
    pipelines = _with_predictions(folder, results, folds)
    key = digest([ENSEMBLE_VERSION, metric, [[r.key for r in p.values()] for p in pipelines]])
    if (kept := _kept(folder, key, has_files=bool(pipelines))) is not None:
        return kept
    records = _computed(folder, results, pipelines, metric) if len(pipelines) > 1 else []
    if pipelines:
        with suppress(OSError):  # a run folder that others own is still good to look into
            write_text(folder.ensemble, msgspec.json.encode(_Kept(key, records)).decode())
    return records


def ensemble_members(folder: RunFolder, results: Results, metric: str, folds: int | None) -> list[int]:
    """Return the trials that the ensemble of a run is made of, the heaviest first; none where there is none.

    What the test split says of them has no part in it.
    """
    records = ensemble_records(folder, results, metric, folds)
    trial = next((record for record in records if isinstance(record, Trial)), None)
    if trial is None:
        return []
    members = read_pipeline(trial.pipeline).classifier_params["members"]
    return [int(member["trial"]) for member in members]


def selected_ensemble(folder: RunFolder, results: Results, metric: str, folds: int) -> Selection | None:
    """Return the ensemble of a run in full; None where there is none, as for :func:`ensemble_records`."""
    pipelines = _with_predictions(folder, results, folds)
    found = _selected(folder, pipelines, metric) if len(pipelines) > 1 else None
    if found is None:
        return None
    library, ensemble = found
    heaviest = _heaviest(ensemble)
    records = [next(iter(pipelines[i].values())) for i in heaviest]
    return Selection(
        [results.trial_of(record.pipeline) or 0 for record in records],
        ensemble.weights[heaviest],
        ensemble.sharpness[heaviest],
        library.frame,
        library.labels,
        ensemble.nested,
    )


def _kept(folder: RunFolder, key: str, *, has_files: bool) -> list[Trial | Evaluation] | None:
    """Return what was kept under this key; without files of predictions, as from a URL, whatever was kept."""
    try:
        kept = msgspec.json.decode(folder.ensemble.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None
    return kept.records if kept.key == key or not has_files else None


def _with_predictions(folder: RunFolder, results: Results, folds: int) -> list[_Folds]:
    """Pipelines of which the predictions of every fold are there.

    In an order that does not depend on who was done first, like everything else.
    """
    files = {path.stem for path in folder.predictions.glob("[!.]*.parquet")}
    found: dict[str, _Folds] = {}
    for record in results.with_keys(files) if files else ():
        if isinstance(record.outcome, Scored) and results.trial_of(record.pipeline) is not None:
            found.setdefault(record.pipeline, {}).setdefault(record.fold, record)
    complete = [name for name in sorted(found) if len(found[name].keys() - {TEST}) == folds]
    return [{fold: found[name][fold] for fold in sorted(found[name], key=str)} for name in complete]


def _computed(
    folder: RunFolder, results: Results, pipelines: Sequence[_Folds], metric: str
) -> list[Trial | Evaluation]:
    found = _selected(folder, pipelines, metric)
    return [] if found is None else list(_records(folder, results, pipelines, found[1]))


def _selected(folder: RunFolder, pipelines: Sequence[_Folds], metric: str) -> tuple[Library, Ensemble] | None:
    import pyarrow as pa

    folds = sorted(fold for fold in pipelines[0] if fold != TEST)
    try:
        library = _library(folder, pipelines, folds)
    except (OSError, pa.ArrowException, KeyError):  # removed by a sweep that goes on, or damaged
        return None
    if library is None:
        return None
    ensemble = select_ensemble(library, metric, folder.load_spec().seed)
    return None if ensemble is None else (library, ensemble)


def _library(folder: RunFolder, pipelines: Sequence[_Folds], folds: Sequence[FoldName]) -> Library | None:
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
    held_out = folder.load_spec().hold_out is not None
    groups = _groups(folder, frame) if held_out or len(folds) == 1 else None
    return Library(
        scores=np.stack([np.concatenate([p.scores for p in part]) for part in parts]),
        fold=np.repeat(np.array(folds, dtype=np.int64), [len(p.frames) for p in first]),
        frame=frame,
        labels=np.concatenate([p.labels for p in first]).astype(np.int64),
        groups=groups if len(folds) == 1 else None,
        domains=groups if held_out else None,
    )


def _groups(folder: RunFolder, frame: Any) -> Any:
    """Groups of frames: of a single split, which folds keep apart where there are several; or domains."""
    from sweeper.runs.data import run_data

    groups = run_data(folder).dataset.groups
    return None if groups is None else groups[frame]


def _read(folder: RunFolder, record: Evaluation) -> Predictions:
    return read_predictions(folder.predictions / f"{record.key}.parquet")


# --------------------------------------------------------------------------- records


def _records(
    folder: RunFolder, results: Results, pipelines: Sequence[_Folds], ensemble: Ensemble
) -> Iterator[Trial | Evaluation]:
    heaviest = _heaviest(ensemble)
    members = [(pipelines[i], float(ensemble.weights[i])) for i in heaviest]
    trials = [results.trial_of(next(iter(folds.values())).pipeline) or 0 for folds, _ in members]
    described = [results.pipeline(trial) for trial in trials]
    trial = Trial.of(-1, _pipeline(described[0], trials, [weight for _, weight in members]))
    yield trial
    for fold, values, confusion in zip(ensemble.folds, ensemble.metrics, ensemble.confusion, strict=True):
        yield _evaluation(trial, fold, values, confusion, [p[fold] for p, _ in members], described)
    if all(TEST in p for p, _ in members):
        tests = [p[TEST] for p, _ in members]
        parts = [_read(folder, record) for record in tests]
        scores = np.stack([p.scores for p in parts])
        blended = blend(scores, ensemble.weights[heaviest], ensemble.sharpness[heaviest])
        values = score(parts[0].labels.astype(np.int64), blended, blended.shape[1])
        yield _evaluation(trial, TEST, values, None, tests, described)


def _heaviest(ensemble: Ensemble) -> NDArray[np.int64]:
    """Return which pipelines are members, the heaviest first."""
    order = np.argsort(-ensemble.weights, kind="stable")
    return np.asarray(order[: np.count_nonzero(ensemble.weights)])


def _pipeline(first: Pipeline, trials: Sequence[int], weights: Sequence[float]) -> Pipeline:
    """An ensemble in the form of a pipeline; its members are a classifier's parameter."""
    members = tuple(
        {"trial": trial, "weight": round(weight, _LEAST_WEIGHT_DIGITS)}
        for trial, weight in zip(trials, weights, strict=True)
    )
    features = (FeaturizerChoice(ENSEMBLE, {}),)
    return Pipeline(first.intensity, features, "none", {}, ENSEMBLE, {"members": members})


def _evaluation(
    trial: Trial,
    fold: FoldName,
    values: Mapping[str, float | None],
    confusion: list[list[int]] | None,
    members: Sequence[Evaluation],
    pipelines: Sequence[Pipeline],
) -> Evaluation:
    """A fold of the ensemble; it takes the time of its members, a representation that they share once."""
    outcomes = [m.outcome for m in members if isinstance(m.outcome, Scored)]
    featurized: dict[str, float] = {}
    for pipeline, member in zip(pipelines, members, strict=True):
        featurized[pipeline.representation] = member.featurize_ms_per_frame
    outcome = Scored(
        metrics={name: values[name] for name in RANKED_BY if name in values},
        confusion=confusion,
        n_train=outcomes[0].n_train,
        n_validation=outcomes[0].n_validation,
        fit_s=round(sum(o.fit_s for o in outcomes), 6),
        predict_ms_per_frame=round(sum(o.predict_ms_per_frame for o in outcomes), 6),
    )
    return Evaluation(
        key=digest([ENSEMBLE_VERSION, trial.id, fold]),
        pipeline=trial.id,
        budget=1.0,
        fold=fold,
        seed=members[0].seed,
        outcome=outcome,
        featurize_ms_per_frame=round(sum(featurized.values()), 6),
    )
