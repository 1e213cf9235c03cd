"""Ensembles: what greedy selection finds, and that what is scored had no part in selecting."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.data.splits import make_splits
from sweeper.evaluate import ensembles
from sweeper.evaluate.calibration import QUALITIES
from sweeper.evaluate.ensembles import (
    Library,
    are_probabilities,
    as_probabilities,
    blend,
    greedy,
    select_ensemble,
)
from sweeper.evaluate.folds import fit_and_score
from sweeper.evaluate.metrics import METRICS, score
from sweeper.evaluate.statistics import interval
from sweeper.pipeline import FeaturizerChoice, Pipeline
from sweeper.runs.ensemble import results_with_ensemble, run_leaderboard
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import build_leaderboard, select
from sweeper.runs.predictions import to_parquet
from sweeper.runs.records import TEST, Evaluation, Trial
from sweeper.runs.tables import leaderboard_table
from tests.runs.made_records import Records, made_evaluation, made_pipeline, made_score, write_journal

CLASSES = 3


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def library(
    n_pipelines: int, n: int, signal: float, *, folds: int = 5, repeats: int = 1, seed: int = 0
) -> Library:
    """Pipelines of equal skill that err independently; 0 knows nothing."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=n)
    logits = rng.normal(size=(n_pipelines, repeats * n, CLASSES))
    frame = np.tile(np.arange(n), repeats)
    logits[:, np.arange(repeats * n), labels[frame]] += signal
    fold = np.concatenate([r * folds + rng.permutation(n) % folds for r in range(repeats)])
    return Library(softmax(logits).astype(np.float32), fold, frame, labels[frame])


def accuracy(scores: NDArray[Any], labels: NDArray[np.int64]) -> float:
    return float((scores.argmax(axis=1) == labels).mean())


# --------------------------------------------------------------------------- selection


def test_greedy_selection_finds_what_a_search_over_all_weights_finds() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(CLASSES, size=60)
    logits = rng.normal(size=(3, 60, CLASSES))
    logits[:, np.arange(60), labels] += 1.0
    p = softmax(logits)
    weights = greedy(p, labels, "accuracy")
    grid = [np.array(w) / 8 for w in itertools.product(range(9), repeat=3) if sum(w) == 8]
    best = max(accuracy(np.tensordot(w, p, axes=1), labels) for w in grid)
    assert accuracy(np.tensordot(weights, p, axes=1), labels) >= best - 1 / 60
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()


def test_independent_pipelines_are_better_together() -> None:
    found = select_ensemble(library(12, 600, 1.0))
    assert found is not None
    data = library(12, 600, 1.0)
    best = max(accuracy(s, data.labels) for s in data.scores)
    assert np.mean([m["accuracy"] for m in found.metrics]) > best + 0.05
    assert (found.weights > 0).sum() >= 5


def test_useless_pipelines_are_left_out() -> None:
    good, noise = library(1, 400, 6.0), library(9, 400, 0.0)
    noise = Library(np.concatenate([noise.scores, good.scores]), good.fold, good.frame, good.labels)
    found = select_ensemble(noise)
    assert found is not None
    assert found.weights[9] == found.weights.max() > 0.5


def test_an_ensemble_of_copies_is_that_pipeline() -> None:
    one = library(1, 200, 1.0)
    data = Library(np.repeat(one.scores, 4, axis=0), one.fold, one.frame, one.labels)
    found = select_ensemble(data)
    assert found is not None
    np.testing.assert_allclose(found.nested, one.scores[0], atol=1e-6)
    for fold, values in zip(found.folds, found.metrics, strict=True):
        rows = one.fold == fold
        assert values == score(one.labels[rows], one.scores[0][rows].astype(np.float64), CLASSES)


def test_the_same_predictions_give_the_same_ensemble_in_any_metric() -> None:
    data = library(8, 150, 0.8)
    for metric in METRICS:
        a, b = select_ensemble(data, metric), select_ensemble(data, metric)
        assert a is not None and b is not None
        np.testing.assert_array_equal(a.weights, b.weights)
        np.testing.assert_array_equal(a.nested, b.nested)


def test_one_pipeline_is_no_ensemble() -> None:
    assert select_ensemble(library(1, 100, 1.0)) is None


# --------------------------------------------------------------------------- no leakage


def test_pipelines_that_know_nothing_give_an_ensemble_at_chance() -> None:
    """Selected and scored on the same frames the same library looks far better than it is."""
    data = library(60, 300, 0.0)
    found = select_ensemble(data)
    assert found is not None
    fooled = accuracy(blend(data.scores, found.weights, found.sharpness), data.labels)
    assert fooled > 1 / CLASSES + 0.1
    assert accuracy(found.nested, data.labels) == pytest.approx(1 / CLASSES, abs=3 * (2 / 9 / 300) ** 0.5)


def test_a_single_split_without_knowledge_is_at_chance_too() -> None:
    data = library(60, 300, 0.0, folds=1)
    found = select_ensemble(data)
    assert found is not None and len(found.metrics) == 1
    assert found.metrics[0]["accuracy"] == pytest.approx(1 / CLASSES, abs=3 * (2 / 9 / 300) ** 0.5)


@pytest.mark.parametrize(("folds", "repeats"), [(5, 1), (3, 2), (1, 1)])
def test_labels_of_a_fold_do_not_change_what_is_said_of_it(folds: int, repeats: int) -> None:
    """With repeats a fold's frames are in other folds as well, and select nothing there either."""
    data = library(10, 120, 0.7, folds=folds, repeats=repeats)
    before = select_ensemble(data)
    scored = data.fold == 0 if folds > 1 else np.flatnonzero(ensembles._parts(data, 0) == 0)
    lied = data.labels.copy()
    lied[np.isin(data.frame, data.frame[scored])] = 0
    if folds == 1:  # the parts are stratified: other labels, other parts
        lied = data.labels.copy()
        lied[scored] = np.random.default_rng(0).permutation(lied[scored])
    after = select_ensemble(Library(data.scores, data.fold, data.frame, lied))
    assert before is not None and after is not None
    if folds > 1:
        np.testing.assert_array_equal(before.nested[scored], after.nested[scored])
        assert not np.array_equal(before.nested, after.nested)


def test_frames_of_one_group_do_not_select_for_each_other_in_a_single_split() -> None:
    data = library(4, 90, 0.5, folds=1)
    groups = np.arange(90) // 6
    parts = ensembles._parts(Library(data.scores, data.fold, data.frame, data.labels, groups), 0)
    assert parts is not None
    for group in range(15):
        assert len(set(parts[groups == group].tolist())) == 1
    lonely = Library(data.scores, data.fold, data.frame, data.labels, data.labels)  # a group a class
    assert select_ensemble(lonely) is None


def test_permuted_labels_give_an_ensemble_at_chance() -> None:
    """From fits to the leaderboard's interval: features that tell nothing of the labels."""
    rng = np.random.default_rng(5)
    n = 240
    x, y = rng.normal(size=(n, 6)), rng.permutation(np.arange(n) % CLASSES).astype(np.int64)
    splits = make_splits(y, ["a", "b", "c"], folds=4)
    pipelines = [
        Pipeline({}, (FeaturizerChoice("glcm", {}),), reducer, params, name, choice)
        for reducer, params in (("standard", {}), ("pca", {"components": 2}))
        for name, choice in (
            ("svm", {"C": 1.0}), ("svm", {"C": 64.0}), ("rf", {"n_trees": 10}), ("et", {"n_trees": 10}),
            ("svm", {"C": 8.0, "gamma": 1.0}),
        )
    ]  # fmt: skip
    scores = np.zeros((len(pipelines), n, CLASSES), dtype=np.float32)
    fold = np.zeros(n, dtype=np.int64)
    for number, split in enumerate(splits):
        fold[split.validation] = number
        for p, pipeline in enumerate(pipelines):
            result = fit_and_score(
                pipeline, x, y, split.train, split.validation, n_classes=CLASSES, budget=1.0, seed=0,
                threads=1, classifier=plugins.classifier(pipeline.classifier),
            )  # fmt: skip
            scores[p, split.validation] = result.scores
    assert not are_probabilities(scores[0]) and are_probabilities(scores[2])
    found = select_ensemble(Library(scores, fold, np.arange(n), y))
    assert found is not None
    values = np.array([m["accuracy"] for m in found.metrics], dtype=np.float64)
    low, high = interval(values, 0.75 * n, 0.25 * n)
    assert low < 1 / CLASSES < high
    assert values.mean() == pytest.approx(1 / CLASSES, abs=3 * (2 / 9 / n) ** 0.5)


# --------------------------------------------------------------------------- one scale


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_scores_of_any_scale_become_calibrated_probabilities(scale: float) -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(4000, CLASSES)) * 1.5
    p = softmax(logits)
    labels = (p.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    scores = (scale * logits).astype(np.float32)
    sharpness = ensembles.sharpness_of(scores, labels)
    assert sharpness * scale == pytest.approx(1.0, rel=0.15)
    found = as_probabilities(scores, sharpness)
    np.testing.assert_allclose(found, p, atol=0.06)
    np.testing.assert_array_equal(found.argmax(axis=1), scores.argmax(axis=1))


def test_probabilities_stay_as_they_are() -> None:
    p = softmax(np.random.default_rng(3).normal(size=(50, 4))).astype(np.float32)
    assert are_probabilities(p)
    np.testing.assert_array_equal(as_probabilities(p, ensembles.sharpness_of(p, np.zeros(50, dtype=int))), p)


# --------------------------------------------------------------------------- a row of the leaderboard


def write_run(folder: Path, data: Library, *, test: bool = False, metric: str = "accuracy") -> RunFolder:
    """A run folder with a journal and predictions, as a sweep leaves them."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.predictions.mkdir()
    run.spec.write_text(f"data: nowhere\nspace: quick\nmetric: {metric}\n")
    folds = [*np.unique(data.fold).tolist(), *([TEST] if test else [])]
    run.environment.write_text(json.dumps({"folds": len(folds) - test}))
    records: Records = []
    for p in range(len(data.scores)):
        pipeline = made_pipeline(classifier_params={"n_trees": p + 1})
        records.append(Trial.of(2 * p, pipeline))
        for fold in folds:
            rows = data.fold == (0 if fold == TEST else fold)
            scores, labels = data.scores[p][rows].astype(np.float64), data.labels[rows]
            values = score(labels, scores, CLASSES)
            outcome = made_score(
                metrics=values, n_train=400, n_validation=100, fit_s=2.0, predict_ms_per_frame=0.5
            )
            records.append(
                made_evaluation(pipeline, fold, outcome, key=f"{p:03}-{fold}", featurize_ms_per_frame=3.0)
            )
            (run.predictions / f"{p:03}-{fold}.parquet").write_bytes(
                to_parquet(data.frame[rows], labels, scores, ("a", "b", "c"))
            )
    write_journal(run.journal, records)
    return run


def ensemble_of(run: RunFolder) -> list[Evaluation]:
    results = results_with_ensemble(run, "accuracy", 5)
    return list(results.evaluations(-1)) if -1 in results.trials else []


def test_the_ensemble_is_a_row_with_its_members(tmp_path: Path) -> None:
    data = library(12, 500, 1.0)
    run = write_run(tmp_path / "run", data)
    board = run_leaderboard(run, metric="accuracy", folds=5)
    assert len(board) == 13
    row = board.iloc[0]
    assert (row.featurizer, row.classifier, row.status, row.trial) == ("ensemble", "ensemble", "done", -1)
    members = json.loads(row.classifier_params)["members"]
    assert sum(m["weight"] for m in members) == pytest.approx(1, abs=1e-3)
    assert {m["trial"] for m in members} <= set(range(0, 24, 2))
    found = select_ensemble(data)
    assert found is not None
    values = np.array([m["accuracy"] for m in found.metrics], dtype=np.float64)
    assert row.accuracy == pytest.approx(values.mean())
    low, high = interval(values, 400, 100)
    assert (row.accuracy_ci_low, row.accuracy_ci_high) == pytest.approx((low, high))
    assert np.isnan(row.p_vs_best) and (board.p_vs_best[1:] < 0.2).any()
    assert row.featurize_ms_per_frame == pytest.approx(3.0)  # they share one representation
    assert row.fit_s == pytest.approx(2.0 * len(members))
    text = leaderboard_table(board)
    assert "ensemble" in text and f"trials {members[0]['trial']} (" in text
    assert select(board, best_per="featurizer").featurizer.tolist() == ["ensemble", "glcm"]


def test_other_rows_are_as_they_were(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", library(6, 300, 0.5))
    alone = build_leaderboard(run.results(), folds=5)
    board = run_leaderboard(run, metric="accuracy", folds=5)
    left = board[board.featurizer != "ensemble"].reset_index(drop=True)
    moved = ["rank", "p_vs_best", *QUALITIES]
    pd.testing.assert_frame_equal(left.drop(columns=moved), alone.drop(columns=moved))


def test_an_equal_pipeline_stands_before_the_ensemble(tmp_path: Path) -> None:
    one = library(1, 200, 1.0)
    run = write_run(
        tmp_path / "run", Library(np.repeat(one.scores, 2, axis=0), one.fold, one.frame, one.labels)
    )
    board = run_leaderboard(run, metric="accuracy", folds=5)
    assert board.featurizer.tolist() == ["glcm", "glcm", "ensemble"]


def test_the_test_split_is_scored_where_every_member_was(tmp_path: Path) -> None:
    data = library(8, 200, 1.0)
    run = write_run(tmp_path / "run", data, test=True)
    row = run_leaderboard(run, metric="accuracy", folds=5).iloc[0]
    found = select_ensemble(data)
    assert found is not None
    rows = data.fold == 0  # what stands for the test split here
    expected = accuracy(blend(data.scores[:, rows], found.weights, found.sharpness), data.labels[rows])
    assert row.test_accuracy == pytest.approx(expected)


def test_the_probabilities_of_the_ten_best_and_of_the_ensemble_are_judged(tmp_path: Path) -> None:
    data = library(14, 500, 1.0)
    run = write_run(tmp_path / "run", data)
    results = results_with_ensemble(run, "accuracy", 5)
    board = build_leaderboard(results, metric="accuracy", folds=5)
    single = board[board.trial >= 0]
    judged = [*single.trial.head(10), -1]
    assert set(results.probabilities) == set(judged)
    assert board[board.trial.isin(judged)][["log_loss", "brier", "ece"]].notna().all().all()
    assert board[~board.trial.isin(judged)][["log_loss", "brier", "ece"]].isna().all().all()
    trial = int(single.trial.iloc[0])
    found = results.probabilities[trial]
    p = data.scores[trial // 2].astype(np.float64)
    assert found.before.log_loss == pytest.approx(-np.log(p[np.arange(len(p)), data.labels]).mean(), rel=1e-5)
    assert found.before.brier == pytest.approx(
        ((p - np.eye(3)[data.labels]) ** 2).sum(axis=1).mean(), rel=1e-5
    )
    assert found.after.log_loss <= found.before.log_loss + 0.01


def test_it_is_kept_until_the_predictions_change(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", library(6, 200, 0.5))
    first = ensemble_of(run)
    assert first
    written = run.ensemble.stat().st_mtime_ns
    assert ensemble_of(run) == first
    assert run.ensemble.stat().st_mtime_ns == written
    (run.predictions / "000-0.parquet").unlink()
    second = ensemble_of(run)
    assert second and second != first
    for file in run.predictions.iterdir():  # as from a URL
        file.unlink()
    assert ensemble_of(run) == second
    run.ensemble.unlink()
    assert ensemble_of(run) == []


@pytest.mark.parametrize("damage", ["other frames", "not parquet"])
def test_predictions_that_cannot_be_used_give_no_row(tmp_path: Path, damage: str) -> None:
    run = write_run(tmp_path / "run", library(3, 100, 0.5))
    data = b"x" if damage == "not parquet" else None
    if data is None:
        data = to_parquet(np.array([5]), np.array([1]), np.eye(3)[:1], ("a", "b", "c"))
    (run.predictions / "001-2.parquet").write_bytes(data)
    assert len(run_leaderboard(run, metric="accuracy", folds=5)) == 3
