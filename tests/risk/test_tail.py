"""VaR and ES of one sample: published figures, a library's, and what no sample can tell."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats
from skfolio.measures import cvar, value_at_risk  # type: ignore[import-untyped]

from risk.quant.tail import (
    age_weighted,
    age_weights,
    cornish_fisher,
    cornish_fisher_moments,
    find_tail,
    historical,
    minimum_observations,
    normal,
)
from tests.risk.steady import STEADY

SAMPLES = arrays(np.float64, st.integers(100, 300), elements=st.floats(-1, 1, width=32))


@pytest.mark.parametrize("alpha", [0.9, 0.95, 0.975, 0.99])
@pytest.mark.parametrize("n", [100, 251, 500, 2000])
def test_historical_equals_skfolio(alpha: float, n: int) -> None:
    pnl = np.random.default_rng(n).standard_t(4, n)
    risk = historical(pnl, alpha)
    assert risk.var == pytest.approx(float(value_at_risk(pnl, alpha)), abs=1e-14)
    assert risk.es == pytest.approx(float(cvar(pnl, alpha)), rel=1e-12)
    assert risk.n == n


@pytest.mark.parametrize("decay", [0.94, 0.98, 0.99])
def test_age_weighted_equals_skfolio_with_the_same_weights(decay: float) -> None:
    pnl = np.random.default_rng(5).standard_t(4, 750)
    w = age_weights(750, decay)
    risk = age_weighted(pnl, 0.99, decay=decay)
    assert risk.var == pytest.approx(float(value_at_risk(pnl, 0.99, sample_weight=w)), abs=1e-14)
    assert risk.es == pytest.approx(float(cvar(pnl, 0.99, sample_weight=w)), rel=1e-10)


def test_age_weights_of_the_published_example() -> None:
    """Boudoukh, Richardson and Whitelaw (1998), decay 0.98, 100 days: the six worst returns, their age, their
    weight.

    The VaR at 95 % lies between the second and third of them; interpolated it is 2.73 %.
    """
    returns = [-0.0330, -0.0290, -0.0270, -0.0250, -0.0240, -0.0230]
    ages = [3, 2, 65, 45, 5, 30]
    cumulated = [0.0221, 0.0447, 0.0511, 0.0605, 0.0818, 0.0947]
    sample = np.zeros(100)
    for value, age in zip(returns, ages, strict=True):
        sample[100 - age] = value
    w = age_weights(100, 0.98)
    found = np.cumsum([w[100 - age] for age in ages])
    assert found == pytest.approx(np.array(cumulated), abs=1.1e-4)
    assert age_weighted(sample, 0.95, decay=0.98).var == pytest.approx(0.0270)
    assert age_weighted(sample, 0.95, decay=0.98, interpolation="linear").var == pytest.approx(0.0273, abs=5e-5)


def test_normal_equals_the_textbook() -> None:
    """99 %: z = 2.326348, ES multiple 2.665214 (McNeil, Frey and Embrechts 2015, example 2.14's formula)."""
    risk = normal(0.0, 1.0, 0.99)
    assert risk.var == pytest.approx(2.3263478740, rel=1e-9)
    assert risk.es == pytest.approx(2.6652142203, rel=1e-9)


@pytest.mark.parametrize(("skew", "kurtosis"), [(0.0, 0.0), (-0.5, 1.0), (0.3, 2.0), (-0.8, 3.0)])
def test_cornish_fisher_shortfall_is_the_mean_of_its_quantile(skew: float, kurtosis: float) -> None:
    def quantile(p: float) -> float:
        z = float(stats.norm.ppf(p))
        return z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * kurtosis / 24 - (2 * z**3 - 5 * z) * skew**2 / 36

    risk = cornish_fisher_moments(0.001, 0.02, skew, kurtosis, 0.99)
    mean, _ = integrate.quad(quantile, 0.0, 0.01)
    assert risk.var == pytest.approx(-(0.001 + 0.02 * quantile(0.01)), rel=1e-12)
    assert risk.es == pytest.approx(-(0.001 + 0.02 * mean / 0.01), rel=1e-6)


def test_cornish_fisher_outside_its_domain_is_undefined() -> None:
    assert math.isnan(cornish_fisher_moments(0.0, 1.0, -3.0, 0.5, 0.99).var)
    assert math.isnan(cornish_fisher_moments(0.0, -1.0, 0.0, 0.0, 0.99).var)


def test_cornish_fisher_of_a_constant_is_that_constant() -> None:
    assert cornish_fisher(np.full(30, -2.0), 0.95).var == pytest.approx(2.0)


@STEADY
@given(SAMPLES, st.sampled_from([0.9, 0.95, 0.99]))
def test_es_is_never_below_var(pnl: np.ndarray, alpha: float) -> None:
    risk = historical(pnl, alpha)
    assert risk.es >= risk.var - 1e-9
    assert risk.es <= -pnl.min() + 1e-9


@STEADY
@given(SAMPLES, st.floats(0.1, 100), st.floats(-10, 10))
def test_risk_is_homogeneous_and_cash_invariant(pnl: np.ndarray, scale: float, cash: float) -> None:
    base, moved = historical(pnl, 0.95), historical(scale * pnl + cash, 0.95)
    assert moved.var == pytest.approx(scale * base.var - cash, abs=1e-6)
    assert moved.es == pytest.approx(scale * base.es - cash, abs=1e-6)


@STEADY
@given(SAMPLES, SAMPLES)
def test_es_is_subadditive(a: np.ndarray, b: np.ndarray) -> None:
    n = min(a.shape[0], b.shape[0])
    a, b = a[:n], b[:n]
    assert historical(a + b, 0.95).es <= historical(a, 0.95).es + historical(b, 0.95).es + 1e-9


@pytest.mark.parametrize("pnl", [[], [-1.0], [0.0] * 99, [math.nan] * 200, [math.inf] + [0.0] * 199])
def test_a_sample_that_cannot_carry_the_level_gives_nothing(pnl: list[float]) -> None:
    sample = np.array(pnl, dtype=float)
    for risk in (historical(sample, 0.99), age_weighted(sample, 0.99)):
        assert math.isnan(risk.var)
        assert math.isnan(risk.es)
        assert risk.n == len(pnl)
    assert math.isnan(cornish_fisher(sample[:19], 0.99).var)


def test_the_smallest_sample_depends_on_the_level() -> None:
    assert [minimum_observations(a) for a in (0.9, 0.95, 0.975, 0.99)] == [10, 20, 40, 100]


@pytest.mark.parametrize("alpha", [0.0, 0.49, 1.0, 99.0, math.nan])
def test_a_level_that_is_none_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="confidence level"):
        historical(np.zeros(200), alpha)


@pytest.mark.parametrize("weights", [np.zeros(200), np.full(200, -1.0), np.full(200, math.nan), np.ones(3)])
def test_weights_that_are_none_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"[Ww]eights"):
        find_tail(np.zeros(200), 0.99, weights)
