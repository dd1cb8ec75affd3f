"""A desk during one bar: its rows, its memories, what the bar has done to it so far, and what is to be written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fundops.core import clock
from fundops.core.bulk import new_row
from fundops.core.money import to_decimal
from risk.actions.order_breaches import PassedLevel
from trading.desk.loaded import Desk
from trading.desk.sizing import DECIDED, Holding, Intent
from trading.models.deployments import (
    LIVE_ORDERS,
    DeskRun,
    Fill,
    FundingPayment,
    Order,
    OrderStatus,
    Position,
    TradingCycle,
)
from trading.quant.engine import EngineState

EIGHT = Decimal("0.00000001")


@dataclass(slots=True, eq=False)
class Seat:
    """Everything of one deployment that a bar reads and changes."""

    desk: Desk
    token: int
    run: DeskRun
    memories: list[EngineState | None]
    positions: dict[str, Position]
    orders: dict[str, Order]

    cycle: TradingCycle | None = None
    messages: list[Any] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    funding: list[FundingPayment] = field(default_factory=list)
    new_orders: list[Order] = field(default_factory=list)
    changed_orders: dict[str, Order] = field(default_factory=dict)
    touched_positions: dict[str, Position] = field(default_factory=dict)
    to_cancel: list[Order] = field(default_factory=list)
    intents: list[tuple[Intent, Order]] = field(default_factory=list)
    rejected: list[Order] = field(default_factory=list)
    #: Soft levels of limits on orders that its orders of this bar have passed.
    passed: list[PassedLevel] = field(default_factory=list)
    #: Why what is to be closed may not be; empty while it may.
    held_back: str = ""
    finished: bool = False

    @property
    def account(self) -> str:
        return self.desk.deployment.account

    def begin(self) -> None:
        """A clean sheet for the next bar."""
        self.cycle = None
        self.messages, self.timings, self.fills, self.funding = [], {}, [], []
        self.new_orders, self.changed_orders, self.touched_positions = [], {}, {}
        self.to_cancel, self.intents, self.finished = [], [], False
        self.rejected, self.passed, self.held_back = [], [], ""
        self.orders = {key: order for key, order in self.orders.items() if order.status in LIVE_ORDERS}

    def working(self, symbol: str) -> Order | None:
        """The order that works in a market, if one does."""
        for order in self.orders.values():
            if order.symbol == symbol and order.status in LIVE_ORDERS:
                return order
        return None

    def position(self, symbol: str) -> Position:
        """What is held there; a flat row where nothing ever was."""
        held = self.positions.get(symbol)
        if held is None:
            held = Position(deployment=self.desk.deployment, symbol=symbol)
            self.positions[symbol] = held
        return held

    def lots(self, symbol: str, quantity: Decimal) -> int:
        rules = self.desk.parts.rules[symbol]
        return round(float(quantity) * rules.lot_power / rules.lot_whole)

    def holding(self, symbol: str) -> Holding:
        """A market as the decision rule sees it."""
        held, order = self.position(symbol), self.working(symbol)
        working = 0 if order is None else order.sign * self.lots(symbol, order.quantity - order.filled)
        return Holding(
            lots=self.lots(symbol, held.quantity),
            entry_bar=held.entry_bar,
            cooldown_until=held.cooldown_until,
            working=working,
            working_tag="" if order is None else order.reason,
        )

    # --- What the gateway reported ------------------------------------------------------------------------------
    def book_fill(self, order: Order, row: Fill, *, bar: int, close_ms: int) -> None:
        """Moves position, cash and figures by one fill; ``bar`` counts from the deployment's first."""
        run, held = self.run, self.position(row.symbol)
        sign = 1 if row.side == "buy" else -1
        signed = row.quantity if sign > 0 else row.quantity.copy_negate()
        flow = row.notional if sign > 0 else row.notional.copy_negate()
        before = held.quantity
        after = before + signed
        if before * sign >= 0:
            if before == 0:
                held.entry_bar = bar
            held.cost += flow
        else:
            closed = min(row.quantity, abs(before))
            part = row.notional if closed == row.quantity else (row.price * closed).quantize(EIGHT)
            out = (part.copy_negate() if sign > 0 else part) - row.realised
            held.cost -= out
            held.realised += row.realised
            if row.realised < 0:
                run.last_loss_ms = close_ms
            if after * before < 0:
                held.cost = (row.notional - part) * sign
                held.entry_bar = bar
        held.quantity = after
        if after == 0:
            held.cost = Decimal(0)
            if row.reason not in (*DECIDED, "flatten"):
                held.cooldown_until = bar + self.desk.cooldown_bars
        run.cash -= flow + row.fee
        run.fees += row.fee
        run.slippage += row.spread_cost + row.impact_cost
        run.turnover += row.notional
        run.fills += 1
        order.filled += row.quantity
        self.touched_positions[row.symbol] = held
        self.fills.append(row)

    def mark(self, closes: Mapping[str, float], bar_ms: int) -> None:
        """Values the account at the last closes: equity, its peak, the fall from it, gross exposure."""
        run = self.run
        run.last_closes = {**run.last_closes, **closes}
        value = gross = Decimal(0)
        for symbol, held in self.positions.items():
            if held.quantity:
                worth = (held.quantity * to_decimal(float(run.last_closes[symbol]))).quantize(EIGHT)
                value += worth
                gross += abs(worth)
        day_ms = 86_400_000
        if bar_ms % day_ms == 0:  # the first bar of a UTC day opens at the equity before it
            run.day_open_equity = run.equity
        run.equity, run.gross = run.cash + value, gross
        run.peak_equity = max(run.peak_equity, run.equity)
        run.drawdown_frac = float((run.peak_equity - run.equity) / run.peak_equity) if run.peak_equity > 0 else 1.0
        run.max_drawdown_frac = max(run.max_drawdown_frac, run.drawdown_frac)

    def timed(self, name: str, began: float) -> float:
        """Notes the milliseconds since ``began``; returns now, for the next step."""
        now = time.perf_counter()
        self.timings[name] = round(self.timings.get(name, 0.0) + (now - began) * 1_000, 3)
        return now

    # --- Orders ---------------------------------------------------------------------------------------------------
    def draft_order(self, intent: Intent, *, bar_ms: int, limit_price: Decimal | None, closed_ms: int) -> Order:
        """An order of this bar, not yet judged. Its id is the cycle's and the market's, whoever writes it."""
        rules = self.desk.parts.rules[intent.symbol]
        return new_row(
            Order,
            deployment=self.desk.deployment,
            cycle=self.cycle,
            client_order_id=f"d{self.desk.deployment.pk}-{bar_ms}-{intent.symbol}",
            symbol=intent.symbol,
            side="buy" if intent.lots > 0 else "sell",
            quantity=to_decimal(rules.quantity(abs(intent.lots))),
            limit_price=limit_price,
            reduce_only=intent.closing,
            reason=intent.tag,
            status=OrderStatus.PENDING,
            filled=Decimal(0),
            created_at=clock.now(),
        )
