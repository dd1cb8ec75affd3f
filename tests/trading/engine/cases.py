"""Random cohorts with every rule on, and the comparison of two runs row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from risk.quant.metrics import SYMBOL_SCOPED, Metric
from risk.quant.pretrade import Limit, LimitSet, TradingMode
from tests.trading.engine.families import ROTATION, SCRIPT, SCRIPT_LENGTH, SMA
from trading.quant.engine import (
    AgentSpec,
    CostModel,
    ExitRules,
    InstrumentKind,
    InstrumentRules,
    Market,
    OrderLimits,
    Sizing,
    Tactics,
    UnitRisk,
    WalletRules,
)
from trading.quant.engine.costs import FeeSchedule, FeeTier, HalfSpread
from trading.quant.engine.market import DAY_MS, HOUR_MS

START = 1_746_057_600_000  # 2025-05-01 00:00 UTC
MINUTE = 60_000
COUNTS = {Metric.OPEN_POSITIONS, Metric.ORDER_RATE}


@dataclass(frozen=True)
class Case:
    market: Market
    agents: list[AgentSpec]
    instruments: list[InstrumentRules]
    costs: CostModel
    wallet: WalletRules
    limits: OrderLimits | None = None

    def rules(self) -> dict[str, Any]:
        rules: dict[str, Any] = {"instruments": self.instruments, "costs": self.costs, "wallet": self.wallet}
        return rules if self.limits is None else {**rules, "limits": self.limits}


def random_market(rng: np.random.Generator, n_bars: int, n_symbols: int, interval: int) -> Market:
    """Jumpy candles with gaps: missing bars of one symbol, missing rows, bars without volume."""
    keep = rng.random(n_bars) > rng.choice([0.0, 0.05])
    keep[0] = True
    ts = (START + rng.integers(0, 60) * interval + interval * np.arange(n_bars))[keep]
    n = ts.shape[0]
    move = rng.normal(0, rng.choice([0.002, 0.01, 0.04]), (n, n_symbols)) + (
        rng.random((n, n_symbols)) < 0.02
    ) * rng.normal(0, 0.15, (n, n_symbols))
    close = np.exp(rng.uniform(-3, 6, n_symbols)) * np.exp(np.cumsum(move, axis=0))
    gap = np.where(rng.random((n, n_symbols)) < 0.1, rng.normal(0, 0.03, (n, n_symbols)), 0.0)
    opened = np.vstack([close[:1], close[:-1]]) * np.exp(gap)
    wide = np.abs(rng.normal(0, 0.01, (2, n, n_symbols)))
    high = np.maximum(opened, close) * (1 + wide[0])
    low = np.minimum(opened, close) * (1 - np.minimum(wide[1], 0.5))
    volume = np.exp(rng.normal(rng.uniform(1, 9), 2, (n, n_symbols))) / close
    volume[rng.random((n, n_symbols)) < 0.03] = 0.0
    missing = rng.random((n, n_symbols)) < rng.choice([0.0, 0.08])
    for values in (opened, high, low, close, volume):
        values[missing] = np.nan
    stamps = np.arange(ts[0] // HOUR_MS * HOUR_MS, ts[-1] + interval, rng.choice([HOUR_MS, 8 * HOUR_MS]))
    funding = [(t, s) for t in stamps for s in range(n_symbols) if rng.random() < 0.7]
    return Market(
        symbols=tuple(f"S{k}" for k in range(n_symbols)),
        ts_ms=ts,
        interval_ms=interval,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        funding_ts_ms=np.array([t for t, _ in funding], dtype=np.int64),
        funding_symbol=np.array([s for _, s in funding], dtype=np.int64),
        funding_rate=rng.normal(0, 0.001, len(funding)),
    )


def random_case(seed: int, n_bars: int, n_symbols: int, n_agents: int) -> Case:
    rng = np.random.default_rng(seed)
    interval = int(rng.choice([MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR_MS, 4 * HOUR_MS, DAY_MS]))
    market = random_market(rng, n_bars, n_symbols, interval)

    def maybe(value: float, off: float, chance: float = 0.5) -> float:
        return value if rng.random() < chance else off

    instruments = [
        InstrumentRules(
            symbol=symbol,
            kind=InstrumentKind(int(rng.random() < 0.7)),
            tick=float(rng.choice([0.01, 0.001, 0.5, 0.00001])),
            lot=float(rng.choice([0.001, 0.1, 1.0, 0.00001, 0.25])),
            min_notional=maybe(float(rng.uniform(1, 60)), 0.0),
            maintenance_margin_rate=float(rng.uniform(0.004, 0.05)),
            max_leverage=float(rng.choice([1, 3, 10, 50])),
            half_spread_bps=maybe(float(rng.uniform(0, 20)), math.nan),
            daily_volatility=float(rng.uniform(0, 0.2)),
            multiplier=float(rng.choice([1.0, 0.01, 10.0])),
            position_limit=maybe(float(rng.uniform(0.5, 50)), math.inf, 0.2),
        )
        for symbol in market.symbols
    ]
    bankroll = 10_000.0
    agents = []
    for _ in range(n_agents):
        kind = rng.random()
        common: dict[str, Any] = {
            "draw": round(float(rng.uniform(0.3, 1.0)) * bankroll / n_agents, 2),
            "exits": ExitRules(
                stop_loss_frac=maybe(float(rng.uniform(0.002, 0.1)), 0.0),
                take_profit_frac=maybe(float(rng.uniform(0.002, 0.1)), math.nan),
                trailing_stop_frac=maybe(float(rng.uniform(0.002, 0.1)), 0.0),
                time_limit_bars=int(maybe(int(rng.integers(1, 12)), 0, 0.3)),
                cooldown_bars=int(maybe(int(rng.integers(1, 6)), 0, 0.3)),
            ),
            "leverage": float(rng.choice([0.5, 1.0, 2.0, 8.0])),
            "max_leverage": maybe(float(rng.uniform(0.5, 9)), 0.0),
        }
        symbol = int(rng.integers(n_symbols))
        if kind < 0.5:
            fast = int(rng.integers(1, 6))
            params = [fast, fast + int(rng.integers(1, 9)), maybe(1.0, 0.0)]
            agents.append(AgentSpec(SMA, params, symbol=symbol, **common))
        elif kind < 0.8:
            script = np.round(rng.uniform(-1, 1, SCRIPT_LENGTH), 2) * (rng.random(SCRIPT_LENGTH) < 0.8)
            agents.append(AgentSpec(SCRIPT, script, symbol=symbol, **common))
        else:
            agents.append(AgentSpec(ROTATION, [int(rng.integers(1, 6)), float(rng.uniform(0, 1))], **common))
    scale = float(rng.choice([1e2, 1e5]))
    tiers = tuple(
        FeeTier(volume_usd=v * scale, maker_bps=m, taker_bps=t) for v, m, t in ((0, 2, 6), (1, 1, 5), (9, -0.5, 3))
    )
    costs = CostModel(
        name="random",
        title="Random",
        sources=("made up",),
        as_of=__import__("datetime").date(2025, 1, 1),
        fees=FeeSchedule(spot=tiers, perpetual=tiers[:2]),
        half_spread_bps=HalfSpread(spot=1.0, perpetual=2.0),
        impact_coefficient=float(rng.uniform(0, 2)),
        participation_cap_frac=float(rng.uniform(0.01, 1.0)),
    )
    wallet = WalletRules(
        bankroll=bankroll,
        gross_ceiling_frac=maybe(float(rng.uniform(0.1, 3)), math.inf),
        net_ceiling_frac=maybe(float(rng.uniform(0.05, 1)), math.nan),
        leverage_ceiling=maybe(float(rng.uniform(0.5, 3)), math.inf),
        market_cap_frac=maybe(float(rng.uniform(0.1, 1)), math.inf),
        market_caps_frac={"S0": float(rng.uniform(0.0, 1))} if rng.random() < 0.3 else {},
        max_open_positions=int(maybe(int(rng.integers(1, 4)), 0, 0.2)),
        sizing=Sizing(int(rng.integers(2))),
        drawdown_alert_frac=maybe(0.02, math.inf),
        utilisation_alert_frac=maybe(0.3, math.inf),
        prior_volume_usd=(float(rng.choice([0.0, 5 * scale])), 0.0),
    )
    return Case(market, agents, instruments, costs, wallet)


#: Metric, and the hard levels that a random case may ask of it; money is against draws of some hundreds to thousands.
LEVELS: dict[Metric, tuple[float, float]] = {
    Metric.GROSS_EXPOSURE: (100, 20_000),
    Metric.NET_EXPOSURE: (100, 10_000),
    Metric.NET_EXPOSURE_FRAC: (0.05, 2),
    Metric.LEVERAGE: (0.1, 4),
    Metric.POSITION_NOTIONAL: (50, 6_000),
    Metric.OPEN_POSITIONS: (1, 5),
    Metric.SYMBOL_CONCENTRATION_FRAC: (0.05, 2),
    Metric.VENUE_CONCENTRATION_FRAC: (0.1, 3),
    Metric.VAR: (5, 2_000),
    Metric.VAR_FRAC: (0.01, 0.5),
    Metric.ES: (5, 3_000),
    Metric.ES_FRAC: (0.01, 0.7),
    Metric.DAILY_LOSS: (1, 500),
    Metric.DAILY_LOSS_FRAC: (0.001, 0.2),
    Metric.DRAWDOWN_FRAC: (0.001, 0.3),
    Metric.STOP_LOSS_FRAC: (0.001, 0.1),
    Metric.COOLDOWN_S: (60, 40_000),
    Metric.ORDER_NOTIONAL: (20, 5_000),
    Metric.ORDER_NOTIONAL_FRAC: (0.02, 2),
    Metric.PARTICIPATION_FRAC: (0.001, 0.5),
    Metric.ORDER_RATE: (1, 4),
    Metric.PRICE_COLLAR_FRAC: (0.001, 0.1),
}


def random_limits(rng: np.random.Generator, case: Case) -> OrderLimits:
    """Some limits on the cohort's Book, others on some agents' Books, some narrowed to a symbol; every mode."""

    def some(most: int) -> LimitSet:
        limits = []
        for metric in rng.permutation(list(LEVELS))[: rng.integers(0, most + 1)]:
            low, high = LEVELS[Metric(str(metric))]
            level = float(np.exp(rng.uniform(np.log(low), np.log(high))))
            hard = float(np.ceil(level)) if Metric(str(metric)) in COUNTS else level
            narrow = Metric(str(metric)) in SYMBOL_SCOPED and rng.random() < 0.4
            limits.append(
                Limit(Metric(str(metric)), hard=hard, symbol=str(rng.choice(case.market.symbols)) if narrow else "")
            )
        return LimitSet(limits)

    cohort = some(3)
    agents = {a: some(4) for a in range(len(case.agents)) if rng.random() < 0.4}
    risk = {
        symbol: UnitRisk(*(float(x) for x in rng.uniform(0.01, 0.2, 4)))
        for symbol in case.market.symbols
        if rng.random() < 0.8
    }
    modes = [TradingMode.ACTIVE] * 7 + [TradingMode.REDUCING, TradingMode.HALTED, None]
    mode = modes[rng.integers(len(modes))]
    others = {a: modes[rng.integers(len(modes))] for a in range(len(case.agents)) if rng.random() < 0.1}
    return OrderLimits(cohort, agents, mode, others, "v", risk)


def limited_case(seed: int, n_bars: int, n_symbols: int, n_agents: int) -> Case:
    """A random case whose orders are judged."""
    case = random_case(seed, n_bars, n_symbols, n_agents)
    return replace(case, limits=random_limits(np.random.default_rng([seed, 1]), case))


def screened_case(seed: int, n_bars: int, n_symbols: int, n_agents: int) -> Case:
    """A random case whose orders are denied for tactics, half of them inside limits besides."""
    rng = np.random.default_rng([seed, 2])
    case = random_case(seed, n_bars, n_symbols, n_agents)
    limits = random_limits(rng, case) if rng.random() < 0.5 else OrderLimits()
    interval_s = case.market.interval_ms // 1000
    tactics = Tactics(
        self_crossing=bool(rng.random() < 0.6),
        momentum_ignition=bool(rng.random() < 0.8),
        window_s=min(int(rng.choice([1, interval_s, 3 * interval_s])), 86_400),
        min_orders=int(rng.integers(2, 5)),
        market_share_frac=float(rng.choice([0.0001, 0.01, 0.2])),
        move_bps=float(rng.choice([0.1, 5.0, 30.0])),
    )
    return replace(case, limits=replace(limits, tactics=tactics))


SIZES: dict[str, Any] = {
    "seed": st.integers(0, 2**32 - 1),
    "n_bars": st.integers(2, 160),
    "n_symbols": st.integers(1, 4),
    "n_agents": st.integers(1, 7),
}
LIMITED = st.builds(limited_case, **SIZES)
SCREENED = st.builds(screened_case, **SIZES)
CASES = st.builds(random_case, **SIZES)


def rows(table: np.ndarray[Any, Any]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in table.tolist()]
