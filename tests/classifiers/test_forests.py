"""Forests are grown tree by tree without the library's own loop: they are its forests to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import Build

N_CLASSES = 4


def rows(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Rows, labels without class 2, and weights."""
    rng = np.random.default_rng(seed)
    y = rng.choice([0, 1, 3], n)
    x = rng.normal(size=(n, 9))
    x[:, 0] += y
    return x, y, rng.uniform(0.5, 2, n)


def built(name: str, **given: Any) -> Any:
    classifier = plugins.classifier(name)
    params = {axis.name: axis.default for axis in classifier.axes} | {"n_trees": 12} | given
    return classifier.build(Build(params=params, budget=1.0, seed=5, threads=1, n_classes=N_CLASSES))


def check_equal(classifier: Any, librarys: Any, x: NDArray[np.float64]) -> None:
    """Compare all that two forests hold, and the scores of rows that they were not fitted on."""
    ours = classifier.estimator
    assert len(ours.estimators_) == len(librarys.estimators_) == ours.n_estimators
    for a, b in zip(ours.estimators_, librarys.estimators_, strict=True):
        assert type(a) is type(b)
        assert a.get_params() == b.get_params()
        assert vars(a).keys() == vars(b).keys()
        np.testing.assert_array_equal(a.tree_.value, b.tree_.value)
        for field, values in a.tree_.__getstate__()["nodes"].dtype.fields.items():
            assert values is not None
            np.testing.assert_array_equal(
                a.tree_.__getstate__()["nodes"][field], b.tree_.__getstate__()["nodes"][field]
            )
    for some in (x, x[:1], np.asfortranarray(x), x[:0]):
        expected = librarys.predict_proba(some) if len(some) else np.zeros((0, 3))
        np.testing.assert_array_equal(classifier.scores(some), expected)
    np.testing.assert_array_equal(ours.predict_proba(x), librarys.predict_proba(x))
    np.testing.assert_array_equal(ours.feature_importances_, librarys.feature_importances_)


@pytest.mark.parametrize("name", ["rf", "et"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"max_features": "log2", "max_depth": 3},
        {"max_features": 1.0, "min_samples_leaf": 4},
        {"max_features": 0.5, "class_weight": "balanced"},
        {"n_trees": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_trees_are_the_librarys(name: str, given: dict[str, Any], weighted: bool) -> None:
    x, y, weights = rows(80)
    if not weighted:
        weights = np.ones(len(y))
    ours, librarys = built(name, **given), built(name, **given).estimator
    ours.fit(x, y, weights)
    librarys.fit(x, y, sample_weight=weights)
    check_equal(ours, librarys, rows(40, seed=1)[0])


def test_missing_values_are_taken_as_the_library_takes_them() -> None:
    x, y, weights = rows(80)
    x[::7, 3] = np.nan
    ours, librarys = built("rf"), built("rf").estimator
    ours.fit(x, y, weights)
    librarys.fit(x, y, sample_weight=weights)
    check_equal(ours, librarys, x)


@pytest.mark.parametrize("name", ["rf", "et"])
def test_threads_grow_the_same_trees(name: str) -> None:
    x, y, weights = rows(80)
    one, several = built(name), built(name)
    several.estimator.n_jobs = 3
    one.fit(x, y, weights)
    several.fit(x, y, weights)
    check_equal(several, one.estimator, x)


def test_rows_of_other_features_are_refused() -> None:
    x, y, weights = rows(80)
    forest = built("et")
    forest.fit(x, y, weights)
    with pytest.raises(ValueError, match="must have 9 features, got 8"):
        forest.scores(x[:, :8])
