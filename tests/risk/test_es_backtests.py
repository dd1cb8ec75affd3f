"""The backtest of the expected shortfall against published thresholds, plain loops and simulated histories.

Published: Acerbi and Szekely (2014) give -0.70 as the 5 % threshold of test 2 and -1.8 as the 0.01 % one, for 250 days
at 97.5 %, nearly the same over tails from Student's t to the normal.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from risk.quant.backtests import Zone
from risk.quant.es_backtests import (
    Forecast,
    acerbi_szekely,
    backtest_es,
    rolling_forecasts,
    simulated_statistics,
)
from risk.quant.rolling import VarMethod, tail_risk

ALPHA = 0.975


def normal_forecast(std: float = 1.0, alpha: float = ALPHA) -> Forecast:
    """A day's forecast of a normal P&L, its tail on a fine grid."""
    p = (1 - alpha) * (np.arange(4000) + 0.5) / 4000
    z = stats.norm.ppf(1 - alpha)
    return Forecast(
        -std * z,
        std * stats.norm.pdf(z) / (1 - alpha),
        std * stats.norm.ppf(p),
        (1 - alpha) * (np.arange(4000) + 1) / 4000,
    )


def test_the_simulated_statistic_has_the_published_thresholds() -> None:
    drawn = simulated_statistics([normal_forecast()] * 250, ALPHA, paths=40_000, seed=1)
    assert drawn.mean() == pytest.approx(0.0, abs=0.01)
    assert np.quantile(drawn, 0.05) == pytest.approx(-0.70, abs=0.03)
    assert np.quantile(drawn, 0.0001) == pytest.approx(-1.8, abs=0.2)


def test_the_statistic_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(4)
    pnl = rng.standard_t(4, 400)
    forecasts = rolling_forecasts(pnl, ALPHA, window=120)
    total, days = 0.0, 0
    for t in range(120, 400):
        past = sorted(pnl[t - 120 : t])
        # 2.5 % of 120 days are three whole ones; the VaR is the smallest loss passed by no more than those.
        var, es = -past[3], -sum(past[:3]) / 3
        days += 1
        if pnl[t] < -var:
            total += pnl[t] / es
    z, n, exceptions, excess = acerbi_szekely(pnl, forecasts, ALPHA)
    assert n == days == 280
    assert z == pytest.approx(1 + total / (days * 0.025))
    assert exceptions == sum(1 for x, f in zip(pnl, forecasts, strict=True) if f is not None and x < -f.var)
    assert excess > 1, "fat tails are deeper than what a short window expects"


@pytest.mark.parametrize("method", list(VarMethod))
def test_each_forecast_is_that_of_its_method(method: VarMethod) -> None:
    pnl = np.random.default_rng(9).standard_t(6, 161)
    forecast = rolling_forecasts(pnl, ALPHA, window=160, method=method)[160]
    expected = tail_risk(pnl[:160], ALPHA, method)
    assert forecast is not None
    assert forecast.var == pytest.approx(expected.var, rel=1e-6)
    assert forecast.es == pytest.approx(expected.es, rel=1e-6)
    assert (forecast.beyond < -forecast.var + 1e-12).all()
    assert (np.diff(forecast.cumulative) > 0).all()
    assert forecast.cumulative[-1] <= 1 - ALPHA + 1e-9


def test_right_forecasts_are_seldom_rejected_and_wrong_ones_often() -> None:
    rng = np.random.default_rng(12)
    forecasts = [normal_forecast()] * 250
    right = [backtest_es(rng.normal(0, 1, 250), forecasts, ALPHA, paths=1000).p_value for _ in range(200)]
    assert np.mean(np.array(right) < 0.05) == pytest.approx(0.05, abs=0.035)
    wrong = [backtest_es(rng.normal(0, 1.5, 250), forecasts, ALPHA, paths=1000).p_value for _ in range(100)]
    assert np.mean(np.array(wrong) < 0.05) > 0.9


def test_losses_twice_as_deep_are_red() -> None:
    pnl = np.random.default_rng(2).normal(0, 2.5, 250)
    found = backtest_es(pnl, [normal_forecast()] * 250, ALPHA)
    assert found.statistic < -1.8
    assert found.zone is Zone.RED


def test_what_cannot_be_judged_has_no_figure() -> None:
    nothing = backtest_es(np.zeros(10), [None] * 10, ALPHA)
    assert nothing.n == 0 and math.isnan(nothing.p_value) and nothing.zone is None
    quiet = backtest_es(np.zeros(60), rolling_forecasts(np.zeros(60), ALPHA, window=40), ALPHA)
    assert quiet.n == 0, "an ES of zero divides nothing"
    gap = np.ones(60)
    gap[50] = math.nan
    assert rolling_forecasts(gap, ALPHA, window=40)[51] is None
    with pytest.raises(ValueError, match="it takes 40"):
        rolling_forecasts(np.zeros(60), ALPHA, window=20)
    assert rolling_forecasts(np.zeros(1), ALPHA, window=40) == [None]


def test_a_history_without_exceptions_is_no_reason_to_reject() -> None:
    found = backtest_es(np.full(250, 0.1), [normal_forecast()] * 250, ALPHA, paths=500)
    assert (found.statistic, found.p_value, found.exceptions, found.zone) == (1.0, 1.0, 0, Zone.GREEN)
