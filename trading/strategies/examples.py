"""A family at work on invented candles, for its page: equity beside buy-and-hold, with all costs,
labelled synthetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trading.marketdata.resample import resample
from trading.marketdata.synthetic import SyntheticSpec, synthesise
from trading.quant.backtest_report import backtest_report
from trading.quant.engine import (
    AgentSpec,
    InstrumentKind,
    InstrumentRules,
    Market,
    WalletRules,
    load_cost_profile,
    run,
)
from trading.quant.steps import daily_volatility
from trading.strategies.spec import Scope, StrategyFamily

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
DAYS = 60
INTERVAL_MS = 15 * 60_000
_START_MS = 1_735_689_600_000  # 2025-01-01 00:00 UTC
_DRAW = 1_000.0
_LABEL = (
    "Synthetic candles: these prices never traded. Default parameters, 15-minute bars, all costs of Binance perpetuals."
)


def example_market(*, seed: int = 11, days: int = DAYS) -> Market:
    """Correlated synthetic candles of three symbols; the same seed gives the same bytes."""
    made = synthesise(SyntheticSpec(symbols=SYMBOLS, start_ms=_START_MS, minutes=1440 * days, seed=seed))
    bars = {symbol: resample(made.bars[symbol], 60_000, INTERVAL_MS).bars for symbol in SYMBOLS}
    names = ("open", "high", "low", "close", "volume")
    columns = {symbol: {name: getattr(bars[symbol], name) for name in names} for symbol in SYMBOLS}
    return Market.from_columns(bars[SYMBOLS[0]].ts_ms, INTERVAL_MS, columns)


def family_example(
    family: StrategyFamily, benchmark: StrategyFamily, *, market: Market | None = None
) -> dict[str, Any]:
    """Equity curves of ``family`` and ``benchmark`` (usually buy-and-hold) at their defaults, and the
    report of the first.

    Each has 1,000 of its own on the first symbol (a family across symbols on all three). Deterministic; some
    milliseconds once compiled. Times are epoch milliseconds, one point a day.
    """
    market = market or example_market()
    agents = [
        AgentSpec(
            family=member,
            params={},
            draw=_DRAW,
            symbol=None if member.scope is Scope.PANEL else SYMBOLS[0],
        )
        for member in (family, benchmark)
    ]
    rules = [
        InstrumentRules(
            symbol=symbol,
            kind=InstrumentKind.PERPETUAL,
            max_leverage=10,
            daily_volatility=daily_volatility(market.close[:, k], market.interval_ms),
        )
        for k, symbol in enumerate(market.symbols)
    ]
    outcome = run(
        market,
        agents,
        instruments=rules,
        costs=load_cost_profile("binance"),
        wallet=WalletRules(bankroll=2 * _DRAW),
        mark_every_ms=86_400_000,
    )
    start = int(market.ts_ms[0])
    report = backtest_report(outcome, start_ms=start, initial=_DRAW, agent=0, label=family.title)
    held = backtest_report(outcome, start_ms=start, initial=_DRAW, agent=1, label=benchmark.title)
    return {
        "label": _LABEL,
        "synthetic": True,
        "times_ms": report.curve[0].tolist(),
        "equity": np.round(report.curve[1], 2).tolist(),
        "benchmark": np.round(held.curve[1], 2).tolist(),
        "benchmark_title": benchmark.title,
        "report": report.as_dict(curve=False),
    }
