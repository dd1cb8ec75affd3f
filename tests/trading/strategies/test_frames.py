"""A bound DataFrame strategy trades in the engine exactly as the step that does the same."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

from trading.quant.engine import (
    AgentSpec,
    InstrumentKind,
    InstrumentRules,
    Market,
    WalletRules,
    frictionless,
    run,
)
from trading.quant.lookahead import synthetic_bars
from trading.strategies.errors import FrameStrategyError
from trading.strategies.frames import changes_only, frame_strategy
from trading.strategies.registry import builtin_families
from trading.strategies.spec import Parameter


@frame_strategy(
    title="SMA crossover on a frame",
    source="house",
    parameters=(Parameter("fast", 3, 50, 20, "integer"), Parameter("slow", 60, 200, 80, "integer")),
    warm_up=lambda p: int(p["slow"]) - 1,
)
def frame_crossover(candles: pd.DataFrame, params: Mapping[str, float]) -> pd.Series:
    """The same rule as the step."""
    fast = candles.close.rolling(int(params["fast"])).mean()
    slow = candles.close.rolling(int(params["slow"])).mean()
    return pd.Series(np.sign(fast - slow), index=candles.index)


def test_frame_and_step_trade_alike_also_across_a_gap_and_a_split() -> None:
    bars = synthetic_bars(3000, seed=12)[:, 0]
    bars[1500:1510] = np.nan
    ts = 1_700_006_400_000 + 60_000 * np.arange(3000)
    candles = pd.DataFrame(
        bars,
        columns=["open", "high", "low", "close", "volume"],
        index=pd.to_datetime(ts, unit="ms", utc=True),
    )
    market = Market.from_columns(ts, 60_000, {"X": {name: candles[name].to_numpy() for name in candles.columns}})
    params = {"fast": 20.0, "slow": 80.0}
    agents = [
        AgentSpec(family=frame_crossover.bind(candles, params), params={}, draw=500.0, symbol="X"),
        AgentSpec(family=builtin_families()["sma_crossover@1"], params=params, draw=500.0, symbol="X"),
    ]
    rules = [InstrumentRules(symbol="X", kind=InstrumentKind.PERPETUAL)]
    wallet = WalletRules(bankroll=1000.0)
    whole = run(market, agents, instruments=rules, costs=frictionless(), wallet=wallet)
    by_agent = [whole.fills[whole.fills["agent"] == a] for a in (0, 1)]
    assert by_agent[0].size > 20
    for column in ("ts_ms", "side", "qty", "price"):
        assert by_agent[0][column].tolist() == by_agent[1][column].tolist()
    first = run(market.slice(0, 1400), agents, instruments=rules, costs=frictionless(), wallet=wallet)
    second = run(market.slice(1400), agents, instruments=rules, costs=frictionless(), wallet=wallet, state=first.state)
    assert np.concatenate([first.fills["price"], second.fills["price"]]).tolist() == whole.fills["price"].tolist()


def test_changes_only_speaks_each_change_once() -> None:
    nan = np.nan
    spoken = changes_only(np.array([nan, 0.0, 1.0, 1.0, nan, 1.0, 0.0, nan, 0.0, -1.0]))
    np.testing.assert_array_equal(spoken, [nan, nan, 1.0, nan, nan, nan, 0.0, nan, nan, -1.0])


def test_binding_checks_the_strategys_own_rule() -> None:
    ruled = frame_strategy(
        title="t",
        source="s",
        warm_up=lambda _p: 0,
        validate=lambda _p: "never mind",
        description="d",
        name="ruled",
    )(lambda candles, _params: pd.Series(0.0, index=candles.index))
    with pytest.raises(FrameStrategyError, match="never mind"):
        ruled.bind(pd.DataFrame(columns=["open", "high", "low", "close", "volume"]), {})
