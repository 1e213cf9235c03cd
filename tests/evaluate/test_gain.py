"""What more of a search would add: held against searches that do go on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.evaluate.gain import CONFIDENCE, LEAST_SCORES, Gain, gain_of_more

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

_FREE = float("inf")
_REPLAYS = 200
DRAWS: dict[str, tuple[Draw, float]] = {
    "exponential": (lambda rng, n: rng.exponential(1, n), _FREE),
    "normal": (lambda rng, n: rng.normal(0, 1, n), _FREE),
    "near a limit": (lambda rng, n: 1 - rng.exponential(0.1, n), 1.0),
    "shares": (lambda rng, n: rng.beta(18, 2, n), 1.0),
    "few of them good": (
        lambda rng, n: np.where(rng.random(n) < 0.15, rng.normal(3, 0.5, n), rng.normal(0, 1, n)),
        _FREE,
    ),
    "of 300 frames": (lambda rng, n: rng.binomial(300, rng.beta(60, 3, n)) / 300, 1.0),
}


def replayed(name: str, n: int, seed: int) -> tuple[NDArray[np.float64], list[Gain]]:
    """Return what searches gained that went on as long again, (replays,), and what was said before."""
    draw, limit = DRAWS[name]
    rng = np.random.default_rng(seed)
    gained, said = np.zeros(_REPLAYS), []
    for i in range(_REPLAYS):
        scores = draw(rng, 2 * n)
        best = float(scores[:n].max())
        gained[i] = max(0.0, scores[n:].max() - best)
        found = gain_of_more(scores[:n], best, n, limit)
        assert found is not None
        said.append(found)
    return gained, said


@pytest.mark.parametrize("n", [LEAST_SCORES, 25])
@pytest.mark.parametrize("name", DRAWS)
def test_the_interval_holds_as_often_as_it_says(name: str, n: int) -> None:
    gained, said = replayed(name, n, 7)
    inside = np.mean([g.low - 1e-12 <= gain <= g.high + 1e-12 for gain, g in zip(gained, said, strict=True)])
    # More often where the tail is lighter than assumed; three standard deviations of so many replays.
    assert inside >= CONFIDENCE - 3 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / _REPLAYS)


def test_the_upper_bound_is_exact_where_the_assumption_is() -> None:
    """One more in ten exceeds it, and not one in a hundred: it is no empty promise."""
    gained, said = replayed("exponential", 25, 3)
    above = np.mean([gain > g.high for gain, g in zip(gained, said, strict=True)])
    assert 0.05 < above < 0.16


@pytest.mark.parametrize("name", ["exponential", "normal"])
def test_what_is_expected_is_what_comes_on_average(name: str) -> None:
    gained, said = replayed(name, 25, 11)
    assert 0.6 < np.mean([g.expected for g in said]) / gained.mean() < 1.6


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


def test_more_brings_more_and_never_passes_the_limit() -> None:
    scores = np.random.default_rng(1).normal(0.9, 0.05, 30)
    best = float(scores.max())
    some, many = gain_of_more(scores, best, 10, 1.0), gain_of_more(scores, best, 1000, 1.0)
    assert some is not None
    assert many is not None
    assert some.expected < many.expected <= 1 - best
    assert many.high == pytest.approx(1 - best)
    nothing = gain_of_more(scores, best, 0)
    assert nothing == Gain(0, 0, 0, 0, 30)


def test_nobody_can_tell_from_a_few() -> None:
    assert gain_of_more(np.arange(LEAST_SCORES - 1.0), 7.0, 10) is None


def test_it_is_the_same_each_time_in_any_order() -> None:
    scores = np.random.default_rng(2).random(12)
    assert gain_of_more(scores, 1.0, 5) == gain_of_more(scores[::-1], 1.0, 5)
