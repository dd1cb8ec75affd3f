"""Bad input is refused before anything runs, with an error that says what to change."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.trading.engine.cases import START
from tests.trading.engine.families import ROTATION, SMA
from tests.trading.engine.worked import candles, script, spot, trade
from trading.quant.engine import AgentSpec, ExitRules, InstrumentRules, Market, WalletRules, frictionless, run
from trading.quant.engine.errors import (
    AgentSpecError,
    EngineError,
    InstrumentRulesError,
    MarketDataError,
    StrategyStepError,
    WalletRulesError,
)
from trading.quant.engine.market import HOUR_MS

MARKET = candles([100.0] * 4)


def changed(**columns: Any) -> Market:
    base: dict[str, Any] = {
        name: getattr(MARKET, name).copy()
        for name in ("ts_ms", "interval_ms", "open", "high", "low", "close", "volume", "symbols")
        if name not in ("interval_ms", "symbols")
    }
    base |= {"symbols": MARKET.symbols, "interval_ms": MARKET.interval_ms} | columns
    return Market(**base)


def with_value(name: str, value: float) -> dict[str, Any]:
    values = getattr(MARKET, name).copy()
    values[2, 0] = value
    return {name: values}


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"ts_ms": MARKET.ts_ms[::-1]}, "must rise by whole intervals"),
        ({"ts_ms": MARKET.ts_ms[[0, 1, 1, 2]]}, "rows 1 and 2 are 0 ms apart"),
        ({"ts_ms": MARKET.ts_ms + np.array([0, 0, 5, 0])}, "must rise by whole intervals"),
        ({"close": MARKET.close[:3]}, r"close has shape \(3, 1\)"),
        ({"symbols": ("A", "B")}, r"expected \(4, 2\)"),
        ({"symbols": ()}, "at least one symbol"),
        ({"interval_ms": 7 * 60_000}, "must divide one hour"),
        (with_value("close", math.nan), "both present or both NaN"),
        (with_value("volume", math.nan), "both present or both NaN"),
        (with_value("low", -1.0), "no possible bar"),
        (with_value("high", 99.0), "no possible bar"),
        (with_value("high", math.inf), "no possible bar"),
        (with_value("volume", -1.0), "no possible bar"),
        ({"funding_ts_ms": [START], "funding_symbol": [0], "funding_rate": []}, "same length"),
        ({"funding_ts_ms": [START], "funding_symbol": [3], "funding_rate": [0.1]}, "symbol index"),
        ({"funding_ts_ms": [START], "funding_symbol": [0], "funding_rate": [math.nan]}, "finite"),
        ({"funding_ts_ms": [9, 3], "funding_symbol": [0, 0], "funding_rate": [0.0, 0.0]}, "sorted"),
    ],
)
def test_impossible_markets_are_refused(columns: dict[str, Any], complaint: str) -> None:
    with pytest.raises(MarketDataError, match=complaint):
        changed(**columns)


@pytest.mark.parametrize(
    "rules",
    [
        {"tick": 0.0}, {"lot": math.nan}, {"lot": -1.0}, {"tick": math.inf}, {"min_notional": -1.0},
        {"max_leverage": 0.5},
        {"maintenance_margin_rate": 1.0}, {"daily_volatility": math.nan}, {"position_limit": 0.0},
        {"half_spread_bps": -1.0}, {"impact_coefficient": -0.1}, {"multiplier": 0.0},
    ],
)  # fmt: skip
def test_absurd_instrument_rules_are_refused(rules: dict[str, float]) -> None:
    with pytest.raises(InstrumentRulesError, match=f"S0: {next(iter(rules))}"):
        InstrumentRules("S0", **rules)  # type: ignore[arg-type]


def test_a_step_with_too_many_digits_is_refused() -> None:
    with pytest.raises(InstrumentRulesError, match="too many digits"):
        trade(MARKET, script(0.5), instruments=[spot(tick=1 / 3)])


def test_instruments_must_follow_the_market() -> None:
    with pytest.raises(InstrumentRulesError, match="the market has S0"):
        trade(MARKET, script(0.5), instruments=[spot("S1")])


@pytest.mark.parametrize(
    ("agent", "complaint"),
    [
        ({"draw": 0.0}, "draw"),
        ({"draw": -5.0}, "draw"),
        ({"draw": math.nan}, "draw"),
        ({"symbol": 3}, "symbol 3 is not in this market"),
        ({"symbol": "XRP"}, "symbol 'XRP' is not in this market"),
        ({"symbol": None}, "symbol None"),
        ({"leverage": 0.0}, "leverage"),
        ({"leverage": math.nan}, "leverage"),
        ({"max_leverage": -1.0}, "max_leverage"),
        ({"exits": ExitRules(stop_loss_frac=1.0)}, "stop_loss_frac"),
        ({"exits": ExitRules(trailing_stop_frac=-0.1)}, "trailing_stop_frac"),
        ({"exits": ExitRules(take_profit_frac=math.inf)}, "take_profit_frac"),
        ({"exits": ExitRules(time_limit_bars=-1)}, "time_limit_bars"),
        ({"exits": ExitRules(cooldown_bars=1.5)}, "cooldown_bars"),  # type: ignore[arg-type]
        ({"params": [1.0]}, "takes 3 parameters"),
        ({"params": [1.0, math.nan, 0.0]}, "slow is nan"),
        ({"params": [1.0, 2.5, 0.0]}, "whole number"),
        ({"params": [1.0, 9999.0, 0.0]}, "allows 2 to 400"),
        ({"params": {"fast": 2, "slwo": 4}}, "no parameter slwo"),
        ({"family": ROTATION, "params": [2.0, 1.0]}, "leave symbol out"),
    ],
)
def test_impossible_agents_are_refused(agent: dict[str, Any], complaint: str) -> None:
    good = AgentSpec(SMA, [2, 5, 1], 1000.0, 0)
    with pytest.raises(AgentSpecError, match=complaint) as refusal:
        trade(MARKET, good, replace(good, **agent))
    assert "Agent 1" in str(refusal.value)


def test_the_cross_parameter_rule_of_a_family_is_heard() -> None:
    picky = replace(SMA, validate=lambda v: "fast must be below slow." if v["fast"] >= v["slow"] else None)
    with pytest.raises(AgentSpecError, match="fast must be below slow"):
        trade(MARKET, AgentSpec(picky, [9, 5, 1], 1000.0, 0))


def test_draws_beyond_the_bankroll_are_refused() -> None:
    with pytest.raises(WalletRulesError, match=r"draw 2,000\.00 together; the bankroll is 1,500\.00"):
        trade(MARKET, script(0.5), script(0.5), bankroll=1500.0)


@pytest.mark.parametrize(
    "rules",
    [
        {"bankroll": 0.0}, {"bankroll": math.nan}, {"bankroll": 1e12}, {"gross_ceiling_frac": -1.0},
        {"market_caps_frac": {"S0": -1.0}}, {"max_open_positions": -1}, {"prior_volume_usd": (-1.0, 0.0)},
    ],
)  # fmt: skip
def test_absurd_wallets_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(WalletRulesError):
        WalletRules(**({"bankroll": 1000.0} | rules))


def test_a_cap_on_an_unknown_market_is_refused() -> None:
    with pytest.raises(WalletRulesError, match="names XRP"):
        trade(MARKET, script(0.5), market_caps_frac={"XRP": 0.1})


def test_no_agents_no_bars_and_odd_marks_are_refused() -> None:
    rules: dict[str, Any] = {"instruments": [spot()], "costs": frictionless(), "wallet": WalletRules(1000.0)}
    with pytest.raises(AgentSpecError, match="at least one agent"):
        run(MARKET, [], **rules)
    with pytest.raises(MarketDataError, match="no bars"):
        run(MARKET.slice(0, 0), [script(0.5)], **rules)
    with pytest.raises(MarketDataError, match="must divide a day"):
        run(MARKET, [script(0.5)], mark_every_ms=5 * HOUR_MS, **rules)
    with pytest.raises(MarketDataError, match="multiple of the interval"):
        run(candles([100.0], interval=HOUR_MS), [script(0.5)], mark_every_ms=HOUR_MS * 2 // 3 + 1, **rules)


def test_a_step_that_is_not_compiled_is_refused() -> None:
    plain = replace(SMA, name="plain", step=SMA.step.py_func)  # type: ignore[union-attr]
    with pytest.raises(StrategyStepError, match="Decorate it with @numba"):
        trade(MARKET, AgentSpec(plain, [2, 5, 1], 1000.0, 0))


def test_every_refusal_is_an_engine_error_with_a_code() -> None:
    with pytest.raises(EngineError) as refusal:
        trade(MARKET, script(0.5, draw=-1.0))
    assert refusal.value.code == "agent_spec"
