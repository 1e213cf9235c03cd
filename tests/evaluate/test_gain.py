"""What more of a search would add: held against searches that do go on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.evaluate.gain import CONFIDENCE, LEAST_SCORES, Gain, gain_of_more

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

_REPLAYS = 300
DRAWS: dict[str, Draw] = {
    "as assumed": lambda rng, n: 1 - 0.4 * np.sqrt(rng.random(n)),
    "normal": lambda rng, n: np.minimum(rng.normal(0.9, 0.02, n), 1),
    "normal and low": lambda rng, n: rng.normal(0.3, 0.1, n),
    "near 1": lambda rng, n: 1 - rng.exponential(0.1, n),
    "shares": lambda rng, n: rng.beta(18, 2, n),
    "below a ceiling": lambda rng, n: 0.97 - rng.gamma(2, 0.02, n),
    "most of them poor": lambda rng, n: np.where(
        rng.random(n) < 0.4, 0.96 - rng.exponential(0.01, n), 0.85 - rng.exponential(0.1, n)
    ),
    "of 300 frames": lambda rng, n: rng.binomial(300, rng.beta(60, 3, n)) / 300,
}


def replayed(name: str, n: int, seed: int) -> tuple[NDArray[np.float64], list[Gain]]:
    """Return what searches gained that went on as long again, (replays,), and what was said before."""
    rng = np.random.default_rng(seed)
    gained, said = np.zeros(_REPLAYS), []
    for i in range(_REPLAYS):
        scores = DRAWS[name](rng, 2 * n)
        best = float(scores[:n].max())
        gained[i] = max(0.0, scores[n:].max() - best)
        found = gain_of_more(scores[:n], best, n)
        assert found is not None
        said.append(found)
    return gained, said


@pytest.mark.parametrize("n", [LEAST_SCORES, 25])
@pytest.mark.parametrize("name", DRAWS)
def test_the_interval_holds_as_often_as_it_says(name: str, n: int) -> None:
    gained, said = replayed(name, n, 7)
    inside = np.mean([g.low - 1e-12 <= gain <= g.high + 1e-12 for gain, g in zip(gained, said, strict=True)])
    # More often where errors thin out faster than assumed; three standard deviations of so many replays.
    assert inside >= CONFIDENCE - 3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / _REPLAYS)


def test_the_upper_bound_is_exact_where_the_assumption_is() -> None:
    """One more in ten exceeds it, and not one in a hundred: it is no empty promise."""
    gained, said = replayed("as assumed", 25, 3)
    above = np.mean([gain > g.high for gain, g in zip(gained, said, strict=True)])
    assert 0.05 < above < 0.16


@pytest.mark.parametrize("n", [LEAST_SCORES, 25])
@pytest.mark.parametrize("name", ["as assumed", "normal", "shares", "of 300 frames"])
def test_no_more_is_expected_than_comes_on_average(name: str, n: int) -> None:
    gained, said = replayed(name, n, 11)
    assert 0.3 < np.mean([g.expected for g in said]) / gained.mean() < 1.3


def test_a_search_that_has_found_its_best_gains_nothing() -> None:
    same = gain_of_more(np.full(20, 0.9), 0.9, 20)
    assert same is not None
    assert (same.expected, same.low, same.high) == (0, 0, 0)
    full = gain_of_more(np.linspace(0.5, 1.0, 20), 1.0, 20)
    assert full is not None
    assert full.high == 0


def test_an_early_best_that_later_ones_do_not_reach_leaves_little() -> None:
    later = np.random.default_rng(0).normal(0.8, 0.01, 30)
    near, far = gain_of_more(later, later.max(), 30), gain_of_more(later, 0.95, 30)
    assert near is not None
    assert far is not None
    assert far.expected < near.expected / 10
    assert far.high == 0


def test_more_brings_more_and_never_passes_1() -> None:
    scores = np.random.default_rng(1).normal(0.9, 0.05, 30)
    best = float(scores.max())
    some, many = gain_of_more(scores, best, 10), gain_of_more(scores, best, 1000)
    assert some is not None
    assert many is not None
    assert some.expected < many.expected < many.high < 1 - best
    nothing = gain_of_more(scores, best, 0)
    assert nothing == Gain(0, 0, 0, 0, 30)


def test_nobody_can_tell_from_a_few() -> None:
    assert gain_of_more(np.linspace(0, 0.9, LEAST_SCORES - 1), 0.9, 10) is None


def test_it_is_the_same_each_time_in_any_order() -> None:
    scores = np.random.default_rng(2).random(12)
    assert gain_of_more(scores, 0.99, 5) == gain_of_more(scores[::-1], 0.99, 5)
