"""The close of a bar in plain Python: what agents and wallet are worth, what they show at a mark, and the alerts."""

from __future__ import annotations

import math
from typing import Any

from tests.trading.engine.reference_judging import Judging
from tests.trading.engine.reference_parts import ATOM, atoms
from trading.quant.engine import BreachKind, FillReason, WalletRules
from trading.strategies.spec import Scope


class Marking(Judging):
    """What values the plain engine; the engine itself gives what it stands on. Money in the wallet's quote."""

    wallet: WalletRules
    cash: int
    drawdown: float
    drawdown_breached: bool
    utilisation_breached: bool
    breaches: list[tuple[int, int, int, int, float, float]]
    marks: list[tuple[int, list[tuple[Any, ...]], tuple[Any, ...], list[float]]]

    def breach(self, kind: BreachKind, agent: int, value: float, limit: float) -> None:
        self.breaches.append((self.ts + self.market.interval_ms, self.bar, agent, int(kind), value, limit))

    def value(self) -> None:
        for agent in self.agents:
            equity = agent.cash / ATOM
            gross = maintenance = 0.0
            for p in agent.positions:
                if p.lots:
                    x = self.worth(p)
                    equity += x
                    gross += abs(x)
                    maintenance += abs(x) * self.instruments[p.symbol].maintenance
            if equity > agent.peak:
                agent.peak = equity
            agent.drawdown = max(agent.drawdown, (agent.peak - equity) / agent.peak)
            limit = agent.max_leverage
            if not agent.breached and limit < math.inf and gross > limit * equity:
                agent.breached = True
                value = gross / equity if equity > 0 else math.inf
                self.breach(BreachKind.AGENT_LEVERAGE, agent.index, value, limit)
            if equity <= 0 and not agent.bankrupt:
                agent.bankrupt = True
                self.breach(BreachKind.AGENT_BANKRUPT, agent.index, equity, 0.0)
            if agent.spec.family.scope is Scope.PANEL and gross > 0 and equity <= maintenance:
                for p in agent.positions:
                    if p.lots:
                        p.order, p.reason, p.noted, p.denied = -p.lots, FillReason.LIQUIDATION, False, False
        longs, shorts = self.held()
        self.equity = self.cash / ATOM
        for s, instrument in enumerate(self.instruments):
            self.equity += (longs[s] - shorts[s]) * instrument.lot_value * self.last[s]
        self.peak = max(self.peak, self.equity)
        drawdown = (self.peak - self.equity) / self.peak
        self.drawdown = max(self.drawdown, drawdown)
        if drawdown > self.wallet.drawdown_alert_frac and not self.drawdown_breached:
            self.drawdown_breached = True
            self.breach(BreachKind.PARENT_DRAWDOWN, -1, drawdown, self.wallet.drawdown_alert_frac)

    def mark(self, when: int) -> None:
        rows = []
        quantities = []
        for agent in self.agents:
            value = cost = 0
            gross = net = 0.0
            for p in agent.positions:
                x = self.worth(p)
                quantities.append(self.instruments[p.symbol].quantity(p.lots))
                value += atoms(x)
                cost += p.cost
                gross += abs(x)
                net += x
            rows.append(
                (
                    (agent.cash + value) / ATOM, agent.cash / ATOM, agent.realised / ATOM,
                    (value - cost) / ATOM, gross, net,
                    agent.fees / ATOM, agent.spread / ATOM, agent.impact / ATOM, agent.funding / ATOM,
                    agent.peak,
                    agent.drawdown, agent.fills, agent.trades, agent.wins, agent.rejections,
                )
            )  # fmt: skip
        longs, shorts = self.held()
        gross = net = 0.0
        for s, instrument in enumerate(self.instruments):
            if longs[s] or shorts[s]:
                unit = instrument.lot_value * self.last[s]
                gross += (longs[s] + shorts[s]) * unit
                net += (longs[s] - shorts[s]) * unit
        cash = self.cash / ATOM
        opened = sum(1 for a in self.agents for p in a.positions if p.lots)
        parent = (
            cash + net, cash, gross, net, gross / self.wallet.bankroll, self.peak,
            (self.peak - self.equity) / self.peak,
            self.drawdown, opened,
        )  # fmt: skip
        self.marks.append((when, rows, parent, quantities))

    def rearm(self) -> None:
        _, rows, parent, _ = self.marks[-1]
        for agent, row in zip(self.agents, rows, strict=True):
            if agent.breached and row[4] <= agent.max_leverage * row[0]:
                agent.breached = False
        if parent[4] > self.wallet.utilisation_alert_frac:
            if not self.utilisation_breached:
                self.utilisation_breached = True
                self.breach(BreachKind.PARENT_UTILISATION, -1, parent[4], self.wallet.utilisation_alert_frac)
        else:
            self.utilisation_breached = False
        if self.drawdown_breached and parent[6] <= self.wallet.drawdown_alert_frac:
            self.drawdown_breached = False
