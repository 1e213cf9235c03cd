"""A pipeline or the ensemble of a run, fitted anew, calibrated, described, and written to one file."""

from __future__ import annotations

import datetime
import importlib.metadata
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.masks import load_mask
from sweeper.data.prepared import RawFrame, raw_frame, raw_frames
from sweeper.data.splits import Rows, rows_of_test
from sweeper.errors import InputError
from sweeper.evaluate.calibration import Calibrated, calibrate, quality, together
from sweeper.evaluate.metrics import RANKED_BY, confusion
from sweeper.pipeline import Pipeline
from sweeper.runs import contents
from sweeper.runs.data import RunData, run_data
from sweeper.runs.ensemble import results_with_ensemble, selected_ensemble
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import ENSEMBLE, build_leaderboard
from sweeper.runs.place import Place, reading, shown
from sweeper.runs.predictions import KEPT, kept_predictions
from sweeper.runs.results import Results
from sweeper.runs.spec import SweepSpec
from sweeper.runs.versions import MISSING, package_versions
from sweeper.sorter.impostors import told_apart
from sweeper.sorter.model import Model, Verdict
from sweeper.sorter.modelfile import save_model
from sweeper.sorter.outline import STRANGER, name_of
from sweeper.sorter.promises import Calibration, Promise, thresholds
from sweeper.sorter.refit import Note, Refit, refit
from sweeper.sorter.runtimes import on_runtime
from sweeper.sorter.strangers import Signs

_RATES = (0.005, 0.01, 0.02, 0.05, 0.1)
"""Error rates for which the card says how many frames are accepted."""
_REHEARSED = 20
"""Training frames that impostors are made of, and that times are measured on."""
_TOGETHER = 64  # test frames that are looked at before they are classified
_CURVE = 20  # points of risk against coverage


@dataclass(frozen=True)
class _Choice:
    """The pipelines to export, with their scores of frames that they were not fitted on.

    Attributes
    ----------
    trials : list of int
        The heaviest first.
    pipelines : list of Pipeline
    weights, sharpness : list of float
    frame, labels : int64, (n,)
    scores : float64, (n, n_classes)
    row : dict
        Of the leaderboard.
    """

    trials: list[int]
    pipelines: list[Pipeline]
    weights: list[float]
    sharpness: list[float]
    frame: Rows
    labels: Rows
    scores: NDArray[np.float64]
    row: dict[str, Any]


def export_model(
    run: Place,
    out: Path,
    *,
    rank: int | None = None,
    trial: int | None = None,
    ensemble: bool = False,
    promise: Promise | None = None,
    note: Note = lambda text: None,
) -> Model:
    """Export a pipeline of a run, or its ensemble, to one file; return the model as the file has it.

    Parameters
    ----------
    run : Path or str
        Run folder or URL.
    out : Path
        The file; one that exists is replaced.
    rank : int, optional
        Row of the leaderboard; by default the first.
    trial : int, optional
        Number of a trial, instead.
    ensemble : bool
        The ensemble, instead.
    promise : Promise, optional
        What the model promises unless something else is asked of it; without costs of classes, those of the
        sweep.
    note : callable
        Takes a line that says what is being done.

    Raises
    ------
    InputError
        No such pipeline, one that was not evaluated in full, one of which predictions were not kept, or data
        that are not as the sweep saw them.
    OSError
        The file cannot be written.
    """
    if sum((rank is not None, trial is not None, ensemble)) > 1:
        raise InputError("--rank, --trial and --ensemble are ways to choose one pipeline, give one of them")
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: its folder must exist")
    with reading(run, [contents.FRAMES, contents.ENSEMBLE, f"{contents.PREDICTIONS}/*"]) as local:
        folder = RunFolder(local)
        spec = folder.load_spec()
        choice = _chosen(folder, spec, rank, trial, ensemble)
        data = run_data(folder)
        promise = promise or Promise()
        promise = replace(promise, class_costs=promise.class_costs or tuple((spec.class_costs or {}).items()))
        promise.check(data.dataset.classes)
        fit = refit(choice.pipelines, choice.weights, choice.sharpness, data, spec, note)
        note("calibrating")
        groups = _groups(data, choice.frame)
        domain = data.dataset.domain
        apart = together(groups, None if domain is None else domain[choice.frame])
        calibrated = calibrate(choice.scores, choice.labels, apart, spec.seed)
        model = Model(
            id="",
            name=name_of(choice.pipelines),
            classes=data.dataset.classes,
            parts=tuple(fit.parts),
            calibrator=calibrated.calibrator,
            calibration=Calibration(calibrated.after, choice.labels, groups, data.dataset.hold_out),
            signs=_signs(fit, data, fit.rows, spec.seed),
            promise=promise,
            reading=spec.reading,
            mask=None if spec.mask is None else load_mask(spec.mask),
        )
        frames = _some_frames(data, fit.rows)
        model, runtimes = on_runtime(model, frames, note)
        note("trying it on strangers")
        card = _card(folder, shown(run), spec, choice, data, fit, calibrated, model, frames)
        card["networks"] = runtimes
    return save_model(replace(model, card=card), out)


def _groups(data: RunData, rows: Rows) -> Rows:
    """Return the group of each row; a frame without one is its own, and one that comes twice is one."""
    groups = data.dataset.groups
    return rows if groups is None else np.asarray(groups[rows])


def _signs(fit: Refit, data: RunData, rows: Rows, seed: int) -> Signs:
    mine = np.isin(fit.rows, rows)
    groups = _groups(data, fit.rows[mine])
    return Signs.fit(fit.sizes[mine], fit.statistics[mine], fit.features[mine], groups, seed)


# --------------------------------------------------------------------------- what is exported


def _chosen(
    folder: RunFolder, spec: SweepSpec, rank: int | None, trial: int | None, ensemble: bool
) -> _Choice:
    results = results_with_ensemble(folder, spec.metric, folder.folds())
    board = build_leaderboard(results, metric=spec.metric, folds=folder.folds())
    rows: list[dict[str, Any]] = [{str(k): v for k, v in row.items()} for row in board.to_dict("records")]
    if ensemble:
        found = [row for row in rows if row["featurizer"] == ENSEMBLE]
        lacking = "--ensemble: this run has none: it takes two pipelines at the full budget"
    elif trial is not None:
        found = [row for row in rows if row["trial"] == trial]
        lacking = f"--trial must be the number of a trial of this run, got {trial}"
    else:
        found = [row for row in rows if row["rank"] == (rank or 1)]
        lacking = f"--rank must be from 1 to {len(rows)}, got {rank}"
        lacking = lacking if rows else f"{folder.path}: no pipeline was evaluated yet"
    if not found:
        raise InputError(lacking)
    [row] = found
    if row["status"] != "done":
        raise InputError(
            f"rank {row['rank']}: must be a pipeline at the full budget, it is {row['status']!r}"
        )
    return _of_ensemble(folder, spec, results, row) if row["trial"] < 0 else _of_trial(folder, results, row)


def _of_trial(folder: RunFolder, results: Results, row: dict[str, Any]) -> _Choice:
    trial = int(row["trial"])
    kept = kept_predictions(folder.predictions, results.evaluations(trial))
    if not kept:
        raise InputError(
            f"trial {trial}: cannot be calibrated, its predictions were not kept: a run keeps those of the "
            f"best {KEPT} pipelines"
        )
    return _Choice(
        [trial],
        [results.pipeline(trial)],
        [1.0],
        [float("nan")],
        np.concatenate([part.frames for part in kept]).astype(np.int64),
        np.concatenate([part.labels for part in kept]).astype(np.int64),
        np.concatenate([part.scores for part in kept]).astype(np.float64),
        row,
    )


def _of_ensemble(folder: RunFolder, spec: SweepSpec, results: Results, row: dict[str, Any]) -> _Choice:
    folds = folder.folds()
    found = None if folds is None else selected_ensemble(folder, results, spec.metric, folds)
    if found is None:
        raise InputError(f"{folder.predictions}: the predictions of the ensemble's members must be here")
    return _Choice(
        found.trials,
        [results.pipeline(trial) for trial in found.trials],
        found.weights.tolist(),
        found.sharpness.tolist(),
        found.frame,
        found.labels,
        found.nested,
        row,
    )


# --------------------------------------------------------------------------- the card


def _card(
    folder: RunFolder,
    run: str,
    spec: SweepSpec,
    choice: _Choice,
    data: RunData,
    fit: Refit,
    calibrated: Calibrated,
    model: Model,
    frames: list[RawFrame],
) -> dict[str, Any]:
    classes, labels = list(data.dataset.classes), choice.labels
    counts = np.bincount(data.dataset.labels[fit.rows], minlength=len(classes))
    row = {name: _plain(value) for name, value in choice.row.items()}
    return {
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "run": run,
        "data": spec.data,
        "dataset_digest": str(folder.read_environment().get("dataset_digest", "")),
        "rank": row["rank"],
        "trials": choice.trials,
        "weights": choice.weights,
        "pipelines": [pipeline.to_dict() for pipeline in choice.pipelines],
        "frames": len(fit.rows),
        "classes": dict(zip(classes, counts.tolist(), strict=True)),
        "helping": 0 if data.dataset.helping is None else int(data.dataset.helping[fit.rows].sum()),
        "groups": None if data.dataset.groups is None else len(np.unique(data.dataset.groups[fit.rows])),
        "sizes": [list(size) for size in np.unique(fit.sizes, axis=0).tolist()][:10],
        "metric": spec.metric,
        "scores": {
            name: {"mean": row[name], "std": row.get(f"{name}_std")} for name in RANKED_BY if name in row
        }
        | {"interval": [row.get(f"{spec.metric}_ci_low"), row.get(f"{spec.metric}_ci_high")]},
        "confusion": confusion(labels, model.decided.predicted, len(classes)),
        "calibration": {
            "method": calibrated.calibrator.method,
            "frames": len(labels),
            "losses": calibrated.losses,
            "before": asdict(quality(calibrated.before, labels)),
            "after": asdict(quality(calibrated.after, labels)),
        },
        "coverage": _coverage(model.decided),
        "promises": _promises(model),
        "domains": _domains(data, choice.frame, model),
        "test": _tested(data, model),
        "false_alarms": _false_alarms(fit, data, spec.seed),
        "strangers": told_apart(model, frames, spec.seed),
        "speed": _speed(model, data, fit.rows),
        "versions": {"sweeper": importlib.metadata.version("sweeper")}
        | {name: version for name, version in package_versions().items() if version != MISSING},
    }


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _some_frames(data: RunData, rows: Rows) -> list[RawFrame]:
    """Return training frames evenly spread over the data set."""
    some = rows[np.linspace(0, len(rows) - 1, min(_REHEARSED, len(rows))).round().astype(int)]
    return list(raw_frames([data.dataset.ref(row) for row in some.tolist()]))


def _coverage(calibration: Calibration) -> list[tuple[float, float]]:
    """Return shares of frames, the most confident first, and the share of errors among them."""
    order = np.argsort(-calibration.confidence, kind="stable")
    wrong = np.cumsum(~calibration.right[order])
    ends = np.unique(np.linspace(1, len(order), _CURVE).round().astype(int))
    return [(float(end / len(order)), float(wrong[end - 1] / end)) for end in ends.tolist()]


def _promises(model: Model) -> list[dict[str, float]]:
    """Return for some error rates the share of frames that is accepted."""
    found = []
    for rate in _RATES:
        promise = Promise(rate, class_costs=model.promise.class_costs)
        limits = thresholds(promise, model.calibration, model.classes)
        accepted = limits.accepts(model.calibration.probabilities)
        wrong = float((~model.decided.right[accepted]).mean()) if accepted.any() else 0.0
        found.append({"error_rate": rate, "accepted": float(accepted.mean()), "wrong": wrong})
    return found


def _domains(data: RunData, rows: Rows, model: Model) -> dict[str, dict[str, float]]:
    """Return for each domain its calibration frames, and the shares that are accepted and of these wrong."""
    domain, found = data.dataset.domain, {}
    if domain is None:
        return {}
    accepts = model.thresholds.accepts(model.calibration.probabilities)
    for number, name in enumerate(data.dataset.domain_names):
        mine = domain[rows] == number
        accepted = mine & accepts
        if mine.any():
            found[name] = {
                "frames": int(mine.sum()),
                "accepted": float(accepts[mine].mean()),
                "wrong": float((~model.decided.right[accepted]).mean()) if accepted.any() else 0.0,
            }
    return found


def _tested(data: RunData, model: Model) -> dict[str, Any] | None:
    """Return how the model does on the test split, which had no part in it; None where there is none."""
    rows = rows_of_test(data.dataset.split)
    if len(rows) == 0:
        return None
    verdicts: list[Verdict] = []
    for begin in range(0, len(rows), _TOGETHER):
        refs = [data.dataset.ref(row) for row in rows[begin : begin + _TOGETHER].tolist()]
        verdicts += model.judge([(ref.path, ref.index, model.looked(model.read(ref))) for ref in refs])
    truth = [data.dataset.classes[label] for label in data.dataset.labels[rows]]
    right = np.array([v.label == name for v, name in zip(verdicts, truth, strict=True)])
    accepted = np.array([v.accepted for v in verdicts])
    return {
        "frames": len(rows),
        "accuracy": float(right.mean()),
        "accepted": float(accepted.mean()),
        "wrong": float((~right[accepted]).mean()) if accepted.any() else 0.0,
        "strangers": float(np.mean([v.reason.startswith(STRANGER) for v in verdicts])),
    }


def _false_alarms(fit: Refit, data: RunData, seed: int) -> float:
    """Return the share of training frames that look strange by signs fitted on other groups."""
    groups = _groups(data, fit.rows)
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    half = np.isin(groups, names[: len(names) // 2])
    if half.all() or not half.any():
        return float("nan")
    alarms = np.zeros(len(fit.rows), dtype=bool)
    for mine in (half, ~half):
        signs = _signs(fit, data, fit.rows[~mine], seed)
        far = signs.features.is_far(fit.features[mine])
        shapes = [(int(h), int(w)) for h, w in fit.sizes[mine].tolist()]
        early = [sign != "" for sign in signs.early(shapes, fit.statistics[mine])]
        alarms[mine] = far | np.array(early)
    return float(alarms.mean())


def _speed(model: Model, data: RunData, rows: Rows) -> dict[str, float]:
    """Return milliseconds a frame on one core: reading, all that is computed of a frame, classifying."""
    refs = [data.dataset.ref(row) for row in rows[:_REHEARSED].tolist()]
    begin = time.perf_counter()
    frames = [raw_frame(ref) for ref in refs]
    read = time.perf_counter()
    with model.one_thread():
        started = time.perf_counter()
        looks = [model.look(frame) for frame in frames]
        looked = time.perf_counter()
        model.probabilities(looks)
        model.signs_of(looks)
        done = time.perf_counter()
    each = 1e3 / len(refs)
    return {
        "read_ms": (read - begin) * each,
        "features_ms": (looked - started) * each,
        "classify_ms": (done - looked) * each,
    }
