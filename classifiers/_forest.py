"""The parts that forests share: axes, options, and scores that do not depend on the number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import (
    CLASS_WEIGHT,
    Axis,
    Build,
    Either,
    Interval,
    OneOf,
    ProbabilityScores,
    scaled_count,
)

AXES = (
    Axis("n_trees", Interval(1, 5000, integer=True), default=100, doc="trees at full budget"),
    Axis(
        "max_features",
        Either(OneOf("sqrt", "log2"), Interval(0.001, 1.0)),
        default="sqrt",
        doc="features tried at a split: sqrt or log2 of their number, or a share of it",
    ),
    Axis(
        "max_depth",
        Either(OneOf(None), Interval(1, 100, integer=True)),
        default=None,
        doc="none grows until leaves are pure",
    ),
    Axis("min_samples_leaf", Interval(1, 1000, integer=True), default=1, doc="training rows in a leaf"),
    CLASS_WEIGHT,
)


def options(build: Build) -> dict[str, Any]:
    """Return keyword arguments for scikit-learn's forests."""
    share = build.params["max_features"]
    return {
        "n_estimators": scaled_count(build.params["n_trees"], build.budget),
        # The library reads a whole 1 as one feature, and 1.0 as all of them.
        "max_features": share if isinstance(share, str) else float(share),
        "max_depth": build.params["max_depth"],
        "min_samples_leaf": build.params["min_samples_leaf"],
        "random_state": build.seed,
        "n_jobs": build.threads,
    }


class Forest(ProbabilityScores):
    """A forest as an estimator: the mean of its trees' class frequencies."""

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> None:
        """Fit on `build.threads` threads; every tree has a seed of its own."""
        forest = self.estimator
        n_trees, threads = forest.n_estimators, forest.n_jobs
        forest.n_estimators = 1  # all that is checked is checked with the first
        super().fit(x, y, sample_weight)
        forest.n_estimators = n_trees
        forest.estimators_ += _other_trees(forest, x, y, threads)
        forest.n_jobs = 1  # as it is one thread that :meth:`scores` has

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return mean class frequencies, (rows, n_classes), trees summed in their order.

        With several threads the library sums the trees in the order in which they finish, and the last bit of
        a score, so now and then a prediction, would change from call to call. With one it takes ten times as
        long for a single row, for its checks of every tree.
        """
        forest, rows = self.estimator, np.asarray(x, dtype=np.float32)
        if rows.shape[1] != forest.n_features_in_:
            raise ValueError(f"rows must have {forest.n_features_in_} features, got {rows.shape[1]}")
        total = np.zeros((len(rows), forest.n_classes_))
        for tree in forest.estimators_:
            total += tree.tree_.predict(rows)
        total /= len(forest.estimators_)
        return total


def _other_trees(forest: Any, x: NDArray[np.float64], y: NDArray[np.int64], threads: int) -> list[Any]:
    """Return the trees after the first, as the library grows them, with the same compiled code and seeds.

    The library clones, checks and encodes anew for every tree, which takes longer than to grow it on some
    hundred rows.
    """
    from sklearn.ensemble._forest import MAX_INT, _generate_sample_indices
    from sklearn.tree._classes import CRITERIA_CLF, DENSE_SPLITTERS
    from sklearn.tree._tree import DepthFirstTreeBuilder, Tree

    [first] = forest.estimators_
    rows = np.asarray(x, dtype=np.float32)
    missing = first._compute_missing_values_in_feature_mask(rows)
    labels = np.searchsorted(forest.classes_, y).astype(np.float64)[:, np.newaxis]
    n_classes = np.array([forest.n_classes_], dtype=np.intp)
    depth = np.iinfo(np.int32).max if forest.max_depth is None else forest.max_depth
    leaf = forest.min_samples_leaf

    def grow(seed: int) -> Any:
        weight = forest._sample_weight
        if forest.bootstrap:
            drawn = _generate_sample_indices(seed, len(rows), forest._n_samples_bootstrap, weight)
            weight = np.bincount(drawn, minlength=len(rows)).astype(np.float64)
        splitter = DENSE_SPLITTERS[first.splitter](
            CRITERIA_CLF[first.criterion](1, n_classes), first.max_features_, leaf, 0.0,
            np.random.RandomState(seed), None,
        )  # fmt: skip
        nodes = Tree(rows.shape[1], n_classes, 1)
        DepthFirstTreeBuilder(splitter, 2 * leaf, leaf, 0.0, depth, 0.0).build(
            nodes, rows, labels, weight, missing
        )
        tree = object.__new__(type(first))
        tree.__dict__ = {**vars(first), "random_state": seed, "tree_": nodes}
        return tree

    seeds = np.random.RandomState(forest.random_state).randint(MAX_INT, size=forest.n_estimators)[1:].tolist()
    if threads == 1:
        return [grow(seed) for seed in seeds]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(grow, seeds))
