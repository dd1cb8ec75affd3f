"""From the council's target to an order: the engine's own decision rule, in plain numbers.

`decide` is `trading.quant.engine.kernel_orders.decide` for one position, operation by operation in the same order of
floating point, so that a desk sends the very quantities that the cohort's engine would have traded (a test compares
every order with the engine's fills).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ROUNDING = 1e-9  # of a lot, as in the kernel
#: What the desk's own decisions are tagged with; other working orders are protective exits, or what closes.
DECIDED = ("signal", "leverage")


@dataclass(frozen=True, slots=True)
class MarketRules:
    """One market in the engine's terms: a lot is ``lot_whole / lot_power`` base units."""

    symbol: str
    lot_whole: float
    lot_power: float
    multiplier: float
    min_notional: float
    spot: bool

    @property
    def lot_value(self) -> float:
        return self.lot_whole / self.lot_power * self.multiplier

    def quantity(self, lots: int) -> float:
        return lots * self.lot_whole / self.lot_power


@dataclass(frozen=True, slots=True)
class Holding:
    """A position and what works in its market. ``working`` is signed lots; ``working_tag`` what they are for."""

    lots: int = 0
    entry_bar: int = -1
    cooldown_until: int = -1
    working: int = 0
    working_tag: str = ""


@dataclass(frozen=True, slots=True)
class Sizing:
    """What a full target is worth, and the rules of time that are decisions."""

    draw: float
    leverage: float
    time_limit_bars: int = 0


@dataclass(frozen=True, slots=True)
class Intent:
    """An order to be judged: signed lots, and whether it only closes."""

    symbol: str
    lots: int
    tag: str
    closing: bool
    price: float

    @property
    def side(self) -> int:
        return 1 if self.lots > 0 else -1


@dataclass(frozen=True, slots=True)
class Decision:
    """What a target means: perhaps an order, perhaps a refusal in a word, perhaps the end of what works."""

    intent: Intent | None = None
    refused: str = ""
    cancel_working: bool = False


def decide(
    rules: MarketRules, held: Holding, *, target: float | None, price: float, bar: int, sizing: Sizing
) -> Decision:
    """What to do at the close of ``bar`` (counted from the deployment's first), at that close's ``price``.

    ``target`` None is no new decision: then only a time limit that has run out speaks.
    """
    if target is None:
        due = held.lots != 0 and 0 < sizing.time_limit_bars <= bar + 1 - held.entry_bar
        if due and (held.working == 0 or held.working_tag in DECIDED):
            order = Intent(rules.symbol, -held.lots, "time_limit", closing=True, price=price)
            return Decision(order, cancel_working=held.working != 0)
        return Decision()
    target = _bounded(rules, target)
    sign = 1 if target > 0.0 else -1
    want = _lots_wanted(rules, target, price, sizing)
    if held.working != 0 and held.working_tag not in DECIDED:
        return Decision(refused="exit_pending" if target != 0.0 else "")
    cancel = held.working != 0
    refused = "lot_too_small" if want == 0 and target != 0.0 else ""
    desired = sign * want
    if desired != 0 and held.lots == 0 and bar < held.cooldown_until:
        return Decision(refused="cooldown", cancel_working=cancel)
    delta = desired - held.lots
    if delta == 0:
        return Decision(refused=refused, cancel_working=cancel)
    if desired != 0 and abs(delta) * rules.lot_value * price < rules.min_notional:
        return Decision(refused="min_notional", cancel_working=cancel)
    closing = held.lots * delta < 0 and abs(delta) <= abs(held.lots)
    return Decision(Intent(rules.symbol, delta, "signal", closing, price), refused, cancel_working=cancel)


def _bounded(rules: MarketRules, target: float) -> float:
    target = min(1.0, max(-1.0, target))
    return 0.0 if rules.spot and target < 0.0 else target


def _lots_wanted(rules: MarketRules, target: float, price: float, sizing: Sizing) -> int:
    exact = max(0.0, abs(target) * sizing.leverage * sizing.draw / (price * rules.lot_value))
    return math.floor(exact + ROUNDING)


def bring_down(rules: MarketRules, held: Holding, *, target: float, price: float, sizing: Sizing) -> Decision:
    """Close what is held beyond what the standing ``target`` is worth at a leverage that fell. It opens nothing, turns
    nothing, and leaves a protective exit of the venue to its work; less than the venue's smallest order stays."""
    if held.lots == 0 or (held.working != 0 and held.working_tag not in DECIDED):
        return Decision()
    target = _bounded(rules, target)
    want = _lots_wanted(rules, target, price, sizing) if held.lots * target > 0 else 0
    beyond = abs(held.lots) - want
    if beyond <= 0 or (want > 0 and beyond * rules.lot_value * price < rules.min_notional):
        return Decision()
    lots = -beyond if held.lots > 0 else beyond
    order = Intent(rules.symbol, lots, "leverage", closing=True, price=price)
    return Decision(order, cancel_working=held.working != 0)


def flatten(rules: MarketRules, held: Holding, *, price: float, requote: bool) -> Decision:
    """Close what is held, whatever anybody thinks. ``requote`` sends a closing order that still works once more, at
    this close; a protective exit of the venue is left to its work."""
    working = held.working != 0
    ours = working and held.working_tag in (*DECIDED, "time_limit", "flatten")
    if held.lots == 0 or (working and not ours):
        return Decision(cancel_working=ours)
    if held.working == -held.lots and not requote:
        return Decision()
    order = Intent(rules.symbol, -held.lots, "flatten", closing=True, price=price)
    return Decision(order, cancel_working=ours)
