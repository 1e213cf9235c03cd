"""Conformance: every classifier in the folder passes every check, with tiny parameters."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import CLASS_WEIGHT, Build, Estimator

NAMES = [name for name in plugins.classifier_names() if not plugins.classifier(name).is_head]
"""A network's own head is fitted with its network."""
TINY: dict[str, Any] = {"n_trees": 12, "min_child_samples": 3, "num_leaves": 7}

Data = tuple[NDArray[np.float64], NDArray[np.int64]]


def blobs(n_classes: int, n: int, d: int, apart: float, seed: int = 0) -> Data:
    """Gaussian classes of equal size on the corners of a simplex, `apart` standard deviations out."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    x = rng.normal(size=(n, d))
    x[np.arange(n), y % d] += apart * (1 + y // d)
    return x, y


def build(
    name: str, n_classes: int, *, seed: int = 1, budget: float = 1.0, threads: int = 1, **params: Any
) -> Estimator:
    plugin = plugins.classifier(name)
    values = {a.name: a.default for a in plugin.axes if a.name != CLASS_WEIGHT.name}
    values |= {k: v for k, v in (TINY | params).items() if k in values}
    return plugin.build(Build(values, budget, n_classes, seed, threads))


def fitted_scores(
    estimator: Estimator, data: Data, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    x, y = data
    estimator.fit(x, y, np.ones(len(y)) if weights is None else weights)
    return estimator.scores(x)


def test_the_six_families_are_found() -> None:
    assert {"rf", "et", "svm", "lightgbm", "xgboost", "catboost"} <= set(NAMES)


def test_a_head_gives_the_probabilities_of_its_logits() -> None:
    from scipy.special import softmax

    logits = np.random.default_rng(0).normal(scale=300, size=(20, 5))  # exp(1000) overflows
    estimator = build("head", 5)
    np.testing.assert_allclose(estimator.scores(logits), softmax(logits, axis=1), rtol=1e-12)


def test_importing_every_classifier_imports_no_library() -> None:
    code = (
        "import sys\nfrom sweeper import plugins\n"
        "for n in plugins.classifier_names(): plugins.classifier(n)\n"
        "print([m for m in ('sklearn','lightgbm','xgboost','catboost','scipy','pandas') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", NAMES)
class TestEvery:
    def test_declares_legal_defaults_and_class_weights(self, name: str) -> None:
        plugin = plugins.classifier(name)
        assert plugin.name == name
        assert CLASS_WEIGHT in plugin.axes
        assert len({axis.name for axis in plugin.axes}) == len(plugin.axes)
        assert plugin.budget in {"trees", "rows", "epochs"}
        for axis in plugin.axes:
            axis.check(name, axis.default)

    @pytest.mark.parametrize("n_classes", [2, 3, 5])
    def test_scores_every_class_and_learns(self, name: str, n_classes: int) -> None:
        train, test = blobs(n_classes, 150, 8, 5.0), blobs(n_classes, 150, 8, 5.0, seed=9)
        estimator = build(name, n_classes)
        fitted_scores(estimator, train)
        scores = estimator.scores(test[0])
        assert scores.shape == (150, n_classes)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()
        assert (scores.argmax(axis=1) == test[1]).mean() > 0.85

    def test_same_seed_same_scores_on_any_number_of_threads(self, name: str) -> None:
        data = blobs(3, 300, 12, 1.0)
        random = {"subsample": 0.6, "colsample": 0.6, "n_trees": 5}
        one = fitted_scores(build(name, 3, **random), data)
        again = fitted_scores(build(name, 3, **random), data)
        two = fitted_scores(build(name, 3, threads=2, **random), data)
        np.testing.assert_array_equal(one, again)
        np.testing.assert_array_equal(one, two)

    def test_global_random_state_has_no_influence(self, name: str) -> None:
        data = blobs(3, 90, 6, 1.0)
        np.random.seed(1)  # noqa: NPY002
        one = fitted_scores(build(name, 3, subsample=0.6), data)
        np.random.seed(2)  # noqa: NPY002
        np.testing.assert_array_equal(one, fitted_scores(build(name, 3, subsample=0.6), data))

    def test_sample_weights_matter(self, name: str) -> None:
        x, y = blobs(3, 300, 6, 0.7)
        limits = {"min_samples_leaf": 15}
        even = fitted_scores(build(name, 3, **limits), (x, y)).argmax(axis=1)
        favoured = fitted_scores(build(name, 3, **limits), (x, y), np.where(y == 2, 20.0, 1.0)).argmax(axis=1)
        assert (favoured == 2).sum() > 1.3 * (even == 2).sum()

    def test_one_feature(self, name: str) -> None:
        x, y = blobs(2, 80, 1, 0.0)
        x[:, 0] += 6 * y
        scores = fitted_scores(build(name, 2), (x, y))
        assert scores.shape == (80, 2)
        assert (scores.argmax(axis=1) == y).mean() > 0.95

    def test_a_constant_feature_does_no_harm(self, name: str) -> None:
        x, y = blobs(3, 90, 4, 5.0)
        x[:, 3] = 7.0
        assert (fitted_scores(build(name, 3), (x, y)).argmax(axis=1) == y).mean() > 0.85

    def test_budget(self, name: str) -> None:
        train, (x, _) = blobs(3, 120, 6, 1.0), blobs(3, 120, 6, 1.0, seed=9)

        def scores(n_trees: int, budget: float) -> NDArray[np.float64]:
            estimator = build(name, 3, n_trees=n_trees, budget=budget)
            fitted_scores(estimator, train)
            return estimator.scores(x)

        full, part = scores(20, 1.0), scores(20, 0.25)
        if plugins.classifier(name).budget == "trees":
            assert not np.array_equal(full, part)
            np.testing.assert_array_equal(part, scores(5, 1.0))
        else:
            np.testing.assert_array_equal(full, part)

    def test_a_fitted_estimator_pickles(self, name: str) -> None:
        x, y = blobs(3, 90, 6, 1.0)
        estimator = build(name, 3)
        scores = fitted_scores(estimator, (x, y))
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).scores(x), scores)

    def test_is_quiet_and_leaves_no_files(
        self,
        name: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        recwarn: pytest.WarningsRecorder,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        fitted_scores(build(name, 3), blobs(3, 60, 4, 2.0))
        assert capfd.readouterr() == ("", "")
        assert [str(w.message) for w in recwarn] == []
        assert list(tmp_path.iterdir()) == []


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
