"""From target to fill, by hand: timing, sizing, lots, minimum notional, volume, balance, position limits,
missing bars.
"""

from __future__ import annotations

from tests.trading.engine.worked import candles, fills, perp, refusals, script, spot, trade
from trading.quant.engine import FillReason, RejectionReason, Sizing, frictionless


def test_a_target_decided_at_the_close_fills_at_the_next_open() -> None:
    market = candles([100.0, (110, 120, 105, 115), (116, 118, 115, 117)])
    result = trade(market, script(0.5))
    # 50 % of 1,000 at the close of 100 is 5 units; they fill at the next open, 110.
    assert fills(result, "bar", "side", "qty", "price", "notional") == [(1, 1, 5.0, 110.0, 550.0)]
    assert result.final.agents["cash"][0, 0] == 450.0
    assert result.final.agents["equity"][0, 0] == 450 + 5 * 117


def test_only_a_change_of_the_target_is_a_decision() -> None:
    result = trade(candles([100.0, 110.0, 120.0, 130.0]), script(0.5, 0.5, 0.5))
    assert len(result.fills) == 1


def test_a_smaller_target_sells_down_and_realises_at_average_cost() -> None:
    result = trade(candles([100.0, 100.0, 125.0, 125.0, 125.0]), script(0.5, 0.5, 0.25))
    # 25 % of 1,000 at 125 is 2 units: 3 of the 5 are sold, 3 x 25 of profit.
    assert fills(result, "bar", "side", "qty", "realised", "position") == [
        (1, 1, 5.0, 0.0, 5.0),
        (3, -1, 3.0, 75.0, 2.0),
    ]


def test_spread_and_tick_are_paid_against_the_trader() -> None:
    instruments = [spot(tick=0.5, half_spread_bps=10)]
    result = trade(candles([100.0, 100.0, 100.0, 100.0]), script(0.5, 0.0), instruments=instruments)
    # 100.1 rounds up to 100.5 for the buyer, 99.9 down to 99.5 for the seller.
    assert fills(result, "price", "spread_cost", "impact_cost") == [(100.5, 2.5, 0.0), (99.5, 2.5, 0.0)]


def test_leverage_multiplies_the_target_and_equity_sizing_compounds() -> None:
    market = candles([100.0, 100.0, 200.0, 200.0, 200.0])
    agent = script(0.5, 0.0, 0.5, leverage=2.0)
    flat = trade(market, agent, instruments=[perp()])
    compounding = trade(market, agent, instruments=[perp()], sizing=Sizing.EQUITY)
    assert [q for (q,) in fills(flat, "qty")] == [10.0, 10.0, 5.0]
    # Sold at 200: equity is 1,000 + 10 x 100 = 2,000, so half of it twice is 10 units at 200.
    assert [q for (q,) in fills(compounding, "qty")] == [10.0, 10.0, 10.0]


def test_a_position_below_one_lot_is_refused() -> None:
    result = trade(candles([100.0, 100.0]), script(0.04), instruments=[spot(lot=1)])
    assert refusals(result) == [(1, RejectionReason.LOT_TOO_SMALL, 0.4, 0.0)]
    assert not len(result.fills)


def test_an_order_below_the_minimum_notional_is_refused_but_a_full_close_is_not() -> None:
    instruments = [spot(min_notional=100)]
    result = trade(candles([100.0] * 6), script(0.09, 0.11, 0.15, 0.0), instruments=instruments)
    assert refusals(result) == [
        (1, RejectionReason.MIN_NOTIONAL, 0.9, 0.0),
        (3, RejectionReason.MIN_NOTIONAL, 0.4, 0.0),
    ]
    assert fills(result, "bar", "side", "qty") == [(2, 1, 1.1), (4, -1, 1.1)]


def test_participation_makes_partial_fills_that_go_on() -> None:
    bar = (100.0, 100.0, 100.0, 100.0, 20.0)  # a tenth of 20 units a bar
    costs = frictionless().model_copy(update={"participation_cap_frac": 0.1})
    result = trade(candles([bar] * 6), script(0.5), costs=costs)
    assert fills(result, "bar", "qty", "position") == [(1, 2.0, 2.0), (2, 2.0, 4.0), (3, 1.0, 5.0)]
    assert refusals(result) == [(1, RejectionReason.PARTICIPATION, 5.0, 2.0)]  # said once an order


def test_a_new_decision_replaces_what_is_left_of_an_order() -> None:
    bar = (100.0, 100.0, 100.0, 100.0, 20.0)
    costs = frictionless().model_copy(update={"participation_cap_frac": 0.1})
    result = trade(candles([bar] * 6), script(0.5, 0.1), costs=costs)
    assert fills(result, "bar", "side", "qty", "position") == [(1, 1, 2.0, 2.0), (2, -1, 1.0, 1.0)]


def test_an_order_waits_through_bars_without_volume_and_missing_bars() -> None:
    dead = (100.0, 100.0, 100.0, 100.0, 0.0)
    result = trade(candles([100.0, dead, None, 102.0, 102.0]), script(0.5))
    assert refusals(result) == [(1, RejectionReason.NO_VOLUME, 5.0, 0.0)]
    assert fills(result, "bar", "price") == [(3, 102.0)]


def test_a_missing_bar_runs_no_signal_and_marks_at_the_last_close() -> None:
    result = trade(candles([100.0, 110.0, None, None, 90.0, 90.0]), script(0.5, 0.5, 0.0))
    # The third target comes with the third bar that exists (bar 4), so the sale is at bar 5.
    assert fills(result, "bar", "side") == [(1, 1), (5, -1)]
    assert result.marks.agents["equity"][2, 0] == result.marks.agents["equity"][1, 0] == 1000.0


def test_a_buyer_without_the_cash_gets_what_the_balance_covers() -> None:
    costs = frictionless(fee_bps=100)
    result = trade(candles([100.0, 125.0]), script(1.0), costs=costs, instruments=[spot(lot=1)])
    # 10 units were wanted; 1,000 / (125 x 1.01) = 7.92 can be paid.
    assert refusals(result) == [(1, RejectionReason.INSUFFICIENT_BALANCE, 10.0, 7.0)]
    assert fills(result, "qty", "fee") == [(7.0, 8.75)]
    assert result.final.agents["cash"][0, 0] == 1000 - 875 - 8.75


def test_spot_cannot_go_short() -> None:
    assert not len(trade(candles([100.0] * 3), script(-1.0)).fills)


def test_a_perpetual_reverses_in_one_fill() -> None:
    result = trade(candles([100.0, 100.0, 110.0, 110.0]), script(0.5, -0.55), instruments=[perp()])
    # From +5 to -5.5 at 110: 5 closed with 50 of profit, 5.5 sold short.
    assert fills(result, "bar", "side", "qty", "realised", "position") == [
        (1, 1, 5.0, 0.0, 5.0),
        (2, -1, 10.5, 50.0, -5.5),
    ]
    # The decision was sized at the close before, 100.
    assert result.final.agents["trades"][0, 0] == 1


def test_the_position_limit_cuts_the_order() -> None:
    result = trade(candles([100.0, 100.0]), script(1.0), instruments=[spot(position_limit=4)])
    assert refusals(result) == [(1, RejectionReason.POSITION_LIMIT, 10.0, 4.0)]
    assert fills(result, "position") == [(4.0,)]


def test_a_price_below_one_tick_is_refused() -> None:
    instruments = [perp(tick=1.0, half_spread_bps=100)]
    result = trade(candles([1.0, 1.0]), script(-0.5), instruments=instruments)
    assert refusals(result) == [(1, RejectionReason.TICK_TOO_SMALL, 500.0, 0.0)]


def test_the_multiplier_scales_notional() -> None:
    result = trade(candles([100.0, 100.0]), script(0.5), instruments=[perp(lot=1, multiplier=0.01)])
    assert fills(result, "qty", "notional") == [(500.0, 500.0)]  # 500 contracts of 0.01


def test_signal_is_the_reason_of_ordinary_fills() -> None:
    result = trade(candles([100.0, 100.0]), script(0.5))
    assert result.fills["reason"].tolist() == [FillReason.SIGNAL]
