"""A run folder as a sweep leaves it, made without Ray: frames, folds, evaluations and their predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from sweeper import plugins
from sweeper.data.dataset import load_dataset
from sweeper.data.frames import inspect_frames
from sweeper.data.prepared import prepared_frames
from sweeper.data.splits import rows_of_test
from sweeper.evaluate.folds import FoldResult, fit_and_score
from sweeper.features.representation import Descriptors, representation
from sweeper.pipeline import Pipeline
from sweeper.runs.data import sweep_splits
from sweeper.runs.folder import RunFolder
from sweeper.runs.predictions import to_parquet
from sweeper.runs.records import TEST, FoldName, Scored, Trial
from sweeper.runs.spec import make_spec
from sweeper.yamlfile import to_yaml
from tests.conftest import write_textures
from tests.runs.made_records import Records, made_evaluation, made_pipeline, write_journal

SPACE = {"featurizers": {"glcm": {}}, "classifiers": {"rf": {}}}
INTENSITY = {
    "bin": 1, "clip_high": 99.9, "clip_low": 0.1, "hot_pixels": "reject", "levels": 256, "negative": "masked",
    "scale": "log1p",
}  # fmt: skip
PIPELINES = tuple(
    made_pipeline(
        "glcm", name, intensity=INTENSITY, featurizer_params={"distance": (1, 2), "angle_deg": (0, 90)},
        classifier_params=params,
    )
    for name, params in (("rf", {"n_trees": 30}), ("svm", {"C": 8}), ("lightgbm", {"n_trees": 20}))
)  # fmt: skip


def write_run(
    path: Path, data: Path, pipelines: Sequence[Pipeline], seed: int = 3, hold_out: str | None = None
) -> Path:
    """Evaluate pipelines of descriptors as a sweep does, and write its run folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    spec = make_spec(data, SPACE, seed=seed, folds=3, hold_out=hold_out)
    dataset = load_dataset(data, hold_out=hold_out)
    reports = [inspect_frames(p, [i])[0] for p, i in zip(dataset.paths, dataset.index.tolist(), strict=True)]
    folder = RunFolder(path)
    folder.predictions.mkdir(parents=True)
    folder.spec.write_text(to_yaml(spec.resolved()))
    splits, _ = sweep_splits(spec, dataset)
    environment = {
        "dataset_digest": dataset.digest([r.digest for r in reports]), "folds": len(splits),
        "frames": len(dataset),
    }  # fmt: skip
    folder.environment.write_text(json.dumps(environment))
    rows = [{"path": r.path, "index": r.index, "digest": r.digest, "error": None} for r in reports]
    pq.write_table(pa.Table.from_pylist(rows), folder.frames)
    test = rows_of_test(dataset.split)
    folds: dict[FoldName, tuple[np.ndarray, np.ndarray]] = {
        i: (split.train, split.validation) for i, split in enumerate(splits)
    }
    if len(test):
        folds[TEST] = np.setdiff1d(np.arange(len(dataset)), test), test
    records: Records = []
    for number, pipeline in enumerate(pipelines):
        kind = representation(pipeline, len(dataset.classes))
        assert isinstance(kind, Descriptors)
        refs = [dataset.ref(row) for row in range(len(dataset))]
        x = kind.compute(prepared_frames(refs, pipeline.intensity))
        records.append(Trial.of(number, pipeline))
        for fold, (train, held) in folds.items():
            result = fit_and_score(
                pipeline, x, dataset.labels, train, held, n_classes=len(dataset.classes), budget=1.0,
                seed=seed, threads=1, classifier=plugins.classifier(pipeline.classifier),
                helping=dataset.helping,
            )  # fmt: skip
            record = made_evaluation(pipeline, fold, _scored(result), seed=seed)
            records.append(record)
            file = to_parquet(held, dataset.labels[held], result.scores, dataset.classes)
            (folder.predictions / f"{record.key}.parquet").write_bytes(file)
    write_journal(folder.journal, records)
    return path


def _scored(result: FoldResult) -> Scored:
    return Scored(
        result.metrics, result.confusion, result.n_train, result.n_validation, result.fit_s,
        result.predict_ms_per_frame,
    )  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A run, the manifest of its frames, and frames of the same kind that it has not seen."""

    run: Path
    manifest: Path
    new: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A finished run of three pipelines over 3 x 30 frames in groups of two, a third of them for testing."""
    root = tmp_path_factory.mktemp("sorter")
    write_textures(root / "frames", per_class=30)
    write_textures(root / "new", per_class=10, seed=1)
    manifest = root / "frames" / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split", "group"])
        for path in sorted((root / "frames").rglob("*.tif")):
            i, label = int(path.stem), path.parent.name
            writer.writerow([f"{label}/{path.name}", label, "test" if i >= 20 else "", f"{label}{i // 2}"])
    return Made(write_run(root / "run", manifest, PIPELINES), manifest, root / "new")
