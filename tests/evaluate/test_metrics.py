"""Metrics against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sweeper.evaluate.metrics import DOMAIN_METRICS, METRICS, confusion, over_folds, score, value


def draw(seed: int, n: int, n_classes: int, levels: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels that may leave out classes, and scores with many ties."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, rng.integers(1, n_classes + 1), size=n)
    return y, rng.integers(0, levels, size=(n, n_classes)) / levels


def by_scikit_learn(y: NDArray[np.int64], scores: NDArray[np.float64]) -> dict[str, float | None]:
    predicted, present = scores.argmax(axis=1), np.unique(y)
    varied = len(present) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        areas = [reference.roc_auc_score(y == c, scores[:, c]) for c in present] if varied else []
        return {
            "accuracy": reference.accuracy_score(y, predicted),
            "recall_macro": reference.recall_score(y, predicted, labels=present, average="macro"),
            "precision_weighted": reference.precision_score(
                y, predicted, average="weighted", zero_division=0
            ),
            "f1_macro": reference.f1_score(y, predicted, labels=present, average="macro"),
            "kappa": reference.cohen_kappa_score(y, predicted) if varied else None,
            "mcc": reference.matthews_corrcoef(y, predicted) if varied else None,
            "auc_ovr": float(np.mean(areas)) if varied else None,
        }


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 6), st.sampled_from([2, 5, 1000]))
def test_equal_to_scikit_learn(seed: int, n: int, n_classes: int, levels: int) -> None:
    y, scores = draw(seed, n, n_classes, levels)
    ours, theirs = score(y, scores, n_classes), by_scikit_learn(y, scores)
    assert tuple(ours) == METRICS
    for name in METRICS:
        if theirs[name] is None:
            assert ours[name] is None
        else:
            assert ours[name] == pytest.approx(theirs[name], abs=1e-12), name


def test_auc_of_probabilities_is_scikit_learns_ovr() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, size=80)
    p = rng.dirichlet(np.ones(4), size=80)
    assert score(y, p, 4)["auc_ovr"] == pytest.approx(reference.roc_auc_score(y, p, multi_class="ovr"))


def test_perfect_and_reversed() -> None:
    y = np.array([0, 1, 2, 2])
    assert set(score(y, np.eye(3)[y], 3).values()) == {1.0}
    swapped = score(np.array([0, 1]), np.eye(2)[[1, 0]], 2)
    assert (swapped["accuracy"], swapped["kappa"], swapped["mcc"], swapped["auc_ovr"]) == (0, -1, -1, 0)


def test_what_has_no_meaning_in_a_fold_of_one_class_is_none() -> None:
    scores = np.array([[0.9, 0.1], [0.4, 0.6]])
    result = score(np.array([0, 0]), scores, 2)
    assert result == {
        "accuracy": 0.5,
        "recall_macro": 0.5,
        "precision_weighted": 1.0,
        "f1_macro": pytest.approx(2 / 3),
        "kappa": None,
        "mcc": None,
        "auc_ovr": None,
    }


def test_one_class_predicted_for_all_has_no_correlation() -> None:
    result = score(np.array([0, 1, 1]), np.array([[0.2, 0.8]] * 3), 2)
    assert result["mcc"] == 0
    assert result["kappa"] == 0
    assert result["auc_ovr"] == 0.5


def test_confusion_has_a_row_for_each_true_class() -> None:
    y, predicted = np.array([0, 0, 1, 3]), np.array([0, 1, 1, 0])
    table = confusion(y, predicted, 4)
    assert table == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert table == reference.confusion_matrix(y, predicted, labels=range(4)).tolist()


def test_accuracies_of_domains_count_each_domain_alike() -> None:
    y = np.array([0, 1, 0, 1, 0, 1, 1])
    scores = np.eye(2)[[0, 1, 0, 0, 1, 0, 1]]
    domains = np.array([4, 4, 4, 4, 9, 9, 2])  # three of four right, none of two, one of one
    found = score(y, scores, 2, domains)
    assert tuple(found) == (*METRICS, *DOMAIN_METRICS)
    assert found["accuracy"] == pytest.approx(4 / 7)
    assert found["accuracy_mean_domain"] == pytest.approx((0.75 + 0 + 1) / 3)
    assert found["accuracy_worst_domain"] == 0
    assert value("accuracy_mean_domain", y, scores, 2, domains) == found["accuracy_mean_domain"]


def test_over_folds_a_metric_is_the_mean_and_the_worst_domain_the_least() -> None:
    assert over_folds("accuracy", [0.5, 1.0]) == 0.75
    assert over_folds("accuracy_mean_domain", [0.5, 1.0]) == 0.75
    assert over_folds("accuracy_worst_domain", [0.5, 1.0, 0.25]) == 0.25
