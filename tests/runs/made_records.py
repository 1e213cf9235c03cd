"""Records of journals made by hand, as a sweep would have recorded them, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sweeper.evaluate.metrics import METRICS
from sweeper.pipeline import FeaturizerChoice, Pipeline, digest
from sweeper.runs.journal import Journal
from sweeper.runs.records import Cause, Epoch, Evaluation, Failed, FoldName, NetworkFit, Record, Scored, Trial
from sweeper.runs.results import Results

Records = list[Record]


def made_pipeline(
    featurizer: str = "glcm",
    classifier: str = "rf",
    *,
    intensity: Mapping[str, Any] | None = None,
    featurizer_params: Mapping[str, Any] | None = None,
    reducer: str = "standard",
    reducer_params: Mapping[str, Any] | None = None,
    classifier_params: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Return a pipeline; parameters that are not given are left out. Featurizers combine as ``glcm+lbp``."""
    names, given = featurizer.split("+"), featurizer_params or {}
    each = {featurizer: given} if len(names) == 1 else {name: given.get(name, {}) for name in names}
    return Pipeline(
        dict(intensity or {"bin": 1}),
        tuple(FeaturizerChoice(name, dict(params)) for name, params in each.items()),
        reducer,
        dict(reducer_params or {}),
        classifier,
        dict(classifier_params or {}),
    )


def made_score(accuracy: float | None = 0.5, **changes: Any) -> Scored:
    """Return the outcome of a fold with this accuracy; every further metric is a hundredth lower."""
    metrics = {m: None if accuracy is None else accuracy - i / 100 for i, m in enumerate(METRICS)}
    values: dict[str, Any] = {
        "metrics": metrics,
        "confusion": [[1]],
        "n_train": 80,
        "n_validation": 20,
        "fit_s": 0.5,
        "predict_ms_per_frame": 0.25,
    }
    return Scored(**{**values, **changes})


def made_failure(error: str = "ValueError: no", cause: Cause = Cause.ERROR) -> Failed:
    """Return the outcome of a fold that failed."""
    return Failed(cause, error)


def made_evaluation(
    of: Pipeline,
    fold: FoldName = 0,
    outcome: Scored | Failed | float = 0.5,
    *,
    budget: float = 1.0,
    seed: int = 0,
    rerun: bool = False,
    key: str | None = None,
    featurize_ms_per_frame: float = 2.0,
) -> Evaluation:
    """Return an evaluation under a key of its own; an outcome may be given by its accuracy."""
    return Evaluation(
        key=digest([of.to_dict(), budget, fold, seed]) if key is None else key,
        pipeline=of.id,
        budget=budget,
        fold=fold,
        seed=seed,
        outcome=outcome if isinstance(outcome, Scored | Failed) else made_score(outcome),
        featurize_ms_per_frame=featurize_ms_per_frame,
        rerun=rerun,
    )


def made_trial(
    number: int, of: Pipeline, *outcomes: Scored | Failed | float, budget: float = 1.0, **changes: Any
) -> Records:
    """Return the records of a trial: its line, and an evaluation for the outcome of each fold."""
    folds = [made_evaluation(of, fold, o, budget=budget, **changes) for fold, o in enumerate(outcomes)]
    return [Trial.of(number, of), *folds]


def made_fit(
    featurizer: str,
    params: Mapping[str, Any],
    fold: FoldName = 0,
    *,
    intensity: Mapping[str, Any] | None = None,
    n_train: int = 90,
    key: str | None = None,
) -> NetworkFit:
    """Return the record of a network that was trained, under a key of its own."""
    intensity = {"bin": 1} if intensity is None else intensity
    key = digest([featurizer, dict(params), dict(intensity), fold]) if key is None else key
    return NetworkFit(
        key=key,
        featurizer=featurizer,
        featurizer_params=dict(params),
        intensity=dict(intensity),
        fold=fold,
        n_train=n_train,
        workers=1,
        device="cpu",
    )


def made_epoch(fit: NetworkFit, epoch: int, **changes: Any) -> Epoch:
    """Return the record of an epoch; loss and error halve with each."""
    values = {"loss": 2.0**-epoch, "accuracy": 1 - 0.5**epoch, "learning_rate": 0.1, "seconds": 2.0}
    return Epoch(fit=fit.key, epoch=epoch, **{**values, **changes})


def results_of(records: Iterable[Record]) -> Results:
    """Return what a journal of these records says."""
    return Results().add(records)


def write_journal(path: Path, records: Iterable[Record]) -> None:
    """Write a journal as a sweep does, or go on with one that is there."""
    journal = Journal(path)
    for record in records:
        journal.append(record)
    journal.close()
