"""Where the figures come from. The risk layer knows Books; who knows positions and prices registers here.

The layer above installs one source when it starts. Without one nothing is measured: limits are UNKNOWN, never
fine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, runtime_checkable

from risk.errors import SourceMissingError
from risk.quant.tail import FloatArray


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """One line of a Book. Money in the fund's base asset; None is not known.

    `symbol` is the risk factor, `venue` where it is kept, `currency` what its value is denominated in.
    `quantity` is signed units, `unit_notional` money of exposure per unit at the mark (0 for cash), `value`
    what the line adds to equity.
    """

    symbol: str
    venue: str
    currency: str
    quantity: float | None
    unit_notional: float | None
    value: float | None
    loss_frac: float | None = 0.0
    working_buy: float | None = 0.0
    working_sell: float | None = 0.0


@dataclass(frozen=True, slots=True)
class BookFigures:
    """Equity figures are of the Book with everything below it; `positions` are its own alone."""

    equity: float | None
    day_open_equity: float | None
    peak_equity: float | None
    positions: tuple[HeldPosition, ...] = ()
    orders_in_window: float | None = 0
    seconds_since_loss: float | None = math.inf
    #: What its tree has received from outside, less what it gave; None where that is not kept.
    received: float | None = None
    #: Nothing trades in it any more: what traded there has ended.
    at_rest: bool = False


class RiskSource(Protocol):
    """What the layer above answers; each call is one bulk read."""

    def figures(self, book_ids: Collection[int], at: datetime) -> Mapping[int, BookFigures]:
        """Figures by Book; a Book left out is not known."""
        ...

    def daily_returns(self, symbols: Sequence[str], days: int, at: datetime) -> FloatArray:
        """Simple daily returns (n <= days, n_symbols), oldest first, up to the last whole UTC day; NaN where
        missing.
        """
        ...

    def prices(self, symbols: Sequence[str], start: datetime, end: datetime) -> Mapping[str, FloatArray]:
        """Prices of a window on one time grid, oldest first; a symbol without them is left out."""
        ...


@runtime_checkable
class MeasuresVolume(Protocol):
    """What a source may answer besides: how much trades in a day, for the time it takes to leave."""

    def daily_volumes(self, symbols: Sequence[str], at: datetime) -> Mapping[str, float]:
        """Money traded in a day, of the latest days known; a symbol without is left out."""
        ...


@runtime_checkable
class DatesReturns(Protocol):
    """What a source may answer besides: of which day the last of its daily returns is."""

    def last_return_day(self, symbols: Sequence[str], at: datetime) -> date | None:
        """The UTC day of the last row of `daily_returns`; None where there is none."""
        ...


@runtime_checkable
class AdvisesOnPrices(Protocol):
    """What a source may answer besides: how a person gets the prices of a window that it lacks."""

    def price_advice(self, symbols: Sequence[str], start: datetime, end: datetime) -> str:
        """The command that brings them, to be run as it stands."""
        ...


_source: RiskSource | None = None


def install_source(source: RiskSource | None) -> RiskSource | None:
    """Puts a source in place and returns the one before."""
    global _source
    before, _source = _source, source
    return before


def risk_source() -> RiskSource:
    """The source in place; raises SourceMissingError without one."""
    if _source is None:
        raise SourceMissingError("No source of positions and prices is installed; start the application that trades.")
    return _source


def has_source() -> bool:
    return _source is not None
