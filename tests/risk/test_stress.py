"""Scenarios by hand, and the real bad days where their data is present."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from risk.quant.stress import (
    Holdings,
    correlated_volatility,
    correlation_to_one,
    merge_losses,
    most_plausible_loss,
    parametric_shock,
    replay,
    reverse_stress,
    stablecoin_depeg,
    tail_scenarios,
    venue_loss,
    volatility_spike,
    worst_windows,
)
from risk.quant.tail import historical
from tests.sample_data import require_sample

BOOK = Holdings(
    asset=("BTC", "ETH", "USDC", "BTC"),
    venue=("kraken", "bybit", "bybit", "bybit"),
    currency=("BTC", "ETH", "USDC", "USDC"),
    exposure=np.array([1000.0, 500.0, 0.0, -800.0]),
    value=np.array([1000.0, 500.0, 300.0, 40.0]),
)
R = np.random.default_rng(6).multivariate_normal([0, 0], [[4e-4, 3e-4], [3e-4, 9e-4]], 1000)


def holdings(**exposure: float) -> Holdings:
    n = len(exposure)
    x = np.array(list(exposure.values()))
    return Holdings(tuple(exposure), ("v",) * n, tuple(exposure), x, x)


def test_a_shock_is_exposure_times_move() -> None:
    outcome = parametric_shock(BOOK, {"BTC": -0.3, "ETH": -0.4})
    assert outcome.pnl == pytest.approx(-300 - 200 + 240)
    assert outcome.loss == -outcome.pnl
    assert outcome.missing == ()
    missing = parametric_shock(BOOK, {"BTC": -0.3})
    assert math.isnan(missing.pnl)
    assert missing.missing == ("ETH",)
    assert parametric_shock(BOOK, {"BTC": -0.3}, default=0.0).pnl == pytest.approx(-60)
    for bad in (-1.1, math.nan):
        with pytest.raises(ValueError, match="at least -1"):
            parametric_shock(BOOK, {"BTC": bad})


def test_a_venue_takes_what_is_kept_there() -> None:
    assert venue_loss(BOOK, "bybit").pnl == pytest.approx(-840)
    assert venue_loss(BOOK, "bybit", recovery=0.25).pnl == pytest.approx(-630)
    assert venue_loss(BOOK, "nowhere").pnl == 0.0
    owing = Holdings(("A",), ("x",), ("A",), np.array([5.0]), np.array([-20.0]))
    assert venue_loss(owing, "x").pnl == 0.0
    with pytest.raises(ValueError, match="Recovery"):
        venue_loss(BOOK, "bybit", recovery=2.0)


def test_a_depeg_hits_the_currency_and_not_the_market() -> None:
    assert stablecoin_depeg(BOOK, "USDC", price=0.88).pnl == pytest.approx(-0.12 * 340)
    assert stablecoin_depeg(BOOK, "USDT", price=0.5).pnl == 0.0
    debt = Holdings(("USDC",), ("x",), ("USDC",), np.zeros(1), np.array([-100.0]))
    assert stablecoin_depeg(debt, "USDC", price=0.9).pnl == pytest.approx(10.0)


def test_volatility_spike_scales_the_tail() -> None:
    x, flat = np.array([100.0, -50.0]), R - R.mean(axis=0)
    assert volatility_spike(x, flat, 0.99, multiplier=3).es == pytest.approx(3 * historical(flat @ x, 0.99).es)
    assert math.isnan(volatility_spike(x, R[:1], 0.99).var)
    with pytest.raises(ValueError, match="positive"):
        volatility_spike(x, R, multiplier=0.0)


def test_correlation_to_one_leaves_no_diversification() -> None:
    x = np.array([100.0, -80.0])
    apart = [historical(R[:, i] * x[i], 0.99) for i in (0, 1)]
    together = correlation_to_one(x, R, 0.99)
    assert together.es == pytest.approx(apart[0].es + apart[1].es)
    assert together.es > historical(R @ x, 0.99).es
    assert correlation_to_one(np.zeros(2), R).es == 0.0
    holed = R.copy()
    holed[0, 1] = math.nan
    assert math.isnan(correlation_to_one(x, holed).es)


def test_correlations_moved_part_of_the_way() -> None:
    C, x = np.cov(R, rowvar=False), np.array([100.0, 50.0])
    s = np.sqrt(np.diag(C)) * x
    assert correlated_volatility(x, C, blend=0.0) == pytest.approx(math.sqrt(x @ C @ x))
    assert correlated_volatility(x, C, blend=1.0) == pytest.approx(s.sum())
    with pytest.raises(ValueError, match="blend"):
        correlated_volatility(x, C, blend=1.5)


def test_reverse_stress_finds_the_severity() -> None:
    def loss(fall: float) -> float:
        return parametric_shock(BOOK, {"BTC": -fall, "ETH": -1.5 * fall if fall <= 2 / 3 else -1.0}).loss

    severity = reverse_stress(loss, 190.0, upper=0.6)
    assert loss(severity) == pytest.approx(190.0, abs=1e-6)
    assert math.isnan(reverse_stress(loss, 1e9, upper=0.6))
    assert math.isnan(reverse_stress(lambda _: math.nan, 10.0))
    with pytest.raises(ValueError, match="positive"):
        reverse_stress(loss, 0.0)


def test_the_most_plausible_loss_is_the_nearest() -> None:
    C, x = np.cov(R, rowvar=False), np.array([100.0, -30.0])
    found = most_plausible_loss(x, C, 10.0)
    assert found is not None
    assert x @ found.shocks == pytest.approx(-10.0)
    inverse = np.linalg.inv(C)
    assert math.sqrt(found.shocks @ inverse @ found.shocks) == pytest.approx(found.distance)
    rng = np.random.default_rng(1)
    for _ in range(200):
        other = rng.normal(size=2)
        other *= -10.0 / (x @ other)
        assert math.sqrt(other @ inverse @ other) >= found.distance - 1e-9
    assert most_plausible_loss(np.zeros(2), C, 10.0) is None
    assert most_plausible_loss(x, np.full((2, 2), math.nan), 10.0) is None


def test_replay_finds_the_worst_instant() -> None:
    outcome = replay(holdings(BTC=100.0), {"BTC": np.array([10.0, 8.0, 5.0, 9.0])})
    assert outcome.pnl == pytest.approx(-50.0)
    assert outcome.path.tolist() == pytest.approx([0, -20, -50, -10])
    unknown = replay(holdings(BTC=100.0, ETH=50.0), {"BTC": np.array([10.0, 8.0])})
    assert math.isnan(unknown.pnl)
    assert unknown.missing == ("ETH",)
    for bad in ([10.0, math.nan], [0.0, 5.0], []):
        assert math.isnan(replay(holdings(BTC=1.0), {"BTC": np.array(bad)}).pnl)
    with pytest.raises(ValueError, match="length"):
        replay(holdings(A=1.0), {"A": np.ones(2), "B": np.ones(3)})


def test_an_empty_book_loses_nothing_and_needs_no_price() -> None:
    empty = holdings()
    assert parametric_shock(empty, {"BTC": -1.0}).pnl == 0.0
    assert replay(empty, {}).pnl == 0.0
    assert empty.equity == 0.0
    with pytest.raises(ValueError, match="Every line"):
        Holdings(("A",), (), (), np.zeros(0), np.zeros(0))


def test_worst_windows_do_not_overlap() -> None:
    pnl = np.zeros(50)
    pnl[10:13] = -5.0
    pnl[30] = -8.0
    assert worst_windows(pnl, length=3, count=2)[0] == (10, -15.0)
    assert worst_windows(pnl, length=3, count=2)[1][1] == -8.0
    assert worst_windows(pnl, length=99) == []
    assert tail_scenarios(pnl, 0.95)[0] == 30
    assert tail_scenarios(pnl[:5], 0.99) == []
    assert merge_losses([venue_loss(BOOK, "bybit"), stablecoin_depeg(BOOK, "USDC", price=0.9)]) == pytest.approx(-874)


# --- Real days ----------------------------------------------------------------------------------------------
def test_the_flash_crash_of_april_2021() -> None:
    frame = pd.read_parquet(require_sample("orderbook/btc_lob_15levels_1m_2021-04-17.parquet"))
    outcome = replay(holdings(BTC=100_000.0), {"BTC": frame["midpoint"].to_numpy()})
    assert outcome.loss == pytest.approx(100_000 * (1 - frame["midpoint"].min() / frame["midpoint"].iloc[0]))
    assert 8_000 < outcome.loss < 15_000


def test_the_usdc_depeg_of_march_2023() -> None:
    frame = pd.read_parquet(require_sample("multivenue/usdc_depeg_2023-03/kraken_usdcusd_1m.parquet"))
    low = float(frame["low"].min())
    cash = Holdings(("USDC",), ("kraken",), ("USDC",), np.zeros(1), np.array([1_000_000.0]))
    outcome = stablecoin_depeg(cash, "USDC", price=low)
    assert outcome.loss == pytest.approx(126_000, abs=1_500)


def test_the_fifth_of_august_2024() -> None:
    frame = pd.read_parquet(require_sample("candles/binance_spot_5m_2024-07-25_2024-08-24.parquet"))
    day = frame[(frame["timestamp"] >= "2024-08-04") & (frame["timestamp"] < "2024-08-06")]
    wide = day.pivot(index="timestamp", columns="symbol", values="close")
    symbols = {s.split("USDT")[0].rstrip("/"): s for s in wide.columns}
    prices = {name: wide[symbols[name]].to_numpy() for name in ("BTC", "ETH", "SOL")}
    together = replay(holdings(BTC=50.0, ETH=30.0, SOL=20.0), prices)
    hedged = replay(holdings(BTC=-50.0, ETH=30.0, SOL=20.0), prices)
    assert together.loss > 18.0
    assert hedged.loss < together.loss / 2


def test_layer_in_may_2025() -> None:
    frame = pd.read_csv(require_sample("candles/binance_perp_1m_2025-05/LAYERUSDT_1m.csv.gz"))
    outcome = replay(holdings(LAYER=10_000.0), {"LAYER": frame["close"].to_numpy()})
    assert outcome.loss == pytest.approx(10_000 * (1 - frame["close"].min() / frame["close"].iloc[0]))
    assert outcome.loss > 7_000
    assert replay(holdings(LAYER=-10_000.0), {"LAYER": frame["close"].to_numpy()}).loss < 1_000
