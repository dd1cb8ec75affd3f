"""The ground of the risk tests: a fund with two strategies, and a source of figures that the test writes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np
import pytest

from fundops.core import clock
from risk.quant.tail import FloatArray
from risk.sources import BookFigures, HeldPosition, install_source
from treasury.actions.books import ensure_asset, open_book, open_fund
from treasury.models import AssetKind, Book, BookKind

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@dataclass
class WrittenSource:
    """Answers with what the test wrote into it."""

    books: dict[int, BookFigures] = field(default_factory=dict)
    returns: dict[str, FloatArray] = field(default_factory=dict)
    windows: dict[str, FloatArray] = field(default_factory=dict)

    def figures(self, book_ids: Collection[int], at: datetime) -> Mapping[int, BookFigures]:
        return {pk: self.books[pk] for pk in book_ids if pk in self.books}

    def daily_returns(self, symbols: Sequence[str], days: int, at: datetime) -> FloatArray:
        n = min([days, *(len(self.returns[s]) for s in symbols if s in self.returns)])
        columns = [self.returns[s][-n:] if s in self.returns else np.full(n, math.nan) for s in symbols]
        return np.column_stack(columns) if columns else np.zeros((0, 0))

    def prices(self, symbols: Sequence[str], start: datetime, end: datetime) -> Mapping[str, FloatArray]:
        return {s: self.windows[s] for s in symbols if s in self.windows}


@dataclass(frozen=True)
class Tree:
    """A fund, a trend strategy with one agent, and a carry strategy."""

    root: Book
    trend: Book
    agent: Book
    carry: Book


@pytest.fixture
def now() -> Iterator[datetime]:
    with clock.frozen(NOW):
        yield NOW


@pytest.fixture
def source() -> Iterator[WrittenSource]:
    written = WrittenSource()
    before = install_source(written)
    yield written
    install_source(before)


@pytest.fixture
def tree(db: None, now: datetime) -> Tree:
    return make_tree()


def make_tree() -> Tree:
    opened = date(2026, 1, 1)
    usdt = ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
    fund = open_fund(code="MAIN", name="Main fund", base_asset=usdt, opened_on=opened, actor=None)
    root = Book.objects.get(fund=fund, parent=None)

    def book(parent: Book, code: str, kind: BookKind) -> Book:
        return open_book(parent=parent, code=code, name=code, kind=kind, opened_on=opened, actor=None)

    trend = book(root, "trend", BookKind.STRATEGY)
    return Tree(root, trend, book(trend, "a1", BookKind.AGENT), book(root, "carry", BookKind.STRATEGY))


def position(symbol: str, quantity: float | None, price: float | None = 100.0, **changes: object) -> HeldPosition:
    """A spot position at one venue."""
    value = None if quantity is None or price is None else quantity * price
    fields = {"venue": "kraken", "currency": symbol, "value": value} | changes
    held = {"symbol": symbol, "quantity": quantity, "unit_notional": price} | fields
    return HeldPosition(**held)  # type: ignore[arg-type]


def figures(equity: float | None, *positions: HeldPosition, **changes: object) -> BookFigures:
    """Equity that has not moved, and positions."""
    fields = {"day_open_equity": equity, "peak_equity": equity} | changes
    return BookFigures(equity=equity, positions=positions, **fields)  # type: ignore[arg-type]
