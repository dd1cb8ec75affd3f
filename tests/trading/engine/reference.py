"""The engine once more in plain Python: bar by bar, agent by agent, no blocks, no events, nothing shared with
the kernel
but the dataclasses it is given and the tables it fills. Slow and readable; the kernel must agree with it
exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from compliance.screening.tactics import OwnOrder
from tests.trading.engine.reference_marks import Marking
from tests.trading.engine.reference_parts import ATOM, EPS, Agent, Instrument, Memory, Position, atoms
from trading.quant.engine import (
    AgentSpec,
    CostModel,
    ExitRules,
    FillReason,
    InstrumentKind,
    InstrumentRules,
    Market,
    OrderLimits,
    RejectionReason,
    Sizing,
    WalletRules,
)
from trading.quant.engine.market import DAY_MS, HOUR_MS
from trading.quant.engine.rules import agent_parameters, decimal_step, to_atoms
from trading.strategies.spec import Scope


class Reference(Marking):
    def __init__(
        self,
        market: Market,
        agents: Sequence[AgentSpec],
        *,
        instruments: Sequence[InstrumentRules],
        costs: CostModel,
        wallet: WalletRules,
        limits: OrderLimits | None = None,
    ) -> None:
        self.market = market
        self.limits = limits
        self.flow: list[tuple[int, OwnOrder]] = []
        self.book_memory = Memory()
        self.wallet = wallet
        self.costs = costs
        self.instruments = [self._instrument(rules) for rules in instruments]
        n_symbols = market.n_symbols
        self.agents: list[Agent] = []
        for k, spec in enumerate(agents):
            params = agent_parameters(spec, f"Agent {k}")
            memory = np.zeros(spec.family.state_size(params, n_symbols))
            spec.family.init.py_func(params, memory)  # type: ignore[attr-defined]
            agent = Agent(k, spec, params, memory, to_atoms(spec.draw, "draw"))
            agent.peak = agent.cash / ATOM
            symbols = range(n_symbols) if spec.symbol is None else [self._symbol(spec.symbol)]
            agent.positions = [Position(agent, s) for s in symbols]
            self.agents.append(agent)
        self.cash = to_atoms(wallet.bankroll, "bankroll")
        self.peak = self.equity = self.cash / ATOM
        self.drawdown = 0.0
        self.drawdown_breached = self.utilisation_breached = False
        day = int(market.ts_ms[0]) // DAY_MS
        self.volume = [{day - k: amount / 30 for k in range(1, 31)} for amount in wallet.prior_volume_usd]
        self.last = [0.0] * n_symbols
        self.fills: list[tuple[Any, ...]] = []
        self.rejections: list[tuple[Any, ...]] = []
        self.breaches = []
        self.payments: list[tuple[Any, ...]] = []
        self.marks = []

    def _symbol(self, symbol: str | int) -> int:
        return self.market.symbols.index(symbol) if isinstance(symbol, str) else int(symbol)

    def _instrument(self, rules: InstrumentRules) -> Instrument:
        spot = rules.kind is InstrumentKind.SPOT
        default = self.costs.half_spread_bps.spot if spot else self.costs.half_spread_bps.perpetual
        bps = default if math.isnan(rules.half_spread_bps) else rules.half_spread_bps
        coefficient = rules.impact_coefficient
        if math.isnan(coefficient):
            coefficient = self.costs.impact_coefficient
        whole, power = decimal_step(rules.lot)
        return Instrument(
            rules=rules,
            half_spread=bps / 10_000,
            impact=coefficient * rules.daily_volatility * math.sqrt(self.market.interval_ms / DAY_MS),
            lot_value=whole / power * rules.multiplier,
            tick=decimal_step(rules.tick),
            lot=(whole, power),
            margin=1.0 if spot else 1.0 / rules.max_leverage,
            maintenance=0.0 if spot else rules.maintenance_margin_rate,
            cap=self.wallet.market_caps_frac.get(rules.symbol, self.wallet.market_cap_frac),
        )

    # One bar

    def run(self) -> Reference:
        market = self.market
        next_mark = int(market.ts_ms[0]) // HOUR_MS * HOUR_MS + HOUR_MS
        stamps = list(zip(market.funding_ts_ms, market.funding_symbol, market.funding_rate, strict=True))
        rates_of = -1
        for bar in range(market.n_bars):
            self.bar = bar
            self.ts = int(market.ts_ms[bar])
            while next_mark <= self.ts:
                self.mark(next_mark)
                next_mark += HOUR_MS
            if self.ts // DAY_MS != rates_of:
                rates_of = self.ts // DAY_MS
                self.rates = [self.tier(kind, rates_of) for kind in (0, 1)]
                for agent in self.agents:
                    agent.book.day_open = self.agent_equity(agent)
                self.book_memory.day_open = self.wallet_equity()
            while stamps and stamps[0][0] <= self.ts:
                self.pay(*stamps.pop(0))
            first = bar % len(self.agents)
            positions = [p for a in self.agents[first:] + self.agents[:first] for p in a.positions]
            for position in positions:
                self.decide(position)
            for position in positions:
                self.fill(position)
            for position in positions:
                self.exit(position)
            for s in range(market.n_symbols):
                if not math.isnan(market.close[bar, s]):
                    self.last[s] = float(market.close[bar, s])
            self.value()
            closed = self.ts + market.interval_ms
            if closed >= next_mark:
                at = closed // HOUR_MS * HOUR_MS
                self.mark(at)
                self.rearm()
                next_mark = at + HOUR_MS
            for agent in self.agents:
                self.step(agent)
        return self

    def tier(self, kind: int, day: int) -> tuple[float, float]:
        total = 0.0
        for back in range(1, 31):
            total += self.volume[kind].get(day - back, 0.0)
        ladder = self.costs.fees.spot if kind == 0 else self.costs.fees.perpetual
        tier = [t for t in ladder if total >= t.volume_usd][-1]
        return tier.maker_bps / 10_000, tier.taker_bps / 10_000

    def pay(self, stamp: int, symbol: int, rate: float) -> None:
        instrument = self.instruments[symbol]
        if instrument.spot:
            return
        for agent in self.agents:
            for p in agent.positions:
                if p.symbol == symbol and p.lots:
                    amount = -atoms(p.lots * instrument.lot_value * self.last[symbol] * rate)
                    agent.cash += amount
                    agent.funding += amount
                    self.cash += amount
                    self.payments.append(
                        (stamp, self.bar, agent.index, symbol, instrument.quantity(p.lots),
                        self.last[symbol], rate, amount / ATOM)
                    )  # fmt: skip

    def reject(self, p: Position, reason: int, wanted: float, permitted: float, side: int) -> None:
        p.agent.rejections += 1
        q = self.instruments[p.symbol].quantity
        row = (self.ts, self.bar, p.agent.index, p.symbol, side, int(reason), q(wanted), q(permitted))
        self.rejections.append(row)

    def worth(self, p: Position) -> float:
        return p.lots * self.instruments[p.symbol].lot_value * self.last[p.symbol]

    def agent_equity(self, agent: Agent) -> float:
        equity = agent.cash / ATOM
        for p in agent.positions:
            if p.lots:
                equity += self.worth(p)
        return equity

    def wallet_equity(self) -> float:
        longs, shorts = self.held()
        equity = self.cash / ATOM
        for s, instrument in enumerate(self.instruments):
            if longs[s] or shorts[s]:
                equity += (longs[s] - shorts[s]) * (instrument.lot_value * self.last[s])
        return equity

    # Limits

    def decide(self, p: Position) -> None:
        agent, spec = p.agent, p.agent.spec
        instrument = self.instruments[p.symbol]
        if p.signal is None:
            limit = spec.exits.time_limit_bars
            free = p.order == 0 or p.reason is FillReason.SIGNAL
            if p.lots and limit and self.bar - p.entry_bar >= limit and free:
                p.order, p.reason, p.noted, p.denied = -p.lots, FillReason.TIME_LIMIT, False, False
            return
        target = max(-1.0, min(1.0, p.signal))
        p.signal = None
        if instrument.spot:
            target = max(0.0, target)
        sign = 1 if target > 0 else -1
        base = spec.draw
        if self.wallet.sizing is Sizing.EQUITY:
            base = agent.cash / ATOM
            for other in agent.positions:
                if other.lots:
                    base += self.worth(other)
        price = self.last[p.symbol]
        exact = max(0.0, abs(target) * spec.leverage * base / (price * instrument.lot_value))
        want = math.floor(exact + EPS)
        if p.order and p.reason is not FillReason.SIGNAL:
            if target:
                self.reject(p, RejectionReason.EXIT_PENDING, exact, 0, sign)
            return
        p.order = 0
        if want == 0 and target:
            self.reject(p, RejectionReason.LOT_TOO_SMALL, exact, 0, sign)
        desired = sign * want
        if desired and not p.lots and self.bar - 1 < p.cooldown_until:
            self.reject(p, RejectionReason.COOLDOWN, exact, 0, sign)
            return
        delta = desired - p.lots
        if not delta:
            return
        if desired and abs(delta) * instrument.lot_value * price < instrument.rules.min_notional:
            self.reject(p, RejectionReason.MIN_NOTIONAL, abs(delta), 0, 1 if delta > 0 else -1)
            return
        p.order, p.reason, p.noted, p.denied = delta, FillReason.SIGNAL, False, False

    def allowed_by_volume(self, p: Position, lots: int) -> int:
        instrument = self.instruments[p.symbol]
        volume = float(self.market.volume[self.bar, p.symbol])
        if math.isnan(volume):
            return 0
        if p.reason is FillReason.LIQUIDATION:
            return lots
        return min(lots, math.floor(self.costs.participation_cap_frac * volume / instrument.lot_value + EPS))

    def short_of_volume(self, p: Position, lots: int, part: int, side: int) -> None:
        if part < lots and not p.noted:
            p.noted = True
            reason = RejectionReason.PARTICIPATION if part else RejectionReason.NO_VOLUME
            self.reject(p, reason, lots, part, side)

    def fill(self, p: Position) -> None:
        if not p.order:
            return
        instrument = self.instruments[p.symbol]
        side = 1 if p.order > 0 else -1
        lots = abs(p.order)
        part = self.allowed_by_volume(p, lots)
        self.short_of_volume(p, lots, part, side)
        if not part:
            return
        opened = float(self.market.open[self.bar, p.symbol])
        volume = float(self.market.volume[self.bar, p.symbol])
        drop = p.reason is FillReason.SIGNAL
        asked, part = part, self.judge(p, side, part, opened, drop=drop)
        if part < asked and drop:
            p.order = side * part
        if not part:
            return
        closing = min(part, abs(p.lots)) if p.lots * side < 0 else 0
        tactic = self.prohibited(p, side, part) if drop and part > closing else None
        if tactic is not None:
            self.reject(p, tactic, part, closing, side)
            part = closing
            p.order = side * part
            if not part:
                return

        def quote(size: int) -> tuple[float, float]:
            impact = instrument.slippage(size, volume)
            return instrument.price(opened * (1.0 + side * (instrument.half_spread + impact)), side), impact

        price, impact = quote(part)
        if price <= 0:
            self.reject(p, RejectionReason.TICK_TOO_SMALL, lots, 0, side)
            p.order = 0
            return
        closing = min(part, abs(p.lots)) if p.lots * side < 0 else 0
        opening = part - closing
        if opening:
            allowed, why = self.headroom(p, side, opening, closing, price)
            if allowed < opening:
                assert why is not None
                self.reject(p, why, part, closing + allowed, side)
                part = closing + allowed
                p.order = side * part
                if not part:
                    return
                price, impact = quote(part)
        reason = p.reason
        self.book(p, side, part, price, opened, impact, maker=False)
        p.order -= side * part
        if not p.order and reason is not FillReason.SIGNAL and not p.lots:
            p.cooldown_until = self.bar + p.agent.spec.exits.cooldown_bars

    def headroom(
        self, p: Position, side: int, opening: int, closing: int, price: float
    ) -> tuple[int, RejectionReason | None]:
        agent, instrument, wallet = p.agent, self.instruments[p.symbol], self.wallet
        allowed: int = opening
        why: RejectionReason | None = None

        def limit(room: float, reason: RejectionReason) -> None:
            nonlocal allowed, why
            if max(room, 0) < allowed:
                allowed, why = max(0, int(room)), reason

        own = p.lots + side * closing
        if wallet.max_open_positions and own == 0:
            others = sum(1 for a in self.agents for q in a.positions if q.lots and q is not p)
            if others >= wallet.max_open_positions:
                return 0, RejectionReason.MAX_OPEN_POSITIONS
        cap = instrument.rules.position_limit
        if cap < math.inf:
            limit(math.floor(cap / instrument.rules.lot + EPS - abs(own)), RejectionReason.POSITION_LIMIT)
        rate = self.rates[int(instrument.rules.kind)][1]
        lot_price = instrument.lot_value * price
        cash = agent.cash / ATOM
        if closing:
            cash -= (side + rate) * (closing * lot_price)
        value = own * lot_price
        free = cash + (value - abs(value) * instrument.margin)
        equity = cash + value
        gross = abs(value)
        for q in agent.positions:
            if q is not p and q.lots:
                x = self.worth(q)
                free += x - abs(x) * self.instruments[q.symbol].margin
                equity += x
                gross += abs(x)
        if instrument.spot:
            free = min(free, agent.cash / ATOM)
        limit(math.floor(free / (lot_price * (instrument.margin + rate))), RejectionReason.INSUFFICIENT_BALANCE)
        if instrument.spot:
            while allowed:
                notional = atoms(allowed * instrument.lot_value * price)
                if agent.cash - notional - round(rate * notional) >= 0:
                    break
                allowed -= 1
                why = RejectionReason.INSUFFICIENT_BALANCE
        if agent.max_leverage < math.inf:
            limit(math.floor((agent.max_leverage * equity - gross) / lot_price), RejectionReason.AGENT_LEVERAGE)

        parent, total, net = self.cash / ATOM, 0.0, 0.0
        longs, shorts = self.held()
        for s, other in enumerate(self.instruments):
            if longs[s] or shorts[s]:
                unit = other.lot_value * self.last[s]
                x = (longs[s] - shorts[s]) * unit
                parent += x
                net += x
                total += (longs[s] + shorts[s]) * unit
        s = p.symbol
        unit = instrument.lot_value * self.last[s]
        freed = closing * unit
        ceilings = (
            (instrument.cap, (longs[s] + shorts[s]) * unit - freed, RejectionReason.MARKET_CAP),
            (wallet.gross_ceiling_frac, total - freed, RejectionReason.GROSS_CEILING),
            (wallet.net_ceiling_frac, side * (net + side * freed), RejectionReason.NET_CEILING),
            (wallet.leverage_ceiling, total - freed, RejectionReason.LEVERAGE_CEILING),
        )
        for ceiling, used, reason in ceilings:
            if ceiling < math.inf:
                limit(math.floor((ceiling * parent - used) / unit), reason)
        return allowed, why

    def held(self) -> tuple[list[int], list[int]]:
        longs, shorts = [0] * self.market.n_symbols, [0] * self.market.n_symbols
        for agent in self.agents:
            for p in agent.positions:
                longs[p.symbol] += max(p.lots, 0)
                shorts[p.symbol] += max(-p.lots, 0)
        return longs, shorts

    def book(
        self, p: Position, side: int, lots: int, price: float, reference: float, impact: float, *, maker: bool
    ) -> None:
        agent, instrument = p.agent, self.instruments[p.symbol]
        kind = int(instrument.rules.kind)
        units = lots * instrument.lot_value
        notional = atoms(price * units)
        fee = round(self.rates[kind][0 if maker else 1] * notional)
        before, after = p.lots, p.lots + side * lots
        realised = 0
        if before * side >= 0:
            if not before:
                p.entry_bar, p.best, p.trade = self.bar, price, 0
            p.cost += side * notional
        else:
            closed = min(lots, abs(before))
            part = notional if closed == lots else atoms(price * (closed * instrument.lot_value))
            out = p.cost if closed == abs(before) else round(p.cost * (closed / abs(before)))
            realised = -side * part - out
            p.cost -= out
            p.trade += realised
            if realised < 0:
                agent.book.last_loss = self.book_memory.last_loss = self.ts
            if closed == abs(before):
                agent.trades += 1
                agent.wins += p.trade > 0
                p.trade = 0
                if after:
                    p.cost, p.entry_bar, p.best = side * (notional - part), self.bar, price
        p.lots = after
        agent.cash -= side * notional + fee
        self.cash -= side * notional + fee
        slippage = atoms(side * (price - reference) * units)
        impact_cost = min(slippage, atoms(impact * reference * units))
        agent.realised += realised
        agent.fees += fee
        agent.spread += slippage - impact_cost
        agent.impact += impact_cost
        agent.fills += 1
        self.flow.append((self.ts, self.own_order(p, side, lots, maker=maker)))
        day = self.ts // DAY_MS
        self.volume[kind][day] = self.volume[kind].get(day, 0.0) + notional / ATOM
        self.fills.append(
            (
                self.ts, self.bar, agent.index, p.symbol, side, int(p.reason), instrument.quantity(lots),
                price, reference,
                notional / ATOM, fee / ATOM, (slippage - impact_cost) / ATOM, impact_cost / ATOM,
                realised / ATOM,
                instrument.quantity(after), maker,
            )
        )  # fmt: skip

    def exit(self, p: Position) -> None:
        if not p.lots:
            return
        pending = p.order != 0 and p.reason is not FillReason.SIGNAL
        if pending and (self.limits is None or p.reason is FillReason.LIQUIDATION):
            return
        market, bar, rules, agent = self.market, self.bar, p.agent.spec.exits, p.agent
        opened, high, low = (float(x[bar, p.symbol]) for x in (market.open, market.high, market.low))
        instrument = self.instruments[p.symbol]
        direction = 1 if p.lots > 0 else -1
        quantity = p.lots * instrument.lot_value
        entry = p.cost / ATOM / quantity
        cash = agent.cash / ATOM
        never = 0.0 if direction > 0 else math.inf
        levels: dict[FillReason, float] = {}
        levels[FillReason.LIQUIDATION] = never
        if agent.spec.family.scope is Scope.SINGLE:
            if direction > 0 and cash < 0:
                levels[FillReason.LIQUIDATION] = -cash / (quantity * (1.0 - instrument.maintenance))
            elif direction < 0:
                levels[FillReason.LIQUIDATION] = cash / (-quantity * (1.0 + instrument.maintenance))
        if pending:  # held up by a limit perhaps; the venue liquidates all the same
            rules = ExitRules()
            if p.agent.spec.family.scope is not Scope.SINGLE:
                return
        if rules.stop_loss_frac > 0:
            levels[FillReason.STOP_LOSS] = entry * (1.0 - direction * rules.stop_loss_frac)
        if rules.trailing_stop_frac > 0:
            levels[FillReason.TRAILING_STOP] = p.best * (1.0 - direction * rules.trailing_stop_frac)
        nearest = max if direction > 0 else min
        level = nearest(levels.values())
        kind = next(reason for reason, value in levels.items() if value == level)
        goal = math.inf if direction > 0 else 0.0
        if rules.take_profit_frac > 0:
            goal = entry * (1.0 + direction * rules.take_profit_frac)

        def beyond(price: float, mark: float) -> bool:  # against the position
            return direction * price <= direction * mark

        worst, kindest = (low, high) if direction > 0 else (high, low)
        if beyond(opened, level):
            reason, reference = kind, opened
        elif direction * opened >= direction * goal:
            reason, reference = FillReason.TAKE_PROFIT, opened
        elif beyond(worst, level):
            reason, reference = kind, level
        elif direction * kindest >= direction * goal:
            reason, reference = FillReason.TAKE_PROFIT, goal
        else:
            if not math.isnan(high) and not pending:
                p.best = max(p.best, high) if direction > 0 else min(p.best, low)
            return
        p.order, p.reason, p.noted, p.denied = -p.lots, reason, False, False
        lots = abs(p.lots)
        part = self.allowed_by_volume(p, lots)
        self.short_of_volume(p, lots, part, -direction)
        if part:
            part = self.judge(p, -direction, part, reference, drop=False)
        maker = reason is FillReason.TAKE_PROFIT
        impact = 0.0 if maker else instrument.slippage(max(part, 1), float(market.volume[bar, p.symbol]))
        slip = 0.0 if maker else instrument.half_spread + impact
        price = instrument.price(reference * (1.0 - direction * slip), -direction)
        if part and price > 0:
            self.book(p, -direction, part, price, reference, impact, maker=maker)
            p.order += direction * part
        if not p.lots:
            p.cooldown_until = bar + rules.cooldown_bars

    # The strategies

    def step(self, agent: Agent) -> None:
        market, bar = self.market, self.bar
        columns = (market.open, market.high, market.low, market.close, market.volume)
        step: Any = agent.spec.family.step
        if agent.spec.family.scope is Scope.SINGLE:
            values = [float(x[bar, agent.positions[0].symbol]) for x in columns]
            if math.isnan(values[3]):
                return
            targets = [step.py_func(*values, agent.params, agent.memory)]
        else:
            rows = [np.ascontiguousarray(x[bar]) for x in columns]
            if np.isnan(rows[3]).all():
                return
            wanted = np.full(market.n_symbols, np.nan)
            step.py_func(*rows, agent.params, agent.memory, wanted)
            targets = list(np.where(np.isnan(rows[3]), np.nan, wanted))
        for p, target in zip(agent.positions, targets, strict=True):
            if not math.isnan(target) and target != p.target:
                p.target = p.signal = float(target)
