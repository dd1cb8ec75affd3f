"""The paper venue: what it accepts, rejects, fills in parts, cancels, protects and remembers."""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.db import transaction

from trading.gateways import paper_account as kernel
from trading.gateways import paper_rows
from trading.gateways.base import (
    AccountRules,
    FillReport,
    FundingReport,
    NewOrder,
    OrderReport,
    UnknownAccountError,
    VenueState,
)
from trading.gateways.paper import PaperGateway
from trading.models.paper import PaperAccount, PaperOrder, PaperReport
from trading.quant.engine import EngineState
from trading.quant.engine.market import Market

pytestmark = pytest.mark.django_db

MINUTE = 60_000
START = 1_740_873_600_000  # 2025-03-02 00:00 UTC
ACCOUNT = "desk-7"
SPOT: dict[str, Any] = {
    "symbol": "BTCUSDT", "kind": 0, "tick": 0.1, "lot": 0.001, "min_notional": 5.0,
    "maintenance_margin_rate": 0.005, "max_leverage": 1.0, "daily_volatility": 0.03, "multiplier": 1.0,
}  # fmt: skip
PERPETUAL = SPOT | {"kind": 1, "max_leverage": 10.0}


def rules(**changes: Any) -> AccountRules:
    fields: dict[str, Any] = {
        "account": ACCOUNT,
        "venue": "synthetic",
        "interval_ms": MINUTE,
        "symbols": ("BTCUSDT",),
        "market": "BTCUSDT",
        "instruments": [SPOT],
        "protection": {},
        "cost_profile": "binance",
        "bankroll": Decimal(1000),
        "max_leverage": 2.0,
        "first_bar_ms": START,
        "last_closes": {"BTCUSDT": 100.0},
    }
    return AccountRules(**(fields | changes))


def bar(n: int, *, o: float = 100.0, h: float = 101.0, low: float = 99.0, c: float = 100.0, v: float = 1e6,
        funding: float | None = None) -> Market:  # fmt: skip
    """The n-th minute, with plenty of volume unless told otherwise."""
    ts = START + n * MINUTE
    stamps = [] if funding is None else [ts]
    return Market(
        symbols=("BTCUSDT",), ts_ms=np.array([ts]), interval_ms=MINUTE,
        open=np.array([[o]]), high=np.array([[h]]), low=np.array([[low]]),
        close=np.array([[c]]), volume=np.array([[v]]),
        funding_ts_ms=np.array(stamps, dtype=np.int64),
        funding_symbol=np.zeros(len(stamps), dtype=np.int64),
        funding_rate=np.array([] if funding is None else [funding]),
    )  # fmt: skip


def order(key: str, side: int = 1, quantity: str = "1", *, sent: int = START, **changes: Any) -> NewOrder:
    return NewOrder(ACCOUNT, key, "BTCUSDT", side, Decimal(quantity), sent_ms=sent, **changes)


@pytest.fixture
def venue() -> PaperGateway:
    gateway = PaperGateway()
    gateway.open_account(rules())
    return gateway


def told(venue: PaperGateway, after: int = 0) -> list[Any]:
    return list(venue.reports({ACCOUNT: after})[ACCOUNT])


def fills(venue: PaperGateway) -> list[FillReport]:
    return [line for line in told(venue) if isinstance(line, FillReport)]


def test_an_order_is_filled_at_the_next_open_at_the_engines_costs(venue: PaperGateway) -> None:
    (answer,) = venue.submit([order("a")])
    assert (answer.state, answer.at_ms) == (VenueState.WORKING, START + 5)
    venue.trade_bar([ACCOUNT], bar(0))
    (fill,) = fills(venue)
    assert fill.client_order_id == "a"
    assert fill.reference_price == Decimal(100)
    assert fill.price > fill.reference_price, "a buyer pays spread and impact"
    assert fill.fee == (fill.notional * Decimal("0.001")).quantize(Decimal("1e-8")), "the first taker tier"
    assert fill.notional == fill.price * fill.quantity
    told_of = [line for line in told(venue) if isinstance(line, OrderReport)]
    assert told_of[-1].order.state == VenueState.FILLED
    held = venue.balances([ACCOUNT])[ACCOUNT]
    assert held.positions == {"BTCUSDT": Decimal(1)}
    assert held.cash == Decimal(1000) - fill.notional - fill.fee
    assert held.equity == held.cash + Decimal(100)


def test_the_same_id_is_never_a_second_order(venue: PaperGateway) -> None:
    first, again = venue.submit([order("a")]), venue.submit([order("a")])
    assert first == again
    assert PaperOrder.objects.count() == 1
    venue.trade_bar([ACCOUNT], bar(0))
    assert venue.submit([order("a")])[0].state == VenueState.FILLED
    assert len(fills(venue)) == 1


def test_a_bar_is_traded_once_however_often_it_comes(venue: PaperGateway) -> None:
    venue.submit([order("a")])
    for _ in range(3):
        venue.trade_bar([ACCOUNT], bar(0))
    assert len(fills(venue)) == 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"quantity": "0.0005"}, "whole number of lots"),
        ({"quantity": "0.001"}, "smallest order"),
        ({"quantity": "1", "reduce_only": True}, "no more than the position"),
        ({"quantity": "1", "limit_price": Decimal(0)}, "positive"),
        ({"side": 0}, "buys"),
    ],
)
def test_wrong_orders_are_rejected_with_a_reason(venue: PaperGateway, wrong: dict[str, Any], why: str) -> None:
    (answer,) = venue.submit([order("a", **wrong)])
    assert answer.state == VenueState.REJECTED
    assert why in answer.reason
    venue.trade_bar([ACCOUNT], bar(0))
    assert not fills(venue)


def test_a_market_that_the_account_does_not_trade_is_rejected(venue: PaperGateway) -> None:
    (answer,) = venue.submit([NewOrder(ACCOUNT, "a", "DOGEUSDT", 1, Decimal(1))])
    assert (answer.state, "does not trade" in answer.reason) == (VenueState.REJECTED, True)


def test_a_second_order_in_a_market_waits_for_its_turn(venue: PaperGateway) -> None:
    venue.submit([order("a")])
    (answer,) = venue.submit([order("b")])
    assert (answer.state, "cancel it first" in answer.reason) == (VenueState.REJECTED, True)


def test_thin_volume_fills_in_parts_until_the_order_is_done(venue: PaperGateway) -> None:
    """The cost profile lets an order have a tenth of a bar's volume."""
    venue.submit([order("a", quantity="0.5")])
    shares = []
    for n in range(4):
        venue.trade_bar([ACCOUNT], bar(n, v=2.0))
        (view,) = venue.query(ACCOUNT, ["a"]).values()
        shares.append((view.filled, view.state))
    cap = shares[0][0]
    assert 0 < cap < Decimal("0.5")
    assert shares[0][1] == VenueState.WORKING
    assert shares[1][0] == 2 * cap
    assert sum((fill.quantity for fill in fills(venue)), Decimal(0)) == shares[-1][0]


def test_nothing_trades_without_volume_and_the_order_goes_on_working(venue: PaperGateway) -> None:
    venue.submit([order("a")])
    venue.trade_bar([ACCOUNT], bar(0, v=0.0))
    assert not fills(venue)
    venue.trade_bar([ACCOUNT], bar(1))
    assert len(fills(venue)) == 1


def test_a_cancel_ends_what_is_left(venue: PaperGateway) -> None:
    venue.submit([order("a", quantity="0.5")])
    venue.trade_bar([ACCOUNT], bar(0, v=2.0))
    (view,) = venue.cancel(ACCOUNT, ["a"])
    assert view.state == VenueState.CANCELLED
    assert 0 < view.filled < Decimal("0.5")
    venue.trade_bar([ACCOUNT], bar(1))
    assert len(fills(venue)) == 1
    assert not venue.open_orders([ACCOUNT])
    assert venue.cancel(ACCOUNT, ["a"])[0].state == VenueState.CANCELLED, "again is no error"


def test_more_than_the_cash_is_cut_and_the_rest_refused(venue: PaperGateway) -> None:
    venue.submit([order("a", quantity="20")])
    venue.trade_bar([ACCOUNT], bar(0))
    (view,) = venue.query(ACCOUNT, ["a"]).values()
    assert view.state == VenueState.CANCELLED
    assert Decimal(9) < view.filled < Decimal(10)
    assert "insufficient balance" in view.reason.replace("_", " ")
    assert venue.balances([ACCOUNT])[ACCOUNT].cash >= 0


def test_a_limit_price_is_never_passed(venue: PaperGateway) -> None:
    venue.submit([order("a", limit_price=Decimal(100))])
    venue.trade_bar([ACCOUNT], bar(0))
    assert not fills(venue), "the open with its costs is dearer than the limit"
    venue.trade_bar([ACCOUNT], bar(1, o=99.5, low=99.0, h=100.0))
    (fill,) = fills(venue)
    assert fill.price <= Decimal(100)


def test_latency_beyond_the_bar_makes_the_order_miss_it() -> None:
    slow = PaperGateway(latency_ms=90_000)
    slow.open_account(rules())
    (answer,) = slow.submit([order("a")])
    assert answer.at_ms == START + 90_000
    slow.trade_bar([ACCOUNT], bar(0))
    assert not fills(slow)
    slow.trade_bar([ACCOUNT], bar(1))
    assert [fill.at_ms for fill in fills(slow)] == [START + MINUTE]


def test_a_stop_is_the_venues_own_order_and_ends_what_works() -> None:
    venue = PaperGateway()
    venue.open_account(rules(protection={"stop_loss_frac": 0.02}))
    venue.submit([order("a")])
    venue.trade_bar([ACCOUNT], bar(0))
    venue.submit([order("b", sent=START + MINUTE, limit_price=Decimal(1))])
    venue.trade_bar([ACCOUNT], bar(1, low=90.0, c=91.0))
    stop = fills(venue)[-1]
    assert (stop.tag, stop.side, stop.quantity) == ("stop_loss", -1, Decimal(1))
    assert stop.client_order_id == f"{ACCOUNT}:stop_loss:BTCUSDT:{START + MINUTE}"
    assert venue.query(ACCOUNT, ["b"])["b"].state == VenueState.CANCELLED
    assert venue.query(ACCOUNT, [stop.client_order_id])[stop.client_order_id].protective
    assert venue.balances([ACCOUNT])[ACCOUNT].positions == {}


def test_a_stop_in_thin_volume_works_on_over_the_next_bars() -> None:
    venue = PaperGateway()
    venue.open_account(rules(protection={"stop_loss_frac": 0.02}))
    venue.submit([order("a")])
    venue.trade_bar([ACCOUNT], bar(0))
    venue.trade_bar([ACCOUNT], bar(1, low=90.0, c=91.0, v=2.0))
    (left,) = venue.open_orders([ACCOUNT])
    assert (left.protective, left.tag) == (True, "stop_loss")
    assert 0 < left.filled < left.quantity == Decimal(1)
    venue.trade_bar([ACCOUNT], bar(2, o=91.0, h=92.0, low=90.0, c=91.0))
    assert not venue.open_orders([ACCOUNT])
    assert sum((fill.quantity for fill in fills(venue) if fill.side < 0), Decimal(0)) == Decimal(1)


def test_funding_is_paid_on_perpetuals() -> None:
    venue = PaperGateway()
    venue.open_account(rules(instruments=[PERPETUAL]))
    venue.submit([order("a")])
    venue.trade_bar([ACCOUNT], bar(0))
    venue.trade_bar([ACCOUNT], bar(1, funding=0.001))
    (paid,) = [line for line in told(venue) if isinstance(line, FundingReport)]
    assert paid.amount == Decimal("-0.1"), "a long pays a positive rate on its value at the last close"


def test_reports_are_numbered_without_gaps_and_read_from_any_place(venue: PaperGateway) -> None:
    venue.submit([order("a")])
    for n in range(3):
        venue.trade_bar([ACCOUNT], bar(n))
    everything = told(venue)
    assert [line.number for line in everything] == list(range(1, len(everything) + 1))
    assert told(venue, after=1) == everything[1:]
    assert PaperAccount.objects.get(key=ACCOUNT).reports == PaperReport.objects.count()


def test_another_process_finds_the_venue_as_it_was(venue: PaperGateway) -> None:
    """Everything is in the database: a gateway made anew answers the same."""
    venue.submit([order("a", quantity="0.5")])
    venue.trade_bar([ACCOUNT], bar(0, v=2.0))
    restarted = PaperGateway()
    assert restarted.open_orders([ACCOUNT]) == venue.open_orders([ACCOUNT])
    assert restarted.balances([ACCOUNT]) == venue.balances([ACCOUNT])
    assert told(restarted) == told(venue)
    restarted.open_account(rules())  # of an account that is open: nothing happens
    restarted.trade_bar([ACCOUNT], bar(1))
    assert len(fills(venue)) == 2


def test_what_was_rolled_back_is_not_remembered(venue: PaperGateway) -> None:
    """This process keeps an account's state; a bar whose transaction failed never happened to it."""
    venue.submit([order("a")])
    with pytest.raises(RuntimeError), transaction.atomic():
        venue.trade_bar([ACCOUNT], bar(0, o=50.0, low=40.0))
        raise RuntimeError
    assert told(venue) == []
    venue.trade_bar([ACCOUNT], bar(0))
    (fill,) = fills(venue)
    assert fill.reference_price == Decimal(100)


def test_what_another_process_traded_is_read_again(venue: PaperGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    venue.submit([order("a")])
    with monkeypatch.context() as other:
        other.setattr(paper_rows, "_kept", OrderedDict())
        venue.trade_bar([ACCOUNT], bar(0))
        venue.transfer(ACCOUNT, Decimal(50))
    held = venue.balances([ACCOUNT])[ACCOUNT]
    (closing,) = venue.submit([order("b", -1, sent=START + MINUTE, reduce_only=True)])
    assert closing.state is VenueState.WORKING, "it closes what only the other process saw being bought"
    venue.trade_bar([ACCOUNT], bar(1))
    after = venue.balances([ACCOUNT])[ACCOUNT]
    assert (set(held.positions), after.positions) == ({"BTCUSDT"}, {})
    assert Decimal(1040) < after.cash < Decimal(1050)


def test_a_state_written_before_states_were_compact_is_read(venue: PaperGateway) -> None:
    account = PaperAccount.objects.get(key=ACCOUNT)
    book = kernel.paper_book(account.rules)
    described = EngineState.from_compact(bytes(account.state), book.layout).to_bytes()
    PaperAccount.objects.filter(key=ACCOUNT).update(state=described)
    venue.submit([order("a")])
    venue.trade_bar([ACCOUNT], bar(0))
    assert len(fills(venue)) == 1
    assert len(bytes(PaperAccount.objects.get(key=ACCOUNT).state)) < len(described)


def test_an_account_that_was_never_opened_is_named(venue: PaperGateway) -> None:
    with pytest.raises(UnknownAccountError, match="nobody"):
        venue.trade_bar(["nobody"], bar(0))
