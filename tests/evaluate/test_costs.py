"""The decision by costs is the cheapest there is."""

from __future__ import annotations

import numpy as np
import pytest

from sweeper.errors import InputError
from sweeper.evaluate.costs import check_costs, costs_of, decide, mean_cost

NAMES = ("a", "b", "c")


def test_no_other_class_costs_less() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(3, 0.7), size=500)
    costs = costs_of({"c": 10, "a": 0.5}, NAMES)
    assert costs.tolist() == [0.5, 1, 10]
    of = costs[:, None] * (1 - np.eye(3))  # rows: true class, columns: class given
    np.testing.assert_array_equal(decide(p, costs), (p @ of).argmin(axis=1))
    np.testing.assert_array_equal(decide(p, np.ones(3)), p.argmax(axis=1))
    labels = np.minimum((rng.uniform(size=(500, 1)) > p.cumsum(axis=1)).sum(axis=1), 2)
    given = decide(p, costs)
    assert mean_cost(given, labels, costs) == pytest.approx(of[labels, given].mean())
    assert mean_cost(given, labels, costs) < mean_cost(p.argmax(axis=1), labels, costs)


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ({"A": 2.0}, "unknown class 'A'"),
        ({"a": 0.0}, "above zero, a has 0"),
        ({"a": float("inf")}, "above zero, a has inf"),
        ({"a": float("nan")}, "above zero, a has nan"),
    ],
)
def test_wrong_costs(costs: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_costs(costs, NAMES)
