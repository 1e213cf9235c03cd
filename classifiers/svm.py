"""Support vector machine with a radial basis function kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import CLASS_WEIGHT, Axis, Build, Classifier, Either, Interval, OneOf

AXES = (
    Axis("C", Interval(1e-6, 1e6), default=1.0, doc="cost of a misclassified row"),
    Axis(
        "gamma",
        Either(OneOf("scale"), Interval(0, 1e6)),
        default="scale",
        doc="kernel exp(-gamma |x - x'|^2); 0 is 1 / features, scale is 1 / (features * variance)",
    ),
    CLASS_WEIGHT,
)

CACHE_MB = 500  # kernel rows kept: the library's 200 MB hold 5,000 training rows


class SupportVectors:
    """One-against-rest scores from the one-against-one machines.

    No probabilities: they would cost five more fits inside each fit and do not change the ranks.
    """

    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> None:
        """Fit; a row's weight multiplies its cost C."""
        self.machine.fit(x, y, sample_weight=sample_weight)

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return votes, ties broken by confidence, (n, n_classes); for two, minus and plus the distance."""
        decision = np.asarray(self.machine.decision_function(x), dtype=np.float64)
        return np.column_stack([-decision, decision]) if decision.ndim == 1 else decision


def build(build: Build) -> SupportVectors:
    """Return an unfitted machine; the library runs it on one thread and without random numbers."""
    from sklearn.svm import SVC

    gamma = build.params["gamma"]
    machine = SVC(
        C=float(build.params["C"]),
        kernel="rbf",
        gamma="auto" if gamma == 0 else gamma,
        decision_function_shape="ovr",
        cache_size=CACHE_MB,
    )
    return SupportVectors(machine)


CLASSIFIER = Classifier(
    name="svm",
    version=1,
    source="Cortes and Vapnik, Machine Learning 20 (1995) 273; libsvm as scikit-learn's SVC",
    axes=AXES,
    budget="rows",
    build=build,
    fitted="machine",
)
