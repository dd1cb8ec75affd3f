"""The rows of a bar close, written in bulk: a few statements for all desks of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import orjson
from django.db import transaction

from fundops.core.bulk import insert_many, read_many, run, save_many
from fundops.core.events import Event, publish, publish_all
from trading.desk import lease, voices
from trading.desk.loaded import Desk
from trading.desk.messages import as_json
from trading.desk.postings import Movement, batches, ledger_equity
from trading.desk.seat import Seat
from trading.errors import BooksDisagreeError
from trading.gateways.base import Gateway
from trading.models.deployments import (
    DeskRun,
    Fill,
    FundingPayment,
    Order,
    Position,
    TradingCycle,
)
from treasury.actions.ledger import post_entries
from treasury.models import AccountKind
from treasury.selectors import By, balances

HALF_A_CENT = Decimal("0.005")

_RUN_FIELDS = (
    "next_bar_ms", "bars", "voices_state", "standing", "reports_seen", "last_closes", "cycles", "fills", "cash",
    "equity", "day_open_equity", "peak_equity", "drawdown_frac", "max_drawdown_frac", "gross", "fees", "slippage",
    "funding", "turnover", "wanted_notional", "sent_notional", "last_loss_ms", "last_order_ms", "next_action",
    "leverage",
)  # fmt: skip
_ORDER_FIELDS = (
    "venue_order_id", "quantity", "status", "status_reason", "filled", "cancel_asked", "submitted_at",
    "acknowledged_at", "ended_at",
)  # fmt: skip
#: What was said and timed first is in the row already; the answers are added to it.
_ANSWERED = """
UPDATE trading_tradingcycle t
   SET phase = v.phase, messages = t.messages || v.messages, timings = t.timings || v.timings, token = v.token,
       done_at = v.done_at
  FROM json_to_recordset(%s::json) AS v (id bigint, phase text, messages jsonb, timings jsonb, token bigint,
                                         done_at timestamptz)
 WHERE t.id = v.id AND t.id = ANY (%s::bigint[])
"""
_LIVE = "t.deployment_id = ANY (%s::bigint[]) AND t.ended_at IS NULL ORDER BY t.id"
#: A desk's open cycle is its last: the next one begins when every order of it has been answered for.
_OPEN = "(t.deployment_id, t.number) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[])) AND t.phase = 'decided'"
_POSITION_FIELDS = ("quantity", "cost", "realised", "entry_bar", "cooldown_until")


# --- Reading ---------------------------------------------------------------------------------------------------
def load_seats(desks: Sequence[Desk], tokens: Mapping[int, int]) -> list[Seat]:
    """Leased desks with their rows: a query each for runs, positions, working orders and open cycles."""
    ids = [desk.deployment.pk for desk in desks]
    runs = {run.deployment_id: run for run in read_many(DeskRun, "t.deployment_id = ANY (%s::bigint[])", [ids])}
    positions: dict[int, dict[str, Position]] = defaultdict(dict)
    for held in read_many(Position, "t.deployment_id = ANY (%s::bigint[])", [ids]):
        positions[held.deployment_id][held.symbol] = held
    orders: dict[int, dict[str, Order]] = defaultdict(dict)
    for order in read_many(Order, _LIVE, [ids]):
        orders[order.deployment_id][order.client_order_id] = order
    last = [runs[pk].cycles for pk in ids]
    open_cycles = {cycle.deployment_id: cycle for cycle in read_many(TradingCycle, _OPEN, [ids, last])}
    seats = []
    for desk in desks:
        pk = desk.deployment.pk
        run = runs[pk]
        memories = voices.unpack(bytes(run.voices_state), desk.voices) if run.voices_state else []
        seat = Seat(desk, tokens[pk], run, memories, positions[pk], orders[pk])
        seat.cycle = open_cycles.get(pk)
        seats.append(seat)
    return seats


# --- Writing ----------------------------------------------------------------------------------------------------
def write_order_states(seats: Sequence[Seat]) -> None:
    """What the venue told of known orders, and which are to be cancelled: what new orders are judged against."""
    save_many(Order, [order for seat in seats for order in seat.changed_orders.values()], _ORDER_FIELDS)
    for seat in seats:
        seat.changed_orders = {}


def write_cycles(seats: Sequence[Seat]) -> None:
    """Everything that a bar did, before anything is sent. Inside the transaction that holds the leases."""
    cycles = [seat.cycle for seat in seats if seat.cycle is not None]
    for seat in seats:
        if seat.cycle is not None:
            seat.cycle.timings = dict(seat.timings)
        seat.messages = []
    insert_many(TradingCycle, cycles, key="deployment")
    insert_many(Order, [order for seat in seats for order in seat.new_orders], key="client_order_id")
    insert_many(Fill, [row for seat in seats for row in seat.fills])
    insert_many(FundingPayment, [row for seat in seats for row in seat.funding])
    _write_positions([held for seat in seats for held in seat.touched_positions.values()])
    save_many(DeskRun, [seat.run for seat in seats], _RUN_FIELDS)
    _tell(seats)
    _post(seats)  # last: it holds the fund's posting lock until the commit


def _write_positions(rows: Sequence[Position]) -> None:
    for held in rows:
        if held._state.adding:
            held.save()
    save_many(Position, rows, _POSITION_FIELDS)


def _in_time(what: list[Fill | FundingPayment]) -> list[Fill | FundingPayment]:
    """Funding stands before the fills of its bar, as it is paid."""
    return sorted(what, key=lambda one: (one.at, isinstance(one, Fill)))


def _post(seats: Sequence[Seat]) -> None:
    movements = [Movement(seat.desk, what) for seat in seats for what in _in_time([*seat.fills, *seat.funding])]
    if not movements:
        return
    funds = {m.desk.deployment.fund_id: m.desk.deployment.fund for m in movements}
    for fund_id, batch in batches(movements):
        post_entries(fund=funds[fund_id], batch=batch, actor=None)


def _tell(seats: Sequence[Seat]) -> None:
    """One event a desk where something happened; one for all where nothing did, so that pages see the heartbeat."""
    quiet, events = [], []
    for seat in seats:
        if not (seat.new_orders or seat.fills or seat.funding or seat.finished):
            quiet.append(seat)
            continue
        assert seat.cycle is not None  # noqa: S101
        payload = {
            **_figures(seat),
            "cycle": seat.cycle.number,
            "decision": seat.cycle.decision,
            "orders": [
                {
                    "id": order.client_order_id,
                    "symbol": order.symbol,
                    "side": order.side,
                    "quantity": order.quantity,
                    "status": order.status,
                    "reason": order.status_reason,
                }
                for order in seat.new_orders
            ],
            "fills": [row.number for row in seat.fills],
        }
        deployment = seat.desk.deployment
        events.append(Event("trading.desk.cycle", None, payload, deployment, ["deployments", deployment.topic]))
    if quiet:
        payload = {"desks": [{"deployment": s.desk.deployment.pk, **_figures(s)} for s in quiet]}
        topics = ["deployments", *(seat.desk.deployment.topic for seat in quiet)]
        events.append(Event("trading.desk.watched", None, payload, None, topics))
    publish_all(events)


def _figures(seat: Seat) -> dict[str, Any]:
    run = seat.run
    return {
        "bar_ms": 0 if seat.cycle is None else seat.cycle.bar_ms,
        "equity": run.equity,
        "drawdown_frac": run.drawdown_frac,
        "gross": run.gross,
        "next_action": run.next_action,
    }


def write_answers(seats: Sequence[Seat]) -> None:
    """What the venue said of the orders of decided cycles. Refused by the fence when the lease was lost meanwhile."""
    with transaction.atomic():
        held = lease.hold({seat.desk.deployment.pk: seat.token for seat in seats})
        mine = [seat for seat in seats if seat.desk.deployment.pk in held]
        changed = {}
        answered = []
        for seat in mine:
            cycle = seat.cycle
            assert cycle is not None  # noqa: S101
            said = as_json(seat.messages)
            answered.append(
                {
                    "id": cycle.pk,
                    "phase": cycle.phase,
                    "messages": said,
                    "timings": seat.timings,
                    "token": seat.token,
                    "done_at": cycle.done_at,
                }
            )
            cycle.messages, cycle.timings = [*cycle.messages, *said], {**cycle.timings, **seat.timings}
            cycle.token = seat.token
            seat.messages = []
            changed.update({order.pk: order for order in seat.changed_orders.values()})
            changed.update({o.pk: o for o in seat.orders.values() if o.cycle_id == cycle.pk})
        save_many(Order, list(changed.values()), _ORDER_FIELDS)
        if answered:
            run(_ANSWERED, [orjson.dumps(answered).decode(), [row["id"] for row in answered]])
        if mine:
            publish(
                "trading.desk.answered",
                actor=None,
                payload={"orders": {order.client_order_id: order.status for order in changed.values()}},
                topics=["deployments", *(seat.desk.deployment.topic for seat in mine)],
            )


# --- The day's proof ------------------------------------------------------------------------------------------------
def check_books(seats: Sequence[Seat], gateway: Gateway, on: date) -> None:
    """Holds three reckonings of each account against one another at a day's end: the desk's, the venue's, the ledger's.

    Raises BooksDisagreeError where two differ by half a cent or more; the day is then not accepted.
    """
    told = gateway.balances([seat.account for seat in seats])
    books = {seat.desk.deployment.book_id: seat for seat in seats}
    amounts: dict[int, dict[tuple[AccountKind, int], Decimal]] = {pk: {} for pk in books}
    for balance in balances(books=list(books), by=(By.BOOK, By.KIND)):
        if balance.book_id is not None and balance.kind is not None:
            amounts[balance.book_id][balance.kind, balance.asset_id] = balance.amount
    for pk, seat in books.items():
        ledger = ledger_equity(amounts[pk], seat.desk, seat.run.last_closes)
        venue = told[seat.account].equity
        for name, value in (("venue", venue), ("ledger", ledger)):
            if value is None or abs(value - seat.run.equity) >= HALF_A_CENT:
                raise BooksDisagreeError(
                    f"{seat.desk.deployment}: at the end of {on} the desk counts {seat.run.equity:.8f}, the {name} "
                    f"says {'nothing' if value is None else f'{value:.8f}'}. The day is not accepted."
                )
        seat.run.books_checked_on = on
    DeskRun.objects.filter(pk__in=[seat.run.pk for seat in seats]).update(books_checked_on=on)
