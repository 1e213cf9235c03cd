"""LightGBM: gradient boosting with leaf-wise trees."""

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
    Axis("num_leaves", Interval(2, 1024, integer=True), default=31, doc="leaves of a tree"),
    Axis("min_child_samples", Interval(1, 1000, integer=True), default=20, doc="training rows in a leaf"),
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
        "objective": "binary" if binary else "multiclass",
        **({} if binary else {"num_class": build.n_classes}),
        "learning_rate": build.params["learning_rate"],
        "num_leaves": build.params["num_leaves"],
        "min_data_in_leaf": build.params["min_child_samples"],
        "bagging_fraction": build.params["subsample"],
        "bagging_freq": 1 if build.params["subsample"] < 1 else 0,
        "feature_fraction": build.params["colsample"],
        "lambda_l2": build.params["reg_lambda"],
        "max_bin": build.params["bins"],
        "seed": build.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": build.threads,
        "verbosity": -1,
    }


class Booster:
    """LightGBM's own training interface, which checks no feature names."""

    def __init__(self, options: dict[str, Any], rounds: int) -> None:
        self.options = options
        self.rounds = rounds
        self.model: Any = None

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> None:
        """Fit; the same model on any number of threads."""
        import lightgbm

        data = lightgbm.Dataset(x, label=y, weight=even_weights(sample_weight), params=self.options)
        self.model = lightgbm.train(self.options, data, num_boost_round=self.rounds)

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return class probabilities, (n, n_classes)."""
        p = self.model.predict(x, num_threads=self.options["num_threads"])
        return two_columns(np.asarray(p, dtype=np.float64))


def build(build: Build) -> Booster:
    """Return an unfitted booster; a larger budget starts with the rounds of a smaller one."""
    importlib.import_module("lightgbm")  # here, so that the time of a fit is the fit's alone
    return Booster(_options(build), scaled_count(build.params["n_trees"], build.budget))


CLASSIFIER = Classifier(
    name="lightgbm",
    version=1,
    source="Ke et al., NeurIPS 2017",
    axes=AXES,
    budget="trees",
    build=build,
    fitted="model",
)
