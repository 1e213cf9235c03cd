"""CatBoost: gradient boosting with symmetric trees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import CLASS_WEIGHT, Axis, Build, Classifier, Interval, ProbabilityScores, scaled_count

from ._boosting import BINS, LEARNING_RATE, N_TREES, even_weights

AXES = (
    N_TREES,
    LEARNING_RATE,
    Axis("depth", Interval(1, 12, integer=True), default=4, doc="depth of a tree: 2^depth leaves"),
    Axis("l2_leaf_reg", Interval(0.0, 1e4), default=3.0, doc="L2 penalty of the leaf values"),
    BINS,
    CLASS_WEIGHT,
)


class Booster(ProbabilityScores):
    """CatBoost as an estimator."""

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> None:
        """Fit; features that are all constant are an error of the library."""
        super().fit(x, y, even_weights(sample_weight))


def build(build: Build) -> Booster:
    """Return an unfitted booster of plain (not ordered) boosting."""
    from catboost import CatBoostClassifier

    options: dict[str, Any] = {
        "iterations": scaled_count(build.params["n_trees"], build.budget),
        "learning_rate": build.params["learning_rate"],
        "depth": build.params["depth"],
        "l2_leaf_reg": build.params["l2_leaf_reg"],
        "border_count": build.params["bins"],
        "loss_function": "Logloss" if build.n_classes == 2 else "MultiClass",
        "boosting_type": "Plain",
        "random_seed": build.seed,
        "thread_count": build.threads,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }
    return Booster(CatBoostClassifier(**options))


CLASSIFIER = Classifier(
    name="catboost",
    version=1,
    source="Prokhorenkova et al., NeurIPS 2018",
    axes=AXES,
    budget="trees",
    build=build,
    requires=("catboost",),
)
