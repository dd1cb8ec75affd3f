"""The parent's ceilings by hand, and two agents that compete for its headroom."""

from __future__ import annotations

from typing import Any

import pytest

from tests.trading.engine.worked import candles, fills, perp, refusals, script, trade
from trading.quant.engine import BreachKind, RejectionReason

FLAT = candles([100.0] * 4)
PERPS = [perp(lot=1)]


def test_two_agents_compete_for_the_gross_ceiling_in_turn() -> None:
    agents = [script(0.0, 1.0), script(0.0, 1.0)]
    result = trade(FLAT, *agents, instruments=PERPS, bankroll=2000.0, gross_ceiling_frac=0.75)
    # At bar 2 of two agents the turn begins with agent 0: it takes 10 of the 15 units, agent 1 the rest.
    assert fills(result, "bar", "agent", "qty") == [(2, 0, 10.0), (2, 1, 5.0)]
    assert refusals(result) == [(2, RejectionReason.GROSS_CEILING, 10.0, 5.0)]


def test_the_turn_moves_on_with_every_bar() -> None:
    agents = [script(1.0), script(1.0)]
    result = trade(FLAT, *agents, instruments=PERPS, bankroll=2000.0, gross_ceiling_frac=0.75)
    assert fills(result, "bar", "agent", "qty") == [(1, 1, 10.0), (1, 0, 5.0)]


def test_the_net_ceiling_lets_the_other_side_through() -> None:
    agents = [script(1.0), script(-1.0, symbol=0)]
    result = trade(FLAT, *agents, instruments=PERPS, bankroll=2000.0, net_ceiling_frac=0.3)
    # Agent 1 goes first and may sell 6 net; agent 0 buys 10 and ends 4 net long.
    assert fills(result, "agent", "side", "qty") == [(1, -1, 6.0), (0, 1, 10.0)]
    assert refusals(result) == [(1, RejectionReason.NET_CEILING, 10.0, 6.0)]


def test_the_leverage_ceiling_binds_gross_over_equity() -> None:
    result = trade(FLAT, script(1.0, leverage=5.0), instruments=PERPS, bankroll=1000.0, leverage_ceiling=2.0)
    assert refusals(result) == [(1, RejectionReason.LEVERAGE_CEILING, 50.0, 20.0)]


@pytest.mark.parametrize("caps", [{"market_cap_frac": 0.2}, {"market_caps_frac": {"S0": 0.2}, "market_cap_frac": 0.9}])
def test_the_market_cap_binds_one_symbol_only(caps: dict[str, Any]) -> None:
    market = candles([100.0] * 3, [100.0] * 3)
    instruments = [perp("S0", lot=1), perp("S1", lot=1)]
    result = trade(market, script(0.5), script(0.15, symbol=1), instruments=instruments, bankroll=2000.0, **caps)
    assert fills(result, "symbol", "qty") == [(1, 1.0), (0, 4.0)]
    assert refusals(result) == [(1, RejectionReason.MARKET_CAP, 5.0, 4.0)]


def test_ceilings_never_hinder_closing_and_cut_only_the_opening_half_of_a_reversal() -> None:
    result = trade(FLAT, script(1.0, -1.0), instruments=PERPS, bankroll=2000.0, gross_ceiling_frac=0.3)
    assert fills(result, "side", "qty", "position") == [(1, 6.0, 6.0), (-1, 12.0, -6.0)]


def test_the_number_of_open_positions_is_limited() -> None:
    agents = [script(0.0, 0.0, 0.5), script(0.5), script(0.5)]
    result = trade(candles([100.0] * 5), *agents, bankroll=5000.0, max_open_positions=2)
    assert [why for _, why, *_ in refusals(result)] == [RejectionReason.MAX_OPEN_POSITIONS]
    assert sorted(fills(result, "agent")) == [(1,), (2,)]
    assert result.final.parent["open_positions"][0] == 2


def test_undrawn_money_counts_for_the_parent() -> None:
    result = trade(FLAT, script(1.0), bankroll=5000.0)
    parent = result.final.parent[0]
    assert (parent["equity"], parent["cash"], parent["gross"], parent["utilisation"]) == (
        5000.0,
        4000.0,
        1000.0,
        0.2,
    )


def test_parent_drawdown_and_utilisation_raise_breaches_at_their_bars() -> None:
    market = candles([100.0, 100.0, 100.0, 80.0, 79.0])
    result = trade(market, script(1.0), bankroll=1000.0, drawdown_alert_frac=0.1, utilisation_alert_frac=0.9)
    assert [(b["bar"], b["agent"], b["kind"]) for b in result.breaches] == [
        (1, -1, BreachKind.PARENT_UTILISATION),
        (3, -1, BreachKind.PARENT_DRAWDOWN),
    ]
    assert result.breaches["value"].tolist() == [1.0, pytest.approx(0.2)]
