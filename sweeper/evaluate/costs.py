"""Costs of missing a frame of a class, and the decision that costs least by calibrated probabilities.

A frame of class c that is given another class costs cost(c), whichever that is. With probabilities p,
class k is then expected to cost the sum of cost(c) p(c) over the others, least where cost(k) p(k) is largest
(Elkan, IJCAI 2001, section 1). Classifiers need not know of it: weights in their fits would shift scores that
calibration shifts back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sweeper.data.splits import Rows
from sweeper.errors import InputError
from sweeper.plugins import nearest


def check_costs(costs: Mapping[str, float], classes: Sequence[str]) -> None:
    """Raise InputError for a class that is not known, or a cost that is no number above zero."""
    for name, cost in costs.items():
        if name not in classes:
            raise InputError(f"class costs: unknown class {name!r}; {nearest(name, classes)}")
        if not 0 < cost < np.inf:
            raise InputError(f"class costs must be numbers above zero, {name} has {cost:g}")


def costs_of(costs: Mapping[str, float], classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the cost of each class, (n_classes,): 1 where none is given."""
    return np.array([costs.get(name, 1.0) for name in classes], dtype=np.float64)


def decide(probabilities: NDArray[np.float64], costs: NDArray[np.float64]) -> Rows:
    """Return the class that costs least of each row, (n,), of calibrated probabilities (n, n_classes)."""
    return np.asarray((probabilities * costs).argmax(axis=1))


def mean_cost(decided: Rows, labels: Rows, costs: NDArray[np.float64]) -> float:
    """Return what a row costs on average where classes were decided on and the true ones are known."""
    return float(np.where(decided == labels, 0.0, costs[labels]).mean())
