"""Small markets written out bar by bar, for examples that can be checked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.trading.engine.cases import START
from tests.trading.engine.families import SCRIPT, SCRIPT_LENGTH
from trading.quant.engine import (
    AgentSpec,
    CostModel,
    ExitRules,
    InstrumentKind,
    InstrumentRules,
    Market,
    Run,
    WalletRules,
    frictionless,
    run,
)
from trading.quant.engine.market import HOUR_MS

Bar = tuple[float, float, float, float] | tuple[float, float, float, float, float] | float | None
NAN = float("nan")


def candles(*columns: Sequence[Bar], interval: int = HOUR_MS, start: int = START, **extra: Any) -> Market:
    """Each column is one symbol: a bar is (open, high, low, close[, volume]), a flat price, or None for
    missing.
    """
    table = np.full((5, len(columns[0]), len(columns)), np.nan)
    for s, column in enumerate(columns):
        for k, bar in enumerate(column):
            if isinstance(bar, (int, float)):
                bar = (bar, bar, bar, bar)
            if bar is not None:
                table[:, k, s] = (*bar, 1e9)[:5]
    ts = start + interval * np.arange(len(columns[0]))
    names = tuple(f"S{s}" for s in range(len(columns)))
    return Market(names, ts, interval, *table, **extra)


def spot(symbol: str = "S0", **rules: Any) -> InstrumentRules:
    return InstrumentRules(symbol, **{"tick": 0.01, "lot": 0.001, **rules})


def perp(symbol: str = "S0", **rules: Any) -> InstrumentRules:
    kind = InstrumentKind.PERPETUAL
    return InstrumentRules(symbol, kind, **{"tick": 0.01, "lot": 0.001, "max_leverage": 10.0, **rules})


def script(*targets: float, draw: float = 1000.0, symbol: int = 0, **rules: Any) -> AgentSpec:
    """An agent whose k-th target is the k-th argument, and that then holds."""
    padded = [*targets, *[targets[-1]] * (SCRIPT_LENGTH - len(targets))]
    exits = ExitRules(**{k: rules.pop(k) for k in list(rules) if k in ExitRules.__dataclass_fields__})
    return AgentSpec(SCRIPT, padded, draw, symbol, exits, **rules)


def trade(
    market: Market,
    *agents: AgentSpec,
    instruments: Sequence[InstrumentRules] | None = None,
    costs: CostModel | None = None,
    bankroll: float = 10_000.0,
    **wallet: Any,
) -> Run:
    return run(
        market,
        agents,
        instruments=instruments or [spot(name) for name in market.symbols],
        costs=costs or frictionless(),
        wallet=WalletRules(bankroll, **wallet),
    )


def fills(result: Run, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[c].item() for c in columns) for row in result.fills]


def refusals(result: Run) -> list[tuple[int, int, float, float]]:
    """(bar, reason, wanted, permitted)"""
    return [
        (int(r["bar"]), int(r["reason"]), round(float(r["wanted"]), 9), round(float(r["permitted"]), 9))
        for r in result.rejections
    ]
