"""Run folders made by hand for the tests of reports: a journal, predictions and frames without a sweep."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sweeper.evaluate import metrics
from sweeper.pipeline import Pipeline
from sweeper.runs.folder import RunFolder
from sweeper.runs.predictions import to_parquet
from sweeper.runs.records import TEST, Evaluation, FoldName, Scored, Trial
from tests.runs.made_records import (
    Records,
    made_epoch,
    made_evaluation,
    made_failure,
    made_fit,
    made_pipeline,
    write_journal,
)

CLASSES = ("blank", "good", "no-crystal", "strong", "weak")


def pipeline(featurizer: str, classifier: str, **params: Any) -> Pipeline:
    """A pipeline; `params` of the classifier begin ``clf_``, the others are the featurizer's."""
    return made_pipeline(
        featurizer,
        classifier,
        featurizer_params={k: v for k, v in params.items() if not k.startswith("clf_")},
        classifier_params={k[4:]: v for k, v in params.items() if k.startswith("clf_")},
    )


class MadeRun:
    """A run folder under construction.

    Parameters
    ----------
    path : Path
    space : str
        Name of its search space.
    labels : int64, (n,)
        Class of each frame.
    classes : sequence of str
    folds : int
        As many frames of each class in each.
    **spec
        Further settings of ``sweep.yaml``.
    """

    def __init__(
        self,
        path: Path,
        space: str,
        labels: NDArray[np.int64],
        classes: Sequence[str] = CLASSES,
        folds: int = 5,
        **spec: Any,
    ) -> None:
        self.folder, self.labels, self.classes, self.folds = RunFolder(path), labels, list(classes), folds
        self.records: Records = []
        self._trials = 0
        path.mkdir(parents=True)
        written = {"name": space, "featurizers": {"glcm": {}}, "classifiers": {"rf": {}}}
        data = str(path.parent / "frames")
        self.folder.spec.write_text(
            yaml.safe_dump({"data": data, "space": written, "search": "bohb", "folds": max(2, folds), **spec})
        )
        counts = np.bincount(labels, minlength=len(classes))
        environment = {
            "sweeper": "0.1.0", "python": "3.11", "cpus": 2, "memory_gib": 8.0, "frames": len(labels),
            "classes": self.classes, "folds": folds, "dataset_digest": "0123456789abcdef",
            "class_counts": dict(zip(self.classes, map(int, counts), strict=True)),
            "packages": {"ray": "2.60.0"},
        }  # fmt: skip
        self.folder.environment.write_text(json.dumps(environment))

    def rows(self, fold: int) -> NDArray[np.int64]:
        """Frames that a fold holds out."""
        return np.flatnonzero(np.arange(len(self.labels)) // len(self.classes) % self.folds == fold)

    def trial(
        self,
        of: Pipeline,
        wrong: float,
        *,
        budget: float = 1.0,
        keep: bool = False,
        test: bool = False,
        seed: int = 0,
        change: Callable[[NDArray[np.float64]], None] | None = None,
    ) -> int:
        """Add a pipeline that gets a share of the frames wrong; `change` edits its scores (n, n_classes)."""
        number = self._add_trial(of)
        rng = np.random.default_rng([number, seed])
        n, k = len(self.labels), len(self.classes)
        scores = np.full((n, k), 0.3 / (k - 1))
        shown = np.where(rng.uniform(size=n) < wrong, (self.labels + 1) % k, self.labels)
        scores[np.arange(n), shown] = 0.7
        if change is not None:
            change(scores)
        for fold in range(self.folds):
            rows = self.rows(fold)
            evaluation = self._evaluate(of, budget, fold, self.labels[rows], scores[rows])
            if keep:
                data = to_parquet(rows, self.labels[rows], scores[rows], tuple(self.classes))
                self.folder.predictions.mkdir(exist_ok=True)
                (self.folder.predictions / f"{evaluation.key}.parquet").write_bytes(data)
        if test:
            self._evaluate(of, budget, TEST, self.labels, scores)
        return number

    def _add_trial(self, of: Pipeline) -> int:
        number, self._trials = self._trials, self._trials + 1
        self.records.append(Trial.of(number, of))
        return number

    def _evaluate(
        self, of: Pipeline, budget: float, fold: FoldName, y: NDArray[np.int64], scores: NDArray[np.float64]
    ) -> Evaluation:
        k = len(self.classes)
        outcome = Scored(
            metrics=metrics.score(y, scores, k),
            confusion=metrics.confusion(y, scores.argmax(axis=1), k),
            n_train=len(self.labels) - len(y) or len(y),
            n_validation=len(y),
            fit_s=0.5,
            predict_ms_per_frame=0.1,
        )
        record = made_evaluation(of, fold, outcome, budget=budget)
        self.records.append(record)
        return record

    def fail(self, of: Pipeline, error: str) -> None:
        """Add a pipeline that failed."""
        self._add_trial(of)
        self.records.append(made_evaluation(of, 0, made_failure(error)))

    def network(
        self, featurizer: str, params: dict[str, Any], epochs: int, *, held_out: bool = False
    ) -> None:
        """Add fits of a network on every fold with their epochs."""
        for fold in range(self.folds):
            fit = made_fit(featurizer, params, fold, n_train=80)
            self.records.append(fit)
            for epoch in range(1, epochs + 1):
                figures = {"loss": 2.0 / epoch, "accuracy": 1 - 0.5 / epoch}
                if held_out:
                    figures["held_out_loss"] = 3.0 / epoch
                    figures["held_out_accuracy"] = 0.9 - 0.5 / epoch - 0.01 * fold
                self.records.append(made_epoch(fit, epoch, **figures))

    def frames(self, names: Sequence[str], size: int = 24) -> list[Path]:
        """Write frames as TIFF, and the list of them."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        import tifffile

        root = self.folder.path.parent / "frames"
        rng = np.random.default_rng(0)
        paths = [root / name for name in names]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, rng.poisson(20, (size, size)).astype(np.uint16))
        rows = [{"path": str(p), "index": 0, "digest": "0", "error": None} for p in sorted(paths)]
        pq.write_table(pa.Table.from_pylist(rows), self.folder.frames)
        return sorted(paths)

    def write(self) -> Path:
        """Write the journal; gives the run folder."""
        write_journal(self.folder.journal, self.records)
        return self.folder.path


def diffranet_run(path: Path, **spec: Any) -> MadeRun:
    """A run over DiffraNet's space: GLCM better than LBP, LBP far better than SIFT; the best are tested."""
    labels = np.arange(200, dtype=np.int64) % 5
    made = MadeRun(path, "diffranet", labels, **spec)
    for classifier, worse in (("rf", 0.0), ("svm", 0.02)):
        made.trial(
            pipeline("glcm", classifier, distance=[1, 2], angle_deg=[0]), 0.02 + worse, keep=True, test=True
        )
        made.trial(pipeline("glcm", classifier, distance=[8], angle_deg=[90]), 0.08 + worse)
        made.trial(pipeline("lbp", classifier, points=8, radius=2), 0.15 + worse, keep=True, test=True)
        made.trial(pipeline("sift", classifier, clusters=25), 0.5)
    made.trial(pipeline("lbp", "rf", points=16, radius=1), 0.1, budget=1 / 3)
    made.fail(pipeline("sift", "svm", clusters=5000), "time limit of 600 s reached")
    return made
