"""Intervals and tests against hand computation, SciPy and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from sweeper.evaluate.statistics import (
    accuracy_intervals,
    holm,
    interval,
    p_value,
    p_values,
    standard_error,
)

VALUES = np.array([0.8, 0.9, 0.85, 0.95, 0.75])


def test_interval_by_hand() -> None:
    # mean 0.85, variance 0.00625, (1/5 + 20/80) * 0.00625 = 0.0028125, t(0.975, 4) = 2.7764451
    low, high = interval(VALUES, 80, 20)
    assert low == pytest.approx(0.85 - 2.7764451051977987 * 0.0028125**0.5)
    assert high == pytest.approx(0.85 + 2.7764451051977987 * 0.0028125**0.5)


def test_p_by_hand() -> None:
    other = VALUES - np.array([0.1, 0.0, 0.05, 0.1, 0.0])
    # mean 0.05, variance 0.0025, t = 0.05 / sqrt(0.45 * 0.0025) = 1.490712, 4 degrees of freedom
    assert p_value(VALUES, other, 80, 20) == pytest.approx(2 * stats.t.sf(0.05 / (0.45 * 0.0025) ** 0.5, 4))
    assert p_value(VALUES, other, 80, 20) == pytest.approx(0.21020, abs=1e-4)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(2, 10))
def test_without_shared_rows_it_is_the_paired_t_test(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random(folds), rng.random(folds)
    plain = stats.ttest_rel(a, b)
    assert p_value(a, b, 1e15, 1) == pytest.approx(plain.pvalue, rel=1e-6)
    assert p_value(a, b, 80, 20) == p_value(b, a, 80, 20)
    assert p_value(a, b, 80, 20) > plain.pvalue
    plain_interval = stats.ttest_1samp(a, 0).confidence_interval(0.9)
    assert interval(a, 1e15, 1, 0.9) == pytest.approx(tuple(plain_interval), rel=1e-6)


def test_without_spread() -> None:
    assert p_value(VALUES, VALUES.copy(), 80, 20) == 1.0
    assert p_value(VALUES, VALUES - 0.02, 80, 20) == 2.0**-4  # the sign test of five folds
    assert interval(np.full(5, 0.9), 80, 20) == pytest.approx((0.9, 0.9))


def test_one_fold_has_no_test() -> None:
    assert p_value(np.array([0.9]), np.array([0.8]), 80, 20) is None
    with pytest.raises(ValueError, match="values must be of two folds or more, got 1"):
        interval(np.array([0.9]), 80, 20)


def test_many_at_once_and_folds_left_out() -> None:
    rng = np.random.default_rng(0)
    table = rng.random((6, 5))
    table[1, 2] = table[2, :4] = table[3] = np.nan
    table[4] = VALUES
    together = p_values(table, VALUES, np.full(6, 80.0), np.full(6, 20.0))
    assert together[0] == p_value(table[0], VALUES, 80, 20)
    assert together[1] == pytest.approx(p_value(np.delete(table[1], 2), np.delete(VALUES, 2), 80, 20))
    assert np.isnan(together[[2, 3]]).all()
    assert together[4] == 1.0


def test_one_split_has_wilsons_interval() -> None:
    shares, n = np.array([0.0, 0.3, 1.0]), np.array([10.0, 50.0, 400.0])
    low, high = accuracy_intervals(shares[:, None], n * 4, n)
    for i in range(3):
        expected = proportion_confint(round(shares[i] * n[i]), n[i], method="wilson")
        assert (low[i], high[i]) == pytest.approx(expected, abs=1e-12)


def test_equal_folds_have_wilsons_interval_of_all_frames() -> None:
    low, high = accuracy_intervals(np.ones((1, 5)), np.array([80.0]), np.array([20.0]))
    assert (low[0], high[0]) == pytest.approx(proportion_confint(100, 100, method="wilson"))
    repeated = accuracy_intervals(np.ones((1, 50)), np.array([80.0]), np.array([20.0]))
    assert repeated[0][0] == low[0]


def test_intervals_stay_between_0_and_1_and_match_the_single_one() -> None:
    table = np.stack([VALUES, np.array([1.0, 1.0, 1.0, 1.0, 0.7])])
    low, high = accuracy_intervals(table, np.full(2, 80.0), np.full(2, 20.0))
    assert (low[0], high[0]) == pytest.approx(interval(VALUES, 80, 20))
    assert high[1] == 1.0 < interval(table[1], 80, 20)[1]


def test_correlated_folds_are_covered() -> None:
    """Folds that share an error of the correlation that the correction assumes, n_val / (n_val + n_train)."""
    rng = np.random.default_rng(0)
    n_train, n_validation, folds, draws = 80, 20, 5, 4000
    rho = n_validation / (n_train + n_validation)
    shared = rng.normal(size=(draws, 1)) * rho**0.5
    values = shared + rng.normal(size=(draws, folds)) * (1 - rho) ** 0.5
    inside = [low < 0 < high for low, high in (interval(v, n_train, n_validation) for v in values)]
    plain = [low < 0 < high for low, high in (interval(v, 1e15, 1) for v in values)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)
    assert np.mean(plain) < 0.9  # what the correction is for
    p = p_values(values, np.zeros(folds), np.full(draws, 80.0), np.full(draws, 20.0))
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("seed", range(5))
def test_p_values_are_adjusted_as_holm_says(seed: int) -> None:
    p = (np.random.default_rng(seed).uniform(size=12) ** 3).tolist()
    # the k-th smallest of m counts m - k + 1 times
    steps = [min(1.0, sum(q >= step for q in p) * step) for step in p]
    assert holm(p) == [max(s for s, q in zip(steps, p, strict=True) if q <= value) for value in p]
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_standard_error_by_hand() -> None:
    assert standard_error(VALUES, 80, 20) == pytest.approx(0.0028125**0.5)
    alike = 0.85 + (VALUES - 0.85) / 1000  # by chance
    assert standard_error(alike, 80, 20) == standard_error(np.full(5, 0.85), 80, 20) > 0.03


@pytest.mark.parametrize("folds", [1, 5])
@pytest.mark.parametrize("score", [0.0, 0.7, 1.0])
def test_where_folds_say_nothing_the_frames_do(folds: int, score: float) -> None:
    n = 20 if folds == 1 else 100
    low, high = proportion_confint(score * n, n, alpha=2 * stats.norm.sf(1), method="wilson")
    error = standard_error(np.full(folds, score), 80, 20)
    assert error == pytest.approx((high - low) / 2)
    assert error > 0
