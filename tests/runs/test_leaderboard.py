"""The leaderboard from records: ranks, statuses, intervals and what is left empty."""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.evaluate.metrics import METRICS
from sweeper.evaluate.statistics import interval, p_value
from sweeper.pipeline import Pipeline
from sweeper.runs import leaderboard
from sweeper.runs.leaderboard import COLUMNS, build_leaderboard, select, write_csv

Record = dict[str, Any]


def pipeline(name: str, classifier: str = "rf", **options: Any) -> Record:
    return Pipeline(
        options.get("intensity", {"scale": "log1p"}),
        options.get("featurizer", "glcm"),
        {"distance": (1, 2), "name": name},
        options.get("reducer", "standard"),
        options.get("reducer_params", {}),
        classifier,
        {"n_trees": 10, "class_weight": (0.25, 0.75)},
    ).to_dict()


def trial(number: int, which: Record) -> Record:
    return {"kind": "trial", "trial": number, "pipeline": which}


def evaluation(
    which: Record, fold: int | str, accuracy: float | None, budget: float = 1.0, **other: Any
) -> Record:
    """A finished fold, or a failed one where accuracy is None."""
    failed = accuracy is None
    metrics = None if accuracy is None else {m: accuracy - i / 100 for i, m in enumerate(METRICS)}
    return {
        "kind": "evaluation",
        "key": "k",
        "pipeline": which,
        "budget": budget,
        "fold": fold,
        "status": "failed" if failed else "done",
        "error": "ValueError: no" if failed else None,
        "metrics": metrics,
        "confusion": None if failed else [[1]],
        "n_train": 80,
        "n_validation": 20,
        "fit_s": 0.5,
        "predict_ms_per_frame": 0.25,
        "featurize_ms_per_frame": 2.0,
        **other,
    }


def finished(
    number: int, which: Record, *accuracies: float, budget: float = 1.0, **other: Any
) -> list[Record]:
    folds = [evaluation(which, fold, a, budget, **other) for fold, a in enumerate(accuracies)]
    return [trial(number, which), *folds]


A, B, C, D = (pipeline(name) for name in "abcd")


def by_trial(board: pd.DataFrame, number: int) -> Any:
    (row,) = board[board.trial == number].to_dict("records")
    return row


# --------------------------------------------------------------------------- columns and values


def test_columns_are_those_of_the_design_and_values_those_of_the_folds() -> None:
    scores = [0.8, 0.9, 0.85]
    which = pipeline("a", "svm", reducer="pca", reducer_params={"components": 5})
    board = build_leaderboard(finished(4, which, *scores))
    assert tuple(board.columns) == COLUMNS
    assert COLUMNS[:12] == (
        "rank", "trial", "featurizer", "featurizer_params", "training_set", "reducer", "classifier",
        "classifier_params", "budget", "folds", "accuracy", "accuracy_std",
    )  # fmt: skip
    assert COLUMNS[12:18] == (
        "accuracy_ci_low", "accuracy_ci_high", "recall_macro", "recall_macro_std", "precision_weighted",
        "precision_weighted_std",
    )  # fmt: skip
    assert COLUMNS[-9:] == (
        "auc_ovr", "auc_ovr_std", "p_vs_best", "test_accuracy", "featurize_ms_per_frame", "fit_s",
        "predict_ms_per_frame", "status", "error",
    )  # fmt: skip
    row = by_trial(board, 4)
    assert (row["rank"], row["folds"], row["budget"], row["status"], row["error"]) == (1, 3, 1.0, "done", "")
    assert (row["featurizer"], row["reducer"], row["classifier"]) == ("glcm", "pca[components=5]", "svm")
    assert row["featurizer_params"] == '{"distance":[1,2],"name":"a"}'
    assert json.loads(row["classifier_params"]) == {"class_weight": [0.25, 0.75], "n_trees": 10}
    assert row["training_set"] == ""
    assert row["accuracy"] == pytest.approx(0.85)
    assert row["accuracy_std"] == pytest.approx(np.std(scores, ddof=1))
    assert row["auc_ovr"] == pytest.approx(0.79)
    low, high = interval(np.array(scores), 80, 20)
    assert (row["accuracy_ci_low"], row["accuracy_ci_high"]) == pytest.approx((low, min(1.0, high)))
    assert (row["fit_s"], row["featurize_ms_per_frame"], row["predict_ms_per_frame"]) == (0.5, 2.0, 0.25)
    assert np.isnan(row["p_vs_best"]) and np.isnan(row["test_accuracy"])


def test_p_vs_best_is_of_the_metric_over_the_same_folds() -> None:
    a, b = [0.9, 0.95, 0.92], [0.8, 0.94, 0.85]
    board = build_leaderboard(finished(0, A, *a) + finished(1, B, *b) + finished(2, C, *a), metric="kappa")
    assert board.trial.tolist() == [0, 2, 1]
    assert np.isnan(board.p_vs_best[0])
    assert board.p_vs_best[1] == 1.0
    assert board.p_vs_best[2] == pytest.approx(p_value(np.array(a), np.array(b), 80, 20))


def test_one_split_has_an_interval_but_no_spread_and_no_test() -> None:
    board = build_leaderboard(finished(0, A, 0.9) + finished(1, B, 0.8))
    assert board.accuracy_std.isna().all() and board.p_vs_best.isna().all()
    assert (board.accuracy_ci_low < board.accuracy).all() and (board.accuracy < board.accuracy_ci_high).all()


def test_a_metric_without_meaning_in_some_folds() -> None:
    records = finished(0, A, 0.9, 0.8) + finished(1, B, 0.7, 0.7)
    records[1]["metrics"]["auc_ovr"] = None
    for record in records[4:]:
        record["metrics"]["auc_ovr"] = None
    board = build_leaderboard(records, metric="auc_ovr")
    assert board.auc_ovr[0] == pytest.approx(0.74)
    assert np.isnan(board.auc_ovr_std[0])
    assert np.isnan(board.auc_ovr[1]) and board.accuracy[1] == pytest.approx(0.7)
    assert board.p_vs_best.isna().all()


def test_intensity_is_told_where_it_differs() -> None:
    same = build_leaderboard(finished(0, A, 0.9) + finished(1, B, 0.8))
    assert "intensity" not in same.featurizer_params[0]
    other = pipeline("b", intensity={"scale": "linear", "levels": 8})
    board = build_leaderboard(finished(0, A, 0.9) + finished(1, other, 0.8))
    assert json.loads(board.featurizer_params[0])["intensity"] == {"levels": None, "scale": "log1p"}
    assert json.loads(board.featurizer_params[1])["intensity"] == {"levels": 8, "scale": "linear"}


# --------------------------------------------------------------------------- rank and status


def test_done_then_stopped_then_failed() -> None:
    records = [
        *finished(0, A, 0.5, 0.6),
        *finished(1, B, 0.99, 0.99, budget=1 / 9),
        *finished(2, C, 0.9, 0.95, budget=1 / 3),
        *[trial(3, D), evaluation(D, 0, 0.99), evaluation(D, 1, None)],
        *finished(4, pipeline("e"), 0.5, 0.6),
        *finished(5, pipeline("f"), 0.7, 0.6),
    ]
    board = build_leaderboard(records)
    assert board.trial.tolist() == [5, 0, 4, 2, 1, 3]
    assert board["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert board.status.tolist() == ["done"] * 3 + ["stopped"] * 2 + ["failed"]
    assert board.p_vs_best.notna().tolist() == [False, True, True, False, False, False]
    assert board.error.tolist() == [""] * 5 + ["ValueError: no"]
    assert board.budget.tolist() == pytest.approx([1, 1, 1, 1 / 3, 1 / 9, 1])
    assert board.folds.tolist() == [2] * 5 + [0]
    scores = [*METRICS, "accuracy_ci_low", "fit_s"]
    assert board[scores].iloc[:5].notna().all(axis=None) and board[scores].iloc[5].isna().all()


def test_the_largest_budget_with_all_folds_counts() -> None:
    records = [
        trial(0, A),
        *[evaluation(A, f, 0.6, 1 / 9) for f in range(3)],
        *[evaluation(A, f, 0.7, 1 / 3) for f in range(3)],
        *[evaluation(A, f, 0.8, 1.0) for f in range(2)],
    ]
    board = build_leaderboard(records)
    assert len(board) == 1
    assert (board.status[0], board.budget[0], board.accuracy[0]) == ("stopped", 1 / 3, pytest.approx(0.7))
    board = build_leaderboard([*records, evaluation(A, 2, 0.8)])
    assert len(board) == 1
    assert (board.status[0], board.budget[0], board.accuracy[0]) == ("done", 1.0, pytest.approx(0.8))


def test_a_pipeline_without_a_complete_budget_is_not_there_yet() -> None:
    records = [*finished(0, A, 0.8, 0.8), trial(1, B), evaluation(B, 0, 0.9)]
    assert build_leaderboard(records).trial.tolist() == [0]
    assert len(build_leaderboard(finished(0, A, 0.8, 0.8), folds=3)) == 0


def test_a_pipeline_proposed_twice_keeps_its_first_number() -> None:
    board = build_leaderboard([*finished(3, A, 0.8), trial(17, A), *finished(5, B, 0.8)])
    assert board.trial.tolist() == [3, 5]


def test_pipelines_without_a_trial_line_get_free_numbers() -> None:
    board = build_leaderboard([*finished(3, A, 0.8), evaluation(B, 0, 0.9), evaluation(C, 0, 0.7)])
    assert board.trial.tolist() == [4, 3, 5]


def test_the_first_record_of_an_evaluation_counts() -> None:
    board = build_leaderboard([*finished(0, A, 0.8, 0.6), evaluation(A, 1, 0.1)])
    assert board.accuracy[0] == pytest.approx(0.7)
    assert board.folds[0] == 2


def test_of_several_failures_the_one_at_the_smallest_budget_and_fold() -> None:
    board = build_leaderboard(
        [
            trial(0, A),
            evaluation(A, 1, None, 1.0, error="late"),
            evaluation(A, 1, None, 1 / 3, error="second fold"),
            evaluation(A, 0, None, 1 / 3, error="first fold"),
        ]
    )
    assert (board.error[0], board.budget[0]) == ("first fold", 1 / 3)


def test_test_scores_and_a_failed_test() -> None:
    records = [
        *finished(0, A, 0.9, 0.9),
        evaluation(A, "test", 0.88),
        *finished(1, B, 0.8, 0.9),
        evaluation(B, "test", None),
    ]
    board = build_leaderboard(records)
    assert board.status.tolist() == ["done", "done"]
    assert board.folds.tolist() == [2, 2]
    assert board.test_accuracy[0] == pytest.approx(0.88) and np.isnan(board.test_accuracy[1])
    assert board.error.tolist() == ["", "test split: ValueError: no"]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_the_order_of_records_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    records = []
    for number in range(6):
        which = pipeline(str(number))
        budgets = [1 / 9, 1 / 3, 1.0][: rng.integers(1, 4)]
        records.append(trial(number, which))
        for budget, fold in itertools.product(budgets, range(3)):
            records.append(
                evaluation(which, fold, None if rng.random() < 0.02 else rng.integers(6) / 7, budget)
            )
    shuffled = list(records)
    random.Random(seed).shuffle(shuffled)
    pd.testing.assert_frame_equal(build_leaderboard(records), build_leaderboard(shuffled))


def test_equal_means_of_folds_in_another_order_are_a_tie() -> None:
    board = build_leaderboard(finished(1, A, 0.1, 0.2, 0.3) + finished(0, B, 0.3, 0.2, 0.1))
    assert board.trial.tolist() == [0, 1]


def test_nothing_yet() -> None:
    for records in ([], [trial(0, A)], [{"kind": "sweep", "seed": 1}]):
        board = build_leaderboard(records)
        assert tuple(board.columns) == COLUMNS
        assert len(board) == 0


def test_only_failures() -> None:
    board = build_leaderboard([trial(0, A), evaluation(A, 0, None)])
    assert board.status.tolist() == ["failed"]
    assert board.accuracy.isna().all()


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match=r"metric must be one of accuracy, .*, got 'f1'"):
        build_leaderboard([], metric="f1")


# --------------------------------------------------------------------------- views


def board_to_choose_from() -> pd.DataFrame:
    records = []
    rows = [
        ("glcm", "rf", 0.9, 5.0),
        ("lbp", "rf", 0.8, 1.0),
        ("glcm", "svm", 0.85, 5.0),
        ("lbp", "svm", 0.8, 1.0),
        ("histogram", "et", 0.5, 3.0),
    ]
    for number, (featurizer, classifier, accuracy, latency) in enumerate(rows):
        which = pipeline("x", classifier, featurizer=featurizer)
        records += finished(number, which, accuracy, accuracy, featurize_ms_per_frame=latency)
    broken = pipeline("x", featurizer="sift")
    return build_leaderboard([*records, trial(9, broken), evaluation(broken, 0, None)])


def test_best_per_and_top() -> None:
    board = board_to_choose_from()
    assert select(board).trial.tolist() == [0, 2, 1, 3, 4, 9]
    assert select(board, top=2).trial.tolist() == [0, 2]
    assert select(board, best_per="featurizer").trial.tolist() == [0, 1, 4]
    assert select(board, best_per="classifier").trial.tolist() == [0, 2, 4]
    assert select(board, best_per="representation").trial.tolist() == [0, 1, 4]
    assert select(board, best_per="featurizer", top=1)["rank"].tolist() == [1]


def test_pareto_keeps_what_no_other_beats() -> None:
    assert select(board_to_choose_from(), pareto=True).trial.tolist() == [0, 1, 3]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=14))
def test_pareto_by_brute_force(points: list[tuple[int, int]]) -> None:
    kept = leaderboard._undominated(
        np.array([v for v, _ in points], dtype=float), np.array([w for _, w in points], dtype=float)
    )
    for (value, latency), keep in zip(points, kept, strict=True):
        beaten = any(v >= value and w <= latency and (v > value or w < latency) for v, w in points)
        assert keep == (not beaten)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "top must be 1 or more, got 0"),
        (
            {"best_per": "frame"},
            "best_per must be one of featurizer, classifier, representation, got 'frame'",
        ),
        ({"pareto": True, "metric": "speed"}, "metric must be one of .*, got 'speed'"),
    ],
)
def test_bad_choices(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select(board_to_choose_from(), **options)


# --------------------------------------------------------------------------- the file


def test_csv_round_trip(tmp_path: Path) -> None:
    board = board_to_choose_from()
    path = tmp_path / "leaderboard.csv"
    path.write_text("old")
    write_csv(board, path)
    back = pd.read_csv(path, keep_default_na=False, na_values={c: [""] for c in METRICS})
    assert tuple(back.columns) == COLUMNS
    assert back.accuracy.tolist()[:5] == board.accuracy.tolist()[:5]
    assert [json.loads(p) for p in back.featurizer_params] == [json.loads(p) for p in board.featurizer_params]
    assert back.error.tolist() == board.error.tolist()
    assert [p.name for p in tmp_path.iterdir()] == ["leaderboard.csv"]


def test_a_csv_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leaderboard.csv"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_csv(board_to_choose_from(), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["leaderboard.csv"]
