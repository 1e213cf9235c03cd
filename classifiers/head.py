"""A network's own head: the classifier that was fitted together with the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Build, Classifier


class Head:
    """Turns the logits that the head gave into probabilities; there is nothing left to fit."""

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> None:
        """Do nothing: the head was fitted with its network."""

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the softmax of the logits `x`, (n, n_classes)."""
        logits = np.asarray(x, dtype=np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def build(build: Build) -> Head:
    """Return the head, which has no parameters of its own."""
    return Head()


CLASSIFIER = Classifier(
    name="head",
    version=1,
    source="Bridle, Neurocomputing (1990) 227, equation 3 (softmax); DiffraNet, section 4.3",
    axes=(),
    budget="epochs",
    build=build,
    fitted="",
)
"""The classifier of a network that was trained: rows are its logits, not its features.

Class weights have no place here: the network was fitted before.
"""
