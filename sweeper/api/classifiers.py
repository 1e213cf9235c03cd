"""Classifiers: features to a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sweeper.api.axes import Axis, Params


class Estimator(Protocol):
    """The model that a classifier builds: scikit-learn's fit, and a score for each class."""

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> Any:
        """Fit on features (n, d), classes 0 to n_classes − 1 (n,), and weights (n,)."""
        ...

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score each class, (n, n_classes): the largest is the prediction."""
        ...


@dataclass(frozen=True)
class Build:
    """The request that a classifier builds an estimator for.

    Attributes
    ----------
    params : mapping
        Value of each axis, ``class_weight`` left out: weights reach ``fit`` as sample weights.
    budget : float
        Share of the full budget, in (0, 1]. 1 for classifiers whose budget is training rows.
    n_classes : int
    seed : int
    threads : int
        Native threads that the fit may use.
    """

    params: Params
    budget: float
    n_classes: int
    seed: int
    threads: int


@dataclass(frozen=True)
class Classifier:
    """A family of classifiers.

    Attributes
    ----------
    name : str
        The file's name: lower case letters, digits and underscores.
    version : int
        Raise it when the same rows give another model.
    source : str
        Paper, equation or table.
    axes : tuple of Axis
        Hyperparameters, :data:`CLASS_WEIGHT` among them.
    budget : {"trees", "rows", "epochs"}
        What a fraction of the budget buys: trees of an ensemble, training rows (a stratified
        sample, drawn by the evaluation), or epochs.
    build : callable
        :class:`Build` to an unfitted :class:`Estimator`.
    requires : tuple of str
        Import names of the libraries it needs beyond Sweeper's own: `list`, `plan` and `run` name one
        that is not installed.
    fitted : str
        Attribute of the estimator that holds all that was fitted, a model of scikit-learn, LightGBM, XGBoost
        or CatBoost: ``sweeper export`` saves it and puts it back. Empty: nothing is fitted.
    """

    name: str
    version: int
    source: str
    axes: tuple[Axis, ...]
    budget: Literal["trees", "rows", "epochs"]
    build: Callable[[Build], Estimator]
    requires: tuple[str, ...] = ()
    fitted: str = "estimator"

    @property
    def is_head(self) -> bool:
        """Whether it is a network's own head: its budget is the network's epochs."""
        return self.budget == "epochs"


class ProbabilityScores:
    """An estimator with ``predict_proba`` as an :class:`Estimator`."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> None:
        self.estimator.fit(x, y, sample_weight=sample_weight)

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.estimator.predict_proba(x), dtype=np.float64)


def scaled_count(full: int, budget: float) -> int:
    """Return the share of a count (trees, epochs) that a budget buys: rounded, at least one."""
    return max(1, round(full * budget))
