"""Promises are kept, on average over many draws of calibration frames."""

from __future__ import annotations

import numpy as np
import pytest

from sweeper.evaluate.conformal import NEVER, alarm_threshold, error_threshold, recall_threshold


def frames(n: int, rng: np.random.Generator, error: float = 0.15) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and whether the class is right; sure frames are wrong less often."""
    confidence = rng.beta(4, 1, size=n)
    right = rng.uniform(size=n) > error * 2 * (1 - confidence) + 0.004
    return confidence, right


def kept(losses: list[float], rate: float) -> bool:
    """Return whether the mean of losses over draws is at most a rate, within three standard errors."""
    return float(np.mean(losses)) <= rate + 3 * float(np.std(losses)) / np.sqrt(len(losses))


@pytest.mark.parametrize("rate", [0.02, 0.05])
@pytest.mark.parametrize("n", [60, 300, 1500])
def test_the_error_rate_is_kept_over_many_draws(rate: float, n: int) -> None:
    rng = np.random.default_rng(n)
    losses, accepted = [], []
    for _ in range(1500):
        confidence, right = frames(n, rng)
        new, new_right = frames(200, rng)
        taken = new >= error_threshold(confidence, right, np.arange(n), rate)
        losses.append(float((taken & ~new_right).mean()))
        accepted.append(float(taken.mean()))
    assert kept(losses, rate)
    if n == 1500:  # and it accepts as much as it may
        assert np.mean(losses) > 0.9 * rate or np.mean(accepted) == 1
        assert np.mean(accepted) > 0.5


@pytest.mark.parametrize("size", [5, 20])
def test_groups_are_the_units(size: int) -> None:
    """Frames of a series are right or wrong together: a series counts as one, and the promise is kept."""
    rng = np.random.default_rng(size)
    rate, n_groups = 0.2, 8

    def series(n: int) -> tuple[np.ndarray, np.ndarray]:
        confidence, right = frames(n, rng, error=1.5)
        return np.repeat(confidence, size), np.repeat(right, size)

    losses: tuple[list[float], list[float]] = [], []
    for _ in range(1500):
        confidence, right = series(n_groups)
        new, new_right = series(40)
        for i, groups in enumerate((np.arange(n_groups * size), np.arange(n_groups * size) // size)):
            taken = new >= error_threshold(confidence, right, groups, rate)
            losses[i].append(float((taken & ~new_right).mean()))
    assert kept(losses[1], rate)
    assert np.mean(losses[1]) < np.mean(losses[0])


def test_the_promise_is_of_domains_that_were_never_seen() -> None:
    """In some domains the classifier errs often; frames as units promise too much of a new one."""
    rng = np.random.default_rng(0)
    rate, size = 0.12, 30

    def drawn(n_domains: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        error = np.repeat(rng.beta(0.2, 0.4, size=n_domains), size)
        confidence = rng.uniform(size=n_domains * size)
        right = rng.uniform(size=n_domains * size) > np.minimum(1, error * 3 * (1 - confidence))
        return confidence, right, np.arange(n_domains * size) // size

    losses: tuple[list[float], list[float]] = [], []
    for _ in range(1500):
        confidence, right, domains = drawn(10)
        new, new_right, _ = drawn(4)
        for i, units in enumerate((np.arange(len(domains)), domains)):
            taken = new >= error_threshold(confidence, right, units, rate)
            losses[i].append(float((taken & ~new_right).mean()))
    assert kept(losses[1], rate)
    assert not kept(losses[0], rate)
    assert np.mean(losses[1]) > 0.02


@pytest.mark.parametrize("recall", [0.9, 0.99])
@pytest.mark.parametrize("n", [120, 600])
def test_the_recall_is_kept_over_many_draws(recall: float, n: int) -> None:
    rng = np.random.default_rng(n)
    lost = []
    for _ in range(1500):
        threshold = recall_threshold(rng.beta(2, 1, size=n), np.arange(n), recall)
        lost.append(float((rng.beta(2, 1, size=200) < threshold).mean()))
    assert kept(lost, 1 - recall)
    assert np.mean(lost) > 0.5 * (1 - recall) or n * (1 - recall) < 2


def test_too_few_frames_promise_nothing() -> None:
    right = np.ones(48, dtype=bool)
    assert error_threshold(np.linspace(0.5, 1, 48), right, np.arange(48), 0.02) == NEVER
    right, confidence = np.ones(49, dtype=bool), np.linspace(0.5, 1, 49)
    assert error_threshold(confidence, right, np.arange(49), 0.02) == 0.5
    assert error_threshold(confidence, right, np.arange(49) // 2, 0.02) == NEVER
    assert error_threshold(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=int), 0.02) == NEVER
    assert recall_threshold(np.linspace(0.1, 1, 998), np.arange(998), 0.999) == 0.0
    assert recall_threshold(np.linspace(0.1, 1, 999), np.arange(999), 0.999) == 0.1


def test_equal_confidences_are_accepted_together() -> None:
    confidence = np.array([0.9] * 60 + [0.8] * 10)
    right = np.array([True] * 60 + [True] * 8 + [False] * 2)
    assert error_threshold(confidence, right, np.arange(70), 0.02) == 0.9
    assert error_threshold(confidence, right, np.arange(70), 0.05) == 0.8
    right[0] = False
    assert error_threshold(confidence, right, np.arange(70), 0.02) == NEVER


@pytest.mark.parametrize(("n", "size"), [(30, 1), (150, 1), (600, 4)])
def test_false_alarms_are_kept_over_many_draws(n: int, size: int) -> None:
    """Or, with few frames, as rare as these can promise."""
    rng = np.random.default_rng(n)
    rate, shares = 0.01, []
    for _ in range(1500):
        threshold = alarm_threshold(
            np.repeat(rng.exponential(size=n // size), size), np.arange(n) // size, rate
        )
        shares.append(float((rng.exponential(size=200) > threshold).mean()))
    assert kept(shares, max(rate, size / (n + size)))
    assert np.mean(shares) > 0.5 * max(rate, size / (n + size))


def test_equal_distances_are_alarms_together() -> None:
    distance = np.array([1.0] * 80 + [2.0] * 20)
    assert alarm_threshold(distance, np.arange(100), 0.1) == 2.0
    assert alarm_threshold(distance, np.arange(100), 0.25) == 1.0
    assert alarm_threshold(distance[:5], np.arange(5), 0.01) == 1.0
