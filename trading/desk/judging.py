"""Risk and Compliance of a desk: every order of a bar close is judged before anything is sent.

Risk asks the pre-trade check of the Book and of every Book above it, under the trading mode of now; it may cut an
order. Compliance knows the restricted list and the fund's own flow; it lets pass or denies. What is refused here is
DENIED and never reaches a venue. What passes a soft level of an order is told, because no state of the Book shows it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from compliance.screening.tactics import Finding, MarketWindow
from fundops.core import clock
from fundops.core.events import publish
from fundops.core.money import to_decimal
from risk.actions.order_breaches import note_order_levels
from risk.order_paths import OrderPath, PassedOrder, order_paths
from risk.quant.metrics import ORDER_METRICS, Level
from risk.quant.pretrade import (
    BookState,
    LimitSet,
    OrderIntent,
    PositionState,
    Reason,
    Side,
    TradingMode,
    check_order_path,
)
from trading import tactics
from trading.desk.messages import ComplianceMessage, RiskMessage
from trading.desk.order_levels import passed_levels
from trading.desk.seat import Seat
from trading.desk.sizing import Intent
from trading.models.deployments import Order, OrderStatus
from trading.quant.engine.market import Market
from trading.quant.engine.rules import decimal_step
from trading.unit_risk import TAILS, unit_tails

_EPSILON = 1e-9
RESTRICTED = "restricted list"

#: VaR long, ES long, VaR short, ES short of one unit of money, by symbol.
_Tails = Mapping[str, Sequence[float | None]]


def judge(seats: Sequence[Seat], *, bar: Market, at_ms: int) -> None:
    """Judges the drafted orders of all seats; denied ones get their status and reasons, cut ones their size."""
    asking = [seat for seat in seats if seat.intents]
    paths = _paths(seats) if asking else {}
    passed: list[PassedOrder] = []
    for seat in asking:
        path = paths[seat.desk.deployment.book_id]
        tails = _tails(seat, path, at_ms)
        kept: list[tuple[Intent, Order]] = []
        for intent, order in seat.intents:
            own = path.with_own(_state(seat, path, tails, at_ms, kept), passed)
            judged = _risk(seat, path, own, tails, intent, order, bar)
            if judged is not None:
                kept.append((judged, order))
                passed.append(_passed(seat, path, tails, judged))
        seat.intents = kept
    note_order_levels([level for seat in asking for level in seat.passed])
    _compliance([seat for seat in asking if seat.intents], paths, bar, clock.from_ms(at_ms))


def _paths(seats: Sequence[Seat]) -> Mapping[int, OrderPath]:
    """Of all seats, those that order nothing too: what is known of the same Books is then found again."""
    by_venue: dict[str, list[Seat]] = {}
    for seat in seats:
        by_venue.setdefault(seat.desk.deployment.venue, []).append(seat)
    paths: dict[int, OrderPath] = {}
    for venue, mine in by_venue.items():
        paths |= order_paths([seat.desk.deployment.book for seat in mine], venue=venue)
    return paths


# --- Risk ---------------------------------------------------------------------------------------------------------
def _risk(
    seat: Seat,
    path: OrderPath,
    states: Sequence[tuple[BookState, LimitSet]],
    tails: _Tails,
    intent: Intent,
    order: Order,
    bar: Market,
) -> Intent | None:
    """The order as risk leaves it, judged in these states of its Book and those above; None when nothing is left."""
    deployment = seat.desk.deployment
    rules = seat.desk.parts.rules[intent.symbol]
    asked = rules.quantity(abs(intent.lots))
    column = bar.symbols.index(intent.symbol)
    volume = float(bar.volume[-1, column])
    unit_var, unit_es = _side_of(tails, intent.symbol, intent.side)
    verdict = check_order_path(
        states,
        OrderIntent(
            symbol=intent.symbol,
            venue=deployment.venue,
            side=Side(intent.side),
            quantity=asked,
            unit_notional=intent.price * rules.multiplier,
            price=None if order.limit_price is None else float(order.limit_price),
            reference_price=intent.price,
            volume=volume if math.isfinite(volume) else None,
            unit_var=unit_var,
            unit_es=unit_es,
            lot=rules.quantity(1),
            minimum=0.0 if intent.closing else rules.min_notional / (intent.price * rules.multiplier),
        ),
    )
    lots = math.floor(verdict.size / rules.quantity(1) + _EPSILON) if verdict.allowed else 0
    notional = to_decimal(asked * intent.price, places=8)
    seat.run.wanted_notional += notional
    reasons = _sentences(verdict.reasons)
    because = _sentences([reason for reason in verdict.reasons if reason.binds])
    stance: Literal["allow", "reduce", "deny"] = "deny" if lots == 0 else "allow"
    if 0 < lots < abs(intent.lots):
        stance = "reduce"
    seat.messages.append(
        RiskMessage(
            stance=stance,
            symbol=intent.symbol,
            asked=str(to_decimal(asked * intent.side).normalize()),
            permitted=str(to_decimal(rules.quantity(lots) * intent.side).normalize()),
            mode="UNKNOWN" if path.mode is None else path.mode.value,
            reasons=reasons,
        )
    )
    _warn(seat, path, order, verdict.reasons, sent=lots > 0)
    if lots == 0:
        _deny(order, _in_short("Risk:", because))
        _hold_back(seat, intent, _MODE_HOLDS.get(path.mode, "risk denies it"))
        return None
    if lots < abs(intent.lots):
        order.quantity = to_decimal(rules.quantity(lots))
        order.status_reason = _in_short("Cut by risk:", because)
    seat.run.sent_notional += to_decimal(float(order.quantity) * intent.price, places=8)
    return replace(intent, lots=intent.side * lots)


def _sentences(reasons: Sequence[Reason]) -> list[str]:
    """Each once: a limit of a Book above is asked of every Book below it."""
    return list(dict.fromkeys(reason.message for reason in reasons))


def _in_short(who: str, sentences: Sequence[str], *, room: int = 400) -> str:
    """Who says it and as many whole sentences as there is room for; how many are left out is said."""
    text = who
    for said, sentence in enumerate(sentences):
        left_out = f" And {len(sentences) - said} more: the cycle has them all."
        last = said == len(sentences) - 1
        if len(text) + 1 + len(sentence) + (0 if last else len(left_out)) > room:
            return (text + left_out)[:room]
        text += f" {sentence}"
    return text


def _passed(seat: Seat, path: OrderPath, tails: _Tails, intent: Intent) -> PassedOrder:
    """What the Books above must know of it before the next order is judged: by how much it may lengthen a position."""
    rules = seat.desk.parts.rules[intent.symbol]
    held = seat.positions.get(intent.symbol)
    before = float(held.quantity) if held else 0.0
    more = abs(before + rules.quantity(intent.lots)) - abs(before)
    if more <= 0.0:
        return PassedOrder(path.line)
    unit = intent.price * rules.multiplier
    var, es = _side_of(tails, intent.symbol, intent.side)
    adds = PositionState(
        symbol=intent.symbol,
        venue=seat.desk.deployment.venue,
        quantity=0.0,
        unit_notional=unit,
        working_buy=more if intent.side > 0 else 0.0,
        working_sell=0.0 if intent.side > 0 else more,
    )
    return PassedOrder(path.line, adds, more * unit * (var or 0.0), more * unit * (es or 0.0))


_MODE_HOLDS: Mapping[TradingMode | None, str] = {
    TradingMode.HALTED: "trading is HALTED",
    None: "the trading mode is not known",
}


def _hold_back(seat: Seat, intent: Intent, why: str) -> None:
    if intent.tag == "flatten":
        seat.held_back = why


def _warn(seat: Seat, path: OrderPath, order: Order, reasons: Sequence[Reason], *, sent: bool) -> None:
    """A soft level of an order exists for that order alone: an event is its alert, and the breach that it opens or
    keeps up, which a hard level makes hard. The others' are the breaches that the evaluation opens."""
    seat.passed += passed_levels(path, order, seat.desk.deployment, reasons, sent=sent)
    passed = [r for r in reasons if r.level is Level.SOFT and r.metric in ORDER_METRICS]
    if not sent or not passed:
        return
    deployment = seat.desk.deployment
    publish(
        "trading.order.soft_limit_passed",
        actor=None,
        obj=deployment,
        payload={
            "order": order.client_order_id,
            "symbol": order.symbol,
            "limits": [
                {"limit": r.limit, "metric": r.metric, "value": r.value, "threshold": r.threshold} for r in passed
            ],
            "words": " ".join(r.message for r in passed),
        },
        topics=["risk", "deployments", deployment.topic, f"book:{deployment.book_id}"],
    )


def _tails(seat: Seat, path: OrderPath, at_ms: int) -> _Tails:
    """What VaR and ES of the deployment's markets are, where a limit on the path asks for them."""
    if not any(limit.metric in TAILS for limit in path.effective):
        return {}
    return unit_tails(seat.desk.deployment.symbols, at_ms)


def _side_of(tails: _Tails, symbol: str, side: float) -> tuple[float | None, float | None]:
    """VaR and ES of one unit of money on that side; None is not known."""
    found = tails.get(symbol)
    if found is None:
        return None, None
    return (found[0], found[1]) if side > 0 else (found[2], found[3])


def _held_risk(positions: Sequence[PositionState], tails: _Tails) -> tuple[float | None, float | None]:
    """VaR and ES of what is held: the sum of the positions' own, as the engine adds them up."""
    var = es = 0.0
    for p in positions:
        quantity, unit = float(p.quantity or 0.0), float(p.unit_notional or 0.0)
        if quantity == 0.0:
            continue
        own_var, own_es = _side_of(tails, p.symbol, quantity)
        if own_var is None or own_es is None:
            return None, None
        var += abs(quantity) * unit * own_var
        es += abs(quantity) * unit * own_es
    return var, es


def _state(seat: Seat, path: OrderPath, tails: _Tails, at_ms: int, before: Sequence[tuple[Intent, Order]]) -> BookState:
    """The deployment's Book to the last fill, with the orders of this bar that passed already."""
    run, deployment = seat.run, seat.desk.deployment
    sent: dict[str, Decimal] = {}
    for intent, order in before:
        sent[intent.symbol] = order.quantity if intent.side > 0 else order.quantity.copy_negate()
    positions = []
    for symbol in {*seat.positions, *sent}:
        held = seat.positions.get(symbol)
        quantity = float(held.quantity) if held else 0.0
        working = float(sent.get(symbol, 0))
        if quantity == 0.0 and working == 0.0:
            continue
        mark = float(run.last_closes[symbol]) * seat.desk.parts.rules[symbol].multiplier
        cost = float(held.cost) if held else 0.0
        loss = max(0.0, (cost - quantity * mark) / abs(cost)) if cost else 0.0
        positions.append(
            PositionState(
                symbol=symbol,
                venue=deployment.venue,
                quantity=quantity,
                unit_notional=mark,
                loss_frac=loss,
                working_buy=max(working, 0.0),
                working_sell=max(-working, 0.0),
            )
        )
    var, es = _held_risk(positions, tails)
    recent = run.last_order_ms is not None and at_ms - run.last_order_ms < 60_000
    return BookState(
        equity=float(run.equity),
        day_open_equity=float(run.day_open_equity),
        peak_equity=float(run.peak_equity),
        positions=tuple(positions),
        orders_in_window=len(before) + (1 if recent else 0),
        seconds_since_loss=math.inf if run.last_loss_ms is None else (at_ms - run.last_loss_ms) / 1_000,
        var=var,
        es=es,
        mode=path.mode,
    )


# --- Compliance -----------------------------------------------------------------------------------------------------
def _compliance(seats: Sequence[Seat], paths: Mapping[int, OrderPath], bar: Market, closed_at: datetime) -> None:
    """Restricted instruments, and the tactics that an order would complete with the fund's own flow."""
    asked = [
        tactics.Asked(
            seat.desk.deployment,
            [
                tactics.own_order(
                    order,
                    owner=seat.desk.deployment.book.path,
                    venue=seat.desk.deployment.venue,
                    closed_at=closed_at,
                    market=intent.price,
                )
                for intent, order in seat.intents
            ],
            _markets(seat, bar),
        )
        for seat in seats
    ]
    found = tactics.judge_all(asked)
    for seat, one in zip(seats, asked, strict=True):
        _comply(seat, one, paths[seat.desk.deployment.book_id], found)


def _comply(seat: Seat, asked: tactics.Asked, path: OrderPath, found: Mapping[str, tuple[Finding, ...]]) -> None:
    deployment = seat.desk.deployment
    kept = []
    listed = {
        (limit.symbol, limit.origin)
        for limit in path.effective
        if limit.origin.startswith(RESTRICTED) and limit.hard is not None and limit.venue in ("", deployment.venue)
    }
    for (intent, order), own in zip(seat.intents, asked.orders, strict=True):
        reasons = [f"On the {origin}." for symbol, origin in sorted(listed) if symbol == intent.symbol]
        barred = bool(reasons) and not intent.closing
        findings = found.get(own.id, ())
        reasons += [finding.text for finding in findings]
        denied = barred or bool(findings)
        seat.messages.append(
            ComplianceMessage(stance="deny" if denied else "allow", symbol=intent.symbol, reasons=reasons)
        )
        if findings:
            tactics.flag_denied(deployment=deployment, order=own, findings=findings)
        if denied:
            _deny(order, _in_short("Compliance:", reasons))
            _hold_back(seat, intent, "compliance denies it")
        else:
            kept.append((intent, order))
    seat.intents = kept


def _markets(seat: Seat, bar: Market) -> Mapping[str, MarketWindow]:
    """The bar that closed, as the rules see a market."""
    windows = {}
    for symbol in seat.desk.slot_symbols:
        column = bar.symbols.index(symbol)
        volume, first, last = (float(x[-1, column]) for x in (bar.volume, bar.open, bar.close))
        windows[symbol] = MarketWindow(volume=volume, first_price=first, last_price=last)
    return windows


def _deny(order: Order, why: str) -> None:
    order.status = OrderStatus.DENIED
    order.status_reason = why
    order.ended_at = clock.now()


def limit_price(side: int, reference: float, cap_frac: Decimal | None, tick: float) -> Decimal | None:
    """The worst price an order may be filled at: the market's and the cap, on the tick grid, towards the market."""
    if cap_frac is None:
        return None
    whole, power = decimal_step(tick)
    ticks = reference * (1.0 + side * float(cap_frac)) * power / whole
    count = math.floor(ticks + _EPSILON) if side > 0 else math.ceil(ticks - _EPSILON)
    return to_decimal(count * whole / power)
