"""One bar close at many desks: fills taken in, votes, judgement, orders; kept as one `TradingCycle` each.

Two transactions with the venue between them. The first takes in what the gateway reported, decides, and writes the
cycle with its orders still to be sent. Then the orders go out. The second writes what the venue answered. A desk that
dies between leaves a cycle that is DECIDED: whoever takes the desk over asks the venue about those very orders before
anything else (`settle`), so that none is lost and none is sent twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from django.db import transaction

from fundops.core import clock
from fundops.core.bulk import new_row
from fundops.core.money import to_decimal
from trading.actions.deployments import finish_deployment
from trading.desk import lease, voices
from trading.desk.council import Resolution, Vote, resolve
from trading.desk.judging import judge, limit_price
from trading.desk.leverage import is_lowered, read_leverage
from trading.desk.messages import DirectorMessage, ExecutionMessage, QuantMessage, VoteMessage, as_json
from trading.desk.records import check_books, write_answers, write_cycles, write_order_states
from trading.desk.seat import Seat
from trading.desk.sizing import DECIDED, Decision, Holding, bring_down, decide, flatten
from trading.gateways.base import (
    FillReport,
    FundingReport,
    Gateway,
    GatewayError,
    NewOrder,
    OrderReport,
    OrderView,
    OutcomeUnknownError,
    Report,
    VenueState,
)
from trading.models.deployments import (
    LIVE_ORDERS,
    UNSETTLED,
    CyclePhase,
    DeploymentStatus,
    Fill,
    FundingPayment,
    Order,
    OrderStatus,
    TradingCycle,
)
from trading.quant.engine.market import Market
from trading.risk_signals import gateway_failed, orders_rejected

DAY_MS = 86_400_000
_STATUS = {
    VenueState.WORKING: OrderStatus.WORKING,
    VenueState.FILLED: OrderStatus.FILLED,
    VenueState.CANCELLED: OrderStatus.CANCELLED,
    VenueState.REJECTED: OrderStatus.REJECTED,
}


def work_bar(seats: Sequence[Seat], bar: Market, gateway: Gateway, *, opening: bool = False) -> list[Seat]:
    """Works one closed bar at these desks, which all stand at it; returns those whose cycle is done.

    ``opening`` is the bar before the first: nothing trades on it, the strategies already know it, and what they want
    becomes the first orders. A desk whose lease was lost is left out. Raises what the books refuse.
    """
    bar_ms, close_ms = int(bar.ts_ms[-1]), bar.end_ms
    began = time.perf_counter()
    for seat in seats:
        seat.begin()
    if not opening and hasattr(gateway, "trade_bar"):
        gateway.trade_bar([seat.account for seat in seats], bar)
    reports = gateway.reports({seat.account: seat.run.reports_seen for seat in seats})
    with transaction.atomic():
        held = lease.hold({seat.desk.deployment.pk: seat.token for seat in seats})
        mine = [seat for seat in seats if seat.desk.deployment.pk in held]
        read_leverage(mine)
        for seat in mine:
            _open_cycle(seat, bar_ms, began)
            _take_in(seat, reports[seat.account], bar, opening=opening)
            _deliberate(seat, bar, opening=opening)
        at = time.perf_counter()
        write_order_states(mine)
        judge(mine, bar=bar, at_ms=close_ms)
        for seat in mine:
            at = seat.timed("judge", at)
            _prepare_sending(seat, close_ms)
        for seat in mine:
            _advance(seat, bar, opening=opening)
        write_cycles(mine)
        if close_ms % DAY_MS == 0 and mine and not opening:
            check_books(mine, gateway, clock.from_ms(bar_ms).date())
        for seat in mine:
            if seat.finished:
                finish_deployment(deployment=seat.desk.deployment, on=clock.from_ms(close_ms).date())
    done = send(mine, gateway, began=began)
    _tell_rejections(mine)
    return done


# --- Director ---------------------------------------------------------------------------------------------------
def _open_cycle(seat: Seat, bar_ms: int, began: float) -> None:
    deployment, run = seat.desk.deployment, seat.run
    run.cycles += 1
    seat.cycle = new_row(
        TradingCycle,
        deployment=deployment,
        bar_ms=bar_ms,
        number=run.cycles,
        phase=CyclePhase.DONE,
        token=seat.token,
        decision="hold",
        messages=[],
        equity=run.equity,
        decided_at=clock.now(),
    )
    seat.timed("market", began)


def _take_in(seat: Seat, reports: Sequence[Report], bar: Market, *, opening: bool) -> None:
    """What the venue told since the last bar, in its order; then the account at this bar's closes."""
    began = time.perf_counter()
    run = seat.run
    index = run.bars  # of this bar, counted from the deployment's first
    for report in reports:
        if isinstance(report, FillReport):
            _take_fill(seat, report, index, bar.end_ms)
        elif isinstance(report, FundingReport):
            seat.funding.append(
                new_row(
                    FundingPayment,
                    deployment=seat.desk.deployment,
                    report=report.number,
                    at=clock.from_ms(report.at_ms),
                    symbol=report.symbol,
                    quantity=report.quantity,
                    price=report.price,
                    rate=report.rate,
                    amount=report.amount,
                )
            )
            run.cash += report.amount
            run.funding += report.amount
        else:
            _take_order(seat, report)
        run.reports_seen = report.number
    closes = {
        symbol: float(bar.close[-1, column])
        for column, symbol in enumerate(bar.symbols)
        if math.isfinite(bar.close[-1, column])
    }
    seat.mark(closes, int(bar.ts_ms[-1]) if not opening else 1)
    assert seat.cycle is not None  # noqa: S101
    seat.cycle.equity = run.equity
    stance: Literal["proceed", "flatten", "stand_down"] = "proceed"
    reasons: list[str] = []
    if seat.desk.deployment.status == DeploymentStatus.STOPPING:
        stance = "flatten" if seat.desk.deployment.flatten else "stand_down"
        reasons = [seat.desk.deployment.stop_reason]
    seat.messages.insert(
        0,
        DirectorMessage(
            stance=stance, bar_ms=int(bar.ts_ms[-1]), token=seat.token, fills_taken_in=len(seat.fills), reasons=reasons
        ),
    )
    seat.timed("take_in", began)


def _order_of(seat: Seat, client_order_id: str, symbol: str, side: int, tag: str, *, at_ms: int) -> Order:
    """The order of a report; one that the venue made from the account's protection is written down with this cycle."""
    order = seat.orders.get(client_order_id)
    if order is None:
        order = new_row(
            Order,
            deployment=seat.desk.deployment,
            cycle=seat.cycle,
            client_order_id=client_order_id,
            symbol=symbol,
            side="buy" if side > 0 else "sell",
            quantity=Decimal(0),
            reduce_only=True,
            reason=tag,
            status=OrderStatus.WORKING,
            filled=Decimal(0),
            created_at=clock.now(),
            acknowledged_at=clock.from_ms(at_ms),
        )
        seat.orders[client_order_id] = order
        seat.new_orders.append(order)
    elif order not in seat.new_orders:
        seat.changed_orders[client_order_id] = order
    return order


def _take_fill(seat: Seat, report: FillReport, index: int, close_ms: int) -> None:
    order = _order_of(seat, report.client_order_id, report.symbol, report.side, report.tag, at_ms=report.at_ms)
    row = new_row(
        Fill,
        deployment=seat.desk.deployment,
        order=order,
        number=seat.run.fills + 1,
        venue_fill_id=report.venue_fill_id,
        at=clock.from_ms(report.at_ms),
        symbol=report.symbol,
        side="buy" if report.side > 0 else "sell",
        quantity=report.quantity,
        price=report.price,
        reference_price=report.reference_price,
        notional=report.notional,
        fee=report.fee,
        spread_cost=report.spread_cost,
        impact_cost=report.impact_cost,
        realised=report.realised,
        reason=report.tag,
    )
    seat.book_fill(order, row, bar=index, close_ms=close_ms)
    order.quantity = max(order.quantity, order.filled)


def _take_order(seat: Seat, report: OrderReport) -> None:
    told = report.order
    order = _order_of(seat, told.client_order_id, told.symbol, told.side, told.tag, at_ms=told.at_ms)
    order.quantity = max(told.quantity, order.filled)
    _answer(seat, order, told)


def _answer(seat: Seat, order: Order, told: OrderView) -> None:
    """Writes the venue's word about an order; a state that is final stays."""
    if order.status not in LIVE_ORDERS:
        return
    order.status = _STATUS[told.state]
    order.venue_order_id = told.venue_order_id or order.venue_order_id
    if told.reason:
        order.status_reason = told.reason[:400]
    if order.acknowledged_at is None:
        order.acknowledged_at = clock.now()
    if order.status not in LIVE_ORDERS:
        order.ended_at = clock.now()
    if order.status == OrderStatus.REJECTED:
        seat.rejected.append(order)


# --- Quant ---------------------------------------------------------------------------------------------------------
def _deliberate(seat: Seat, bar: Market, *, opening: bool) -> None:
    """The strategies see the bar and vote; the council's targets become orders to be judged."""
    began = time.perf_counter()
    desk, run = seat.desk, seat.run
    if not opening:
        seat.memories = [
            memory if memory is None else voices.step(voice, memory, bar)
            for voice, memory in zip(desk.voices, seat.memories, strict=True)
        ]
    began = seat.timed("strategies", began)
    index = -1 if opening else run.bars
    stopping = desk.deployment.status == DeploymentStatus.STOPPING
    standing = dict(run.standing)
    lowered, brought_down = is_lowered(seat) and not stopping, True
    for symbol in desk.slot_symbols:
        close = float(bar.close[-1, bar.symbols.index(symbol)])
        resolution = _vote(seat, symbol, index)
        before = float(standing.get(symbol, 0.0))
        changed = (
            resolution.target is not None and math.isfinite(close) and resolution.target != before and not stopping
        )
        if changed:
            standing[symbol] = resolution.target
        acted = changed and not _shrinks_what_is_flat(seat, symbol, resolution, before)
        decision = _decision(seat, symbol, resolution.target if acted else None, close, index)
        if lowered and decision.intent is None and not decision.cancel_working:
            decision = _bring_down(seat, symbol, float(standing.get(symbol, 0.0)), close) or decision
        at_rest = decision.intent is None and not decision.cancel_working
        brought_down &= at_rest and (math.isfinite(close) or seat.holding(symbol).lots == 0)
        _note(seat, symbol, resolution, decision, before=before, changed=changed)
        _draft(seat, symbol, decision, bar)
    run.standing = standing
    if lowered and brought_down:
        run.leverage = desk.leverage  # nothing is held beyond it any more
    seat.timed("decide", began)


def _shrinks_what_is_flat(seat: Seat, symbol: str, resolution: Resolution, before: float) -> bool:
    """A council that was weighed down wants less of what it no longer holds: no reason to open it again."""
    target = resolution.target or 0.0
    smaller = 0.0 < target <= before or before <= target < 0.0
    return resolution.weakened and smaller and seat.holding(symbol).lots == 0


def _bring_down(seat: Seat, symbol: str, standing: float, close: float) -> Decision | None:
    if not math.isfinite(close):
        return None
    rules = seat.desk.parts.rules[symbol]
    found = bring_down(rules, seat.holding(symbol), target=standing, price=close, sizing=seat.desk.sizing)
    return found if found.intent is not None else None


def _vote(seat: Seat, symbol: str, index: int) -> Resolution:
    cast = []
    for voice, memory in zip(seat.desk.voices, seat.memories, strict=True):
        who, seated = (voice.row.number, voice.row.name, float(voice.row.weight)), float(voice.row.seated_weight)
        if memory is None or voice.cohort is None:
            cast.append(Vote(*who, None, "Its strategy is not installed.", seated=seated))
            continue
        targets = voices.standing(voice, memory)
        if symbol not in targets:
            cast.append(Vote(*who, None, f"It does not speak of {symbol}.", seated=seated))
        elif targets[symbol] == 0.0 and seat.run.history_bars + index + 1 < voice.warm_up:
            cast.append(Vote(*who, None, "It is still warming up.", seated=seated))
        else:
            cast.append(Vote(*who, targets[symbol], seated=seated))
    return resolve(symbol, cast, quorum_frac=float(seat.desk.deployment.quorum_frac))


def _decision(seat: Seat, symbol: str, target: float | None, close: float, index: int) -> Decision:
    deployment, rules = seat.desk.deployment, seat.desk.parts.rules[symbol]
    held = seat.holding(symbol)
    price = close if math.isfinite(close) else float(seat.run.last_closes.get(symbol, math.nan))
    if deployment.status == DeploymentStatus.STOPPING:
        if not deployment.flatten:
            return Decision(cancel_working=held.working != 0 and held.working_tag in (*DECIDED, "time_limit"))
        return flatten(rules, held, price=price, requote=deployment.slippage_cap_frac is not None)
    order = seat.working(symbol)
    if target is None and order is not None and order.limit_price is not None and math.isfinite(close):
        # A limit order that the bar did not fill is quoted again from this close, if it is still wanted.
        return _quote_again(seat, symbol, order, held, price, index)
    if not math.isfinite(price):
        return Decision()
    return decide(rules, held, target=target, price=price, bar=index, sizing=seat.desk.sizing)


def _quote_again(seat: Seat, symbol: str, order: Order, held: Holding, price: float, index: int) -> Decision:
    rules = seat.desk.parts.rules[symbol]
    target = float(seat.run.standing.get(symbol, 0.0)) if order.reason == "signal" else 0.0
    free = Holding(held.lots, held.entry_bar, held.cooldown_until)
    if order.reason == "leverage":
        standing = float(seat.run.standing.get(symbol, 0.0))
        rest = bring_down(rules, free, target=standing, price=price, sizing=seat.desk.sizing)
        return Decision(rest.intent, cancel_working=True)
    again = decide(rules, free, target=target, price=price, bar=index, sizing=seat.desk.sizing)
    return Decision(again.intent, again.refused, cancel_working=True)


def _note(seat: Seat, symbol: str, resolution: Resolution, decision: Decision, *, before: float, changed: bool) -> None:
    rules = seat.desk.parts.rules[symbol]
    wanted = Decimal(0) if decision.intent is None else to_decimal(rules.quantity(decision.intent.lots))
    reasons = []
    if decision.refused:
        reasons.append(_REFUSED.get(decision.refused, decision.refused))
    if decision.intent is not None and decision.intent.tag == "time_limit":
        reasons.append("The position has been held as long as its genome allows.")
    if decision.intent is not None and decision.intent.tag == "leverage":
        reasons.append(
            f"Leverage fell from {seat.run.leverage.normalize():f} x to {seat.desk.leverage.normalize():f} x: what is "
            "held beyond it is closed."
        )
    if decision.cancel_working:
        reasons.append("What still works in the market is cancelled.")
    needed = f"{float(seat.desk.deployment.quorum_frac):.0%} are needed."
    if resolution.spent:
        reasons.append(f"Too little weight is left to its voices for any vote; {needed} It holds nothing any more.")
    elif resolution.target is None:
        reasons.append(f"Voices with {resolution.support_frac:.0%} of the weight have an opinion; {needed}")
    silent = resolution.target is None or (resolution.spent and not changed)
    seat.messages.append(
        QuantMessage(
            stance="no_quorum" if silent else ("change" if changed else "hold"),
            symbol=symbol,
            target=resolution.target,
            standing=before,
            support_frac=resolution.support_frac,
            votes=[
                VoteMessage(voice=v.voice, name=v.name, weight=v.weight, seated=v.seat, target=v.target, why=v.why)
                for v in resolution.votes
            ],
            leverage=f"{seat.desk.leverage.normalize():f}",
            wanted=f"{wanted.normalize():f}",
            reasons=reasons,
        )
    )


_REFUSED = {
    "lot_too_small": "The target is less than one lot.",
    "cooldown": "The market rests after a protective exit.",
    "min_notional": "The change is worth less than the venue's smallest order.",
    "exit_pending": "A protective exit is still being worked off.",
}


def _draft(seat: Seat, symbol: str, decision: Decision, bar: Market) -> None:
    working = seat.working(symbol)
    if decision.cancel_working and working is not None:
        working.cancel_asked = True
        seat.to_cancel.append(working)
        seat.changed_orders[working.client_order_id] = working
    if decision.intent is None:
        return
    column = bar.symbols.index(symbol)
    price = limit_price(
        decision.intent.side,
        decision.intent.price,
        seat.desk.deployment.slippage_cap_frac,
        seat.desk.parts.instruments[column].tick,
    )
    order = seat.draft_order(decision.intent, bar_ms=int(bar.ts_ms[-1]), limit_price=price, closed_ms=bar.end_ms)
    seat.new_orders.append(order)
    seat.intents.append((decision.intent, order))


# --- Execution -------------------------------------------------------------------------------------------------------
def _prepare_sending(seat: Seat, close_ms: int) -> None:
    """What this cycle decided, in a word; its orders are pending from here on."""
    assert seat.cycle is not None  # noqa: S101
    denied = [order for order in seat.new_orders if order.status == OrderStatus.DENIED]
    if seat.intents:
        seat.cycle.decision, seat.cycle.phase = "order", CyclePhase.DECIDED
        seat.run.last_order_ms = close_ms
        for _, order in seat.intents:
            seat.orders[order.client_order_id] = order
    elif seat.to_cancel:
        seat.cycle.decision, seat.cycle.phase = "cancel", CyclePhase.DECIDED
    elif denied:
        seat.cycle.decision = "denied"
    sent = [order.client_order_id for _, order in seat.intents]
    if sent or seat.to_cancel:
        cancelled = [f"Cancels {order.client_order_id}." for order in seat.to_cancel]
        seat.messages.append(ExecutionMessage(stance="sent" if sent else "cancelled", orders=sent, reasons=cancelled))
    else:
        seat.messages.append(ExecutionMessage(stance="nothing"))
    seat.cycle.messages = as_json(seat.messages)


def _advance(seat: Seat, bar: Market, *, opening: bool) -> None:
    """Moves the bookmark; a stopping desk with nothing held and nothing working ends here."""
    deployment, run = seat.desk.deployment, seat.run
    if not opening:
        run.bars += 1
        run.next_bar_ms = bar.end_ms
    run.voices_state = voices.pack(seat.memories)
    nothing_works = not seat.intents and all(order in seat.to_cancel for order in seat.orders.values() if _live(order))
    flat = all(held.quantity == 0 for held in seat.positions.values())
    if deployment.status == DeploymentStatus.STOPPING and nothing_works and not seat.to_cancel:
        seat.finished = flat or not deployment.flatten
    run.next_action = _next_action(seat)


def _live(order: Order) -> bool:
    return order.status in LIVE_ORDERS


def _next_action(seat: Seat) -> str:
    if seat.finished:
        return "Ended."
    if seat.desk.deployment.status == DeploymentStatus.STOPPING:
        if seat.held_back:
            return f"Waits to close what is held: {seat.held_back}."
        return "Closes what is held." if seat.desk.deployment.flatten else "Waits for its orders to end."
    if seat.intents:
        intent, order = seat.intents[0]
        return f"{order.side.capitalize()} {order.quantity.normalize():f} {intent.symbol} at the next open."
    return "Watches the next bar."


def send(seats: Sequence[Seat], gateway: Gateway, *, began: float | None = None) -> list[Seat]:
    """Cancels and submits what decided cycles left to send, and writes the answers; returns the seats that are done.

    A venue that does not answer leaves its orders IN_FLIGHT and their cycles DECIDED, for `settle`.
    """
    waiting = [seat for seat in seats if seat.cycle is not None and seat.cycle.phase == CyclePhase.DECIDED]
    if not waiting:
        return list(seats)
    at = time.perf_counter()
    cancelled = [seat for seat in waiting if _cancel(seat, gateway)]
    orders = [
        (seat, order)
        for seat in cancelled
        for order in seat.orders.values()
        if order.status in UNSETTLED and order.cycle_id == seat.cycle.pk  # type: ignore[union-attr]
    ]
    lost = ""
    answers: dict[str, OrderView] = {}
    for _, order in orders:
        order.submitted_at = order.submitted_at or clock.now()
    try:
        if orders:
            told = gateway.submit([_new_order(seat, order) for seat, order in orders])
            answers = {view.client_order_id: view for view in told}
    except GatewayError as failed:
        lost = failed.message
        for _, order in orders:
            # Not sent for certain, it is sent again; perhaps sent, it is asked after.
            order.status = OrderStatus.IN_FLIGHT if isinstance(failed, OutcomeUnknownError) else OrderStatus.PENDING
        gateway_failed({seat.desk.deployment for seat, _ in orders}, lost)
    done = []
    for seat in waiting:
        mine = [order for owner, order in orders if owner is seat]
        for order in mine:
            if order.client_order_id in answers:
                _answer(seat, order, answers[order.client_order_id])
        at = seat.timed("venue", at)
        if seat not in cancelled:
            seat.messages.append(ExecutionMessage(stance="in_flight", reasons=["A cancel was not answered."]))
        elif lost and mine:
            seat.messages.append(
                ExecutionMessage(stance="in_flight", orders=[o.client_order_id for o in mine], reasons=[lost])
            )
        else:
            _conclude(seat, mine)
            done.append(seat)
        if began is not None:
            seat.timings["total"] = round((time.perf_counter() - began) * 1_000, 3)
    write_answers(waiting)
    return [seat for seat in seats if seat not in waiting or seat in done]


def _conclude(seat: Seat, orders: Sequence[Order]) -> None:
    assert seat.cycle is not None  # noqa: S101
    refused = [order for order in orders if order.status == OrderStatus.REJECTED]
    if orders:
        seat.messages.append(
            ExecutionMessage(
                stance="rejected" if refused else "acknowledged",
                orders=[order.client_order_id for order in orders],
                reasons=[f"{order.symbol}: {order.status_reason}" for order in refused],
            )
        )
    seat.cycle.phase, seat.cycle.done_at = CyclePhase.DONE, clock.now()


def _cancel(seat: Seat, gateway: Gateway) -> bool:
    """Ends what the cycle wanted ended; False while the venue does not say that it has."""
    ids = [o.client_order_id for o in seat.orders.values() if o.cancel_asked and o.status == OrderStatus.WORKING]
    if not ids:
        return True
    try:
        told = gateway.cancel(seat.account, ids)
    except GatewayError as failed:
        gateway_failed([seat.desk.deployment], failed.message)
        return False
    for view in told:
        order = seat.orders[view.client_order_id]
        _answer(seat, order, view)
        seat.changed_orders[order.client_order_id] = order
    return True


def _new_order(seat: Seat, order: Order) -> NewOrder:
    assert seat.cycle is not None  # noqa: S101
    return NewOrder(
        account=seat.account,
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.sign,
        quantity=order.quantity,
        limit_price=order.limit_price,
        reduce_only=order.reduce_only,
        tag=order.reason,
        sent_ms=seat.cycle.bar_ms + seat.desk.deployment.interval_ms,
    )


def settle(seats: Sequence[Seat], gateway: Gateway) -> list[Seat]:
    """Finishes cycles that an earlier owner decided and did not conclude; returns the seats that are free to go on.

    The venue is asked about every order first: one it knows is taken as it is, one it never saw is sent now, under
    the same id. While it cannot be asked, the desk waits.
    """
    asked, silent, why = [], [], ""
    for seat in seats:
        pending = [o.client_order_id for o in seat.orders.values() if o.status in UNSETTLED]
        try:
            known = gateway.query(seat.account, pending) if pending else {}
        except GatewayError as failed:
            silent.append(seat.desk.deployment)
            why = failed.message
            continue
        for client_order_id, view in known.items():
            order = seat.orders[client_order_id]
            _answer(seat, order, view)
            seat.changed_orders[client_order_id] = order
        asked.append(seat)
    if silent:
        gateway_failed(silent, why)
    done = send(asked, gateway)
    _tell_rejections(asked)
    return done


def _tell_rejections(seats: Sequence[Seat]) -> None:
    """Orders that the venue refused are errors of its gateway: too many of them stop the Book there."""
    for seat in seats:
        if seat.rejected:
            orders_rejected(seat.desk.deployment, seat.rejected)
            seat.rejected = []
