"""Probabilistic and deflated Sharpe against published figures, and what three days are said to show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trading.quant import scoring
from trading.quant.metrics import (
    confidence,
    deflated_sharpe,
    expected_max_sharpe,
    min_track_record,
    probabilistic_sharpe,
)
from trading.quant.metrics.errors import MetricsError


def test_deflated_sharpe_of_the_published_example() -> None:
    """Bailey and Lopez de Prado 2014: annual SR 2.5 over 1,250 days, 100 trials, variance 1/2, skew -3,
    kurtosis 10.
    """
    daily_variance = 0.5 / 250
    assert expected_max_sharpe(100, daily_variance) == pytest.approx(0.1132, abs=5e-5)
    dsr = deflated_sharpe(2.5 / math.sqrt(250), 1250, trials=100, variance=daily_variance, skew=-3.0, kurtosis=10.0)
    assert dsr == pytest.approx(0.9004, abs=5e-5)


def test_probabilistic_sharpe_of_the_published_fund() -> None:
    """Bailey and Lopez de Prado 2012, the hedge fund of 24 months: SR 0.458 a month, skew -2.448,
    kurtosis 10.164.
    """
    assert probabilistic_sharpe(0.458, 24) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(0.458, 24, skew=-2.448, kurtosis=10.164) == pytest.approx(0.913, abs=5e-4)


def test_min_track_record_is_where_psr_reaches_the_probability() -> None:
    needed = min_track_record(0.1, benchmark=0.02, skew=-0.7, kurtosis=6.0, probability=0.9)
    assert needed is not None
    for n in (math.floor(needed), math.ceil(needed)):
        psr = probabilistic_sharpe(0.1, n, benchmark=0.02, skew=-0.7, kurtosis=6.0)
        assert psr is not None
        assert (psr >= 0.9) == (n >= needed)
    assert min_track_record(0.1, benchmark=0.1) is None


def test_expected_maximum_equals_simulation() -> None:
    rng = np.random.default_rng(5)
    best = rng.normal(0, 2.0, (4000, 30)).max(axis=1).mean()
    assert expected_max_sharpe(30, 4.0) == pytest.approx(best, rel=0.02)
    assert expected_max_sharpe(1, 4.0) == 0.0
    with pytest.raises(MetricsError):
        expected_max_sharpe(0, 1.0)


def test_confidence_equals_a_t_test() -> None:
    returns = np.random.default_rng(6).normal(0.002, 0.02, 60)
    got = confidence(returns)
    want = stats.ttest_1samp(returns, 0.0)
    assert got.t_stat == pytest.approx(want.statistic)
    assert got.p_value == pytest.approx(want.pvalue)
    assert got.skew == pytest.approx(stats.skew(returns))
    assert got.kurtosis == pytest.approx(stats.kurtosis(returns, fisher=False))


def test_the_figure_for_all_agents_at_once_is_the_same() -> None:
    """Cohorts score thousands of agents with ``trading.quant.scoring``; it must agree with this one."""
    returns = np.random.default_rng(8).normal(0.001, 0.01, (72, 5))
    together, counts = scoring.confidence(returns)
    for k in range(5):
        alone = confidence(returns[:, k])
        assert together[k] == pytest.approx(alone.psr)
        assert counts[k] == alone.n == 72


def test_three_good_days_are_said_to_show_little() -> None:
    got = confidence(np.array([0.02, 0.01, 0.015]))
    assert got.n == 3
    assert got.annual_low is not None
    assert got.annual_high is not None
    assert got.annual_high - got.annual_low > 50
    assert "from 3 daily returns is compatible with anything" in got.statement


def test_three_mixed_days_name_the_track_record_that_is_needed() -> None:
    got = confidence(np.array([0.02, -0.012, 0.006]))
    assert got.days_needed is not None
    assert got.days_needed > 3
    assert f"about {got.days_needed:,} days, {got.days_needed - 3:,} more" in got.statement


@pytest.mark.parametrize(
    ("returns", "text"),
    [([], "No daily return yet"), ([0.01], "at least two are needed"), ([0.01, 0.01], "do not vary")],
)
def test_confidence_without_variation_says_so(returns: list[float], text: str) -> None:
    got = confidence(np.array(returns))
    assert got.t_stat is None
    assert got.psr is None
    assert text in got.statement


def test_a_long_strong_record_is_significant() -> None:
    returns = np.random.default_rng(7).normal(0.004, 0.01, 365)
    got = confidence(returns)
    assert got.annual_low is not None
    assert got.annual_low > 0
    assert "beyond what chance explains" in got.statement
