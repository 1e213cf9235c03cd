"""Predictions of the best pipelines: the file, and which of them stay."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from sweeper.evaluate.metrics import WORST_DOMAIN
from sweeper.runs.predictions import PredictionFiles, read_predictions, to_parquet
from sweeper.runs.records import Evaluation, Failed, FoldName, Scored
from tests.conftest import full_disk
from tests.runs.made_records import made_evaluation, made_failure, made_pipeline, made_score

FOLDS = 2
CLASSES = ("a [1]", "ü", "c")


def record(name: str, fold: FoldName, outcome: Scored | Failed | float = 0.5) -> Evaluation:
    return made_evaluation(made_pipeline(classifier=name), fold, outcome, key=f"{name}-{fold}")


def folder(path: Path, kept: int = 2) -> PredictionFiles:
    return PredictionFiles(path, "accuracy", FOLDS, kept)


def test_a_file_holds_what_was_predicted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, labels, scores = np.array([7, 3, 9]), np.array([0, 2, 1]), rng.normal(size=(3, 3))
    path = tmp_path / "a.parquet"
    path.write_bytes(to_parquet(rows, labels, scores, CLASSES))
    read = read_predictions(path)
    assert read.classes == CLASSES
    np.testing.assert_array_equal(read.frames, rows)
    np.testing.assert_array_equal(read.labels, labels)
    np.testing.assert_array_equal(read.predicted, scores.argmax(axis=1))
    np.testing.assert_array_equal(read.scores, scores.astype(np.float32))


def test_scores_that_differ_in_float64_alone_keep_their_class(tmp_path: Path) -> None:
    scores = np.array([[0.5, 0.5 + 1e-12, 0.0]])
    path = tmp_path / "a.parquet"
    path.write_bytes(to_parquet(np.array([0]), np.array([1]), scores, CLASSES))
    assert read_predictions(path).predicted.tolist() == [1]


def test_the_best_stay_in_whatever_order_they_come(tmp_path: Path) -> None:
    values = {"best": 0.9, "second": 0.8, "also second": 0.8, "undefined": made_score(None)}
    left = set()
    for i, order in enumerate(permutations(values)):
        files = folder(tmp_path / str(i))
        for name in order:
            for fold in range(FOLDS):
                files.add(record(name, fold, values[name]), b"x")
        left.add(tuple(files.found()))
    assert len(left) == 1
    kept = left.pop()
    assert len(kept) == 2 * FOLDS
    assert {"best-0", "best-1"} < set(kept)
    assert not any(key.startswith("undefined") for key in kept)


def test_the_best_by_the_worst_domain_stay(tmp_path: Path) -> None:
    """Of all folds the least counts, as on the leaderboard, and not the mean."""
    files = PredictionFiles(tmp_path, WORST_DOMAIN, folds=3, kept=1)
    for name, values in (("uneven", (0.9, 0.9, 0.1)), ("even", (0.45, 0.45, 0.45))):
        for fold, value in enumerate(values):
            files.add(record(name, fold, structs.replace(made_score(), metrics={WORST_DOMAIN: value})), b"x")
    assert {"even-0", "even-1", "even-2"} <= set(files.found())


def test_incomplete_ones_and_those_of_the_test_split_stay(tmp_path: Path) -> None:
    files = folder(tmp_path / "p", kept=1)
    files.add(record("good", 0, 0.9), b"x")
    files.add(record("good", 1, 0.9), b"x")
    files.add(record("half", 0, 0.1), b"x")
    files.add(record("bad", 0, 0.2), b"x")
    files.add(record("bad", "test", 0.2), b"x")
    assert files.found() == ["bad-0", "bad-test", "good-0", "good-1", "half-0"]
    files.add(record("bad", 1, 0.2), b"x")
    assert files.found() == ["bad-test", "good-0", "good-1", "half-0"]


def test_a_failure_removes_what_its_other_folds_predicted(tmp_path: Path) -> None:
    files = folder(tmp_path / "p")
    files.add(record("one", 0), b"x")
    files.add(record("one", 1, made_failure()), None)
    assert files.found() == []


def test_a_folder_is_taken_over(tmp_path: Path) -> None:
    """Files without a record are those of a process killed between the two; they are computed again."""
    records = {r.key: r for name in "ab" for r in (record(name, 0, 0.5), record(name, 1, 0.5))}
    before = folder(tmp_path / "p")
    for r in records.values():
        before.add(r, b"x")
    (tmp_path / "p" / "lost.parquet").write_bytes(b"x")
    after = folder(tmp_path / "p")
    after.resume({key: records.get(key) for key in after.found()})
    assert after.found() == sorted(records)
    after.add(record("c", 0, 0.9), b"x")
    after.add(record("c", 1, 0.9), b"x")
    assert len(after.found()) == 2 * FOLDS
    assert {"c-0", "c-1"} < set(after.found())


def test_a_full_disk_is_named_and_nothing_is_left_of_the_file(tmp_path: Path) -> None:
    files = folder(tmp_path / "p")
    files.add(record("one", 0), b"x" * 100)
    with full_disk(1000), pytest.raises(OSError, match="File too large") as failed:
        files.add(record("one", 1), b"x" * 2000)
    assert str(files.path("one-1")) in str(failed.value)
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["one-0.parquet"]
    files.add(record("one", 1), b"x" * 2000)
    assert files.found() == ["one-0", "one-1"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=str(tmp_path / "p")):
        folder(tmp_path / "p").add(record("one", 0), b"x")
