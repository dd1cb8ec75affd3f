"""What must add up: fills to positions and cash, agents to the parent, equity to its parts, all to the last
1e-8.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import numpy as np
from hypothesis import HealthCheck, given, settings

from tests.trading.engine.cases import CASES, Case
from trading.quant.engine import Run, money, run

RELAXED = settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))


def ledger_cash(case: Case, result: Run) -> list[Decimal]:
    """Each agent's cash as a ledger of Decimals would have it: the draw, then every fill, fee and funding
    payment.
    """
    cash = [money(agent.draw) for agent in case.agents]
    for fill in result.fills:
        cash[fill["agent"]] -= int(fill["side"]) * money(fill["notional"]) + money(fill["fee"])
    for payment in result.funding:
        cash[payment["agent"]] += money(payment["amount"])
    return cash


@RELAXED
@given(CASES)
def test_a_ledger_of_decimals_reproduces_every_cash_balance(case: Case) -> None:
    result = run(case.market, case.agents, **case.rules())
    assert ledger_cash(case, result) == [money(cash) for cash in result.final.agents["cash"][0]]


@RELAXED
@given(CASES)
def test_fills_add_up_to_positions(case: Case) -> None:
    result = run(case.market, case.agents, **case.rules())
    held: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
    for fill in result.fills:
        held[fill["agent"], fill["symbol"]] += int(fill["side"]) * Decimal(repr(float(fill["qty"])))
    final = result.final
    for slot, quantity in enumerate(final.positions[0]):
        key = (int(final.slot_agent[slot]), int(final.slot_symbol[slot]))
        assert float(held.get(key, Decimal(0))) == quantity


@RELAXED
@given(CASES)
def test_agents_and_the_undrawn_rest_add_up_to_the_parent(case: Case) -> None:
    result = run(case.market, case.agents, **case.rules())
    idle = money(case.wallet.bankroll) - sum(money(agent.draw) for agent in case.agents)
    for agents, parent in zip(result.marks.agents, result.marks.parent, strict=True):
        assert sum(map(money, agents["cash"]), idle) == money(parent["cash"])
        assert np.isclose(agents["net"].sum(), parent["net"], rtol=1e-9, atol=1e-9)
        assert np.isclose(agents["equity"].sum() + float(idle), parent["equity"], rtol=1e-9, atol=1e-6)
        assert np.isclose(agents["gross"].sum(), parent["gross"], rtol=1e-9, atol=1e-9)


@RELAXED
@given(CASES)
def test_equity_is_the_sum_of_its_parts_and_extremes_hold(case: Case) -> None:
    result = run(case.market, case.agents, **case.rules())
    draws = [money(agent.draw) for agent in case.agents]
    for agents in result.marks.agents:
        for draw, a in zip(draws, agents, strict=True):
            parts = draw + money(a["realised"]) + money(a["unrealised"]) - money(a["fees"]) + money(a["funding"])
            assert parts == money(a["equity"])
            assert a["peak_equity"] >= max(a["equity"], float(draw)) - 1e-7
            assert a["max_drawdown"] >= (a["peak_equity"] - a["equity"]) / a["peak_equity"] - 1e-9
    for n, agents in enumerate(result.final.agents[0]):
        mine = result.fills[result.fills["agent"] == n]
        assert agents["fills"] == len(mine)
        assert sum(map(money, mine["fee"]), Decimal(0)) == money(agents["fees"])
        assert sum(map(money, mine["realised"]), Decimal(0)) == money(agents["realised"])
        assert sum(map(money, mine["impact_cost"]), Decimal(0)) == money(agents["impact_cost"])
        assert sum(map(money, mine["spread_cost"]), Decimal(0)) == money(agents["spread_cost"])


@RELAXED
@given(CASES)
def test_fills_respect_the_venue_and_spot_never_borrows(case: Case) -> None:
    result = run(case.market, case.agents, **case.rules())
    for fill in result.fills:
        rules = case.instruments[fill["symbol"]]
        for value, step in ((fill["qty"], rules.lot), (fill["price"], rules.tick)):
            assert Decimal(repr(float(value))) % Decimal(repr(step)) == 0
        against = fill["side"] * (fill["price"] - fill["reference"])
        assert against >= -1e-9
        assert np.isclose(
            against * fill["qty"] * rules.multiplier,
            fill["spread_cost"] + fill["impact_cost"],
            rtol=1e-6,
            atol=2e-8,
        )
    only_spot = all(rules.kind == 0 for rules in case.instruments)
    if only_spot:
        assert (result.fills["position"] >= 0).all()
        assert (result.marks.agents["cash"] >= 0).all()
