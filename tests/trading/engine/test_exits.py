"""Exit rules by hand: levels, gaps, what wins within one bar, cooldown, and exits that the volume cannot
serve.
"""

from __future__ import annotations

from tests.trading.engine.worked import candles, fills, perp, refusals, script, spot, trade
from trading.quant.engine import FillReason, RejectionReason, frictionless

STOP, TAKE, TRAIL, LIMIT = (
    FillReason.STOP_LOSS,
    FillReason.TAKE_PROFIT,
    FillReason.TRAILING_STOP,
    FillReason.TIME_LIMIT,
)


def test_a_stop_fills_at_its_level_within_the_bar() -> None:
    market = candles([100.0, 100.0, (100, 101, 94, 96), 96.0])
    result = trade(market, script(0.5, stop_loss_frac=0.05))
    assert fills(result, "bar", "reason", "price", "realised")[1:] == [(2, STOP, 95.0, -25.0)]


def test_a_gap_through_the_stop_fills_at_the_open() -> None:
    market = candles([100.0, 100.0, (90, 92, 88, 91), 91.0])
    result = trade(market, script(0.5, stop_loss_frac=0.05))
    assert fills(result, "bar", "reason", "price")[1:] == [(2, STOP, 90.0)]


def test_a_target_fills_at_its_level_as_maker_and_better_on_a_gap() -> None:
    costs = frictionless(half_spread_bps=10)
    within = trade(
        candles([100.0, 100.0, (100, 107, 99, 106)]),
        script(0.5, take_profit_frac=0.05),
        costs=costs,
        instruments=[spot()],
    )
    # Bought at 100.10; the target is 105.105, on the tick against the seller 105.10, without spread.
    assert fills(within, "bar", "reason", "price", "maker")[1:] == [(2, TAKE, 105.1, 1)]
    gap = trade(candles([100.0, 100.0, (110, 111, 109, 110)]), script(0.5, take_profit_frac=0.05))
    assert fills(gap, "bar", "reason", "price")[1:] == [(2, TAKE, 110.0)]


def test_the_stop_comes_before_the_target_within_one_bar() -> None:
    market = candles([100.0, 100.0, (100, 120, 80, 100)])
    result = trade(market, script(0.5, stop_loss_frac=0.05, take_profit_frac=0.05))
    assert fills(result, "reason", "price")[1:] == [(STOP, 95.0)]


def test_an_entry_can_be_stopped_in_its_own_bar() -> None:
    market = candles([100.0, (100, 101, 90, 92)])
    result = trade(market, script(0.5, stop_loss_frac=0.05))
    assert fills(result, "bar", "reason", "price") == [(1, FillReason.SIGNAL, 100.0), (1, STOP, 95.0)]


def test_a_trailing_stop_follows_earlier_highs_only() -> None:
    # High 120 in bar 2: its own low of 105 is not yet measured against 120 x 0.9 = 108. Bar 3 is.
    market = candles([100.0, 100.0, (112, 120, 105, 118), (118, 119, 107, 110)])
    result = trade(market, script(0.5, trailing_stop_frac=0.1))
    assert fills(result, "bar", "reason", "price")[1:] == [(3, TRAIL, 108.0)]


def test_of_stop_and_trailing_stop_the_nearer_level_is_hit() -> None:
    market = candles([100.0, 100.0, (112, 120, 110, 118), (118, 119, 80, 85)])
    result = trade(market, script(0.5, stop_loss_frac=0.05, trailing_stop_frac=0.1))
    assert fills(result, "bar", "reason", "price")[1:] == [(3, TRAIL, 108.0)]


def test_short_positions_mirror_all_of_it() -> None:
    perps = [perp()]
    stop = trade(candles([100.0, 100.0, (100, 106, 99, 104)]), script(-0.5, stop_loss_frac=0.05), instruments=perps)
    assert fills(stop, "side", "reason", "price")[1:] == [(1, STOP, 105.0)]
    gap = trade(candles([100.0, 100.0, (108, 109, 107, 108)]), script(-0.5, stop_loss_frac=0.05), instruments=perps)
    assert fills(gap, "price")[1:] == [(108.0,)]
    take = trade(candles([100.0, 100.0, (100, 101, 94, 96)]), script(-0.5, take_profit_frac=0.05), instruments=perps)
    assert fills(take, "reason", "price", "maker")[1:] == [(TAKE, 95.0, 1)]
    market = candles([100.0, 100.0, (100, 101, 80, 85), (85, 89, 84, 86)])
    trail = trade(market, script(-0.5, trailing_stop_frac=0.1), instruments=perps)
    assert fills(trail, "bar", "reason", "price")[1:] == [(3, TRAIL, 88.0)]


def test_the_time_limit_closes_at_the_open_after_so_many_bars() -> None:
    result = trade(candles([100.0, 100.0, 101.0, 102.0, 103.0]), script(0.5, time_limit_bars=2))
    # Entered at bar 1, held through bars 1 and 2.
    assert fills(result, "bar", "reason", "price")[1:] == [(3, LIMIT, 102.0)]


def test_a_fresh_signal_goes_before_the_time_limit() -> None:
    result = trade(candles([100.0] * 6), script(0.5, 0.5, 0.6, time_limit_bars=2))
    assert fills(result, "bar", "reason", "position") == [
        (1, FillReason.SIGNAL, 5.0),
        (3, FillReason.SIGNAL, 6.0),
        (4, LIMIT, 0.0),
    ]


def test_the_cooldown_refuses_new_positions_for_its_bars() -> None:
    market = candles([100.0, (100, 100, 90, 95), 95.0, 95.0, 95.0, 95.0, 95.0, 95.0])
    agent = script(0.5, 0.0, 0.4, 0.0, 0.5, stop_loss_frac=0.05, cooldown_bars=2)
    result = trade(market, agent)
    # Stopped in bar 1: no opening in bars 2 and 3. The decision at the close of bar 2 would fill in bar 3.
    assert [(bar, why) for bar, why, *_ in refusals(result)] == [(3, RejectionReason.COOLDOWN)]
    assert fills(result, "bar", "reason") == [(1, 0), (1, STOP), (5, 0)]


def test_after_a_rule_exit_the_agent_waits_for_the_next_decision() -> None:
    market = candles([100.0, (100, 100, 90, 95), 95.0, 95.0, 95.0, 95.0])
    result = trade(market, script(0.5, 0.5, 0.5, stop_loss_frac=0.05))
    assert len(result.fills) == 2


def test_an_exit_beyond_the_volume_goes_on_at_the_next_opens() -> None:
    thin = (100.0, 100.0, 90.0, 92.0, 20.0)
    costs = frictionless().model_copy(update={"participation_cap_frac": 0.1})
    market = candles([100.0, 100.0, thin, (91, 93, 90, 92, 20), (89, 90, 88, 89, 1e6), 89.0])
    result = trade(market, script(0.5, 0.5, 0.7, stop_loss_frac=0.05), costs=costs)
    assert fills(result, "bar", "reason", "price", "position")[1:] == [
        (2, STOP, 95.0, 3.0),
        (3, STOP, 91.0, 1.0),
        (4, STOP, 89.0, 0.0),
    ]
    # The wish for more while the stop is being worked off is refused.
    assert [why for _, why, *_ in refusals(result)] == [
        RejectionReason.PARTICIPATION,
        RejectionReason.EXIT_PENDING,
    ]


def test_drawdown_is_measured_at_every_close_not_only_at_marks() -> None:
    market = candles([100.0, 100.0, 80.0, 120.0], interval=300_000)
    result = trade(market, script(1.0))
    assert not len(result.marks.ts_ms)
    assert result.final.agents["max_drawdown"][0, 0] == 0.2
    assert result.final.agents["peak_equity"][0, 0] == 1200.0
    assert result.final.parent["max_drawdown"][0] == 0.02  # 200 of 10,000
