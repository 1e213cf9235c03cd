"""The ensemble of a run and the quality of calibrated probabilities, both from the run's predictions.

The ensemble comes as records, so that the leaderboard ranks it like a pipeline. All of it is a function of
the journal and of RUN/predictions, kept in RUN/ensemble.json until either changes.
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
from sweeper.evaluate.calibration import calibrate, quality
from sweeper.evaluate.ensembles import ENSEMBLE_VERSION, Ensemble, Library, blend, select_ensemble
from sweeper.evaluate.metrics import RANKED_BY, score
from sweeper.pipeline import FeaturizerChoice, Pipeline, digest
from sweeper.runs import contents
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import ENSEMBLE, build_leaderboard, select
from sweeper.runs.place import Place, reading
from sweeper.runs.predictions import Predictions, read_predictions, score_of_folds
from sweeper.runs.records import TEST, Evaluation, FoldName, Scored, Trial, read_pipeline
from sweeper.runs.results import Probabilities, Results

if TYPE_CHECKING:
    import pandas as pd

CALIBRATED = 10
"""Pipelines whose probabilities are calibrated for the leaderboard, the best by the metric."""

_LEAST_WEIGHT_DIGITS = 4
_VERSION = 1  # raised when the same predictions give other probabilities
_MOST_ROWS = 20_000  # rows that calibration is judged by: more change nothing but the time

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
    """The content of RUN/ensemble.json, and a digest of all that it depends on."""

    key: str
    records: list[Trial | Evaluation]
    probabilities: dict[int, Probabilities] = msgspec.field(default_factory=dict)


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
    """Return what the journal says, the ensemble's records, and how good probabilities are."""
    results = folder.results()
    kept = _following(folder, results, metric, folds)
    results.probabilities.update(kept.probabilities)
    return results.add(kept.records)


def _following(folder: RunFolder, results: Results, metric: str, folds: int | None) -> _Kept:
    """Return what follows from a run's predictions.

    There are no records where there is no ensemble: fewer than two pipelines were evaluated fully, their
    predictions are not there, or a single split cannot be cut further.
    """
    if folds is None:
        return _Kept("", [], {})
    pipelines = _with_predictions(folder, results, folds)
    keys = [[r.key for r in p.values()] for p in pipelines]
    key = digest([ENSEMBLE_VERSION, _VERSION, metric, keys])
    if (kept := _kept(folder, key, has_files=bool(pipelines))) is not None:
        return kept
    if not pipelines:
        return _Kept(key, [], {})
    kept = _Kept(key, *_computed(folder, results, pipelines, metric))
    with suppress(OSError):  # a run folder that others own is still good to look into
        write_text(folder.ensemble, msgspec.json.encode(kept).decode())
    return kept


def ensemble_members(folder: RunFolder, results: Results, metric: str, folds: int | None) -> list[int]:
    """Return the trials that the ensemble of a run is made of, the heaviest first; none where there is none.

    What the test split says of them has no part in it.
    """
    records = _following(folder, results, metric, folds).records
    trial = next((record for record in records if isinstance(record, Trial)), None)
    if trial is None:
        return []
    members = read_pipeline(trial.pipeline).classifier_params["members"]
    return [int(member["trial"]) for member in members]


def selected_ensemble(folder: RunFolder, results: Results, metric: str, folds: int) -> Selection | None:
    """Return the ensemble of a run in full; None where it has none."""
    pipelines = _with_predictions(folder, results, folds)
    library = _library_of(folder, pipelines) if len(pipelines) > 1 else None
    ensemble = None if library is None else select_ensemble(library, metric, folder.load_spec().seed)
    if library is None or ensemble is None:
        return None
    heaviest = _heaviest(ensemble)
    records = [_first(pipelines[i]) for i in heaviest]
    return Selection(
        [results.trial_of(record.pipeline) or 0 for record in records],
        ensemble.weights[heaviest],
        ensemble.sharpness[heaviest],
        library.frame,
        library.labels,
        ensemble.nested,
    )


def _kept(folder: RunFolder, key: str, *, has_files: bool) -> _Kept | None:
    """Return what was kept under this key; without files of predictions, as from a URL, whatever was kept."""
    try:
        kept = msgspec.json.decode(folder.ensemble.read_bytes(), type=_Kept)
    except (OSError, msgspec.DecodeError):
        return None
    return kept if kept.key == key or not has_files else None


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
) -> tuple[list[Trial | Evaluation], dict[int, Probabilities]]:
    """Return the ensemble's records, and how good the probabilities of the best pipelines and of it are."""
    library = _library_of(folder, pipelines)
    if library is None:
        return [], {}
    seed = folder.load_spec().seed
    ensemble = select_ensemble(library, metric, seed) if len(pipelines) > 1 else None
    judged = {
        results.trial_of(_first(pipelines[i]).pipeline) or 0: library.scores[i]
        for i in _best(pipelines, metric)
    }
    records: list[Trial | Evaluation] = []
    if ensemble is not None:
        records = list(_records(folder, results, pipelines, ensemble))
        judged[-1] = ensemble.nested
    return records, _probabilities(library, judged, seed)


def _best(pipelines: Sequence[_Folds], metric: str) -> list[int]:
    """Return the places of the best pipelines, best first."""

    def value(i: int) -> float:
        outcomes = [r.outcome for fold, r in pipelines[i].items() if fold != TEST]
        return score_of_folds(metric, (o.metrics.get(metric) for o in outcomes if isinstance(o, Scored)))

    return sorted(range(len(pipelines)), key=lambda i: (-value(i), i))[:CALIBRATED]


def _probabilities(
    library: Library, judged: Mapping[int, NDArray[Any]], seed: int
) -> dict[int, Probabilities]:
    """Calibrate the scores of each trial; a row by a map that was fitted on other folds or groups."""
    together = _together(library)
    if len(np.unique(together)) < 2:
        return {}
    rows = np.arange(len(together))
    if len(rows) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_ROWS, replace=False))
    labels, found = library.labels[rows], {}
    for trial, scores in judged.items():
        calibrated = calibrate(scores[rows].astype(np.float64), labels, together[rows], seed)
        before, after = quality(calibrated.before, labels), quality(calibrated.after, labels)
        found[trial] = Probabilities(calibrated.calibrator.method, before, after)
    return found


def _together(library: Library) -> NDArray[np.int64]:
    """Number the rows that stay on one side when maps are fitted, (rows,).

    A frame's fold in the first repeat, which holds whole groups; of a single split its group or itself.
    """
    if len(np.unique(library.fold)) == 1:
        return library.frame if library.groups is None else library.groups
    _, first, which = np.unique(library.frame, return_index=True, return_inverse=True)
    return np.asarray(library.fold[first][which])


def _library_of(folder: RunFolder, pipelines: Sequence[_Folds]) -> Library | None:
    """Read the predictions of pipelines; None where they changed meanwhile."""
    import pyarrow as pa

    folds = sorted(fold for fold in pipelines[0] if fold != TEST)
    try:
        return _library(folder, pipelines, folds)
    except (OSError, pa.ArrowException, KeyError):  # removed by a sweep that goes on, or damaged
        return None


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
    trials = [results.trial_of(_first(folds).pipeline) or 0 for folds, _ in members]
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


def _first(folds: _Folds) -> Evaluation:
    return next(iter(folds.values()))


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
