"""The pre-trade check: may this order be sent, and how large? Pure, and fast enough for every order.

A local refusal is DENIED; REJECTED is a venue's word and never appears here. The rules:

* Every hard limit caps the size. An order that passes one is cut to the cap, or denied where nothing is left.
* The part of an order that only closes its own position is always let through by exposure and stop limits.
Limits on the order itself (notional, participation, rate, price collar) bind every order. * What is unknown
never allows: a NaN or None that a limit needs cuts the order down to its closing part; without a sound side,
size or value of a unit there is no such part. * Working orders count as if filled on the side that is worse.
* A soft limit lets the order pass and is reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from risk.quant import pretrade_kernel as k
from risk.quant.metrics import (
    CODES,
    HIGHER_IS_TIGHTER,
    SYMBOL_SCOPED,
    VENUE_SCOPED,
    Level,
    Metric,
    describe,
)
from risk.quant.tail import FloatArray

Number = float | None


class InvalidLimitError(ValueError):
    """A limit that cannot be one; the message says what to change."""


class Side(IntEnum):
    BUY = 1
    SELL = -1


class TradingMode(StrEnum):
    """What a Book may do at all; set by the kill switch."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


_MODES: dict[TradingMode | None, float] = {
    TradingMode.ACTIVE: k.ACTIVE,
    TradingMode.REDUCING: k.REDUCING,
    TradingMode.HALTED: k.HALTED,
}


class Outcome(StrEnum):
    ALLOWED = "ALLOWED"
    REDUCED = "REDUCED"
    DENIED = "DENIED"


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit in force. `name` is how reasons call it; None is a level not set; an empty scope is all."""

    metric: Metric
    hard: Number = None
    soft: Number = None
    symbol: str = ""
    venue: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class PositionState:
    """One position of a Book. Quantities in units, signed; `unit_notional` money per unit at the mark.

    `loss_frac` is the unrealised loss over the cost, positive when losing. `working_*` are units still open
    in orders.
    """

    symbol: str
    venue: str
    quantity: Number
    unit_notional: Number
    loss_frac: Number = 0.0
    working_buy: Number = 0.0
    working_sell: Number = 0.0


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order before it exists. `quantity` in units, positive.

    `unit_notional` is the money of one unit at the mark; `price` and `reference_price` the limit price and
    the market's, in the same quote; None is a market order, which a price collar cannot judge and so denies.
    `volume` is the market's volume, in units, over the window that participation is measured in. `unit_var`
    and `unit_es` are the VaR and ES of one unit of money in this direction. A cut size is rounded down to
    `lot`; below `minimum` it is denied.
    """

    symbol: str
    venue: str
    side: Side
    quantity: Number
    unit_notional: Number
    price: Number = None
    reference_price: Number = None
    volume: Number = None
    unit_var: Number = None
    unit_es: Number = None
    lot: float = 0.0
    minimum: float = 0.0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: which limit, at which level, with which value against which threshold. One that does not bind warns."""

    limit: str
    metric: Metric | None
    level: Level
    value: float
    threshold: float
    text: str = ""
    binds: bool = True

    @property
    def message(self) -> str:
        """A sentence for a person; written when it is read, not on the way of an order."""
        if self.text or self.metric is None:
            return self.text
        what = describe(self.metric).lower()
        if self.level is Level.UNKNOWN:
            follows = "nothing may be added" if self.binds else "its soft limit cannot warn"
            return f"{self.limit}: {what} is not known, so {follows}."
        verb = "stays below" if self.metric in HIGHER_IS_TIGHTER else "would pass"
        return (
            f"{self.limit}: {what} {verb} the {self.level.name.lower()} limit, "
            f"{self.value:,.6g} against {self.threshold:,.6g}."
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """`allowed` says whether anything may be sent, `size` how much of it (units), `reasons` every limit that
    spoke.
    """

    allowed: bool
    size: float
    reasons: tuple[Reason, ...]
    asked: float

    @property
    def outcome(self) -> Outcome:
        if not self.allowed:
            return Outcome.DENIED
        return Outcome.REDUCED if self.size < self.asked else Outcome.ALLOWED


def _number(x: Number) -> float:
    return math.nan if x is None else float(x)


def _finite(x: Number) -> float:
    return math.nan if x is None or not math.isfinite(x) else float(x)


@dataclass(frozen=True, slots=True)
class _Totals:
    """Worst-case exposure of a Book, built once per state."""

    gross: float
    net_buy: float
    net_sell: float
    by_symbol: Mapping[str, float]
    by_venue: Mapping[str, float]
    open_positions: int


@dataclass(frozen=True, slots=True)
class BookState:
    """What a Book is worth and holds at one instant; money in its base asset, None where it is not known.

    `elsewhere` are positions of other Books that this one adds up (those below it): they count in every
    exposure, without netting, but an order cannot close them. `orders_in_window` counts the orders sent in
    the last minute; `seconds_since_loss` is infinite before the first one.
    """

    equity: Number
    day_open_equity: Number
    peak_equity: Number
    positions: tuple[PositionState, ...] = ()
    orders_in_window: Number = 0
    seconds_since_loss: Number = math.inf
    var: Number = None
    es: Number = None
    mode: TradingMode | None = TradingMode.ACTIVE
    elsewhere: tuple[PositionState, ...] = ()
    _totals: _Totals = field(init=False, repr=False, compare=False)
    _index: Mapping[tuple[str, str], PositionState] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {(p.symbol, p.venue): p for p in self.positions})
        if len(self._index) != len(self.positions):
            raise ValueError("A Book holds one position a symbol and venue: add the doubles up first.")
        object.__setattr__(self, "_totals", _add_up((*self.positions, *self.elsewhere)))

    @property
    def gross(self) -> float:
        """Worst-case gross exposure."""
        return self._totals.gross

    @property
    def by_symbol(self) -> Mapping[str, float]:
        return self._totals.by_symbol

    @property
    def by_venue(self) -> Mapping[str, float]:
        return self._totals.by_venue

    @property
    def open_positions(self) -> int:
        return self._totals.open_positions

    @property
    def net(self) -> float:
        """Worst-case net exposure: the larger of both directions, as a positive number."""
        return float(np.maximum(np.maximum(self._totals.net_buy, -self._totals.net_sell), 0.0))


def _extremes(p: PositionState) -> tuple[float, float, float]:
    """Quantity with all buys filled, with all sells filled, and money per unit."""
    q = _finite(p.quantity)
    return q + _finite(p.working_buy), q - _finite(p.working_sell), _finite(p.unit_notional)


def _worst(high: float, low: float, unit: float) -> float:
    if high == 0.0 and low == 0.0:
        return 0.0
    return math.nan if math.isnan(high) or math.isnan(low) else max(abs(high), abs(low)) * unit


def _money(units: float, unit: float) -> float:
    return 0.0 if units == 0.0 else units * unit


def _add_up(positions: Iterable[PositionState]) -> _Totals:
    gross = net_buy = net_sell = 0.0
    open_count = 0
    by_symbol: dict[str, float] = {}
    by_venue: dict[str, float] = {}
    for p in positions:
        high, low, unit = _extremes(p)
        worst = _worst(high, low, unit)
        gross += worst
        net_buy += _money(high, unit)
        net_sell += _money(low, unit)
        open_count += worst != 0.0
        by_symbol[p.symbol] = by_symbol.get(p.symbol, 0.0) + worst
        by_venue[p.venue] = by_venue.get(p.venue, 0.0) + worst
    return _Totals(gross, net_buy, net_sell, by_symbol, by_venue, open_count)


@dataclass(frozen=True, slots=True)
class _Compiled:
    limits: tuple[Limit, ...]
    codes: npt.NDArray[np.int64]
    soft: FloatArray
    hard: FloatArray


class LimitSet:
    """Limits made ready for checking; build it once, use it for every order. Raises InvalidLimitError."""

    __slots__ = ("_by_target", "limits")

    def __init__(self, limits: Iterable[Limit]) -> None:
        self.limits = tuple(limits)
        for limit in self.limits:
            validate_limit(limit)
        self._by_target: dict[tuple[str, str], _Compiled] = {}

    def __len__(self) -> int:
        return len(self.limits)

    def for_target(self, symbol: str, venue: str) -> _Compiled:
        """The limits that speak about an order in this symbol at this venue, as arrays."""
        found = self._by_target.get((symbol, venue))
        if found is None:
            chosen = tuple(x for x in self.limits if x.symbol in ("", symbol) and x.venue in ("", venue))
            found = _Compiled(
                chosen,
                np.array([CODES[x.metric] for x in chosen], dtype=np.int64),
                np.array([_number(x.soft) for x in chosen], dtype=np.float64),
                np.array([_number(x.hard) for x in chosen], dtype=np.float64),
            )
            self._by_target[symbol, venue] = found
        return found


def validate_limit(limit: Limit) -> None:
    """Raises InvalidLimitError for a limit without a level, with one that is negative or no number, or in the
    wrong order, or narrowed to what its metric does not know.
    """
    name = limit.name or describe(limit.metric)
    if limit.soft is None and limit.hard is None:
        raise InvalidLimitError(f"{name}: give a soft level, a hard level, or both.")
    for word, level in (("soft", limit.soft), ("hard", limit.hard)):
        if level is not None and not (math.isfinite(level) and level >= 0):
            raise InvalidLimitError(f"{name}: the {word} level must be a number of zero or more, not {level}.")
    if limit.soft is not None and limit.hard is not None:
        longer = limit.metric in HIGHER_IS_TIGHTER
        if limit.soft < limit.hard if longer else limit.soft > limit.hard:
            way = "longer" if longer else "lower"
            raise InvalidLimitError(
                f"{name}: soft ({limit.soft}) must warn before hard ({limit.hard}), so it is the {way} one."
            )
    if limit.symbol and limit.metric not in SYMBOL_SCOPED:
        raise InvalidLimitError(f"{name}: this metric is of the whole Book; leave the symbol empty.")
    if limit.venue and limit.metric not in VENUE_SCOPED:
        raise InvalidLimitError(f"{name}: this metric is of the whole Book; leave the venue empty.")


_FLAT = PositionState("", "", 0.0, 0.0)


def order_vector(state: BookState, intent: OrderIntent) -> FloatArray:
    """The kernel's vector for this order in this Book."""
    totals = state._totals
    mine = state._index.get((intent.symbol, intent.venue), _FLAT)
    high, low, mark = _extremes(mine)
    worst = _worst(high, low, mark)
    side = float(intent.side) if intent.side in (1, -1) else math.nan
    buying = side > 0
    position, other_way = (high, low) if buying else (low, high)
    net = totals.net_buy - _money(high, mark) if buying else totals.net_sell - _money(low, mark)
    unit = _finite(intent.unit_notional)
    price, reference = _finite(intent.price), _finite(intent.reference_price)
    priced = price > 0 and reference > 0
    return np.array(
        (
            _finite(state.equity),
            _finite(state.day_open_equity),
            _finite(state.peak_equity),
            totals.gross - worst,
            totals.by_symbol.get(intent.symbol, 0.0) - worst,
            totals.by_venue.get(intent.venue, 0.0) - worst,
            net,
            position,
            other_way,
            float(totals.open_positions - (worst != 0.0)),
            _finite(state.orders_in_window),
            _finite(mine.loss_frac),
            _number(state.seconds_since_loss),
            _finite(state.var),
            _finite(state.es),
            _finite(intent.unit_var),
            _finite(intent.unit_es),
            side,
            _finite(intent.quantity),
            unit,
            unit * price / reference if priced else (unit if intent.price is None else math.nan),
            abs(price / reference - 1.0) if priced else math.nan,
            _finite(intent.volume),
            intent.lot,
            intent.minimum,
            _MODES.get(state.mode, math.nan),
        ),
        dtype=np.float64,
    )


def check_order(state: BookState, intent: OrderIntent, limits: LimitSet) -> Verdict:
    """Judges one order against the limits of one Book. Pure; never raises for bad numbers, it denies them."""
    v = order_vector(state, intent)
    asked = float(v[k.QUANTITY])
    problem = _problem(v)
    if problem is not None:
        return Verdict(allowed=False, size=0.0, reasons=(problem,), asked=asked)
    chosen = limits.for_target(intent.symbol, intent.venue)
    n = len(chosen.limits)
    values, levels = np.empty(n), np.empty(n, dtype=np.int8)
    size = float(k.check_kernel(v, chosen.codes, chosen.soft, chosen.hard, values, levels))
    if size == asked and not levels.any():
        return Verdict(allowed=True, size=size, reasons=(), asked=asked)
    reasons = [_reason(chosen.limits[i], Level(int(levels[i])), float(values[i])) for i in np.flatnonzero(levels)]
    if state.mode is not TradingMode.ACTIVE:
        reasons.insert(0, _mode_reason(state.mode))
    if size == 0.0 and intent.minimum > 0.0:
        text = f"What the limits leave is below the smallest order of {intent.minimum:,.6g}."
        reasons.append(Reason("order", None, Level.HARD, asked, intent.minimum, text))
    return Verdict(allowed=size > 0.0, size=size, reasons=tuple(reasons), asked=asked)


def check_order_path(path: Iterable[tuple[BookState, LimitSet]], intent: OrderIntent) -> Verdict:
    """Judges one order against its Book and every Book above it, each with its own state: the smallest size
    counts.

    A size allowed by a Book stays allowed by it when a Book above cuts it further, so one pass is enough.
    """
    verdicts = [check_order(state, intent, limits) for state, limits in path]
    if not verdicts:
        raise ValueError("An order is judged against at least its own Book.")
    size = min(v.size for v in verdicts)
    reasons = tuple(r for v in verdicts for r in v.reasons)
    allowed = all(v.allowed for v in verdicts) and size >= intent.minimum
    return Verdict(allowed, size if allowed else 0.0, reasons, verdicts[0].asked)


def _reason(limit: Limit, level: Level, value: float) -> Reason:
    name = limit.name or describe(limit.metric)
    threshold = _number(limit.soft if level is Level.SOFT else limit.hard)
    if math.isnan(threshold):
        threshold = _number(limit.hard if level is Level.SOFT else limit.soft)
    binds = level is not Level.SOFT and limit.hard is not None
    return Reason(name, limit.metric, level, value, threshold, binds=binds)


def _mode_reason(mode: TradingMode | None) -> Reason:
    text = {
        TradingMode.REDUCING: "Trading is REDUCING: only orders that close a position may be sent.",
        TradingMode.HALTED: "Trading is HALTED: no order may be sent.",
    }.get(mode or TradingMode.ACTIVE, "The trading mode is not known: no order may be sent.")
    level = Level.UNKNOWN if mode not in _MODES else Level.HARD
    return Reason("trading mode", None, level, _MODES.get(mode, math.nan), k.ACTIVE, text)


def _problem(v: FloatArray) -> Reason | None:
    """What is wrong with the order itself, before any limit is asked."""
    size, unit = float(v[k.QUANTITY]), float(v[k.UNIT_NOTIONAL])
    if not size > 0:
        return Reason("order", None, Level.UNKNOWN, size, 0.0, "The order's size must be a positive number.")
    if not unit > 0:
        text = "The value of a unit is not known: there is no price to size the order by."
        return Reason("order", None, Level.UNKNOWN, unit, 0.0, text)
    if math.isnan(float(v[k.SIDE])):
        return Reason("order", None, Level.UNKNOWN, math.nan, 0.0, "An order buys (1) or sells (-1).")
    return None
