"""Margin, funding and liquidation by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trading.engine.cases import START
from tests.trading.engine.worked import candles, fills, perp, refusals, script, spot, trade
from trading.quant.engine import BreachKind, FillReason, Market, RejectionReason
from trading.quant.engine.market import HOUR_MS


def funded(rate: float, hours: tuple[int, ...] = (2,)) -> Market:
    return candles(
        (100.0, 100.0, 120.0, 120.0),
        funding_ts_ms=np.array([START + h * HOUR_MS for h in hours]),
        funding_symbol=np.zeros(len(hours), dtype=np.int64),
        funding_rate=np.full(len(hours), rate),
    )


@pytest.mark.parametrize(("target", "amount"), [(0.5, -0.5), (-0.5, 0.5)])
def test_longs_pay_positive_funding_and_shorts_receive_it(target: float, amount: float) -> None:
    result = trade(funded(0.001), script(target), instruments=[perp()])
    # 5 units at the last close before the stamp, 100, at 0.1 %.
    (payment,) = result.funding
    assert (payment["ts_ms"], payment["bar"], payment["price"]) == (START + 2 * HOUR_MS, 2, 100.0)
    assert payment["amount"] == amount
    assert result.final.agents["funding"][0, 0] == amount
    assert result.final.agents["cash"][0, 0] == 1000 - (500 if target > 0 else -500) + amount


def test_a_position_opened_at_the_stamp_does_not_pay_and_spot_never_does() -> None:
    assert not len(trade(funded(0.001, hours=(1,)), script(0.5), instruments=[perp()]).funding)
    assert not len(trade(funded(0.001), script(0.5), instruments=[spot()]).funding)


def test_margin_allows_leverage_and_initial_margin_limits_it() -> None:
    result = trade(candles([100.0] * 3), script(1.0, leverage=20.0), instruments=[perp(max_leverage=10, lot=1)])
    assert fills(result, "position") == [(100.0,)]
    assert refusals(result) == [(1, RejectionReason.INSUFFICIENT_BALANCE, 200.0, 100.0)]
    assert result.final.agents["cash"][0, 0] == -9000.0  # the notional is exchanged


def test_a_long_is_liquidated_at_maintenance_margin() -> None:
    # 50 units at 100 on 1,000: cash -4,000. 50 P - 4,000 = 5 % x 50 P at P = 4,000 / 47.5 = 84.2105...
    market = candles([100.0, 100.0, (95, 96, 80, 82), 82.0])
    rules = [perp(maintenance_margin_rate=0.05, tick=0.0001)]
    result = trade(market, script(1.0, leverage=5.0), instruments=rules)
    (_, liquidation) = result.fills
    assert (liquidation["bar"], liquidation["reason"]) == (2, FillReason.LIQUIDATION)
    assert liquidation["reference"] == pytest.approx(4000 / 47.5, abs=1e-12)
    assert liquidation["price"] == 84.2105
    assert result.final.agents["equity"][0, 0] == pytest.approx(50 * 84.2105 - 4000)


def test_a_short_is_liquidated_at_maintenance_margin() -> None:
    # Short 50 at 100 on 1,000: cash 6,000. 6,000 - 50 P = 5 % x 50 P at P = 6,000 / 52.5 = 114.2857...
    market = candles([100.0, 100.0, (105, 120, 104, 118), 118.0])
    rules = [perp(maintenance_margin_rate=0.05, tick=0.0001)]
    result = trade(market, script(-1.0, leverage=5.0), instruments=rules)
    assert fills(result, "bar", "reason", "price")[1:] == [(2, FillReason.LIQUIDATION, 114.2858)]


def test_a_gap_past_bankruptcy_leaves_a_debt_and_an_entry() -> None:
    market = candles([100.0, 100.0, (70, 71, 69, 70), 70.0, 70.0])
    result = trade(market, script(1.0, 1.0, 0.5, leverage=5.0), instruments=[perp()])
    assert fills(result, "reason", "price")[1:] == [(FillReason.LIQUIDATION, 70.0)]
    assert result.final.agents["equity"][0, 0] == -500.0
    assert [b["kind"] for b in result.breaches] == [BreachKind.AGENT_BANKRUPT]
    assert [why for _, why, *_ in refusals(result)] == [RejectionReason.INSUFFICIENT_BALANCE]


def test_liquidation_is_not_capped_by_volume() -> None:
    market = candles([100.0, 100.0, (95, 96, 70, 75, 1.0), 75.0])
    result = trade(market, script(1.0, leverage=5.0), instruments=[perp()])
    assert fills(result, "reason", "qty")[1:] == [(FillReason.LIQUIDATION, 50.0)]


def test_the_nearer_stop_goes_before_the_liquidation() -> None:
    market = candles([100.0, 100.0, (100, 101, 70, 75)])
    result = trade(market, script(1.0, leverage=5.0, stop_loss_frac=0.1), instruments=[perp()])
    assert fills(result, "reason", "price")[1:] == [(FillReason.STOP_LOSS, 90.0)]


def test_max_leverage_cuts_orders_and_drift_above_it_is_a_breach() -> None:
    market = candles([100.0, 100.0, 90.0, 88.0, 88.0])
    agent = script(1.0, leverage=5.0, max_leverage=3.0)
    result = trade(market, agent, instruments=[perp(lot=1)])
    assert refusals(result) == [(1, RejectionReason.AGENT_LEVERAGE, 50.0, 30.0)]
    # 30 units: at 90 the gross is 2,700 on an equity of 700.
    (breach,) = result.breaches
    assert (breach["bar"], breach["agent"], breach["kind"]) == (2, 0, BreachKind.AGENT_LEVERAGE)
    assert breach["value"] == pytest.approx(2700 / 700)
    assert breach["limit"] == 3.0


def test_a_breach_is_reported_again_only_after_a_mark_without_it() -> None:
    market = candles([100.0, 100.0, 90.0, 100.0, 90.0])
    result = trade(market, script(1.0, leverage=3.0, max_leverage=3.0), instruments=[perp(lot=1)])
    assert [b["bar"] for b in result.breaches] == [2, 4]
