"""Contributions sum to the whole, follow the derivative, and refuse to invent."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skfolio import RiskMeasure  # type: ignore[import-untyped]
from skfolio.portfolio import Portfolio  # type: ignore[import-untyped]

from risk.quant.contributions import contributions, standalone
from risk.quant.tail import age_weights, historical


@pytest.fixture(scope="module")
def returns() -> np.ndarray:
    rng = np.random.default_rng(11)
    common = rng.standard_t(4, (800, 1)) * 0.02
    return common * rng.uniform(0.3, 1.5, 6) + rng.standard_t(5, (800, 6)) * 0.01


@pytest.fixture(scope="module")
def positions() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 1000, (4, 6))


def naive(positions: np.ndarray, returns: np.ndarray, alpha: float) -> tuple[float, float, list[list[float]]]:
    """Loops over days, books and assets; the tail by sorting pairs."""
    days = []
    for t in range(len(returns)):
        total = 0.0
        for book in positions:
            for x, r in zip(book, returns[t], strict=True):
                total += x * r
        days.append((total, t))
    days.sort()
    mass, rest, es = 1 - alpha, 1 - alpha, 0.0
    table = [[0.0] * positions.shape[1] for _ in positions]
    var = math.nan
    for pnl, t in days:
        w = min(1 / len(returns), rest)
        if w <= 1e-12:
            var = -pnl
            break
        es -= w * pnl / mass
        for b, book in enumerate(positions):
            for a, x in enumerate(book):
                table[b][a] -= w * x * returns[t][a] / mass
        rest -= w
        if rest <= 1e-12 and w < 1 / len(returns) - 1e-12:
            var = -pnl
            break
    return var, es, table


@pytest.mark.parametrize("alpha", [0.95, 0.975, 0.99, 0.993])
def test_components_equal_a_naive_loop(positions: np.ndarray, returns: np.ndarray, alpha: float) -> None:
    var, es, table = naive(positions, returns, alpha)
    found = contributions(positions, returns, alpha)
    assert found.var == pytest.approx(var, rel=1e-12)
    assert found.es == pytest.approx(es, rel=1e-12)
    assert found.component_es == pytest.approx(np.array(table), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("window", [0, 5])
def test_components_sum_to_the_whole_by_asset_and_by_book(
    positions: np.ndarray, returns: np.ndarray, window: int
) -> None:
    found = contributions(positions, returns, 0.99, var_window=window, weights=age_weights(800, 0.995))
    for whole, by_asset, by_book in (
        (found.var, found.var_by_asset, found.var_by_book),
        (found.es, found.es_by_asset, found.es_by_book),
    ):
        assert by_asset.sum() == pytest.approx(whole, rel=1e-10)
        assert by_book.sum() == pytest.approx(whole, rel=1e-10)


def test_marginal_is_the_derivative(positions: np.ndarray, returns: np.ndarray) -> None:
    x, step = positions.sum(axis=0), 1e-4
    found = contributions(x, returns, 0.99)
    for asset in range(6):
        bump = np.zeros(6)
        bump[asset] = step
        up, down = historical(returns @ (x + bump), 0.99), historical(returns @ (x - bump), 0.99)
        assert found.marginal_es[asset] == pytest.approx((up.es - down.es) / (2 * step), abs=1e-7)
        assert found.marginal_var[asset] == pytest.approx((up.var - down.var) / (2 * step), abs=1e-7)


def test_components_equal_skfolio(returns: np.ndarray) -> None:
    weights = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    portfolio = Portfolio(X=returns, weights=weights, cvar_beta=0.99)
    peer = portfolio.contribution(measure=RiskMeasure.CVAR)
    found = contributions(weights, returns, 0.99)
    assert found.es == pytest.approx(portfolio.cvar, rel=1e-10)
    assert found.es_by_asset == pytest.approx(np.asarray(peer), abs=1e-5)


def test_filtered_scenarios_scale_each_day(positions: np.ndarray, returns: np.ndarray) -> None:
    scale = np.linspace(0.5, 2.0, 800)
    found = contributions(positions, returns, 0.99, scenario_scale=scale)
    assert found.es == pytest.approx(historical(returns @ positions.sum(axis=0) * scale, 0.99).es, rel=1e-12)


def test_an_asset_without_exposure_may_be_missing(returns: np.ndarray) -> None:
    holed = returns.copy()
    holed[10, 2] = math.nan
    flat = np.array([100.0, 50.0, 0.0, -20.0, 5.0, 1.0])
    found = contributions(flat, holed, 0.99)
    assert found.es == pytest.approx(historical(np.delete(returns, 2, 1) @ np.delete(flat, 2), 0.99).es)
    assert found.marginal_es[2] == 0.0
    held = contributions(flat + 1.0, holed, 0.99)
    assert math.isnan(held.es)
    assert np.isnan(held.component_es).all()


def test_an_empty_book_has_no_figure_and_a_flat_one_zero(returns: np.ndarray) -> None:
    assert math.isnan(contributions(np.zeros((1, 0)), np.zeros((800, 0)), 0.99).var)
    assert contributions(np.zeros(6), returns, 0.99).var == 0.0
    assert math.isnan(contributions(np.zeros(6), returns[:1], 0.99).var)


def test_misfit_shapes_and_nan_positions(returns: np.ndarray) -> None:
    with pytest.raises(ValueError, match="last axis"):
        contributions(np.zeros(5), returns, 0.99)
    assert math.isnan(contributions(np.array([1, math.nan, 0, 0, 0, 0]), returns, 0.99).es)


def test_standalone_is_each_book_alone(positions: np.ndarray, returns: np.ndarray) -> None:
    var, es = standalone(positions, returns, 0.99)
    for book in range(4):
        alone = historical(returns @ positions[book], 0.99)
        assert var[book] == pytest.approx(alone.var)
        assert es[book] == pytest.approx(alone.es)
    assert es.sum() >= contributions(positions, returns, 0.99).es
