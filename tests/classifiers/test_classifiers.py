"""What single classifiers promise beyond the checks that all of them pass (``tests/testing``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sweeper import plugins
from sweeper.api import Estimator
from sweeper.testing.classifiers import blobs, fitted_scores
from sweeper.testing.classifiers import build as build_tiny


def build(name: str, n_classes: int, **options: Any) -> Estimator:
    return build_tiny(plugins.classifier(name), n_classes, **options)


def test_a_head_gives_the_probabilities_of_its_logits() -> None:
    from scipy.special import softmax

    logits = np.random.default_rng(0).normal(scale=300, size=(20, 5))  # exp(1000) overflows
    estimator = build("head", 5)
    np.testing.assert_allclose(estimator.scores(logits), softmax(logits, axis=1), rtol=1e-12)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost"])
def test_boosters_see_relative_weights_only(name: str) -> None:
    data = blobs(3, 120, 6, 1.0)
    weights = np.where(data[1] == 0, 0.5, 0.25)
    one = fitted_scores(build(name, 3), data, weights)
    np.testing.assert_array_equal(one, fitted_scores(build(name, 3), data, weights / 32))


def test_svm_gamma_zero_is_one_over_features() -> None:
    data = blobs(3, 90, 6, 1.0)
    zero = fitted_scores(build("svm", 3, gamma=0), data)
    np.testing.assert_array_equal(zero, fitted_scores(build("svm", 3, gamma=1 / 6), data))
    assert not np.array_equal(zero, fitted_scores(build("svm", 3, gamma=2.0), data))


def test_svm_scores_for_two_classes_follow_the_kernel_expansion() -> None:
    x, y = blobs(2, 60, 3, 1.0)
    estimator: Any = build("svm", 2, gamma=0.5, C=3.0)
    scores = fitted_scores(estimator, (x, y))
    machine = estimator.machine
    kernel = np.exp(-0.5 * np.square(x[:, None] - machine.support_vectors_[None]).sum(axis=2))
    margin = kernel @ machine.dual_coef_[0] + machine.intercept_[0]
    np.testing.assert_allclose(scores, np.column_stack([-margin, margin]), atol=1e-9)


@pytest.mark.parametrize("name", ["rf", "et"])
def test_a_whole_one_of_max_features_is_all_of_them(name: str) -> None:
    data = blobs(3, 90, 6, 0.5)
    whole = fitted_scores(build(name, 3, max_features=1, max_depth=2), data)
    np.testing.assert_array_equal(whole, fitted_scores(build(name, 3, max_features=1.0, max_depth=2), data))
    assert not np.array_equal(whole, fitted_scores(build(name, 3, max_features=0.2, max_depth=2), data))


@pytest.mark.parametrize("name", ["rf", "et"])
def test_a_forest_scores_alike_at_every_call(name: str) -> None:
    x, y = blobs(3, 300, 6, 0.5)
    estimator = build(name, 3, n_trees=60, max_depth=4, threads=4)
    first = fitted_scores(estimator, (x, y))
    assert all(np.array_equal(first, estimator.scores(x)) for _ in range(20))
