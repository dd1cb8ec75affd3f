"""Figures of many Books at one instant: what the source says, rolled up the tree."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from risk.errors import BookNotMeasuredError
from risk.quant.bulk import BookTable, IntArray, Measured, PositionTable, measure, roll_up, roll_up_max
from risk.quant.contributions import standalone
from risk.quant.metrics import CODES, Metric
from risk.quant.tail import FloatArray
from risk.sources import BookFigures, HeldPosition, has_source, risk_source
from treasury.models import Book

#: A year of days: what VaR and ES are measured from.
HISTORY_DAYS = 365
ALPHA = 0.99
_UNKNOWN = BookFigures(None, None, None, (), None, None)


@dataclass(frozen=True, slots=True)
class MeasuredBooks:
    """Rows run along `ids`. Money in each fund's base asset, NaN where unknown.

    `complete` (n_books,) is False for a Book that was not measured, itself or in a part below it.
    """

    at: datetime
    ids: tuple[int, ...]
    parent: IntArray
    figures: tuple[BookFigures, ...]
    symbols: tuple[str, ...]
    venues: tuple[str, ...]
    exposure: FloatArray
    measured: Measured
    loss_by_symbol: FloatArray
    complete: npt.NDArray[np.bool_]

    def row(self, book_id: int) -> int:
        """The row of a Book; raises BookNotMeasuredError for one that is closed."""
        try:
            return self.ids.index(book_id)
        except ValueError:
            raise BookNotMeasuredError(
                "This book is closed, and closed books are not measured.", book=book_id
            ) from None

    @property
    def at_rest(self) -> npt.NDArray[np.bool_]:
        """(n_books,) Books in which nothing trades any more, so that no limit of theirs can be kept or passed."""
        return np.array([f.at_rest for f in self.figures], dtype=np.bool_)

    def column(self, metric: Metric, symbol: str = "", venue: str = "") -> FloatArray:
        """One metric of every Book (n_books,), NaN where it is not known or exists for orders only."""
        if not symbol and not venue:
            return self.measured.values[:, CODES[metric]]
        if symbol and venue:
            return np.full(len(self.ids), math.nan)
        # A Book that was measured and holds none of it has no exposure to it.
        none_held = np.where(np.isnan(self.measured.values[:, CODES[Metric.GROSS_EXPOSURE]]), math.nan, 0.0)
        names = self.symbols if symbol else self.venues
        if (symbol or venue) not in names:
            return none_held
        place = names.index(symbol or venue)
        if metric is Metric.VENUE_CONCENTRATION_FRAC:
            return self.measured.by_venue[:, place] + none_held
        if metric is Metric.SYMBOL_CONCENTRATION_FRAC:
            return self.measured.by_symbol[:, place] + none_held
        if metric is Metric.STOP_LOSS_FRAC:
            return self.loss_by_symbol[:, place] + none_held
        if metric is Metric.POSITION_NOTIONAL:
            return np.abs(self.exposure[:, place]) + none_held
        return np.full(len(self.ids), math.nan)


def open_tree(book_ids: Collection[int] | None = None) -> tuple[tuple[int, ...], IntArray]:
    """The open Books of the funds that hold `book_ids` (or of all), and the row of each one's parent, -1
    without.
    """
    books = Book.objects.filter(closed_at=None)
    if book_ids is not None:
        books = books.filter(fund__in=Book.objects.filter(pk__in=book_ids).values("fund"))
    rows = list(books.order_by("path").values_list("pk", "parent_id"))
    place = {pk: i for i, (pk, _) in enumerate(rows)}
    parent = [place.get(up, -1) if up is not None else -1 for _, up in rows]
    return tuple(place), np.array(parent, dtype=np.int64)


def _clean(figures: BookFigures) -> BookFigures:
    """Numbers that are none become None, so that nothing but NaN-free figures is kept or sent."""
    return BookFigures(
        equity=_finite(figures.equity),
        day_open_equity=_finite(figures.day_open_equity),
        peak_equity=_finite(figures.peak_equity),
        positions=tuple(_clean_position(p) for p in figures.positions),
        orders_in_window=_finite(figures.orders_in_window),
        seconds_since_loss=figures.seconds_since_loss,
        received=_finite(figures.received),
        at_rest=figures.at_rest,
    )


def _clean_position(p: HeldPosition) -> HeldPosition:
    numbers = (p.quantity, p.unit_notional, p.value, p.loss_frac, p.working_buy, p.working_sell)
    if all(x is None or math.isfinite(x) for x in numbers):
        return p
    quantity, unit_notional, value, loss_frac, working_buy, working_sell = map(_finite, numbers)
    return replace(
        p,
        quantity=quantity,
        unit_notional=unit_notional,
        value=value,
        loss_frac=loss_frac,
        working_buy=working_buy,
        working_sell=working_sell,
    )


def _finite(x: float | None) -> float | None:
    return x if x is not None and math.isfinite(x) else None


def _number(x: float | None) -> float:
    return math.nan if x is None else float(x)


def _worst(p: HeldPosition) -> float:
    quantity, unit = _number(p.quantity), _number(p.unit_notional)
    high, low = quantity + _number(p.working_buy), quantity - _number(p.working_sell)
    if high == 0.0 and low == 0.0:
        return 0.0
    return math.nan if math.isnan(high + low) else max(abs(high), abs(low)) * unit


def _net(p: HeldPosition) -> float:
    quantity = _number(p.quantity)
    return 0.0 if quantity == 0.0 else quantity * _number(p.unit_notional)


def measure_books(
    *, at: datetime, book_ids: Collection[int] | None = None, tail: bool = True, alpha: float = ALPHA
) -> MeasuredBooks:
    """Measures the open Books of the funds that hold `book_ids`, or of all. `tail` adds VaR and ES.

    Without an installed source every figure is NaN.
    """
    ids, parent = open_tree(book_ids)
    known = risk_source().figures(ids, at) if ids and has_source() else {}
    figures = tuple(_clean(known[pk]) if pk in known else _UNKNOWN for pk in ids)
    held = [(row, p) for row, f in enumerate(figures) for p in f.positions if _number(p.unit_notional) != 0.0]
    symbols = tuple(sorted({p.symbol for _, p in held}))
    venues = tuple(sorted({p.venue for _, p in held}))
    s_place, v_place = ({name: i for i, name in enumerate(names)} for names in (symbols, venues))
    table = PositionTable(
        book=np.array([row for row, _ in held], dtype=np.int64),
        symbol=np.array([s_place[p.symbol] for _, p in held], dtype=np.int64),
        venue=np.array([v_place[p.venue] for _, p in held], dtype=np.int64),
        net=np.array([_net(p) for _, p in held], dtype=np.float64),
        worst=np.array([_worst(p) for _, p in held], dtype=np.float64),
        loss_frac=np.array([_number(p.loss_frac) for _, p in held], dtype=np.float64),
    )
    exposure = np.zeros((len(ids), len(symbols)))
    np.add.at(exposure, (table.book, table.symbol), table.net)
    exposure = roll_up(exposure, parent) if ids else exposure
    unknown = _unknown_below(figures, parent)
    exposure[unknown] = math.nan
    var, es = np.full((2, len(ids)), math.nan)
    if tail and symbols:
        returns = risk_source().daily_returns(symbols, HISTORY_DAYS, at)
        var, es = standalone(np.nan_to_num(exposure), returns, alpha)
        var[~np.isfinite(exposure).all(axis=1)] = math.nan
        es[~np.isfinite(exposure).all(axis=1)] = math.nan
    books = BookTable(
        parent=parent,
        equity=_column(f.equity for f in figures),
        day_open_equity=_column(f.day_open_equity for f in figures),
        peak_equity=_column(f.peak_equity for f in figures),
        var=var,
        es=es,
        orders_in_window=_summed((f.orders_in_window for f in figures), parent),
        seconds_since_loss=_column(f.seconds_since_loss for f in figures),
    )
    measured = measure(books, table, n_symbols=len(symbols), n_venues=len(venues))
    for metric in _FROM_POSITIONS:
        measured.values[unknown, CODES[metric]] = math.nan
    return MeasuredBooks(
        at,
        ids,
        parent,
        figures,
        symbols,
        venues,
        exposure,
        measured,
        _losses(table, parent, len(symbols)),
        ~unknown,
    )


_FROM_POSITIONS = (
    Metric.GROSS_EXPOSURE,
    Metric.NET_EXPOSURE,
    Metric.NET_EXPOSURE_FRAC,
    Metric.LEVERAGE,
    Metric.POSITION_NOTIONAL,
    Metric.OPEN_POSITIONS,
    Metric.SYMBOL_CONCENTRATION_FRAC,
    Metric.VENUE_CONCENTRATION_FRAC,
    Metric.STOP_LOSS_FRAC,
)


def _unknown_below(figures: tuple[BookFigures, ...], parent: IntArray) -> npt.NDArray[np.bool_]:
    """Books of which some part, own or below, was not measured: their sums are not known either."""
    if not figures:
        return np.zeros(0, dtype=np.bool_)
    gone = np.array([[float(f is _UNKNOWN)] for f in figures])
    return np.asarray(roll_up(gone, parent)[:, 0] > 0)


def _losses(table: PositionTable, parent: IntArray, n_symbols: int) -> FloatArray:
    out = np.zeros((parent.shape[0], n_symbols))
    with np.errstate(invalid="ignore"):
        np.maximum.at(out, (table.book, table.symbol), table.loss_frac)
    return roll_up_max(out, parent)


def _column(values: Iterable[float | None]) -> FloatArray:
    return np.array([_number(v) for v in values], dtype=np.float64)


def _summed(values: Iterable[float | None], parent: IntArray) -> FloatArray:
    """Each Book's own and that of all below it; one that is not known makes those above it unknown."""
    own = _column(values)
    return np.asarray(roll_up(own[:, None], parent)[:, 0]) if own.size else own


def rows_below(measured: MeasuredBooks, row: int) -> list[int]:
    """The rows of a Book and of all below it."""
    inside = {row}
    # Rows are ordered by path, so a parent comes before its children.
    for i, up in enumerate(measured.parent.tolist()):
        if up in inside:
            inside.add(i)
    return sorted(inside)
