"""From a target to an order, in the corners that a replay seldom meets."""

from __future__ import annotations

import pytest

from trading.desk.sizing import Holding, MarketRules, Sizing, bring_down, decide, flatten

SPOT = MarketRules("X", 1.0, 1000.0, 1.0, 5.0, spot=True)
PERP = MarketRules("X", 1.0, 1000.0, 1.0, 5.0, spot=False)
PLAIN = Sizing(draw=1000.0, leverage=1.0)


def test_a_full_target_is_worth_the_draw() -> None:
    order = decide(SPOT, Holding(), target=1.0, price=100.0, bar=0, sizing=PLAIN).intent
    assert order is not None
    assert (order.lots, order.closing, order.tag) == (10_000, False, "signal")


def test_leverage_scales_it_and_short_needs_a_perpetual() -> None:
    twice = Sizing(draw=1000.0, leverage=2.0)
    order = decide(PERP, Holding(), target=-1.0, price=100.0, bar=0, sizing=twice).intent
    assert order is not None
    assert order.lots == -20_000
    assert decide(SPOT, Holding(), target=-1.0, price=100.0, bar=0, sizing=twice).intent is None


@pytest.mark.parametrize(
    ("held", "target", "refused"),
    [
        (Holding(), 1e-6, "lot_too_small"),
        (Holding(lots=10_000), 0.998, "min_notional"),
        (Holding(cooldown_until=5), 1.0, "cooldown"),
        (Holding(lots=5, working=-5, working_tag="stop_loss"), 1.0, "exit_pending"),
    ],
)
def test_refusals_in_a_word(held: Holding, target: float, refused: str) -> None:
    decision = decide(SPOT, held, target=target, price=100.0, bar=4, sizing=PLAIN)
    assert decision.refused == refused
    assert decision.intent is None


def test_a_rest_that_still_works_makes_way_for_a_new_target() -> None:
    held = Holding(lots=4_000, working=6_000, working_tag="signal")
    decision = decide(SPOT, held, target=0.0, price=100.0, bar=0, sizing=PLAIN)
    assert decision.cancel_working
    assert decision.intent is not None
    assert (decision.intent.lots, decision.intent.closing) == (-4_000, True)


def test_the_cooldown_ends_with_its_bar() -> None:
    held = Holding(cooldown_until=5)
    assert decide(SPOT, held, target=1.0, price=100.0, bar=5, sizing=PLAIN).intent is not None


def test_a_time_limit_closes_what_was_held_long_enough() -> None:
    sizing = Sizing(draw=1000.0, leverage=1.0, time_limit_bars=10)
    held = Holding(lots=7, entry_bar=3)
    assert decide(SPOT, held, target=None, price=100.0, bar=11, sizing=sizing).intent is None
    order = decide(SPOT, held, target=None, price=100.0, bar=12, sizing=sizing).intent
    assert order is not None
    assert (order.lots, order.tag) == (-7, "time_limit")


def test_flattening_closes_everything_and_leaves_the_venues_exit_to_its_work() -> None:
    order = flatten(SPOT, Holding(lots=7), price=100.0, requote=False).intent
    assert order is not None
    assert (order.lots, order.tag, order.closing) == (-7, "flatten", True)
    exit_works = flatten(SPOT, Holding(lots=7, working=-7, working_tag="stop_loss"), price=100.0, requote=True)
    assert (exit_works.intent, exit_works.cancel_working) == (None, False)
    again = flatten(SPOT, Holding(lots=7, working=-7, working_tag="flatten"), price=100.0, requote=True)
    assert again.intent is not None
    assert again.cancel_working
    assert flatten(SPOT, Holding(), price=100.0, requote=True).intent is None


def test_a_lower_leverage_closes_what_is_held_beyond_it() -> None:
    """20,000 lots at 100 are 2,000; at 1 x of a draw of 1,000 half of them goes, however the position lies."""
    order = bring_down(PERP, Holding(lots=-20_000), target=-1.0, price=100.0, sizing=PLAIN).intent
    assert order is not None
    assert (order.lots, order.closing, order.tag) == (10_000, True, "leverage")


@pytest.mark.parametrize(
    ("held", "target"),
    [
        (Holding(), 1.0),
        (Holding(lots=9_000), 1.0),
        (Holding(lots=10_020), 1.0),
        (Holding(lots=20_000, working=-20_000, working_tag="stop_loss"), 1.0),
    ],
)
def test_a_lower_leverage_opens_nothing_and_leaves_trifles_and_exits_alone(held: Holding, target: float) -> None:
    assert bring_down(PERP, held, target=target, price=100.0, sizing=PLAIN).intent is None
