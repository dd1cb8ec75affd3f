"""Ratios: published figures, naive references, and what is undefined."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from trading.quant.metrics import (
    annual_volatility,
    annualised_return,
    calmar,
    drawdown_path,
    max_drawdown,
    sharpe,
    sortino,
    total_return,
    variance,
)
from trading.quant.metrics.errors import MetricsError


def test_sortino_of_the_published_example() -> None:
    """T. N. Rollinger, S. T. Hoffman, Sortino: A Sharper Ratio, Red Rock Capital 2013: target 0 %,
    result 4.417.
    """
    returns = np.array([17, 15, 23, -5, 12, 9, 13, -4]) / 100
    result = sortino(returns, periods=1)
    assert result.value == pytest.approx(4.417, abs=5e-4)
    assert result.n == 8


def test_sharpe_equals_pandas() -> None:
    returns = pd.Series(np.random.default_rng(3).normal(0.001, 0.02, 250))
    assert sharpe(returns.to_numpy()).value == pytest.approx(returns.mean() / returns.std() * math.sqrt(365))
    excess = returns - 0.0001
    assert sharpe(returns.to_numpy(), risk_free=0.0001).value == pytest.approx(
        excess.mean() / excess.std() * math.sqrt(365)
    )


def test_volatility_variance_and_returns_equal_naive_formulas() -> None:
    returns = np.random.default_rng(4).normal(0.001, 0.02, 100)
    mean = sum(returns) / 100
    squares = sum((r - mean) ** 2 for r in returns) / 99
    assert variance(returns).value == pytest.approx(squares)
    assert annual_volatility(returns).value == pytest.approx(math.sqrt(squares * 365))
    growth = math.prod(1 + r for r in returns)
    assert total_return(returns).value == pytest.approx(growth - 1)
    assert annualised_return(returns).value == pytest.approx(growth ** (365 / 100) - 1)


@pytest.mark.parametrize("returns", [[], [0.01], [0.01, 0.01], [0.01, math.nan], [0.1 + 0.2, 0.3]])
def test_a_ratio_without_variation_is_undefined_and_keeps_its_n(returns: list[float]) -> None:
    values = np.array(returns, dtype=np.float64)
    result = sharpe(values)
    assert result.value is None
    assert result.n == sum(not math.isnan(r) for r in returns)


def test_sortino_without_losses_and_calmar_without_drawdown_are_undefined() -> None:
    assert sortino(np.array([0.01, 0.02, 0.0])).value is None
    assert calmar(np.array([0.01, 0.02]), 0.0).value is None
    assert total_return(np.empty(0)).value is None


def test_calmar_is_annual_compound_return_over_drawdown() -> None:
    returns = np.full(365, 0.001)
    result = calmar(returns, 0.2)
    assert result.value == pytest.approx((1.001**365 - 1) / 0.2)
    assert result.n == 365


def test_ruin_annualises_to_minus_one() -> None:
    assert annualised_return(np.array([0.1, -1.0])).value == -1.0


def naive_drawdown(wealth: np.ndarray) -> tuple[float, int, int]:
    worst = (0.0, 0, 0)
    for i in range(len(wealth)):
        for j in range(i, len(wealth)):
            fall = 1 - wealth[j] / wealth[i]
            if fall > worst[0] + 1e-15:
                worst = (fall, i, j)
    return worst


@pytest.mark.parametrize("seed", range(8))
def test_max_drawdown_equals_the_quadratic_search(seed: int) -> None:
    wealth = np.cumprod(1 + np.random.default_rng(seed).normal(0, 0.02, 120))
    got = max_drawdown(wealth)
    depth, peak, trough = naive_drawdown(wealth)
    assert got.depth == pytest.approx(depth)
    assert (got.peak, got.trough) == (peak, trough)
    later = [k for k in range(trough, 120) if wealth[k] >= wealth[peak]]
    assert got.recovered == (later[0] if later else None)
    assert got.length == (later[0] if later else 119) - peak
    assert got.longest == naive_longest(wealth)


def naive_longest(wealth: np.ndarray) -> int:
    longest = start = 0
    for t in range(1, len(wealth)):
        if wealth[t] >= wealth[start]:
            longest = max(longest, t - start if t - start > 1 else 0)
            start = t
        elif t == len(wealth) - 1:
            longest = max(longest, t - start)
    return longest


def test_max_drawdown_of_a_worked_curve_with_times() -> None:
    hour = 3_600_000
    curve = np.array([100, 120, 90, 60, 130, 125, 140, 139], dtype=np.float64)
    got = max_drawdown(curve, hour * np.arange(8))
    assert got.depth == pytest.approx(0.5)
    assert (got.peak, got.trough, got.recovered, got.length) == (1, 3, 4, 3)
    assert got.length_ms == 3 * hour
    assert (got.longest, got.longest_ms) == (3, 3 * hour)


def test_max_drawdown_of_a_rising_curve_is_zero_and_of_an_open_one_runs_to_the_end() -> None:
    rising = max_drawdown(np.array([1.0, 2.0, 2.0, 3.0]))
    assert (rising.depth, rising.length, rising.longest, rising.recovered) == (0.0, 0, 0, None)
    falling = max_drawdown(np.array([2.0, 1.0, 1.5]))
    assert (falling.depth, falling.length, falling.longest, falling.recovered) == (0.5, 2, 2, None)


def test_drawdown_path_works_on_many_curves_at_once() -> None:
    curves = np.array([[1.0, 1.0], [2.0, 0.5], [1.0, 1.0]])
    assert drawdown_path(curves).tolist() == [[0, 0], [0, 0.5], [0.5, 0]]
    with pytest.raises(MetricsError, match="above zero"):
        drawdown_path(np.array([0.0, 1.0]))
