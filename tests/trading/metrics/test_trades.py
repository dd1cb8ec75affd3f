"""Round trips, trade figures and costs from fills: worked figures and a naive reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trading.quant.engine.results import FILL
from trading.quant.metrics import (
    cost_summary,
    exposure,
    realised_lots,
    round_trips,
    trade_summary,
    turnover,
)
from trading.quant.metrics.errors import MetricsError


def fill(ts: int, signed_qty: float, price: float, **more: Any) -> dict[str, Any]:
    qty = abs(signed_qty)
    return {
        "ts_ms": ts,
        "side": 1 if signed_qty > 0 else -1,
        "qty": qty,
        "price": price,
        "notional": qty * price,
        **more,
    }


def table(*rows: dict[str, Any]) -> np.ndarray:
    out = np.zeros(len(rows), dtype=FILL)
    for i, row in enumerate(rows):
        for key, value in row.items():
            out[key][i] = value
    return out


def test_one_long_trip_with_partial_fills_and_costs() -> None:
    trips, still_open = round_trips(
        table(
            fill(1000, 2, 100, fee=0.2, spread_cost=0.1),
            fill(2000, 1, 106, fee=0.1, impact_cost=0.05),
            fill(5000, -1, 110, fee=0.11),
            fill(9000, -2, 105, fee=0.21, reason=1),
        )
    )
    assert still_open == 0
    trip = trips[0]
    assert (trip["direction"], trip["qty"], trip["fills"], trip["exit_reason"]) == (1, 3, 4, 1)
    assert (trip["entry_ms"], trip["exit_ms"]) == (1000, 9000)
    assert trip["entry_price"] == pytest.approx(102)
    assert trip["exit_price"] == pytest.approx(320 / 3)
    assert trip["gross"] == pytest.approx(320 - 306)
    assert trip["fees"] == pytest.approx(0.62)
    assert trip["slippage"] == pytest.approx(0.15)
    assert trip["net"] == pytest.approx(14 - 0.62)


def test_a_fill_through_zero_ends_one_trip_and_begins_the_next() -> None:
    trips, still_open = round_trips(
        table(fill(1, 1, 100), fill(2, -3, 110, fee=0.3), fill(3, 2, 100, fee=0.2), fill(4, 5, 90))
    )
    assert trips["direction"].tolist() == [1, -1]
    assert trips["gross"].tolist() == pytest.approx([10.0, 20.0])
    assert trips["fees"].tolist() == pytest.approx([0.1, 0.4])
    assert still_open == 1


def test_agents_and_symbols_are_kept_apart() -> None:
    rows = []
    for agent in (0, 7):
        for symbol in (0, 3):
            rows += [
                fill(1, 1, 100, agent=agent, symbol=symbol),
                fill(2, -1, 100 + agent + symbol, agent=agent, symbol=symbol),
            ]
    rows.sort(key=lambda r: int(r["ts_ms"]))
    trips, _ = round_trips(table(*rows))
    assert {(t["agent"], t["symbol"]): t["gross"] for t in trips} == {
        (0, 0): 0.0, (0, 3): 3.0, (7, 0): 7.0, (7, 3): 10.0,
    }  # fmt: skip


def test_the_residue_of_adding_floats_is_neither_an_open_position_nor_a_trade() -> None:
    rows = [fill(t, 0.1, 100) for t in range(3)] + [fill(3, -0.3, 101), fill(4, -0.7, 101)]
    rows += [fill(5 + t, 0.1, 100) for t in range(7)]
    trips, still_open = round_trips(table(*rows))
    assert trips["direction"].tolist() == [1, -1]
    assert still_open == 0


@pytest.mark.parametrize("seed", range(5))
def test_round_trips_conserve_money_and_match_a_naive_walk(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, position = [], 0.0
    for t in range(200):
        size = float(rng.integers(1, 9)) / 8
        move = -position if position and rng.random() < 0.3 else size * rng.choice([-1.0, 1.0])
        rows.append(fill(t, move, 100 + float(rng.normal(0, 5)), fee=float(rng.random())))
        position += move
    if position:
        rows.append(fill(999, -position, 101.0, fee=0.5))
    fills = table(*rows)
    trips, still_open = round_trips(fills)
    assert still_open == 0
    cash = -(fills["side"] * fills["notional"]).sum()
    assert trips["gross"].sum() == pytest.approx(cash)
    assert trips["fees"].sum() == pytest.approx(fills["fee"].sum())
    for method in ("fifo", "average"):
        realised, lots = realised_lots(fills["side"] * fills["qty"], fills["price"], method=method)
        assert realised == pytest.approx(cash)
        assert lots == []
    naive, held = 0, 0.0
    for row in rows:
        before, held = held, held + row["side"] * row["qty"]
        naive += int(before != 0 and (held == 0 or before * held < 0))
    assert trips.size == naive


def test_fifo_cost_basis_of_the_published_example() -> None:
    """rotki, tests/unit/accounting/test_cost_basis.py: buy 5 @ 268.1, 15 @ 612.45, 3 @ 603.415; sell 8."""
    realised, lots = realised_lots(
        np.array([5.0, 15.0, 3.0, -8.0]), np.array([268.1, 612.45, 603.415, 700.0]), method="fifo"
    )
    assert realised == pytest.approx(8 * 700 - 3177.85)
    assert lots == [(12.0, 612.45), (3.0, 603.415)]


def test_average_cost_merges_lots_and_crossing_zero_opens_a_short() -> None:
    realised, lots = realised_lots(np.array([1.0, 1.0, -3.0]), np.array([100.0, 110.0, 120.0]), method="average")
    assert realised == pytest.approx(30.0)
    assert lots == [(-1.0, 120.0)]


def test_trade_figures_of_a_worked_list() -> None:
    """Nets 30, -10, 20, -20, 0: hit 2/5, factor 50/30, payoff 25/15, expectancy 4."""
    rows = []
    for i, net in enumerate([30, -10, 20, -20, 0]):
        rows += [fill(10_000 * i, 1, 100), fill(10_000 * i + 1000 * (i + 1), -1, 100 + net)]
    summary = trade_summary(*round_trips(table(*rows)))
    assert summary.n == 5
    assert summary.hit_ratio.value == pytest.approx(0.4)
    assert summary.profit_factor.value == pytest.approx(50 / 30)
    assert summary.payoff.value == pytest.approx(25 / 15)
    assert summary.expectancy.value == pytest.approx(4.0)
    assert summary.expectancy_frac.value == pytest.approx(0.04)
    assert summary.average_hold_ms.value == pytest.approx(3000)
    assert (summary.best, summary.worst, summary.net) == (30.0, -20.0, 20.0)


def test_without_trips_or_without_losses_ratios_are_undefined() -> None:
    empty = trade_summary(*round_trips(table()))
    assert empty.n == 0
    assert empty.hit_ratio.value is None
    assert empty.expectancy.value is None
    only_wins = trade_summary(*round_trips(table(fill(1, 1, 100), fill(2, -1, 101))))
    assert only_wins.hit_ratio.value == 1.0
    assert only_wins.profit_factor.value is None


def test_costs_by_kind() -> None:
    fills = table(
        fill(1, 1, 100, fee=0.1, spread_cost=0.02, impact_cost=0.01),
        fill(2, -1, 100, fee=0.1, spread_cost=0.02, impact_cost=0.03, reason=5),
    )
    costs = cost_summary(fills, -0.4, liquidation_reason=5)
    assert (costs.fees, costs.spread, costs.impact, costs.funding) == pytest.approx((0.2, 0.04, 0.04, 0.4))
    assert costs.total == pytest.approx(0.68)
    assert costs.of_traded_bps == pytest.approx(0.68 / 200 * 1e4)
    assert (costs.fills, costs.liquidations) == (2, 1)
    assert cost_summary(table(), 0.0, liquidation_reason=5).of_traded_bps is None


def test_turnover_and_exposure() -> None:
    equity = np.array([900.0, 1100.0])
    assert turnover(3000.0, equity, days=1.5).value == pytest.approx(2.0)
    assert turnover(3000.0, np.array([-1.0]), days=1).value is None
    assert exposure(np.array([450.0, 0.0, 5.0]), np.array([900.0, 1000.0, 0.0])).value == pytest.approx(0.25)
    assert exposure(np.empty(0), np.empty(0)).value is None


def test_bad_fills_are_refused() -> None:
    with pytest.raises(MetricsError, match="sorted"):
        round_trips(table(fill(2, 1, 1), fill(1, -1, 1)))
    with pytest.raises(MetricsError, match="positive quantity"):
        round_trips(table(fill(1, 0, 1)))
    with pytest.raises(MetricsError, match="lack the columns"):
        round_trips(np.zeros(1, dtype=[("ts_ms", "i8")]))
