"""The leaderboard from records: ranks, statuses, intervals and what is left empty."""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.evaluate.metrics import METRICS
from sweeper.evaluate.statistics import interval, p_value
from sweeper.pipeline import Pipeline
from sweeper.runs import leaderboard
from sweeper.runs.leaderboard import (
    COLUMNS,
    DOMAIN_COLUMNS,
    build_leaderboard,
    select,
    why_all_failed,
    write_csv,
)
from sweeper.runs.records import TEST, Cause, Evaluation, Failed, Record, Scored, Trial
from sweeper.runs.tables import leaderboard_table
from tests.runs.made_records import (
    Records,
    made_epoch,
    made_evaluation,
    made_failure,
    made_fit,
    made_pipeline,
    made_score,
    made_trial,
    results_of,
)


def pipeline(name: str, classifier: str = "rf", **options: Any) -> Pipeline:
    return made_pipeline(
        classifier=classifier,
        featurizer_params={"distance": (1, 2), "name": name},
        classifier_params={"n_trees": 10, "class_weight": (0.25, 0.75)},
        **{"intensity": {"scale": "log1p"}, **options},
    )


A, B, C, D = (pipeline(name) for name in "abcd")


def leaderboard_of(*records: Record | Records, **options: Any) -> pd.DataFrame:
    """The leaderboard of records, given one by one or trial by trial."""
    flat = [record for one in records for record in (one if isinstance(one, list) else [one])]
    return build_leaderboard(results_of(flat), **options)


def by_trial(board: pd.DataFrame, number: int) -> Any:
    (row,) = board[board.trial == number].to_dict("records")
    return row


# --------------------------------------------------------------------------- columns and values


def test_columns_are_those_of_the_design_and_values_those_of_the_folds() -> None:
    scores = [0.8, 0.9, 0.85]
    which = pipeline("a", "svm", reducer="pca", reducer_params={"components": 5})
    board = leaderboard_of(made_trial(4, which, *scores))
    assert tuple(board.columns) == COLUMNS
    assert COLUMNS[:12] == (
        "rank", "trial", "featurizer", "featurizer_params", "training_set", "reducer", "classifier",
        "classifier_params", "budget", "folds", "accuracy", "accuracy_std",
    )  # fmt: skip
    assert COLUMNS[12:18] == (
        "accuracy_ci_low", "accuracy_ci_high", "recall_macro", "recall_macro_std", "precision_weighted",
        "precision_weighted_std",
    )  # fmt: skip
    assert COLUMNS[-12:] == (
        "auc_ovr", "auc_ovr_std", "log_loss", "brier", "ece", "p_vs_best", "test_accuracy",
        "featurize_ms_per_frame", "fit_s",
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
    board = leaderboard_of(made_trial(0, A, *a), made_trial(1, B, *b), made_trial(2, C, *a), metric="kappa")
    assert board.trial.tolist() == [0, 2, 1]
    assert np.isnan(board.p_vs_best[0])
    assert board.p_vs_best[1] == 1.0
    assert board.p_vs_best[2] == pytest.approx(p_value(np.array(a), np.array(b), 80, 20))


def _over_domains(number: int, which: Pipeline, *pairs: tuple[float, float]) -> Records:
    """Return a trial with mean and worst accuracy over domains of each fold."""
    records = made_trial(number, which, *(mean for mean, _ in pairs))
    scored = iter(pairs)
    changed: Records = []
    for record in records:
        if isinstance(record, Evaluation) and isinstance(record.outcome, Scored):
            mean, worst = next(scored)
            values = {"accuracy_mean_domain": mean - 0.1, "accuracy_worst_domain": worst}
            outcome = msgspec.structs.replace(record.outcome, metrics={**record.outcome.metrics, **values})
            changed.append(msgspec.structs.replace(record, outcome=outcome))
        else:
            changed.append(record)
    return changed


def test_domains_have_columns_where_they_are_held_out_and_rank_by_mean_or_worst() -> None:
    records = [_over_domains(0, A, (0.9, 0.2), (0.8, 0.7)), _over_domains(1, B, (0.7, 0.5), (0.8, 0.6))]
    board = leaderboard_of(*records, metric="accuracy_mean_domain")
    assert tuple(board.columns)[14:17] == DOMAIN_COLUMNS
    assert tuple(c for c in board.columns if c not in DOMAIN_COLUMNS) == COLUMNS
    assert board.trial.tolist() == [0, 1]
    assert board.accuracy_mean_domain.tolist() == pytest.approx([0.75, 0.65])
    assert board.accuracy_mean_domain_std[0] == pytest.approx(np.std([0.8, 0.7], ddof=1))
    assert board.accuracy_worst_domain.tolist() == [0.2, 0.5]
    worst = leaderboard_of(*records, metric="accuracy_worst_domain")
    assert worst.trial.tolist() == [1, 0]
    assert 0 <= worst.p_vs_best[1] <= 1


def test_the_table_shows_mean_and_worst_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    which = made_pipeline()
    board = leaderboard_of(_over_domains(0, which, (0.9, 0.25), (0.8, 0.75)), metric="accuracy_worst_domain")
    table = leaderboard_table(board, "accuracy_worst_domain")
    assert "mean domain" in table and "accuracy_worst_domain" in table
    assert "0.7500" in table and "0.2500" in table


def test_one_split_has_an_interval_but_no_spread_and_no_test() -> None:
    board = leaderboard_of(made_trial(0, A, 0.9), made_trial(1, B, 0.8))
    assert board.accuracy_std.isna().all() and board.p_vs_best.isna().all()
    assert (board.accuracy_ci_low < board.accuracy).all() and (board.accuracy < board.accuracy_ci_high).all()


def test_a_metric_without_meaning_in_some_folds() -> None:
    def undefined(accuracy: float) -> Scored:
        return made_score(accuracy, metrics={**made_score(accuracy).metrics, "auc_ovr": None})

    board = leaderboard_of(
        made_trial(0, A, undefined(0.9), 0.8), made_trial(1, B, *[undefined(0.7)] * 2), metric="auc_ovr"
    )
    assert board.auc_ovr[0] == pytest.approx(0.74)
    assert np.isnan(board.auc_ovr_std[0])
    assert np.isnan(board.auc_ovr[1]) and board.accuracy[1] == pytest.approx(0.7)
    assert board.p_vs_best.isna().all()


def test_the_intensity_stands_there_where_it_differs() -> None:
    same = leaderboard_of(made_trial(0, A, 0.9), made_trial(1, B, 0.8))
    assert "intensity" not in same.featurizer_params[0]
    other = pipeline("b", intensity={"scale": "linear", "levels": 8})
    board = leaderboard_of(made_trial(0, A, 0.9), made_trial(1, other, 0.8))
    assert json.loads(board.featurizer_params[0])["intensity"] == {"levels": None, "scale": "log1p"}
    assert json.loads(board.featurizer_params[1])["intensity"] == {"levels": 8, "scale": "linear"}


# --------------------------------------------------------------------------- rank and status


def test_done_then_stopped_then_failed() -> None:
    board = leaderboard_of(
        made_trial(0, A, 0.5, 0.6),
        made_trial(1, B, 0.99, 0.99, budget=1 / 9),
        made_trial(2, C, 0.9, 0.95, budget=1 / 3),
        made_trial(3, D, 0.99, made_failure()),
        made_trial(4, pipeline("e"), 0.5, 0.6),
        made_trial(5, pipeline("f"), 0.7, 0.6),
    )
    assert board.trial.tolist() == [5, 0, 4, 2, 1, 3]
    assert board["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert board.status.tolist() == ["done"] * 3 + ["stopped"] * 2 + ["failed"]
    assert board.p_vs_best.notna().tolist() == [False, True, True, False, False, False]
    assert board.error.tolist() == [""] * 5 + ["ValueError: no"]
    assert board.budget.tolist() == pytest.approx([1, 1, 1, 1 / 3, 1 / 9, 1])
    assert board.folds.tolist() == [2] * 5 + [0]
    scores = [*METRICS, "accuracy_ci_low", "fit_s"]
    assert board[scores].iloc[:5].notna().all(axis=None) and board[scores].iloc[5].isna().all()


def test_why_all_failed() -> None:
    lost = made_trial(0, A, made_failure())
    assert why_all_failed(leaderboard_of(lost)) == "the only pipeline failed: ValueError: no"
    both = [*lost, *made_trial(1, B, made_failure())]
    assert why_all_failed(leaderboard_of(*both)) == "all 2 pipelines failed: ValueError: no"
    other = made_evaluation(C, 0, Failed(Cause.TIME_LIMIT, "time limit of 3 s reached"))
    mixed = leaderboard_of(*both, Trial.of(2, C), other)
    assert why_all_failed(mixed) == "all 3 pipelines failed: ValueError: no (and 1 of them for other reasons)"
    assert why_all_failed(leaderboard_of(*both, made_trial(2, C, 0.5))) == ""
    assert why_all_failed(leaderboard_of()) == ""


def test_the_largest_budget_with_all_folds_counts() -> None:
    records = [
        *made_trial(0, A, 0.6, 0.6, 0.6, budget=1 / 9),
        *[made_evaluation(A, f, 0.7, budget=1 / 3) for f in range(3)],
        *[made_evaluation(A, f, 0.8) for f in range(2)],
    ]
    board = leaderboard_of(records)
    assert len(board) == 1
    assert (board.status[0], board.budget[0], board.accuracy[0]) == ("stopped", 1 / 3, pytest.approx(0.7))
    board = leaderboard_of(records, made_evaluation(A, 2, 0.8))
    assert len(board) == 1
    assert (board.status[0], board.budget[0], board.accuracy[0]) == ("done", 1.0, pytest.approx(0.8))


def test_a_pipeline_without_a_complete_budget_is_not_there_yet() -> None:
    complete = made_trial(0, A, 0.8, 0.8)
    assert leaderboard_of(complete, made_trial(1, B, 0.9)).trial.tolist() == [0]
    assert len(leaderboard_of(complete, folds=3)) == 0


def test_a_pipeline_proposed_twice_keeps_its_first_number() -> None:
    board = leaderboard_of(made_trial(3, A, 0.8), Trial.of(17, A), made_trial(5, B, 0.8))
    assert board.trial.tolist() == [3, 5]


def test_pipelines_without_a_trial_are_left_out() -> None:
    """Their evaluations name them by an id that nothing explains."""
    records = [*made_trial(3, A, 0.8), made_evaluation(B, 0, 0.9), made_evaluation(C, 0, made_failure())]
    assert leaderboard_of(records).trial.tolist() == [3]
    assert leaderboard_of(records, Trial.of(4, B)).trial.tolist() == [4, 3]  # the line may come later


def test_the_first_record_of_an_evaluation_counts() -> None:
    board = leaderboard_of(made_trial(0, A, 0.8, 0.6), made_evaluation(A, 1, 0.1))
    assert board.accuracy[0] == pytest.approx(0.7)
    assert board.folds[0] == 2


def test_of_several_failures_the_one_at_the_smallest_budget_and_fold() -> None:
    board = leaderboard_of(
        Trial.of(0, A),
        made_evaluation(A, 1, made_failure("late")),
        made_evaluation(A, 1, made_failure("second fold"), budget=1 / 3),
        made_evaluation(A, 0, made_failure("first fold"), budget=1 / 3),
    )
    assert (board.error[0], board.budget[0]) == ("first fold", 1 / 3)


def test_test_scores_and_a_failed_test() -> None:
    board = leaderboard_of(
        made_trial(0, A, 0.9, 0.9),
        made_evaluation(A, TEST, 0.88),
        made_trial(1, B, 0.8, 0.9),
        made_evaluation(B, TEST, made_failure()),
    )
    assert board.status.tolist() == ["done", "done"]
    assert board.folds.tolist() == [2, 2]
    assert board.test_accuracy[0] == pytest.approx(0.88) and np.isnan(board.test_accuracy[1])
    assert board.error.tolist() == ["", "test split: ValueError: no"]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_the_order_of_records_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    records: Records = []
    for number in range(6):
        which = pipeline(str(number))
        budgets = [1 / 9, 1 / 3, 1.0][: rng.integers(1, 4)]
        records.append(Trial.of(number, which))
        for budget, fold in itertools.product(budgets, range(3)):
            outcome = made_failure() if rng.random() < 0.02 else float(rng.integers(6) / 7)
            records.append(made_evaluation(which, fold, outcome, budget=budget))
    shuffled = list(records)
    random.Random(seed).shuffle(shuffled)
    pd.testing.assert_frame_equal(leaderboard_of(records), leaderboard_of(shuffled))


def test_equal_means_of_folds_in_another_order_are_a_tie() -> None:
    board = leaderboard_of(made_trial(1, A, 0.1, 0.2, 0.3), made_trial(0, B, 0.3, 0.2, 0.1))
    assert board.trial.tolist() == [0, 1]


def test_nothing_yet() -> None:
    fit = made_fit("lenet", {})
    for records in ([], [Trial.of(0, A)], [fit, made_epoch(fit, 1)]):
        board = leaderboard_of(*records)
        assert tuple(board.columns) == COLUMNS
        assert len(board) == 0


def test_only_failures() -> None:
    board = leaderboard_of(made_trial(0, A, made_failure()))
    assert board.status.tolist() == ["failed"]
    assert board.accuracy.isna().all()


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match=r"metric must be one of accuracy, .*, got 'f1'"):
        leaderboard_of(metric="f1")


# --------------------------------------------------------------------------- views


def board_to_choose_from() -> pd.DataFrame:
    records: Records = []
    rows = [
        ("glcm", "rf", 0.9, 5.0),
        ("lbp", "rf", 0.8, 1.0),
        ("glcm", "svm", 0.85, 5.0),
        ("lbp", "svm", 0.8, 1.0),
        ("histogram", "et", 0.5, 3.0),
    ]
    for number, (featurizer, classifier, accuracy, latency) in enumerate(rows):
        which = pipeline("x", classifier, featurizer=featurizer)
        records += made_trial(number, which, accuracy, accuracy, featurize_ms_per_frame=latency)
    broken = pipeline("x", featurizer="sift")
    return leaderboard_of(records, made_trial(9, broken, made_failure()))


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


def test_featurizers_side_by_side_are_one_row_with_the_parameters_of_each() -> None:
    beside = made_pipeline(
        "glcm+lenet+resnet50",
        featurizer_params={
            "glcm": {"distance": (1, 2)},
            "lenet": {"training_set": "augmented", "epochs": 3},
            "resnet50": {"training_set": "pretrained"},
        },
    )
    alone = made_pipeline("glcm", featurizer_params={"distance": (1, 2)})
    other = made_pipeline("glcm+lenet+resnet50", featurizer_params={**beside.featurizer_params, "glcm": {}})
    records = [
        *made_trial(0, beside, 0.9, 0.9),
        *made_trial(1, alone, 0.8, 0.8),
        *made_trial(2, other, 0.7, 0.7),
    ]
    board = build_leaderboard(results_of(records), folds=2)
    assert board.featurizer.tolist() == ["glcm+lenet+resnet50", "glcm", "glcm+lenet+resnet50"]
    assert board.training_set.tolist() == ["augmented+pretrained", "", "augmented+pretrained"]
    assert json.loads(board.featurizer_params[0]) == {
        "glcm": {"distance": [1, 2]}, "lenet": {"epochs": 3}, "resnet50": {},
    }  # fmt: skip
    assert json.loads(board.featurizer_params[1]) == {"distance": [1, 2]}
    assert select(board, best_per="featurizer")["rank"].tolist() == [1, 2]
    assert select(board, best_per="representation")["rank"].tolist() == [1, 2, 3]
