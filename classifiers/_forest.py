"""The parts that forests share: axes, options, and scores that do not depend on the number of threads."""

from __future__ import annotations

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
        super().fit(x, y, sample_weight)
        # With several threads the library sums the trees in the order in which they finish, and the
        # last bit of a score, so now and then a prediction, would change from call to call.
        self.estimator.n_jobs = 1
