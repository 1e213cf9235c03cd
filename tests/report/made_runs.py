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
from sweeper.pipeline import digest
from sweeper.runs.folder import RunFolder
from sweeper.runs.predictions import to_parquet

Records = list[dict[str, Any]]
CLASSES = ("blank", "good", "no-crystal", "strong", "weak")


def pipeline(featurizer: str, classifier: str, **params: Any) -> dict[str, Any]:
    """A pipeline; `params` of the classifier begin ``clf_``, the others are the featurizer's."""
    own = {k: v for k, v in params.items() if not k.startswith("clf_")}
    return {
        "intensity": {"bin": 1},
        "featurizer": featurizer,
        "featurizer_params": own,
        "reducer": "standard",
        "reducer_params": {},
        "classifier": classifier,
        "classifier_params": {k[4:]: v for k, v in params.items() if k.startswith("clf_")},
    }


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
        of: dict[str, Any],
        wrong: float,
        *,
        budget: float = 1.0,
        keep: bool = False,
        test: bool = False,
        seed: int = 0,
        change: Callable[[NDArray[np.float64]], None] | None = None,
    ) -> int:
        """Add a pipeline that gets a share of the frames wrong; `change` edits its scores (n, n_classes)."""
        number, self._trials = self._trials, self._trials + 1
        self.records.append({"kind": "trial", "trial": number, "pipeline": of})
        rng = np.random.default_rng([number, seed])
        n, k = len(self.labels), len(self.classes)
        scores = np.full((n, k), 0.3 / (k - 1))
        shown = np.where(rng.uniform(size=n) < wrong, (self.labels + 1) % k, self.labels)
        scores[np.arange(n), shown] = 0.7
        if change is not None:
            change(scores)
        for fold in range(self.folds):
            rows = self.rows(fold)
            self._evaluation(of, budget, fold, self.labels[rows], scores[rows])
            if keep:
                key = self.records[-1]["key"]
                data = to_parquet(rows, self.labels[rows], scores[rows], tuple(self.classes))
                self.folder.predictions.mkdir(exist_ok=True)
                (self.folder.predictions / f"{key}.parquet").write_bytes(data)
        if test:
            self._evaluation(of, budget, "test", self.labels, scores)
        return number

    def _evaluation(
        self,
        of: dict[str, Any],
        budget: float,
        fold: int | str,
        y: NDArray[np.int64],
        scores: NDArray[np.float64],
    ) -> None:
        k = len(self.classes)
        self.records.append(
            {
                "kind": "evaluation", "key": digest([of, budget, fold]), "pipeline": of, "budget": budget,
                "fold": fold, "status": "done", "error": None, "metrics": metrics.score(y, scores, k),
                "confusion": metrics.confusion(y, scores.argmax(axis=1), k),
                "n_train": len(self.labels) - len(y) or len(y), "n_validation": len(y), "fit_s": 0.5,
                "predict_ms_per_frame": 0.1, "featurize_ms_per_frame": 2.0, "warnings": [],
            }
        )  # fmt: skip

    def fail(self, of: dict[str, Any], error: str) -> None:
        """Add a pipeline that failed."""
        number, self._trials = self._trials, self._trials + 1
        self.records.append({"kind": "trial", "trial": number, "pipeline": of})
        self.records.append(
            {
                "kind": "evaluation", "key": digest([of, 1.0, 0]), "pipeline": of, "budget": 1.0, "fold": 0,
                "status": "failed", "error": error, "metrics": None, "confusion": None, "n_train": 0,
                "n_validation": 0, "fit_s": 0.0, "predict_ms_per_frame": 0.0, "featurize_ms_per_frame": 2.0,
                "warnings": [],
            }
        )  # fmt: skip

    def network(
        self, featurizer: str, params: dict[str, Any], epochs: int, *, held_out: bool = False
    ) -> None:
        """Add fits of a network on every fold with their epochs."""
        for fold in range(self.folds):
            key = digest([featurizer, params, fold])
            about = {"featurizer": featurizer, "featurizer_params": params, "intensity": {"bin": 1}}
            self.records.append(
                {
                    "kind": "fit",
                    "key": key,
                    **about,
                    "fold": fold,
                    "n_train": 80,
                    "workers": 1,
                    "device": "cpu",
                }
            )
            for epoch in range(1, epochs + 1):
                told: dict[str, Any] = {
                    "loss": 2.0 / epoch, "accuracy": 1 - 0.5 / epoch, "learning_rate": 0.1, "seconds": 2.0,
                }  # fmt: skip
                if held_out:
                    told |= {
                        "held_out_loss": 3.0 / epoch,
                        "held_out_accuracy": 0.9 - 0.5 / epoch - 0.01 * fold,
                    }
                self.records.append(
                    {"kind": "epoch", "key": f"{key}-{epoch}", "fit": key, "epoch": epoch, **told}
                )

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
        self.folder.journal.write_text("".join(json.dumps(record) + "\n" for record in self.records))
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
