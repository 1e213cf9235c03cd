"""Probabilities become frequencies, on frames that no map was fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from sweeper.evaluate.calibration import METHODS, calibrate, fit, quality, together


def drawn(n: int, seed: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True probabilities, classes drawn by them, and logits that are too sure of themselves by a factor."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3)) * 1.5
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.uniform(size=(n, 1)) > p.cumsum(axis=1)).sum(axis=1)
    return p, labels, logits * sharpness


@pytest.mark.parametrize("method", METHODS[1:])
def test_scores_that_are_too_sure_become_frequencies(method: str) -> None:
    _, labels, logits = drawn(4000, 0, sharpness=4.0)
    sure = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    new_truth, new_labels, new_logits = drawn(4000, 1, sharpness=4.0)
    new = np.exp(new_logits) / np.exp(new_logits).sum(axis=1, keepdims=True)
    found = fit(method, False, sure, labels)(new)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found > 0).all()
    before, after = quality(new, new_labels), quality(found, new_labels)
    best = quality(new_truth, new_labels)
    assert after.log_loss < before.log_loss - 0.2
    assert after.log_loss < best.log_loss + (0.05 if method == "temperature" else 0.12)
    assert after.ece < 0.05 < before.ece


def test_margins_are_no_probabilities_and_get_a_map() -> None:
    _, labels, logits = drawn(600, 2, sharpness=3.0)
    found = calibrate(logits, labels, np.arange(600), 0)
    assert found.calibrator.margins
    assert set(found.losses) == set(METHODS[1:])
    assert found.losses[found.calibrator.method] == min(found.losses.values())
    np.testing.assert_allclose(found.after.sum(axis=1), 1)


def test_good_probabilities_stay_good() -> None:
    p, labels, _ = drawn(3000, 3)
    found = calibrate(p, labels, np.arange(3000), 0)
    assert found.losses[found.calibrator.method] <= found.losses["none"]
    assert quality(found.after, labels).ece < 0.03


def test_what_is_counted_was_not_fitted_on() -> None:
    """Scores that say nothing: a map that saw the row would look better than chance."""
    rng = np.random.default_rng(4)
    scores, labels = rng.uniform(size=(300, 3)), rng.integers(3, size=300)
    scores /= scores.sum(axis=1, keepdims=True)
    found = calibrate(scores, labels, np.arange(300), 0)
    assert quality(found.after, labels).log_loss > np.log(3) - 0.02


def test_groups_stay_together() -> None:
    """Copies of a frame are mapped alike, by a map that saw none of them."""
    _, labels, logits = drawn(60, 5, sharpness=3.0)
    copies, labels = np.repeat(logits, 10, axis=0), np.repeat(labels, 10)
    distinct = [
        len(np.unique(calibrate(copies, labels, groups, 0).after.round(12), axis=0))
        for groups in (np.arange(600), np.arange(600) // 10)
    ]
    assert distinct[1] == 60 < distinct[0]


def test_one_group_and_few_rows_are_no_error() -> None:
    p, labels, logits = drawn(9, 6)
    for scores in (p, logits):
        found = calibrate(scores, labels, np.zeros(9, dtype=int), 0)
        assert np.isfinite(found.after).all()


def test_quality_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.35, 0.65]])
    found = quality(p, np.array([0, 1, 1, 1]))
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.65]).mean())
    assert found.brier == pytest.approx(2 * np.mean([0.01, 0.36, 0.04, 0.1225]))
    assert found.ece == pytest.approx((0.1 + 0.2 + 2 * abs(0.625 - 0.5)) / 4)
    assert [count for _, _, count in found.bins] == [2, 1, 1]


def test_what_stays_together() -> None:
    groups = np.array([5, 5, 6, 7, 8, 9])
    assert together(groups, None) is groups
    found = together(groups, np.array([0, 0, 0, 1, -1, -1]))
    assert [np.flatnonzero(found == part).tolist() for part in np.unique(found)] == [[0, 1, 2], [3], [4], [5]]
    torn = together(groups, np.array([0, 1, 1, 2, 2, -1]))  # a group in two domains joins them
    assert [np.flatnonzero(torn == part).tolist() for part in np.unique(torn)] == [[0, 1, 2], [3, 4], [5]]
    for one in (np.zeros(6, dtype=np.int64), np.full(6, -1)):
        assert together(groups, one) is groups


def test_probabilities_are_judged_by_domains_that_no_map_saw() -> None:
    """In each domain another class is taken for the first: a map that saw the domain knows which."""
    rng = np.random.default_rng(5)
    size, gaps = 60, []
    for _ in range(12):
        favoured = rng.permutation(np.repeat([0, 1, 2], 2))

        def drawn(favoured: np.ndarray = favoured) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            domain = np.repeat(np.arange(len(favoured)), size)
            logits = rng.normal(size=(len(domain), 3))
            true = logits + 2.0 * np.eye(3)[favoured[domain]]
            p = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
            labels = np.minimum((rng.uniform(size=(len(p), 1)) > p.cumsum(axis=1)).sum(axis=1), 2)
            scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            return scores, labels, domain

        scores, labels, domain = drawn()
        new_scores, new_labels, _ = drawn(np.array([rng.integers(3)]))
        found = calibrate(scores, labels, together(np.arange(len(labels)), domain), 0)
        expected = quality(found.calibrator(new_scores), new_labels).log_loss
        gaps.append(quality(found.after, labels).log_loss - expected)
    assert np.mean(gaps) > -3 * np.std(gaps) / np.sqrt(len(gaps))
