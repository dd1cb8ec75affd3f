"""A strategy that has seen the past: same memory as one that traded it, and its standing opinion is the first
order.
"""

from __future__ import annotations

import numpy as np
import pytest

from trading.quant import engine
from trading.quant.engine.errors import EngineStateError
from trading.strategies.registry import builtin_families

HOUR_MS = 3_600_000
START = 1_735_689_600_000  # 2025-01-01
HISTORY, BARS = 700, 500
INSTRUMENTS = [
    engine.InstrumentRules("AUSD", tick=0.01, lot=0.001),
    engine.InstrumentRules("BUSD", tick=0.01, lot=0.001),
]
COSTS = engine.frictionless(fee_bps=5)
WALLET = engine.WalletRules(bankroll=300.0)


def market(n: int, seed: int = 3) -> engine.Market:
    rng = np.random.default_rng(seed)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.002, (n, 2)), axis=0)), 2)
    opened = np.vstack([close[:1], close[:-1]])
    return engine.Market(
        symbols=("AUSD", "BUSD"),
        ts_ms=START + 60_000 * np.arange(n),
        interval_ms=60_000,
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.full((n, 2), 1e6),
    )


def agents() -> list[engine.AgentSpec]:
    families = builtin_families()
    return [
        engine.AgentSpec(families["sma_crossover@1"], {"fast": 20, "slow": 120}, draw=100.0, symbol="AUSD"),
        engine.AgentSpec(families["buy_and_hold@1"], {}, draw=100.0, symbol="BUSD"),
        engine.AgentSpec(families["momentum_rotation@1"], {}, draw=100.0),
    ]


def warmed(history: engine.Market) -> engine.EngineState:
    return engine.warmed_state(
        history,
        agents(),
        instruments=INSTRUMENTS,
        costs=COSTS,
        wallet=WALLET,
        first_ts_ms=history.end_ms,
    )


def test_warmed_memory_is_that_of_agents_who_traded_the_same_bars() -> None:
    history = market(HISTORY + BARS).slice(0, HISTORY)
    traded = engine.run(history, agents(), instruments=INSTRUMENTS, costs=COSTS, wallet=WALLET)
    state = warmed(history)
    assert np.array_equal(state.arrays["memory"], traded.state.arrays["memory"], equal_nan=True)
    assert np.array_equal(
        state.arrays["slots"]["last_target"], traded.state.arrays["slots"]["last_target"], equal_nan=True
    )


def test_warmed_agents_begin_flat_with_their_draw_and_act_on_their_opinion_at_once() -> None:
    whole = market(HISTORY + BARS)
    state = warmed(whole.slice(0, HISTORY))
    assert (state.arrays["slots"]["lots"] == 0).all()
    rest = whole.slice(HISTORY)
    run = engine.run(rest, agents(), instruments=INSTRUMENTS, costs=COSTS, wallet=WALLET, state=state)
    first = run.fills[run.fills["agent"] == 1][0]
    assert first["bar"] == 0
    assert first["ts_ms"] == rest.ts_ms[0]
    assert run.marks.ts_ms[0] == (rest.ts_ms[0] // HOUR_MS + 1) * HOUR_MS


def test_warmed_run_cut_anywhere_is_the_same_run() -> None:
    whole = market(HISTORY + BARS)
    rest = whole.slice(HISTORY)
    once = engine.run(
        rest,
        agents(),
        instruments=INSTRUMENTS,
        costs=COSTS,
        wallet=WALLET,
        state=warmed(whole.slice(0, HISTORY)),
    )
    for cut in (1, 59, 250, 499):
        first = engine.run(
            rest.slice(0, cut),
            agents(),
            instruments=INSTRUMENTS,
            costs=COSTS,
            wallet=WALLET,
            state=warmed(whole.slice(0, HISTORY)),
        )
        second = engine.run(
            rest.slice(cut), agents(), instruments=INSTRUMENTS, costs=COSTS, wallet=WALLET, state=first.state
        )
        assert second.state.to_bytes() == once.state.to_bytes()
        assert len(first.fills) + len(second.fills) == len(once.fills)


def test_history_that_reaches_into_the_run_is_refused_when_the_run_begins() -> None:
    history = market(HISTORY)
    state = warmed(history)
    other = engine.run(history, agents(), instruments=INSTRUMENTS, costs=COSTS, wallet=WALLET, state=state)
    with pytest.raises(EngineStateError):
        engine.run(history, agents(), instruments=INSTRUMENTS, costs=COSTS, wallet=WALLET, state=other.state)
