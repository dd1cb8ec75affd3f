"""The paper venue: live order semantics on incoming candles, at the engine's costs.

Orders are accepted or rejected when they are sent, work until a bar fills them (in parts, where its volume asks for
it), can be cancelled, and are answered late when a latency is set: an order that is accepted within a bar takes part
at that bar's open, as the engine's do, and one accepted later waits for the bar it arrives in. All of it is kept in
the database, so a restart finds the venue as it was. Trading a bar and taking orders do not wait for the disk: the desk
that builds upon them commits with a wait, in the same database, and what it has not built upon is done again.

Candles reach the venue through `trade_bar`, which only a simulated venue has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
from django.db import transaction

from fundops.core.bulk import flushed_later, insert_many, insert_rows, new_row, read_many, run, save_many
from fundops.core.money import to_decimal
from trading.gateways import paper_account as kernel
from trading.gateways.base import (
    AccountRules,
    Balances,
    FillReport,
    FundingReport,
    NewOrder,
    NotEnoughCashError,
    OrderReport,
    OrderView,
    Report,
    VenueState,
)
from trading.gateways.paper_rows import Account, locked_accounts, read_accounts, write_accounts
from trading.models.paper import PaperAccount, PaperOrder, PaperOrderState, PaperReport
from trading.quant.engine import FillReason, RejectionReason, money
from trading.quant.engine.market import Market

_PROTECTIVE = {
    int(reason): reason.name.lower()
    for reason in (FillReason.STOP_LOSS, FillReason.TAKE_PROFIT, FillReason.TRAILING_STOP, FillReason.LIQUIDATION)
}
#: What a bar says about an order without ending it.
_PASSING = {int(RejectionReason.PARTICIPATION), int(RejectionReason.NO_VOLUME)}

_REPORTS = (
    "SELECT a.key, r.number, r.kind, r.at_ms, r.content::text"
    " FROM unnest(%s::text[], %s::bigint[]) AS asked (key, after)"
    " JOIN trading_paperaccount a ON a.key = asked.key,"
    " LATERAL (SELECT * FROM trading_paperreport WHERE account_id = a.id AND number > asked.after OFFSET 0) AS r"
    " ORDER BY a.id, r.number"
)
_WORKING = "t.account_id = ANY (%s::bigint[]) AND t.state = 'working' ORDER BY t.id"
_KNOWN = "t.account_id = ANY (%s::bigint[]) AND (t.state = 'working' OR t.client_order_id = ANY (%s::text[]))"


@dataclass(slots=True)
class _Traded:
    """What one bar did to one account, in rows to write."""

    account: Account
    changed: list[PaperOrder] = field(default_factory=list)
    made: list[PaperOrder] = field(default_factory=list)
    stream: list[dict[str, Any]] = field(default_factory=list)

    def report(self, kind: str, at_ms: int, content: Mapping[str, Any]) -> None:
        self.account.reports += 1
        self.stream.append(
            {
                "account_id": self.account.pk,
                "number": self.account.reports,
                "kind": kind,
                "at_ms": at_ms,
                "content": dict(content),
            }
        )


class PaperGateway:
    """The paper venue as a gateway."""

    name = "paper"

    def __init__(self, *, latency_ms: int = 5) -> None:
        self.latency_ms = latency_ms

    # --- What every gateway does -------------------------------------------------------------------------------
    def open_account(self, rules: AccountRules) -> None:
        document = kernel.rules_document(rules)
        book = kernel.paper_book(document)
        state = kernel.opened_state(book, rules.first_bar_ms, rules.last_closes)
        PaperAccount.objects.get_or_create(
            key=rules.account,
            defaults={
                "rules": document,
                "state": state.to_compact(),
                "last_bar_ms": rules.first_bar_ms - rules.interval_ms,
                "equity": rules.bankroll,
            },
        )

    def submit(self, orders: Sequence[NewOrder]) -> list[OrderView]:
        with flushed_later():
            accounts = locked_accounts({order.account for order in orders})
            found = read_many(
                PaperOrder, _KNOWN, [[a.pk for a in accounts.values()], [order.client_order_id for order in orders]]
            )
            known = {row.client_order_id: row for row in found}
            busy = {(row.account_id, row.symbol) for row in found if row.state == PaperOrderState.WORKING}
            made = []
            for order in orders:
                if order.client_order_id in known:
                    continue
                account = accounts[order.account]
                row = self._order(account, order, busy)
                if row.state == PaperOrderState.WORKING:
                    busy.add((account.pk, order.symbol))
                known[order.client_order_id] = row
                made.append(row)
            insert_many(PaperOrder, made, key="client_order_id")
        return [self._view(order.account, known[order.client_order_id]) for order in orders]

    def _order(self, account: Account, order: NewOrder, busy: Collection[tuple[int, str]]) -> PaperOrder:
        refused = self._refusal(account, order, busy)
        return new_row(
            PaperOrder,
            account_id=account.pk,
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            quantity=order.quantity,
            limit_price=order.limit_price,
            reduce_only=order.reduce_only,
            tag=order.tag,
            state=PaperOrderState.REJECTED if refused else PaperOrderState.WORKING,
            reason=refused,
            accepted_ms=order.sent_ms + self.latency_ms,
        )

    def _refusal(self, account: Account, order: NewOrder, busy: Collection[tuple[int, str]]) -> str:
        """Why the venue rejects an order, or an empty text."""
        book, state = account.book, account.state
        slot = book.slot(order.symbol)
        if slot is None:
            return f"This account does not trade {order.symbol}."
        if order.side not in (1, -1):
            return "An order buys (1) or sells (-1)."
        lots = book.to_lots(slot, float(order.quantity))
        if lots is None:
            return "The quantity is not a whole number of lots."
        if order.limit_price is not None and order.limit_price <= 0:
            return "A limit price is positive."
        if (account.pk, order.symbol) in busy:
            return f"An order in {order.symbol} works already: cancel it first."
        held = kernel.held_lots(state, slot)
        if order.reduce_only and (held * order.side >= 0 or lots > abs(held)):
            return "A reduce-only order closes no more than the position."
        column = book.symbols.index(order.symbol)
        last, least = float(state.arrays["last_close"][column]), book.min_notional[column]
        closes = held * order.side < 0 and lots == abs(held)
        if not closes and last > 0 and float(order.quantity) * last < least:
            return f"Worth less than the smallest order of {least:g}."
        return ""

    def cancel(self, account: str, client_order_ids: Collection[str]) -> list[OrderView]:
        with transaction.atomic():
            held = locked_accounts([account])[account]
            traded = _Traded(held)
            found = list(PaperOrder.objects.filter(account=held.pk, client_order_id__in=client_order_ids))
            for row in found:
                if row.state != PaperOrderState.WORKING:
                    continue
                if row.protective:
                    continue  # the venue's own protection ends with the position
                row.state, row.reason = PaperOrderState.CANCELLED, "Cancelled by the client."
                traded.changed.append(row)
                traded.report("order", held.last_bar_ms, self._content(row, held.last_bar_ms))
            self._write([traded], with_state=False)
        return [self._view(account, row) for row in found]

    def query(self, account: str, client_order_ids: Collection[str]) -> dict[str, OrderView]:
        rows = PaperOrder.objects.filter(account__key=account, client_order_id__in=client_order_ids)
        return {row.client_order_id: self._view(account, row) for row in rows}

    def open_orders(self, accounts: Collection[str]) -> list[OrderView]:
        rows = PaperOrder.objects.filter(account__key__in=accounts, state=PaperOrderState.WORKING)
        return [self._view(row.account.key, row) for row in rows.select_related("account")]

    def reports(self, after: Mapping[str, int]) -> dict[str, list[Report]]:
        found: dict[str, list[Report]] = {key: [] for key in after}
        for key, number, kind, at_ms, content in run(_REPORTS, [list(after), list(after.values())]):
            found[key].append(_read(key, number, kind, at_ms, orjson.loads(content)))
        return found

    def transfer(self, account: str, amount: Decimal) -> None:
        with transaction.atomic():
            held = locked_accounts([account])[account]
            if money(kernel.cash(held.state)) + amount < 0:
                raise NotEnoughCashError(
                    f"The account holds {kernel.cash(held.state):f} in cash; {-amount:f} is asked for."
                )
            held.state, held.equity = held.state.copy(), held.equity + amount
            kernel.move_cash(held.state, amount)
            write_accounts([held], with_state=True)

    def balances(self, accounts: Collection[str]) -> dict[str, Balances]:
        found = {}
        for key, held in read_accounts(accounts).items():
            book, state = held.book, held.state
            found[key] = Balances(
                account=key,
                cash=money(kernel.cash(state)),
                positions={
                    symbol: to_decimal(book.quantity(slot, kernel.held_lots(state, slot)))
                    for slot, symbol in enumerate(book.slot_symbols)
                    if kernel.held_lots(state, slot)
                },
                equity=held.equity,
                at_ms=held.last_bar_ms,
            )
        return found

    # --- What only a simulated venue does -----------------------------------------------------------------------
    def trade_bar(self, accounts: Collection[str], bar: Market) -> None:
        """Gives the accounts one closed bar; an account that has traded it already is left as it is.

        ``bar`` has one row and the accounts' symbols.
        """
        ts_ms = int(bar.ts_ms[0])
        with flushed_later():
            rows = [row for row in locked_accounts(accounts).values() if row.last_bar_ms < ts_ms]
            working: dict[int, list[PaperOrder]] = {row.pk: [] for row in rows}
            for order in read_many(PaperOrder, _WORKING, [list(working)]):
                working[order.account_id].append(order)
            self._write([self._trade(row, working[row.pk], bar) for row in rows], with_state=True)

    def _trade(self, account: Account, working: list[PaperOrder], bar: Market) -> _Traded:
        book, state = account.book, kernel.to_lay_orders(account.state)
        ts_ms = int(bar.ts_ms[0])
        here: dict[int, PaperOrder] = {}
        waiting: set[int] = set()
        for order in working:
            slot = book.slot(order.symbol)
            if slot is not None:
                here[slot] = order
        for slot in range(len(book.slot_symbols)):
            found = here.get(slot)
            if found is None:
                kernel.lay_order(state, slot, lots=0, tag="signal", noted=False)
            elif found.accepted_ms >= ts_ms + bar.interval_ms:
                waiting.add(slot)
                kernel.lay_order(state, slot, lots=0, tag="signal", noted=False)
            else:
                lots = book.to_lots(slot, float(found.quantity - found.filled)) or 0
                kernel.lay_order(state, slot, lots=found.side * lots, tag=found.tag, noted=found.noted)
        outcome = kernel.trade_bar(book, state, bar)
        beyond = _beyond_limit(outcome, here, book)
        if beyond:
            for slot in beyond:
                kernel.lay_order(state, slot, lots=0, tag="signal", noted=False)
            waiting |= beyond
            outcome = kernel.trade_bar(book, state, bar)
        traded = _Traded(account)
        self._tell(traded, book, outcome, here, waiting, ts_ms)
        account.state = outcome.state
        account.last_bar_ms = ts_ms
        account.equity = money(kernel.equity(book, outcome.state))
        return traded

    def _tell(
        self,
        traded: _Traded,
        book: kernel.PaperBook,
        outcome: kernel.Bar,
        here: dict[int, PaperOrder],
        waiting: Collection[int],
        ts_ms: int,
    ) -> None:
        """Turns what the kernel did into the states of orders and the lines of the stream."""
        account = traded.account
        ended_by: dict[int, str] = {}
        noted: set[int] = set()
        for line in outcome.rejections:
            slot = book.slot(book.symbols[int(line["symbol"])])
            if slot is None:
                continue
            if int(line["reason"]) in _PASSING:
                noted.add(slot)
            else:
                ended_by[slot] = RejectionReason(int(line["reason"])).name.lower()
        for line in outcome.funding:
            traded.report(
                "funding",
                int(line["ts_ms"]),
                {
                    "symbol": book.symbols[int(line["symbol"])],
                    "quantity": str(to_decimal(float(line["qty"]))),
                    "price": str(to_decimal(float(line["price"]))),
                    "rate": float(line["rate"]),
                    "amount": str(money(float(line["amount"]))),
                },
            )
        touched: dict[str, PaperOrder] = {}
        for n, line in enumerate(outcome.fills):
            symbol = book.symbols[int(line["symbol"])]
            slot = book.slot(symbol)
            assert slot is not None  # noqa: S101 - the kernel trades the account's slots alone
            tag = FillReason(int(line["reason"])).name.lower()
            order = here.get(slot)
            if order is None or kernel.tag_code(order.tag) != int(line["reason"]):
                order = self._protect(traded, account, slot, symbol, int(line["side"]), tag, ts_ms, here, book, outcome)
            filled = to_decimal(float(line["qty"]))
            if order.protective and order in traded.made:
                order.quantity += filled
            order.filled += filled
            touched[order.client_order_id] = order
            traded.report("fill", ts_ms, _fill_content(line, order, f"{order.client_order_id}:{ts_ms}:{n}", symbol))
        for slot in range(len(book.slot_symbols)):
            lots, tag = kernel.order_lots(outcome.state, slot)
            order = here.get(slot)
            if lots and (order is None or kernel.tag_code(order.tag) != kernel.tag_code(tag)) and slot not in waiting:
                side = 1 if lots > 0 else -1
                order = self._protect(
                    traded, account, slot, book.slot_symbols[slot], side, tag, ts_ms, here, book, outcome
                )
                touched[order.client_order_id] = order
            if order is None or slot in waiting or order.state != PaperOrderState.WORKING:
                continue
            if lots and order.protective and order in traded.made:
                order.quantity += to_decimal(book.quantity(slot, abs(lots)))
            if slot in noted and not order.noted:
                order.noted = True
                touched[order.client_order_id] = order
            if lots == 0:
                self._end(order, ended_by.get(slot, ""))
                touched[order.client_order_id] = order
        for order in touched.values():
            if order not in traded.made:
                traded.changed.append(order)
            traded.report("order", ts_ms, self._content(order, ts_ms))

    def _protect(
        self,
        traded: _Traded,
        account: Account,
        slot: int,
        symbol: str,
        side: int,
        tag: str,
        ts_ms: int,
        here: dict[int, PaperOrder],
        book: kernel.PaperBook,
        outcome: kernel.Bar,
    ) -> PaperOrder:
        """The venue's own order that a protective rule has triggered; what worked in the market makes way for it."""
        before = here.get(slot)
        if before is not None and before.state == PaperOrderState.WORKING:
            before.state = PaperOrderState.FILLED if before.filled == before.quantity else PaperOrderState.CANCELLED
            if before.state == PaperOrderState.CANCELLED:
                before.reason = f"Made way for {tag.replace('_', ' ')}."
            traded.changed.append(before)
            traded.report("order", ts_ms, self._content(before, ts_ms))
        order = new_row(
            PaperOrder,
            account_id=account.pk,
            client_order_id=f"{account.key}:{tag}:{symbol}:{ts_ms}",
            symbol=symbol,
            side=side,
            quantity=Decimal(0),
            reduce_only=True,
            tag=tag,
            protective=True,
            accepted_ms=ts_ms,
        )
        here[slot] = order
        traded.made.append(order)
        return order

    @staticmethod
    def _end(order: PaperOrder, why: str) -> None:
        """An order that works no more: filled, cut short or refused by the venue."""
        if order.filled == order.quantity:
            order.state = PaperOrderState.FILLED
        elif order.filled > 0:
            order.state, order.reason = PaperOrderState.CANCELLED, f"The rest was refused: {why or 'no room'}."
        else:
            order.state, order.reason = PaperOrderState.REJECTED, f"Refused: {why or 'no room'}."

    # --- Rows ----------------------------------------------------------------------------------------------------
    @staticmethod
    def _write(all_traded: Sequence[_Traded], *, with_state: bool) -> None:
        made = [order for traded in all_traded for order in traded.made]
        changed = [order for traded in all_traded for order in traded.changed]
        stream = [line for traded in all_traded for line in traded.stream]
        insert_many(PaperOrder, made)
        save_many(PaperOrder, changed, ("filled", "state", "reason", "noted"))
        insert_rows(PaperReport, stream)
        write_accounts([traded.account for traded in all_traded if with_state or traded.stream], with_state=with_state)

    @staticmethod
    def _content(order: PaperOrder, at_ms: int) -> dict[str, Any]:
        return {
            "client_order_id": order.client_order_id,
            "symbol": order.symbol,
            "side": order.side,
            "quantity": str(order.quantity),
            "filled": str(order.filled),
            "state": str(order.state),
            "reason": order.reason,
            "tag": order.tag,
            "protective": order.protective,
            "at_ms": at_ms,
        }

    def _view(self, account: str, order: PaperOrder) -> OrderView:
        return _order_view(account, self._content(order, order.accepted_ms), order.pk)


def _beyond_limit(outcome: kernel.Bar, here: Mapping[int, PaperOrder], book: kernel.PaperBook) -> set[int]:
    """Slots whose limit order would have been filled at a worse price than its limit."""
    beyond = set()
    for line in outcome.fills:
        slot = book.slot(book.symbols[int(line["symbol"])])
        order = here.get(slot) if slot is not None else None
        if order is None or order.limit_price is None or kernel.tag_code(order.tag) != int(line["reason"]):
            continue
        if order.side * (to_decimal(float(line["price"])) - order.limit_price) > 0:
            beyond.add(slot)
    return beyond  # type: ignore[return-value]


def _fill_content(line: Any, order: PaperOrder, fill_id: str, symbol: str) -> dict[str, Any]:
    exact = {name: str(money(float(line[name]))) for name in ("notional", "fee")}
    shown = {
        name: str(to_decimal(float(line[column])))
        for name, column in (
            ("quantity", "qty"),
            ("price", "price"),
            ("reference_price", "reference"),
            ("spread_cost", "spread_cost"),
            ("impact_cost", "impact_cost"),
            ("realised", "realised"),
        )
    }
    return {
        "client_order_id": order.client_order_id,
        "venue_fill_id": fill_id,
        "symbol": symbol,
        "side": int(line["side"]),
        "tag": order.tag,
        **exact,
        **shown,
    }


def _order_view(account: str, content: Mapping[str, Any], venue_id: int | None) -> OrderView:
    return OrderView(
        account=account,
        client_order_id=content["client_order_id"],
        venue_order_id="" if venue_id is None else f"P{venue_id}",
        symbol=content["symbol"],
        side=int(content["side"]),
        quantity=Decimal(content["quantity"]),
        filled=Decimal(content["filled"]),
        state=VenueState(content["state"]),
        reason=content["reason"],
        at_ms=int(content["at_ms"]),
        tag=content["tag"],
        protective=bool(content["protective"]),
    )


def _read(account: str, number: int, kind: str, at_ms: int, content: Mapping[str, Any]) -> Report:
    if kind == "order":
        return OrderReport(number, _order_view(account, content, None))
    if kind == "funding":
        return FundingReport(
            number=number,
            account=account,
            at_ms=at_ms,
            symbol=content["symbol"],
            quantity=Decimal(content["quantity"]),
            price=Decimal(content["price"]),
            rate=float(content["rate"]),
            amount=Decimal(content["amount"]),
        )
    amounts = ("quantity", "price", "reference_price", "notional", "fee", "spread_cost", "impact_cost", "realised")
    return FillReport(
        number=number,
        account=account,
        client_order_id=content["client_order_id"],
        venue_fill_id=content["venue_fill_id"],
        at_ms=at_ms,
        symbol=content["symbol"],
        side=int(content["side"]),
        tag=content["tag"],
        **{name: Decimal(content[name]) for name in amounts},
    )
