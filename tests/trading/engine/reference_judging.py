"""Orders before they are sent, in plain Python: limits of both Books, prohibited tactics, the trading mode.

The judgement is `check_order` itself and Compliance's own rules, on states built anew for every order.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

from compliance.screening.policy import MomentumIgnition
from compliance.screening.tactics import MarketWindow, OrderEnd, OwnOrder, momentum_ignition
from risk.quant.metrics import CODES, Level
from risk.quant.pretrade import (
    BookState,
    LimitSet,
    OrderIntent,
    PositionState,
    TradingMode,
    Verdict,
    check_order,
    check_order_path,
)
from risk.quant.pretrade import Side as OrderSide
from tests.trading.engine.reference_parts import ATOM, Agent, Instrument, Memory, Position
from trading.quant.engine import (
    FillReason,
    Market,
    OrderLimits,
    RejectionReason,
    UnitRisk,
)
from trading.quant.engine.codes import COHORT_LIMIT, LIMIT_UNKNOWN, OWN_LIMIT


class Judging:
    """What judges the orders of the plain engine; the engine itself gives what it stands on."""

    market: Market
    limits: OrderLimits | None
    flow: list[tuple[int, OwnOrder]]
    book_memory: Memory
    instruments: list[Instrument]
    agents: list[Agent]
    last: list[float]
    peak: float
    equity: float
    bar: int
    ts: int

    def agent_equity(self, agent: Agent) -> float:
        raise NotImplementedError

    def worth(self, p: Position) -> float:
        raise NotImplementedError

    def wallet_equity(self) -> float:
        raise NotImplementedError

    def reject(self, p: Position, reason: int, wanted: float, permitted: float, side: int) -> None:
        raise NotImplementedError

    def held(self) -> tuple[list[int], list[int]]:
        raise NotImplementedError

    def judge(self, p: Position, side: int, part: int, price: float, *, drop: bool) -> int:
        """What `check_order_path` leaves of an order; refusals are logged, ``drop`` says that the rest is forgotten."""
        if self.limits is None or p.reason is FillReason.LIQUIDATION:
            return part
        close = self.last[p.symbol]
        instrument = self.instruments[p.symbol]
        unit = instrument.lot_value * close
        allowed, why = 0, int(RejectionReason.UNPRICED)
        if unit > 0:
            risk = self.risk(p.symbol)
            intent = OrderIntent(
                symbol=self.market.symbols[p.symbol],
                venue=self.limits.venue,
                side=OrderSide(side),
                quantity=float(part),
                unit_notional=unit,
                price=price,
                reference_price=close,
                volume=float(self.market.volume[self.bar, p.symbol]) / instrument.lot_value,
                unit_var=risk.var_long if side > 0 else risk.var_short,
                unit_es=risk.es_long if side > 0 else risk.es_short,
                lot=1.0,
            )
            own = self.limits.agents.get(p.agent.index, self.limits.cohort)
            path = [(self.own_state(p), own), (self.cohort_state(p), self.limits.cohort)]
            verdict = check_order_path(path, intent)
            allowed, why = int(verdict.size), self.reason_of(path, intent, verdict)
            if allowed:
                for book in (p.agent.book, self.book_memory):
                    book.sent = book.sent + 1 if book.sent_bar == self.bar else 1
                    book.sent_bar = self.bar
        if allowed < part and (drop or not p.denied):
            p.denied = True
            self.reject(p, why, part, allowed, side)
        return allowed

    # Tactics

    def prohibited(self, p: Position, side: int, part: int) -> RejectionReason | None:
        """What the rules of `compliance.screening.tactics` say of the order, given the cohort's own flow so far."""
        rules = None if self.limits is None else self.limits.tactics
        if rules is None:
            return None
        order = self.own_order(p, side, part)
        here = [other for at, other in self.flow if other.symbol == order.symbol]
        if rules.self_crossing:
            traded = [o for at, o in self.flow if at == self.ts and o.symbol == order.symbol]
            if any(o.side == -side and o.owner != order.owner for o in traded):
                return RejectionReason.SELF_CROSSING
        if rules.momentum_ignition:
            thresholds = MomentumIgnition(
                window_s=rules.window_s,
                min_orders=rules.min_orders,
                market_share_frac=Decimal(repr(rules.market_share_frac)),
                move_bps=Decimal(repr(rules.move_bps)),
            )
            if momentum_ignition(order, here, thresholds, self.last_bar(p.symbol)) is not None:
                return RejectionReason.MOMENTUM_IGNITION
        return None

    def own_order(self, p: Position, side: int, lots: int, *, maker: bool = False) -> OwnOrder:
        return OwnOrder(
            id=f"{p.agent.index}:{self.bar}", owner=str(p.agent.index), symbol=str(p.symbol), venue="v", side=side,
            size=float(lots), price=None, placed_at=datetime.fromtimestamp(self.ts / 1000, UTC), end=OrderEnd.FILLED,
            filled=float(lots), aggressive=not maker,
        )  # fmt: skip

    def last_bar(self, symbol: int) -> MarketWindow | None:
        if self.bar == 0:
            return None
        lot_value = self.instruments[symbol].lot_value
        volume, opened = (float(x[self.bar - 1, symbol]) for x in (self.market.volume, self.market.open))
        return MarketWindow(volume / lot_value, opened, self.last[symbol])

    def reason_of(self, path: list[tuple[BookState, LimitSet]], intent: OrderIntent, verdict: Verdict) -> int:
        """The rule that leaves least if it were the only one: the mode, then the agent's limits, then the cohort's."""
        mode = path[0][0].mode
        codes = {
            TradingMode.REDUCING: RejectionReason.MODE_REDUCING,
            TradingMode.HALTED: RejectionReason.MODE_HALTED,
            None: RejectionReason.MODE_UNKNOWN,
        }
        least, why = verdict.asked, -1
        if mode is not TradingMode.ACTIVE:
            alone = check_order(path[0][0], intent, LimitSet(())).size
            if alone < least:
                least, why = alone, int(codes[mode])
        for base, (state, limits) in zip((OWN_LIMIT, COHORT_LIMIT), path, strict=True):
            active = self.with_mode(state, TradingMode.ACTIVE)
            for limit in limits.for_target(intent.symbol, intent.venue).limits:
                if limit.hard is None:
                    continue
                one = check_order(active, intent, LimitSet((limit,)))
                if one.size < least:
                    unknown = any(r.level is Level.UNKNOWN for r in one.reasons)
                    least, why = one.size, base + CODES[limit.metric] + (LIMIT_UNKNOWN if unknown else 0)
        return why

    @staticmethod
    def with_mode(state: BookState, mode: TradingMode | None) -> BookState:
        return BookState(
            state.equity, state.day_open_equity, state.peak_equity, state.positions, state.orders_in_window,
            state.seconds_since_loss, state.var, state.es, mode, state.elsewhere,
        )  # fmt: skip

    def risk(self, symbol: int) -> UnitRisk:
        assert self.limits is not None
        return self.limits.unit_risk.get(self.market.symbols[symbol], UnitRisk())

    def tail(self, positions: list[Position]) -> tuple[float, float]:
        """VaR and ES of positions, each by itself."""
        var = es = 0.0
        for p in positions:
            if p.lots:
                risk, size = self.risk(p.symbol), abs(self.worth(p))
                var += size * (risk.var_long if p.lots > 0 else risk.var_short)
                es += size * (risk.es_long if p.lots > 0 else risk.es_short)
        return var, es

    def position_state(self, p: Position) -> PositionState:
        assert self.limits is not None
        unit = self.instruments[p.symbol].lot_value * self.last[p.symbol]
        cost = p.cost / ATOM
        loss = (cost - p.lots * unit) / abs(cost) if p.lots else 0.0
        return PositionState(self.market.symbols[p.symbol], self.limits.venue, float(p.lots), unit, loss)

    def book_state(
        self, agent: Agent, memory: Memory, equity: float, peak: float, own: list[Position], others: list[Position]
    ) -> BookState:
        assert self.limits is not None
        var, es = self.tail(own + others)
        return BookState(
            equity=equity,
            day_open_equity=memory.day_open,
            peak_equity=peak,
            positions=tuple(self.position_state(p) for p in own if p.lots),
            elsewhere=tuple(self.position_state(p) for p in others if p.lots),
            orders_in_window=float(memory.sent) if memory.sent_bar == self.bar else 0.0,
            seconds_since_loss=math.inf if memory.last_loss is None else (self.ts - memory.last_loss) / 1000.0,
            var=var,
            es=es,
            mode=self.limits.agent_modes.get(agent.index, self.limits.mode),
        )

    def own_state(self, p: Position) -> BookState:
        agent = p.agent
        return self.book_state(agent, agent.book, self.agent_equity(agent), agent.peak, agent.positions, [])

    def cohort_state(self, p: Position) -> BookState:
        others = [q for a in self.agents if a is not p.agent for q in a.positions]
        return self.book_state(p.agent, self.book_memory, self.wallet_equity(), self.peak, p.agent.positions, others)
