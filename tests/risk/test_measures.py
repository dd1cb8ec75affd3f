"""Volatility, beta, exposure, liquidity and sizing: libraries, hand figures, and nothing from nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from risk.quant.measures import (
    beta,
    correlation,
    drawdown,
    ewma_volatility,
    exposures,
    liquidity_horizon,
    returns_from_prices,
    volatility,
)
from risk.quant.sizing import Binding, kelly_bet, kelly_fraction, size_position

RNG = np.random.default_rng(9)
R = RNG.normal(0, 0.02, (500, 3))


def test_volatility_is_annualised_over_365_days() -> None:
    assert volatility(R[:, 0]) == pytest.approx(np.std(R[:, 0], ddof=1) * math.sqrt(365))
    assert [math.isnan(volatility(x)) for x in (np.empty(0), np.ones(1), np.array([1, math.nan, 2]))] == [True] * 3


def test_ewma_equals_the_recursion() -> None:
    weights = 0.94 ** np.arange(499, -1, -1)
    expected = math.sqrt(float(weights @ (R[:, 0] ** 2)) / weights.sum() * 365)
    assert ewma_volatility(R[:, 0]) == pytest.approx(expected)
    assert math.isnan(ewma_volatility(R[:19, 0]))


def test_beta_equals_covariance_over_variance_and_skips_missing_days() -> None:
    benchmark = R[:, 1].copy()
    asset = 1.7 * benchmark + R[:, 2] / 10
    found = beta(asset, benchmark)
    C = np.cov(asset, benchmark)
    assert found.beta == pytest.approx(C[0, 1] / C[1, 1])
    assert found.r_squared == pytest.approx(stats.pearsonr(asset, benchmark).statistic ** 2)
    benchmark[3] = math.nan
    assert beta(asset, benchmark).n == 499
    assert math.isnan(beta(asset[:2], R[:2, 1]).beta)
    assert math.isnan(beta(asset, np.zeros(500)).beta)
    with pytest.raises(ValueError, match="aligned"):
        beta(asset, benchmark[:5])


def test_correlation_equals_numpy_and_needs_common_days() -> None:
    assert correlation(R) == pytest.approx(np.corrcoef(R, rowvar=False))
    holed = R.copy()
    holed[:490, 2] = math.nan
    assert np.isnan(correlation(holed)[2]).all()
    assert correlation(holed)[0, 1] == pytest.approx(np.corrcoef(R[:, 0], R[:, 1])[0, 1])


@pytest.mark.parametrize(
    ("equity", "deepest", "now"),
    [
        ([100, 120, 90, 105], 0.25, 0.125),
        ([100], 0.0, 0.0),
        ([], None, None),
        ([100, math.nan], None, None),
        ([0, 1], None, None),
    ],
)
def test_drawdown(equity: list[float], deepest: float | None, now: float | None) -> None:
    found = drawdown(np.array(equity, dtype=float))
    expected = (math.nan if deepest is None else deepest, math.nan if now is None else now)
    assert found == pytest.approx(expected, nan_ok=True)


def test_exposure_by_key() -> None:
    rows = exposures(np.array([100.0, -40.0, 30.0, -5.0]), ["BTC", "ETH", "ETH", "SOL"])
    assert [(e.key, e.gross, e.net, e.positions) for e in rows] == [
        ("BTC", 100.0, 100.0, 1),
        ("ETH", 70.0, -10.0, 2),
        ("SOL", 5.0, -5.0, 1),
    ]
    assert exposures(np.empty(0), []) == []
    broken = exposures(np.array([math.nan, 3.0]), ["A", "B"])
    assert {e.key: math.isnan(e.gross) for e in broken} == {"A": True, "B": False}
    with pytest.raises(ValueError, match="labels"):
        exposures(np.zeros(2), ["A"])


def test_liquidity_horizon() -> None:
    found = liquidity_horizon(np.array([1000.0, -50.0, 0.0]), np.array([1000.0, 1000.0, math.nan]), participation=0.1)
    assert found.days.tolist() == [10.0, 0.5, 0.0]
    assert found.horizon == 10.0
    assert found.within[1] == pytest.approx((100 + 50) / 1050)
    assert found.within[30] == pytest.approx(1.0)
    unknown = liquidity_horizon(np.array([10.0, 10.0]), np.array([0.0, 100.0]))
    assert math.isnan(unknown.horizon)
    assert unknown.within[30] == pytest.approx(0.5)
    assert liquidity_horizon(np.empty(0), np.empty(0)).horizon == 0.0
    with pytest.raises(ValueError, match="share"):
        liquidity_horizon(np.ones(1), np.ones(1), participation=0.0)


def test_returns_have_no_figure_where_a_price_is_missing() -> None:
    found = returns_from_prices(np.array([[100, 1], [110, 0], [121, 2], [math.nan, 2]]))
    assert found[:, 0].tolist() == pytest.approx([0.1, 0.1, math.nan], nan_ok=True)
    assert found[:, 1].tolist() == pytest.approx([math.nan, math.nan, 0.0], nan_ok=True)


# --- Sizing -------------------------------------------------------------------------------------------------
def test_kelly_of_the_published_examples() -> None:
    """Thorp (2006): m 0.11, r 0.06, s 0.15 gives f* = 2.22; a coin with p = 0.53 at even money 0.06."""
    assert kelly_fraction(0.11, 0.15, risk_free=0.06) == pytest.approx(2.2222, abs=1e-4)
    assert kelly_bet(0.53, 1.0) == pytest.approx(0.06)
    assert math.isnan(kelly_fraction(0.1, 0.0))
    assert math.isnan(kelly_bet(1.2, 1.0))


@pytest.mark.parametrize(
    ("changes", "notional", "binding"),
    [
        ({}, 500.0, Binding.VOLATILITY_TARGET),
        ({"expected_return": 0.04}, 250.0, Binding.KELLY),
        ({"expected_return": -0.1}, 0.0, Binding.KELLY),
        ({"exposure_headroom": 120.0}, 120.0, Binding.EXPOSURE_CAP),
        ({"exposure_headroom": -5.0}, 0.0, Binding.EXPOSURE_CAP),
    ],
)
def test_the_tightest_of_target_kelly_and_cap(changes: dict[str, float], notional: float, binding: Binding) -> None:
    """Equity 2,000; volatility 40 %, target 10 %: a quarter; half Kelly of 4 % over 0.16 is an eighth."""
    inputs = {"equity": 2000.0, "volatility": 0.4, "target_volatility": 0.1, "expected_return": 0.2}
    size = size_position(**(inputs | {"exposure_headroom": 1e9} | changes))
    assert size.binding is binding
    assert size.notional == pytest.approx(notional)
    assert size.fraction == pytest.approx(notional / 2000)


@pytest.mark.parametrize("slot", ["equity", "volatility", "target_volatility", "expected_return", "exposure_headroom"])
def test_an_unknown_input_gives_no_size(slot: str) -> None:
    inputs = dict.fromkeys(("equity", "volatility", "target_volatility", "expected_return", "exposure_headroom"), 1.0)
    size = size_position(**(inputs | {slot: math.nan}))
    assert math.isnan(size.notional)
    assert size.binding is Binding.UNKNOWN
    for none in ({"volatility": 0.0}, {"equity": 0.0}, {"equity": -1.0}):
        assert math.isnan(size_position(**(inputs | none)).notional)
