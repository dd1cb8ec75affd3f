"""All families over real one-minute candles where they are present: the books of every agent close,
reports are sound.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.sample_data import require_sample
from tests.trading.strategies.indicator_cases import rsi_reference
from trading.quant import indicators as ind
from trading.quant.backtest_report import backtest_report, cohort_reports
from trading.quant.engine import (
    AgentSpec,
    InstrumentKind,
    InstrumentRules,
    Market,
    WalletRules,
    load_cost_profile,
    run,
)
from trading.quant.metrics import round_trips
from trading.quant.steps import daily_volatility, decimal_step
from trading.strategies.registry import builtin_families
from trading.strategies.spec import Scope

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "LAYERUSDT")


@pytest.fixture(scope="module")
def market() -> Market:
    folder = require_sample("candles/binance_perp_1m_2025-05")
    frames = {
        s: pd.read_csv(folder / f"{s}_1m.csv.gz", parse_dates=["timestamp"], index_col="timestamp") for s in SYMBOLS
    }
    days = pd.date_range("2025-05-05", "2025-05-08", freq="min", inclusive="left")
    names = ["open", "high", "low", "close", "volume"]
    columns = {}
    for symbol, frame in frames.items():
        index = frame.index.tz_localize(None) if frame.index.tz is not None else frame.index  # type: ignore[attr-defined]
        aligned = frame.set_axis(index).reindex(days)
        columns[symbol] = {name: aligned[name].to_numpy(dtype=np.float64) for name in names}
    ts = (days - pd.Timestamp("1970-01-01")) // pd.Timedelta(milliseconds=1)
    return Market.from_columns(ts.to_numpy(dtype=np.int64), 60_000, columns)


def rules(market: Market) -> list[InstrumentRules]:
    return [
        InstrumentRules(
            symbol=s,
            kind=InstrumentKind.PERPETUAL,
            tick=decimal_step(market.close[:, k]),
            lot=decimal_step(market.volume[:, k]),
            min_notional=5.0,
            max_leverage=10,
            daily_volatility=daily_volatility(market.close[:, k], 60_000),
        )
        for k, s in enumerate(market.symbols)
    ]


def test_every_family_trades_three_real_days_and_its_report_closes(market: Market) -> None:
    agents = [
        AgentSpec(family=f, params={}, draw=500.0, symbol=None if f.scope is Scope.PANEL else symbol)
        for f in builtin_families().values()
        for symbol in (SYMBOLS[:1] if f.scope is Scope.PANEL else SYMBOLS)
    ]
    outcome = run(
        market,
        agents,
        instruments=rules(market),
        costs=load_cost_profile("binance"),
        wallet=WalletRules(bankroll=500.0 * len(agents)),
    )
    start = int(market.ts_ms[0])
    reports = cohort_reports(outcome, start_ms=start, draws=[500.0] * len(agents))
    final = outcome.final.agents[0]
    for k, report in enumerate(reports):
        assert report.sharpe.n == 3
        assert report.costs.fees == pytest.approx(final[k]["fees"], abs=1e-6)
        assert report.trades.n == final[k]["trades"]
        assert report.final == pytest.approx(final[k]["equity"])
        json.dumps(report.as_dict(), allow_nan=False)
    assert all(r.costs.fills > 0 for r in reports)
    wallet = backtest_report(outcome, start_ms=start, initial=500.0 * len(agents))
    assert wallet.profit == pytest.approx(sum(r.profit for r in reports), abs=1e-4)
    trips, _ = round_trips(outcome.fills)
    assert trips["fees"].sum() <= outcome.fills["fee"].sum() + 1e-9


def test_rsi_on_real_candles_equals_the_reference(market: Market) -> None:
    close = market.close[:, 3]
    state = np.zeros(ind.rsi_size(14))
    got = np.array([ind.rsi(x, 14.0, state, 0) for x in close])
    np.testing.assert_allclose(got, rsi_reference(pd.DataFrame({"close": close}), 14), rtol=1e-9)
