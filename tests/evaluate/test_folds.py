"""Evaluation of a fold: nothing leaks, nothing is silent, everything is seeded."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, confusion_matrix
from sklearn.utils.class_weight import compute_sample_weight

from sweeper import plugins
from sweeper.api import CLASS_WEIGHT, Build, Classifier, Estimator
from sweeper.data.splits import make_splits
from sweeper.evaluate.folds import FoldResult, fit_and_score, fit_pipeline, sample_weights, stratified_share
from sweeper.evaluate.metrics import METRICS
from sweeper.pipeline import FeaturizerChoice, Pipeline

Array = NDArray[np.float64]


def pipeline(
    classifier: str = "rf", reducer: str = "standard", reducer_params: Any = None, **params: Any
) -> Pipeline:
    if classifier in {"rf", "et"}:
        params = {"n_trees": 15, **params}
    return Pipeline({}, (FeaturizerChoice("glcm", {}),), reducer, reducer_params or {}, classifier, params)


def frames(
    n: int = 120, d: int = 6, n_classes: int = 3, apart: float = 2.0
) -> tuple[Array, NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % n_classes
    x = rng.normal(size=(n, d))
    x[np.arange(n), y] += apart
    return x, y


def evaluate(
    which: Pipeline, x: Array, y: NDArray[np.int64], classifier: Classifier | None = None, **options: Any
) -> FoldResult:
    half = len(y) * 2 // 3
    defaults: dict[str, Any] = {
        "train": np.arange(half),
        "validation": np.arange(half, len(y)),
        "n_classes": 3,
        "budget": 1.0,
        "seed": 7,
        "threads": 1,
        "classifier": classifier or plugins.classifier(which.classifier),
    }
    return fit_and_score(which, x, y, **(defaults | options))


class Recorder:
    """An estimator that keeps what it is given and scores by the nearest class mean."""

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes

    def fit(self, x: Array, y: NDArray[np.int64], sample_weight: Array) -> None:
        self.x, self.y, self.sample_weight = x, y, sample_weight

    def scores(self, x: Array) -> Array:
        means = np.stack([self.x[self.y == c].mean(axis=0) for c in range(self.n_classes)])
        return -np.linalg.norm(x[:, None] - means, axis=2)


def recording(budget: Any = "trees") -> tuple[Classifier, list[tuple[Build, Recorder]]]:
    made: list[tuple[Build, Recorder]] = []

    def build(options: Build) -> Estimator:
        made.append((options, Recorder(options.n_classes)))
        return made[-1][1]

    return Classifier("recorder", 1, "test", (CLASS_WEIGHT,), budget, build), made


# --------------------------------------------------------------------------- what is computed


def test_a_forest_on_a_fold_is_scikit_learns_own() -> None:
    x, y = frames(apart=1.0)
    result = evaluate(pipeline(reducer="none", class_weight="balanced"), x, y)
    seed = int(np.random.SeedSequence(7).generate_state(2)[1] >> 1)
    forest = RandomForestClassifier(15, random_state=seed)
    forest.fit(x[:80], y[:80], compute_sample_weight("balanced", y[:80]))
    predicted = forest.predict(x[80:])
    assert result.metrics["accuracy"] == accuracy_score(y[80:], predicted) < 1
    assert result.confusion == confusion_matrix(y[80:], predicted).tolist()
    assert tuple(result.metrics) == METRICS
    assert (result.n_train, result.n_validation, result.warnings) == (80, 40, ())
    assert result.fit_s > 0 and result.predict_ms_per_frame > 0


@pytest.mark.parametrize("reducer", ["standard", "pca", "fastica"])
def test_validation_rows_and_labels_reach_no_fit(reducer: str) -> None:
    x, y = frames()
    classifier, made = recording()
    which = pipeline("recorder", reducer, class_weight="balanced")
    evaluate(which, x, y, classifier)
    other, other_y = x.copy(), y.copy()
    other[80:] = 1e6 * other[80:][::-1]
    other_y[80:] = 0
    evaluate(which, other, other_y, classifier)
    np.testing.assert_array_equal(made[0][1].x, made[1][1].x)
    np.testing.assert_array_equal(made[0][1].sample_weight, made[1][1].sample_weight)
    np.testing.assert_allclose(made[0][1].x.mean(axis=0), 0, atol=1e-9)


def test_permuted_labels_score_at_chance() -> None:
    x, y = frames(n=180, d=60, apart=3.0)
    y = np.random.default_rng(3).permutation(y)
    for which in (pipeline(reducer="pca"), pipeline("svm")):
        splits = make_splits(y, "abc", folds=5, repeats=2, seed=1)
        folds = [evaluate(which, x, y, train=s.train, validation=s.validation) for s in splits]
        accuracy = np.mean([f.metrics["accuracy"] for f in folds if f.metrics["accuracy"] is not None])
        assert abs(accuracy - 1 / 3) < 0.1  # 180 frames: standard error 0.035


@pytest.mark.parametrize("name", ["rf", "svm", "lightgbm"])
def test_the_seed_decides_and_the_global_state_does_not(name: str) -> None:
    x, y = frames(apart=1.0)
    extra = {"subsample": 0.5, "n_trees": 10} if name == "lightgbm" else {}
    which = pipeline(name, "fastica", {"components": 3}, **extra)
    np.random.seed(0)  # noqa: NPY002
    one = evaluate(which, x, y)
    np.random.seed(1)  # noqa: NPY002
    again = evaluate(which, x, y)
    assert (one.metrics, one.confusion) == (again.metrics, again.confusion)
    if name == "rf":
        assert one.metrics != evaluate(which, x, y, seed=8).metrics


def test_any_seed_is_accepted() -> None:
    x, y = frames()
    assert evaluate(pipeline("rf", "pca"), x, y, seed=2**40).metrics["accuracy"] is not None


def test_defaults_stand_in_for_parameters_left_out() -> None:
    x, y = frames()
    classifier, made = recording()
    evaluate(pipeline("recorder"), x, y, classifier, threads=2, budget=0.3)
    options, recorder = made[0]
    assert options.params == {}
    assert (options.budget, options.n_classes, options.threads) == (0.3, 3, 2)
    np.testing.assert_array_equal(recorder.sample_weight, np.ones(80))


def test_a_fitted_pipeline_scores_new_rows() -> None:
    x, y = frames()
    fitted = fit_pipeline(
        pipeline("svm", "pca"),
        x,
        y,
        np.arange(80),
        n_classes=3,
        budget=1.0,
        seed=7,
        threads=1,
        classifier=plugins.classifier("svm"),
    )
    accuracy = (fitted.scores(x[80:]).argmax(axis=1) == y[80:]).mean()
    assert accuracy == evaluate(pipeline("svm", "pca"), x, y).metrics["accuracy"]


def test_blas_is_limited_while_fitting() -> None:
    from threadpoolctl import threadpool_info

    x, y = frames()
    seen: list[int] = []

    class Looking(Recorder):
        def fit(self, x: Array, y: NDArray[np.int64], sample_weight: Array) -> None:
            seen.extend(pool["num_threads"] for pool in threadpool_info())
            super().fit(x, y, sample_weight)

    classifier = replace(recording()[0], build=lambda options: Looking(options.n_classes))
    evaluate(pipeline("recorder"), x, y, classifier)
    assert set(seen) == {1}


# --------------------------------------------------------------------------- budget of rows


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=5),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
    st.integers(0, 1000),
)
def test_shares_are_stratified_and_nested(counts: list[int], one: float, other: float, seed: int) -> None:
    y = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    rows = np.flatnonzero(np.random.default_rng(seed).random(len(y)) < 0.9)
    small, large = (stratified_share(y, rows, share, seed) for share in sorted((one, other)))
    assert set(small) <= set(large) <= set(rows)
    assert (np.diff(large) > 0).all()
    held, of = np.bincount(y[large], minlength=len(counts)), np.bincount(y[rows], minlength=len(counts))
    assert (held >= np.minimum(of, 2)).all()
    assert (np.abs(held - max(one, other) * of) <= 2).all()
    np.testing.assert_array_equal(stratified_share(y, rows, 1.0, seed), rows)


def test_rows_are_bought_where_the_classifier_says_so() -> None:
    x, y = frames()
    classifier, made = recording("rows")
    result = evaluate(pipeline("recorder"), x, y, classifier, budget=0.25)
    options, recorder = made[0]
    assert options.budget == 1.0
    assert result.n_train == len(recorder.y) == 20  # 7, 7 and 6 of 27, 27 and 26
    np.testing.assert_allclose(recorder.x.mean(axis=0), 0, atol=1e-12)  # the scaler saw the same rows
    assert evaluate(pipeline("rf"), x, y, budget=0.25).n_train == 80


# --------------------------------------------------------------------------- class weights


def test_sample_weights() -> None:
    y = np.array([0, 0, 0, 1, 2, 2])
    np.testing.assert_array_equal(sample_weights(None, y, 3), np.ones(6))
    np.testing.assert_allclose(sample_weights("balanced", y, 3), compute_sample_weight("balanced", y))
    np.testing.assert_array_equal(sample_weights((0.35, 0.1, 2), y, 3), [0.35, 0.35, 0.35, 0.1, 2, 2])


def test_class_weights_of_another_number_are_refused() -> None:
    x, y = frames()
    with pytest.raises(ValueError, match="class_weight must have one weight a class, 3, got 2"):
        evaluate(pipeline("rf", class_weight=(0.5, 0.5)), x, y)


def test_class_weights_reach_the_fit() -> None:
    x, y = frames(apart=0.5)
    even = np.array(evaluate(pipeline("svm"), x, y).confusion).sum(axis=0)
    favoured = np.array(evaluate(pipeline("svm", class_weight=(1, 1, 20)), x, y).confusion).sum(axis=0)
    assert favoured[2] > even[2]


# --------------------------------------------------------------------------- failures are said


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("row", [3, 100])
def test_features_that_are_not_finite(value: float, row: int) -> None:
    x, y = frames()
    x[row, 4] = value
    with pytest.raises(ValueError, match=r"glcm: features must be finite, 1 of \d+ rows .* column 4"):
        evaluate(pipeline(), x, y)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (
            lambda n: np.where(np.arange(n * 3).reshape(n, 3) == 5, np.nan, 0.0),
            "scores must be finite, 1 of 40",
        ),
        (lambda n: np.zeros((n, 2)), r"scores must be of shape \(40, 3\), got \(40, 2\)"),
    ],
)
def test_scores_of_no_use(scores: Any, message: str) -> None:
    x, y = frames()

    class Bad(Recorder):
        def scores(self, x: Array) -> Array:
            bad: Array = scores(len(x))
            return bad

    classifier = replace(recording()[0], build=lambda options: Bad(options.n_classes))
    with pytest.raises(ValueError, match=message):
        evaluate(pipeline("recorder"), x, y, classifier)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0.0}, "budget must be above 0 and at most 1, got 0.0"),
        ({"budget": 1.5}, "budget must be above 0 and at most 1, got 1.5"),
        ({"train": np.array([0, 1, 3, 4])}, "every class must have training rows, class 2 has none"),
        ({"validation": np.array([], dtype=np.int64)}, "validation must have rows"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    x, y = frames()
    with pytest.raises(ValueError, match=message):
        evaluate(pipeline(), x, y, **options)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_trees": 0}, "rf: n_trees must be a whole number from 1 to 5000, got 0"),
        ({"trees": 5}, "rf: unknown parameter 'trees'"),
    ],
)
def test_bad_parameters(params: dict[str, Any], message: str) -> None:
    x, y = frames()
    with pytest.raises(ValueError, match=message):
        evaluate(pipeline("rf", **params), x, y)


def test_a_class_missing_from_validation_is_no_failure() -> None:
    x, y = frames()
    result = evaluate(pipeline(), x, y, validation=80 + np.flatnonzero(y[80:] == 1))
    assert result.metrics["accuracy"] is not None
    assert result.metrics["auc_ovr"] is None


def test_warnings_are_returned_once_and_not_shown(recwarn: pytest.WarningsRecorder) -> None:
    x, y = frames()

    class Complaining(Recorder):
        def fit(self, x: Array, y: NDArray[np.int64], sample_weight: Array) -> None:
            for _ in range(3):
                warnings.warn("did not\nconverge " + "x" * 500, RuntimeWarning, stacklevel=1)
            super().fit(x, y, sample_weight)

    classifier = replace(recording()[0], build=lambda options: Complaining(options.n_classes))
    result = evaluate(pipeline("recorder"), x, y, classifier)
    assert len(result.warnings) == 1
    assert result.warnings[0].startswith("RuntimeWarning: did not converge xxx")
    assert len(result.warnings[0]) == 200
    assert not recwarn


# --------------------------------------------------------------------------- frames that help


def test_a_row_of_ones_own_weighs_as_many_as_the_pipeline_says() -> None:
    x, y = frames(apart=1.0)
    helping = np.arange(len(y)) % 4 > 0
    for class_weight in (None, "balanced", (1.0, 2.0, 3.0)):
        classifier, made = recording()
        which = pipeline("recorder", reducer="none", class_weight=class_weight, own_weight=9.0)
        result = evaluate(which, x, y, classifier=classifier, helping=helping)
        [(options, recorder)] = made
        assert "own_weight" not in options.params
        assert result.n_train == 20  # of 80, those that only help do not count
        weights, of = recorder.sample_weight, np.flatnonzero(~helping[:80])
        same_class = (y[:80] == y[of[0]]) & helping[:80]
        np.testing.assert_allclose(weights[of[0]] / weights[same_class], 9.0)
        if class_weight is None:
            np.testing.assert_allclose(weights.mean(), 1.0)
        if class_weight == "balanced":
            sums = np.bincount(y[:80], weights=weights)
            np.testing.assert_allclose(sums, sums[0])


def test_a_weight_of_one_is_no_weight() -> None:
    x, y = frames(apart=1.0)
    plain = evaluate(pipeline("rf"), x, y)
    same = evaluate(pipeline("rf", own_weight=1.0), x, y, helping=np.arange(len(y)) % 4 > 0)
    more = evaluate(pipeline("rf", own_weight=50.0), x, y, helping=np.arange(len(y)) % 4 > 0)
    np.testing.assert_array_equal(same.scores, plain.scores)
    assert np.abs(more.scores - plain.scores).max() > 0


def test_a_budget_of_rows_buys_a_share_of_ones_own_too() -> None:
    x, y = frames(apart=1.0)
    helping = np.arange(len(y)) >= 12
    classifier, made = recording("rows")
    result = evaluate(
        pipeline("recorder", reducer="none"), x, y, classifier=classifier, helping=helping, budget=0.25
    )
    assert result.n_train == 6  # two of each class, of four
    assert len(made[0][1].y) == 6 + 18  # a quarter of 23, 23 and 22
