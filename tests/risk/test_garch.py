"""Filtered historical simulation: the recursion is arch's, the scaling is right, failures give nothing."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from arch import arch_model

from risk.quant.backtests import backtest_var
from risk.quant.garch import (
    backcast,
    filtered_historical,
    fit_garch,
    garch_variance,
    rolling_filtered_var,
    scenario_scale,
)
from risk.quant.rolling import VarMethod, rolling_var
from risk.quant.tail import historical
from tests.sample_data import require_sample


def simulated(n: int, seed: int = 4) -> np.ndarray:
    """A GARCH(1,1) market with 2 % daily volatility."""
    rng = np.random.default_rng(seed)
    h, out = 4e-4, np.empty(n)
    for t in range(n):
        out[t] = math.sqrt(h) * rng.standard_normal()
        h = 1e-5 + 0.1 * out[t] ** 2 + 0.875 * h
    return out


def test_the_recursion_equals_arch() -> None:
    r = simulated(1500) * 100
    result = arch_model(r, mean="Zero", vol="GARCH", p=1, q=1, rescale=False).fit(disp="off")
    omega, a, b = result.params[["omega", "alpha[1]", "beta[1]"]]
    h = garch_variance(r, omega, a, b, backcast(r))
    assert np.sqrt(h[:-1]) == pytest.approx(np.asarray(result.conditional_volatility), rel=1e-9)
    assert h[-1] == pytest.approx(float(result.forecast(horizon=1).variance.to_numpy()[-1, 0]), rel=1e-9)


def test_the_fit_finds_the_parameters_and_is_free_of_units() -> None:
    r = simulated(4000)
    fit = fit_garch(r)
    assert fit is not None
    assert fit.persistence == pytest.approx(0.975, abs=0.02)
    money = fit_garch(r * 1e6)
    assert money is not None
    assert money.forecast == pytest.approx(fit.forecast * 1e6, rel=1e-4)


def test_one_day_is_history_at_todays_volatility() -> None:
    r = simulated(1000)
    fit = fit_garch(r)
    assert fit is not None
    risk = filtered_historical(r, 0.99, fit=fit)
    assert risk == historical(r * scenario_scale(fit), 0.99)
    assert historical(r / fit.sigma, 0.99).var * fit.forecast == pytest.approx(risk.var)


def test_several_days_are_simulated_reproducibly() -> None:
    r = simulated(1000)
    one, ten = (filtered_historical(r, 0.99, horizon=h, n_paths=20_000, seed=7) for h in (1, 10))
    assert ten == filtered_historical(r, 0.99, horizon=10, n_paths=20_000, seed=7)
    assert ten.var != filtered_historical(r, 0.99, horizon=10, n_paths=20_000, seed=8).var
    assert 1.8 < ten.var / one.var < 5.0


@pytest.mark.parametrize(
    "pnl",
    [np.zeros(0), np.ones(1), simulated(99), np.full(500, 3.0) * 0, np.append(simulated(500), math.nan)],
    ids=["none", "one", "short", "still", "nan"],
)
def test_what_cannot_be_fitted_gives_nothing(pnl: np.ndarray) -> None:
    assert fit_garch(pnl) is None
    assert math.isnan(filtered_historical(pnl, 0.99).var)


def test_the_rolling_forecast_never_looks_ahead() -> None:
    r = simulated(700)
    whole = rolling_filtered_var(r, 0.99, window=500)
    cut = rolling_filtered_var(r[:600], 0.99, window=500)
    assert np.isnan(whole[:500]).all()
    assert whole[500:600] == pytest.approx(cut[500:600])
    changed = r.copy()
    changed[650:] *= 50
    assert rolling_filtered_var(changed, 0.99, window=500)[500:651] == pytest.approx(whole[500:651])


@pytest.mark.parametrize("method", [VarMethod.HISTORICAL, VarMethod.AGE_WEIGHTED, VarMethod.CORNISH_FISHER])
def test_other_methods_do_not_look_ahead_either(method: VarMethod) -> None:
    r = simulated(400)
    whole = rolling_var(r, 0.95, window=250, method=method)
    assert whole[250:300] == pytest.approx(rolling_var(r[:300], 0.95, window=250, method=method)[250:])


def test_windows_too_short_are_refused() -> None:
    with pytest.raises(ValueError, match="carry a VaR"):
        rolling_var(np.zeros(500), 0.99, window=99)
    with pytest.raises(ValueError, match="too short"):
        rolling_filtered_var(np.zeros(500), 0.99, window=50)


def test_filtering_beats_history_on_bitcoin() -> None:
    """Daily bitcoin 2014 to 2021: both cover 95 %, but only the filtered forecast reacts to clustering."""
    frame = pd.read_parquet(require_sample("daily/coinmarketcap_23coins_1d_2013_2021.parquet"))
    closes = frame[frame["symbol"] == "BTC"].sort_values("timestamp")["close"].to_numpy()
    r = np.diff(np.log(closes))[-1800:]
    plain = backtest_var(r, rolling_var(r, 0.95, window=500), 0.95)
    filtered = backtest_var(r, rolling_var(r, 0.95, window=500, method=VarMethod.FILTERED), 0.95)
    assert filtered.n == plain.n == 1300
    assert filtered.conditional_coverage.p_value > 0.05
    assert filtered.light is not None and filtered.light.zone.value != "red"
    changes = [np.nanstd(np.diff(rolling_var(r, 0.95, window=500, method=m))) for m in VarMethod]
    assert changes[list(VarMethod).index(VarMethod.FILTERED)] > changes[0]
