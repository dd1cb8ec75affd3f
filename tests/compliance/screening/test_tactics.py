"""The patterns by hand, and what holds for any order flow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.screening.policy import Layering, MomentumIgnition, ScreeningRules
from compliance.screening.tactics import BUY, SELL, MarketWindow, OrderEnd, OwnOrder, judge_order

NOON = datetime(2025, 5, 6, 12, tzinfo=UTC)
RULES = ScreeningRules(
    layering=Layering(window_s=60, min_orders=5, min_prices=3, cancelled_frac=Decimal("0.8"), size_ratio=Decimal(5)),
    momentum_ignition=MomentumIgnition(
        window_s=30, min_orders=4, market_share_frac=Decimal("0.2"), move_bps=Decimal(30)
    ),
)
QUIET = MarketWindow(volume=1e9, first_price=100.0, last_price=100.0)


def order(name: str, side: int, *, price: float | None = 100.0, size: float = 1.0, at: float = 0.0) -> OwnOrder:
    return OwnOrder(
        id=name,
        owner="alpha/one",
        symbol="BTC",
        venue="binance",
        side=side,
        size=size,
        price=price,
        placed_at=NOON + timedelta(seconds=at),
        aggressive=price is None,
    )


def rules_found(new: OwnOrder, flow: list[OwnOrder], market: MarketWindow | None = QUIET) -> list[str]:
    return [found.rule for found in judge_order(new, flow, rules=RULES, market=market)]


# --- Self-crossing ---
@pytest.mark.parametrize(
    ("price", "resting", "crosses"),
    [(101.0, 100.0, True), (100.0, 100.0, True), (99.9, 100.0, False), (None, 100.0, True), (99.0, None, True)],
)
def test_buy_meets_own_sell_when_prices_cross(price: float | None, resting: float | None, crosses: bool) -> None:
    theirs = replace(order("s", SELL, price=resting), owner="alpha/two")
    assert ("self_crossing" in rules_found(order("b", BUY, price=price), [theirs])) is crosses


@pytest.mark.parametrize("end", [OrderEnd.FILLED, OrderEnd.CANCELLED, OrderEnd.REFUSED])
def test_order_that_no_longer_works_is_not_crossed(end: OrderEnd) -> None:
    assert rules_found(order("b", BUY), [replace(order("s", SELL), end=end)]) == []


def test_other_market_or_side_is_not_crossed() -> None:
    resting = order("s", SELL)
    flow = [replace(resting, symbol="ETH"), replace(resting, venue="kraken"), replace(resting, side=BUY)]
    assert rules_found(order("b", BUY), flow) == []


def test_filled_part_of_a_working_order_no_longer_counts() -> None:
    done = replace(order("s", SELL, size=2.0), filled=2.0)
    left = replace(order("s", SELL, size=2.0), filled=1.5)
    assert rules_found(order("b", BUY), [done]) == []
    assert rules_found(order("b", BUY), [left]) == ["self_crossing"]


def test_evidence_names_the_orders() -> None:
    (found,) = judge_order(order("b", BUY), [order("s", SELL)], rules=RULES, market=QUIET)
    assert [o["order"] for o in found.evidence["against"]] == ["s"]
    assert "1 working order of the fund itself in BTC" in found.text


# --- Layering ---
def layers(count: int, *, side: int = SELL, spacing: float = 1.0, size: float = 10.0) -> list[OwnOrder]:
    """Sells stacked above the market, all pulled."""
    return [
        replace(order(f"l{i}", side, price=105.0 + i, size=size, at=spacing * i), end=OrderEnd.CANCELLED)
        for i in range(count)
    ]


def test_trade_that_layers_were_for_is_denied() -> None:
    """Five sells of 10 pulled in five seconds, then a buy of 2: 50 pulled is 25 times what is traded."""
    assert rules_found(order("b", BUY, size=2.0, at=6), layers(5)) == ["layering"]


def test_one_layer_more_is_denied_once_the_other_side_was_filled() -> None:
    bought = replace(order("b", BUY, size=2.0, at=3), end=OrderEnd.FILLED, filled=2.0)
    assert rules_found(order("l9", SELL, price=120.0, size=10.0, at=7), [*layers(4), bought]) == ["layering"]


def test_few_orders_or_honest_sizes_are_no_layers() -> None:
    assert rules_found(order("b", BUY, size=2.0, at=6), layers(4)) == []
    assert rules_found(order("b", BUY, size=20.0, at=6), layers(5)) == []  # 50 is 2.5 times 20: a change of mind


def test_layers_out_of_the_window_are_forgotten() -> None:
    assert rules_found(order("b", BUY, size=2.0, at=100), layers(5)) == []


def test_one_price_requoted_is_no_layering() -> None:
    """A market maker who moves one quote back to the same price."""
    flow = [replace(o, price=105.0) for o in layers(6)]
    assert rules_found(order("b", BUY, size=2.0, at=8), flow) == []


def test_layers_of_another_book_do_not_count() -> None:
    flow = [replace(o, owner="alpha/two") for o in layers(5)]
    assert rules_found(order("b", BUY, size=2.0, at=6), flow) == []


# --- Momentum ignition ---
def burst(count: int) -> list[OwnOrder]:
    return [
        replace(order(f"m{i}", BUY, price=None, size=10.0, at=i), end=OrderEnd.FILLED, filled=10.0)
        for i in range(count)
    ]


def test_burst_that_moves_the_market_is_denied() -> None:
    """40 of 150 units are 27 %; from 100 to 100.4 are 40 bps."""
    moved = MarketWindow(volume=150.0, first_price=100.0, last_price=100.4)
    assert rules_found(order("m9", BUY, price=None, size=10.0, at=4), burst(3), moved) == ["momentum_ignition"]


@pytest.mark.parametrize(
    ("volume", "last"), [(1000.0, 100.4), (150.0, 100.2), (150.0, 99.0)], ids=["small", "still", "against"]
)
def test_burst_that_is_small_or_moves_nothing_passes(volume: float, last: float) -> None:
    market = MarketWindow(volume=volume, first_price=100.0, last_price=last)
    assert rules_found(order("m9", BUY, price=None, size=10.0, at=4), burst(3), market) == []


@pytest.mark.parametrize(
    "market",
    [None, MarketWindow(float("nan"), 100.0, 100.4), MarketWindow(0.0, 100.0, 100.4), MarketWindow(9.0, 0.0, 1.0)],
)
def test_burst_beside_an_unknown_market_is_denied(market: MarketWindow | None) -> None:
    assert rules_found(order("m9", BUY, price=None, size=10.0, at=4), burst(3), market) == ["momentum_ignition"]


def test_resting_orders_are_no_burst() -> None:
    moved = MarketWindow(volume=10.0, first_price=100.0, last_price=101.0)
    flow = [replace(o, aggressive=False) for o in burst(9)]
    assert rules_found(order("m9", BUY, price=None, size=10.0, at=10), flow, moved) == []


# --- For any flow ---
orders = st.builds(
    lambda i, side, price, size, at, end, share: replace(
        order(f"o{i}", side, price=price, size=size, at=at), end=end, filled=size * share
    ),
    st.integers(0, 10_000),
    st.sampled_from([BUY, SELL]),
    st.one_of(st.none(), st.floats(90, 110)),
    st.floats(0.1, 100),
    st.floats(-200, 0),
    st.sampled_from(OrderEnd),
    st.sampled_from([0.0, 0.5, 1.0]),
)
flows = st.lists(orders, max_size=30)


@given(orders, flows)
def test_order_of_orders_does_not_matter(new: OwnOrder, flow: list[OwnOrder]) -> None:
    assert rules_found(new, flow) == rules_found(new, flow[::-1])


@given(orders, flows)
def test_what_is_long_past_and_done_changes_nothing(new: OwnOrder, flow: list[OwnOrder]) -> None:
    past = new.placed_at - timedelta(hours=1)
    old = [replace(o, id=f"{o.id}-old", placed_at=past, end=OrderEnd.CANCELLED) for o in flow]
    assert rules_found(new, [*flow, *old]) == rules_found(new, flow)


@given(orders)
def test_first_order_of_a_fund_completes_nothing(new: OwnOrder) -> None:
    assert rules_found(new, []) == []


@given(orders, flows)
def test_rules_switched_off_find_nothing(new: OwnOrder, flow: list[OwnOrder]) -> None:
    off = ScreeningRules.model_validate(
        {name: {"enabled": False} for name in ("self_crossing", "layering", "momentum_ignition")}
    )
    assert judge_order(new, flow, rules=off, market=None) == ()
