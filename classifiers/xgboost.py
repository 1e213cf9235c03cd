"""XGBoost: gradient boosting with second-order, depth-wise trees."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import CLASS_WEIGHT, Axis, Build, Classifier, Interval, scaled_count

from ._boosting import (
    BINS,
    COLSAMPLE,
    LEARNING_RATE,
    N_TREES,
    REG_LAMBDA,
    SUBSAMPLE,
    even_weights,
    two_columns,
)

AXES = (
    N_TREES,
    LEARNING_RATE,
    Axis("max_depth", Interval(1, 30, integer=True), default=6, doc="depth of a tree"),
    Axis(
        "min_child_weight", Interval(0.0, 1e3), default=1.0, doc="least sum of second derivatives in a leaf"
    ),
    SUBSAMPLE,
    COLSAMPLE,
    REG_LAMBDA,
    BINS,
    CLASS_WEIGHT,
)


def _options(build: Build) -> dict[str, Any]:
    """Return the parameters by the library's own names."""
    binary = build.n_classes == 2
    return {
        "objective": "binary:logistic" if binary else "multi:softprob",
        **({} if binary else {"num_class": build.n_classes}),
        "learning_rate": build.params["learning_rate"],
        "max_depth": build.params["max_depth"],
        "min_child_weight": build.params["min_child_weight"],
        "subsample": build.params["subsample"],
        "colsample_bytree": build.params["colsample"],
        "reg_lambda": build.params["reg_lambda"],
        "tree_method": "hist",
        "device": "cpu",
        "max_bin": build.params["bins"],
        "seed": build.seed,
        "nthread": build.threads,
        "verbosity": 0,
    }


class Booster:
    """XGBoost's own training interface.

    Features are cut to float32 by the library, and counts beyond 3.4e38 refused.
    """

    def __init__(self, options: dict[str, Any], rounds: int) -> None:
        self.options = options
        self.rounds = rounds
        self.model: Any = None

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> None:
        """Fit on `Build.threads` threads."""
        import xgboost

        data = xgboost.DMatrix(
            x, label=y, weight=even_weights(sample_weight), nthread=self.options["nthread"]
        )
        self.model = xgboost.train(self.options, data, num_boost_round=self.rounds)

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return class probabilities, (n, n_classes)."""
        return two_columns(np.asarray(self.model.inplace_predict(x), dtype=np.float64))


def build(build: Build) -> Booster:
    """Return an unfitted booster; a larger budget starts with the rounds of a smaller one."""
    importlib.import_module("xgboost")  # here, so that the time of a fit is the fit's alone
    return Booster(_options(build), scaled_count(build.params["n_trees"], build.budget))


CLASSIFIER = Classifier(
    name="xgboost",
    version=1,
    source="Chen and Guestrin, KDD 2016",
    axes=AXES,
    budget="trees",
    build=build,
    requires=("xgboost",),
    fitted="model",
)
