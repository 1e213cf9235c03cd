"""The reader of journals: the same answers from a file and from records, the first of two, counts."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from sweeper.errors import InputError
from sweeper.runs.leaderboard import build_leaderboard
from sweeper.runs.records import TEST, Evaluation, FoldName, Scored, Trial, encode
from sweeper.runs.results import VALUES, Results
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
    write_journal,
)

A, B, C = (made_pipeline(classifier=name) for name in ("rf", "svm", "et"))


def some_records() -> Records:
    """Two trials with two folds, one of them at two budgets, and one that failed; a test split and reruns."""
    fit = made_fit("lenet", {"size": 32})
    return [
        *made_trial(0, A, 0.5, 0.6, budget=1 / 3),
        *made_trial(1, B, 0.7, 0.8),
        *[made_evaluation(A, fold, 0.6 + 0.1 * fold) for fold in (0, 1)],
        *made_trial(2, C, made_failure(), 0.9),
        made_evaluation(A, TEST, 0.65),
        made_evaluation(B, TEST, made_failure()),
        *[made_evaluation(A, fold, 0.55, seed=seed, rerun=True) for seed in (1, 2) for fold in (0, 1)],
        fit,
        *(made_epoch(fit, epoch) for epoch in (1, 2)),
    ]


def test_a_file_and_its_records_give_the_same_answers(tmp_path: Path) -> None:
    records, path = some_records(), tmp_path / "journal.jsonl"
    write_journal(path, records)
    read, added = Results.read(path), results_of(records)
    pd.testing.assert_frame_equal(build_leaderboard(read), build_leaderboard(added))
    for trial in (0, 1, 2):
        assert read.pipeline(trial) == added.pipeline(trial)
        assert read.test(trial) == added.test(trial)
        for budget in (None, 1.0, 1 / 3):
            assert list(read.evaluations(trial, budget)) == list(added.evaluations(trial, budget))
    assert (read.trials, read.owners, read.failed) == (added.trials, added.owners, added.failed)
    assert (read.reruns, read.fits, read.epochs) == (added.reruns, added.fits, added.epochs)
    for ours, theirs in zip(read.columns(), added.columns(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_evaluations_are_whole_and_in_the_order_of_budgets_and_folds(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    outcome = made_score(0.5, confusion=[[0, 1], [2, 3]], warnings=("beware",))
    whole = [made_evaluation(A, fold, outcome, budget=b) for b in (1.0, 1 / 3) for fold in (1, 0)]
    write_journal(path, [Trial.of(4, A), *whole, Trial.of(5, B)])
    results = Results.read(path)
    assert list(results.evaluations(4, None)) == whole[::-1]
    assert list(results.evaluations(4)) == whole[1::-1]
    assert list(results.evaluations(4, 1 / 3)) == whole[:1:-1]
    assert list(results.evaluations(5)) == []


def test_what_failed_has_no_evaluation_and_a_first_failure() -> None:
    results = results_of(some_records())
    assert [e.fold for e in results.evaluations(2)] == [1]
    (owner,) = results.failed
    assert results.owners[owner] == 2
    assert (results.failed[owner].fold, results.failed[owner].error) == (0, "ValueError: no")
    assert sorted(results.owners[o] for o in results.complete_rows(None).owner.tolist()) == [0, 1]


def test_values_stand_in_their_columns() -> None:
    outcome = made_score(0.5, fit_s=7.0, n_train=11, predict_ms_per_frame=13.0, n_validation=17)
    of_domains = {"accuracy_mean_domain": 0.75, "accuracy_worst_domain": 0.25}
    outcome = structs.replace(outcome, metrics={**outcome.metrics, **of_domains})
    undefined = structs.replace(outcome, metrics={**outcome.metrics, "auc_ovr": None})
    results = results_of(made_trial(0, A, outcome, undefined, featurize_ms_per_frame=19.0))
    _, budget, fold, values = results.columns()
    assert (budget.tolist(), fold.tolist()) == ([1.0, 1.0], [0, 1])
    first, second = (dict(zip(VALUES, row, strict=True)) for row in values.tolist())
    times = {"featurize_ms_per_frame": 19, "fit_s": 7, "predict_ms_per_frame": 13}
    assert first == {**outcome.metrics, **times, "n_train": 11, "n_validation": 17}
    assert np.isnan(second["auc_ovr"])
    assert {k: v for k, v in second.items() if k != "auc_ovr"} == {
        k: v for k, v in first.items() if k != "auc_ovr"
    }


def test_counts_are_those_of_the_journal_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write_journal(path, some_records())
    results = Results.read(path)
    counted = {"done": 8, "failed": 2, "rerun": 4}
    assert dict(results.outcomes) == counted
    assert dict(results.at_budget) == {1 / 3: 2, 1.0: 12}
    results.add(made_trial(-1, made_pipeline("ensemble", "ensemble"), 0.9, 0.9))
    assert dict(results.outcomes) == counted
    assert [e.outcome for e in results.evaluations(-1)] == [made_score(0.9)] * 2


def test_the_first_of_two_records_counts() -> None:
    records = some_records()
    again: Records = [
        Trial.of(0, B),
        Trial.of(9, A),
        made_evaluation(A, 0, 0.99),
        made_evaluation(A, TEST, 0.99),
        made_fit("lenet", {"size": 48}, key=next(iter(results_of(records).fits))),
        made_epoch(made_fit("lenet", {"size": 32}), 1, loss=99.0),
    ]
    once, twice = results_of(records), results_of(records + again)
    pd.testing.assert_frame_equal(build_leaderboard(twice), build_leaderboard(once))
    assert twice.pipeline(0) == A
    assert twice.pipeline(9) == A
    assert twice.trial_of(A.id) == 0
    assert list(twice.evaluations(0)) == list(once.evaluations(0))
    assert twice.test(0) == once.test(0)
    assert (twice.fits, twice.epochs) == (once.fits, once.epochs)


def test_keys_find_evaluations_and_those_of_the_test_split() -> None:
    records = some_records()
    wanted = [made_evaluation(B, 1, 0.8), made_evaluation(A, TEST, 0.65)]
    assert list(results_of(records).with_keys({e.key for e in wanted} | {"unknown"})) == wanted


def test_fits_are_found_by_what_they_are_fitted_with() -> None:
    params = {"size": 32, "class_weight": [0.25, 0.75]}
    fits = [made_fit("lenet", params, fold) for fold in (0, 1)]
    others = [
        made_fit("lenet", {**params, "size": 48}),
        made_fit("deepfreak", params),
        made_fit("lenet", params, intensity={"bin": 2}),
    ]
    pipeline = made_pipeline("lenet", featurizer_params={**params, "class_weight": (0.25, 0.75)})
    assert results_of([*others, *fits]).fits_of(pipeline) == fits


def test_a_trial_that_is_not_there_is_named() -> None:
    results = results_of(some_records())
    with pytest.raises(InputError, match="trial must be the number of a trial of this sweep, got 3"):
        results.pipeline(3)
    assert results.trial_of("unknown") is None


def test_without_a_journal_there_are_no_records(tmp_path: Path) -> None:
    results = Results.read(tmp_path / "journal.jsonl")
    assert (results.trials, results.fits, results.outcomes.total()) == ([], {}, 0)
    assert len(results.complete_rows(None).owner) == len(results.columns()[0]) == 0


def test_a_journal_that_is_changed_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write_journal(path, made_trial(0, A, 0.5))
    results = Results.read(path)
    path.write_bytes(path.read_bytes().replace(encode(made_evaluation(A, 0, 0.5))[:9], b'{"kind":1'))
    with pytest.raises(InputError, match="was changed while it was read"):
        list(results.evaluations(0))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_complete_rows_by_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    folds, pipelines = 3, [made_pipeline(classifier_params={"n": n}) for n in range(5)]
    records: Records = [Trial.of(n, of) for n, of in enumerate(pipelines[:4])]  # the last has no trial
    for of in pipelines:
        for budget in (1 / 9, 1 / 3, 1.0):
            for fold in range(folds):
                outcome = made_failure() if rng.random() < 0.03 else rng.random()
                records += [made_evaluation(of, fold, outcome, budget=budget)] * (rng.random() < 0.8)
    rng.shuffle(records)
    results = results_of(records)
    rows = results.complete_rows(folds)
    found = {
        results.owners[owner]: (budget, values[:, 0].tolist())
        for owner, budget, values in zip(rows.owner.tolist(), rows.budget.tolist(), rows.values, strict=True)
    }
    expected = {}
    for number, of in enumerate(pipelines[:4]):
        ours = [r for r in records if isinstance(r, Evaluation) and r.pipeline == of.id]
        scores: dict[float, dict[FoldName, float | None]] = {}
        for record in ours:
            if isinstance(record.outcome, Scored):
                scores.setdefault(record.budget, {})[record.fold] = record.outcome.metrics["accuracy"]
        complete = [budget for budget, at in scores.items() if len(at) == folds]
        if complete and all(isinstance(record.outcome, Scored) for record in ours):
            budget = max(complete)
            expected[number] = (budget, [scores[budget][fold] for fold in range(folds)])
    assert found == expected
