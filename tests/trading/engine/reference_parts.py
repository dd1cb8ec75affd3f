"""What the plain engine is made of: an instrument, a position, an agent, and what limits remember of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from trading.quant.engine import (
    AgentSpec,
    FillReason,
    InstrumentKind,
    InstrumentRules,
)

ATOM = 1e8
EPS = 1e-9


def atoms(amount: float) -> int:
    return round(amount * ATOM)


@dataclass
class Instrument:
    rules: InstrumentRules
    half_spread: float
    impact: float
    lot_value: float
    tick: tuple[int, int]
    lot: tuple[int, int]
    margin: float
    maintenance: float
    cap: float

    @property
    def spot(self) -> bool:
        return self.rules.kind is InstrumentKind.SPOT

    def price(self, raw: float, side: int) -> float:
        whole, power = self.tick
        ticks = raw * power / whole
        ticks = math.ceil(ticks - EPS) if side > 0 else math.floor(ticks + EPS)
        return ticks * whole / power

    def quantity(self, lots: float) -> float:
        return lots * self.lot[0] / self.lot[1]

    def slippage(self, lots: int, volume: float) -> float:
        share = min(1.0, lots * self.lot_value / volume) if volume > 0 else 1.0
        return self.impact * math.sqrt(share)


@dataclass
class Memory:
    """What limits ask of a Book's past."""

    day_open: float = math.nan
    sent_bar: int = -1
    sent: int = 0
    last_loss: int | None = None


@dataclass
class Position:
    agent: Agent
    symbol: int
    lots: int = 0
    cost: int = 0
    entry_bar: int = -1
    best: float = 0.0
    order: int = 0
    reason: FillReason = FillReason.SIGNAL
    noted: bool = False
    denied: bool = False
    cooldown_until: int = 0
    trade: int = 0
    signal: float | None = None
    target: float = 0.0


@dataclass
class Agent:
    index: int
    spec: AgentSpec
    params: Any
    memory: Any
    cash: int
    positions: list[Position] = field(default_factory=list)
    realised: int = 0
    fees: int = 0
    funding: int = 0
    spread: int = 0
    impact: int = 0
    peak: float = 0.0
    drawdown: float = 0.0
    fills: int = 0
    trades: int = 0
    wins: int = 0
    rejections: int = 0
    breached: bool = False
    bankrupt: bool = False
    book: Memory = field(default_factory=Memory)

    @property
    def max_leverage(self) -> float:
        limit = self.spec.max_leverage
        return math.inf if limit == 0 or math.isnan(limit) else limit
