"""A source of figures from the books themselves: balances times price.

For Books whose positions all stand in the ledger. The layer above gives the prices; equity of yesterday and
its peak come from the risk snapshots, so they are known once the first one has been taken.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.db.models import F, Max, OuterRef, Q, Subquery

from risk.ledger_held import Held, read_amounts
from risk.models import RiskSnapshot
from risk.quant.tail import FloatArray
from risk.sources import BookFigures, HeldPosition
from treasury.models import Book

#: A snapshot taken so soon after midnight still is the day's opening.
ON_TIME = timedelta(minutes=15)
Marks = Callable[[Collection[str], str, datetime], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Place:
    """What the layer above knows of one Book besides its balances, as of the Book's own clock.

    `marks` are prices in the fund's base asset by asset; `symbols` how orders and limits call an asset there, where
    that is not by its own name; `currencies` what a line's value is denominated in, where
    that is not the asset itself; `unrealised` the open result of a position, in the base asset. With `keeps_day` the
    equity that the day opened with and its peak are of the Book's own clock, instead of the snapshots'. `working` are
    the units that open orders may still buy and sell, by asset. `at_rest` says that what traded there has ended.
    """

    venue: str = ""
    marks: Mapping[str, float] = field(default_factory=dict)
    symbols: Mapping[str, str] = field(default_factory=dict)
    currencies: Mapping[str, str] = field(default_factory=dict)
    unrealised: Mapping[str, float] = field(default_factory=dict)
    working: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    keeps_day: bool = False
    day_open_equity: float | None = None
    peak_equity: float | None = None
    orders_in_window: float | None = None
    seconds_since_loss: float | None = None
    at_rest: bool = False


#: By Book: the assets each holds and the base asset its fund counts in; a Book left out is measured by `marks`.
Places = Callable[[Mapping[int, Collection[str]], Mapping[int, str], datetime], Mapping[int, Place]]


def _nowhere(_held: Mapping[int, Collection[str]], _bases: Mapping[int, str], _at: datetime) -> Mapping[int, Place]:
    return {}


def _no_volumes(_symbols: Sequence[str], _at: datetime) -> Mapping[str, float]:
    return {}


def _yesterday(_symbols: Sequence[str], at: datetime) -> date | None:
    return at.astimezone(UTC).date() - timedelta(days=1)


def _no_advice(_symbols: Sequence[str], _start: datetime, _end: datetime) -> str:
    return "manage.py download_candles"


@dataclass(frozen=True, slots=True)
class LedgerSource:
    """`marks(assets, base, at)` gives prices in the base asset, leaving out what it does not know.

    `returns` and `windows` answer `RiskSource.daily_returns` and `RiskSource.prices`. The ledger does not say
    where an asset is kept: `venue` names it for all Books that `places` does not know better.
    """

    marks: Marks
    returns: Callable[[Sequence[str], int, datetime], FloatArray]
    windows: Callable[[Sequence[str], datetime, datetime], Mapping[str, FloatArray]]
    venue: str = ""
    places: Places = _nowhere
    volumes: Callable[[Sequence[str], datetime], Mapping[str, float]] = _no_volumes
    advice: Callable[[Sequence[str], datetime, datetime], str] = _no_advice
    returns_end: Callable[[Sequence[str], datetime], date | None] = _yesterday

    def figures(self, book_ids: Collection[int], at: datetime) -> dict[int, BookFigures]:
        books = Book.objects.filter(pk__in=book_ids).order_by("-path")
        found = list(books.values_list("pk", "parent_id", "fund__base_asset__code", "fund_id"))
        rows = [(pk, parent, base) for pk, parent, base, _ in found]
        funds: dict[int, list[int]] = defaultdict(list)
        for pk, _, _, fund_id in found:
            funds[fund_id].append(pk)
        amounts = read_amounts(funds, at)
        held = amounts.held
        bases = {pk: base for pk, _, base in rows}
        places = self.places({pk: held.get(pk, {}).keys() for pk in bases}, bases, at)
        elsewhere = {pk: amounts.keys() for pk, amounts in held.items() if pk not in places}
        marks = self._marks(elsewhere, bases, at)
        lines = {pk: self._lines(held.get(pk, {}), base, places.get(pk), marks[base]) for pk, _, base in rows}
        equity = _equity(rows, lines)
        received = _received(funds, amounts.given)
        opened, peaks = _opened(book_ids, at, received), _peaks(book_ids, at, received)
        return {
            pk: _figures(lines[pk], equity[pk], opened.get(pk), peaks.get(pk), received.get(pk), places.get(pk))
            for pk in bases
        }

    def _marks(
        self, held: Mapping[int, Collection[str]], bases: Mapping[int, str], at: datetime
    ) -> dict[str, Mapping[str, float]]:
        wanted: dict[str, set[str]] = {base: set() for base in bases.values()}
        for book_id, assets in held.items():
            wanted[bases[book_id]] |= {*assets} - {bases[book_id]}
        return {base: self.marks(assets, base, at) if assets else {} for base, assets in wanted.items()}

    def _lines(
        self, held: Mapping[str, Decimal], base: str, place: Place | None, marks: Mapping[str, float]
    ) -> tuple[HeldPosition, ...]:
        known = marks if place is None else place.marks
        working = {} if place is None else place.working
        lines = []
        for asset in sorted({*held, *working}):
            amount = float(held.get(asset, 0))
            cash = asset == base
            price = 1.0 if cash else known.get(asset)
            lines.append(
                HeldPosition(
                    symbol=asset if place is None else place.symbols.get(asset, asset),
                    venue=self.venue if place is None else place.venue,
                    currency=asset if place is None else place.currencies.get(asset, asset),
                    quantity=amount,
                    unit_notional=0.0 if cash else price,
                    value=None if price is None else amount * price,
                    loss_frac=0.0 if cash or not amount else _loss_frac(place, asset, amount, price),
                    working_buy=working.get(asset, _NOTHING)[0],
                    working_sell=working.get(asset, _NOTHING)[1],
                )
            )
        return tuple(lines)

    def daily_returns(self, symbols: Sequence[str], days: int, at: datetime) -> FloatArray:
        return self.returns(symbols, days, at)

    def prices(self, symbols: Sequence[str], start: datetime, end: datetime) -> Mapping[str, FloatArray]:
        return self.windows(symbols, start, end)

    def daily_volumes(self, symbols: Sequence[str], at: datetime) -> Mapping[str, float]:
        return self.volumes(symbols, at)

    def last_return_day(self, symbols: Sequence[str], at: datetime) -> date | None:
        return self.returns_end(symbols, at)

    def price_advice(self, symbols: Sequence[str], start: datetime, end: datetime) -> str:
        return self.advice(symbols, start, end)


_NOTHING = (0.0, 0.0)


def _loss_frac(place: Place | None, asset: str, amount: float, price: float | None) -> float | None:
    """The open loss of a line over what it cost; None where nobody says what it cost."""
    if place is None or price is None or asset not in place.unrealised:
        return None
    cost = amount * price - place.unrealised[asset]
    return max(0.0, -place.unrealised[asset] / abs(cost)) if cost else None


def _figures(
    lines: tuple[HeldPosition, ...],
    equity: float | None,
    opened: float | None,
    peak: float | None,
    received: float | None,
    place: Place | None,
) -> BookFigures:
    if place is not None and place.keeps_day:
        opened, peak = place.day_open_equity, place.peak_equity
        peak = None if peak is None else _peak(equity, peak)
    else:
        peak = _peak(equity, peak)
    # Of a Book that holds a position and nobody speaks for, nobody knows its orders and losses.
    silent = place is None and any(p.unit_notional != 0.0 for p in lines)
    return BookFigures(
        equity=equity,
        day_open_equity=opened,
        peak_equity=peak,
        received=received,
        positions=lines,
        orders_in_window=None if silent else 0.0 if place is None else place.orders_in_window,
        seconds_since_loss=None if silent else math.inf if place is None else place.seconds_since_loss,
        at_rest=place is not None and place.at_rest,
    )


def _equity(
    rows: Sequence[tuple[int, int | None, str]], lines: Mapping[int, tuple[HeldPosition, ...]]
) -> dict[int, float | None]:
    """Own value and that of all below; `rows` come children first. One line without a price and it is not
    known.
    """
    total: dict[int, float | None] = {}
    below: dict[int, list[float | None]] = defaultdict(list)
    for pk, parent, _ in rows:
        parts = [*(p.value for p in lines[pk]), *below[pk]]
        known = [p for p in parts if p is not None]
        total[pk] = sum(known) if len(known) == len(parts) else None
        if parent is not None:
            below[parent].append(total[pk])
    return total


def _received(funds: Collection[int], given: Held) -> dict[int, float | None]:
    """What the tree of each Book has received from outside, less what it gave, in the fund's base asset; None where it
    was given another asset. Closed Books count: what is theirs came from those above."""
    books = Book.objects.filter(fund__in=funds).order_by("-path")
    total: dict[int, float | None] = {}
    below: dict[int, list[dict[str, Decimal]]] = defaultdict(list)
    for pk, parent, base in books.values_list("pk", "parent_id", "fund__base_asset__code"):
        summed: dict[str, Decimal] = {}
        for part in (given.get(pk, {}), *below.pop(pk, [])):
            for asset, amount in part.items():
                summed[asset] = summed.get(asset, Decimal(0)) + amount
        if parent is not None:
            below[parent].append(summed)
        others = any(amount for asset, amount in summed.items() if asset != base)
        total[pk] = None if others else float(summed.get(base, Decimal(0)))
    return total


def _moved(then: float | None, now: float | None) -> float:
    """What has come in since; nothing where it was not kept or is not known."""
    return 0.0 if then is None or now is None else now - then


def _opened(book_ids: Collection[int], at: datetime, received: Mapping[int, float | None]) -> dict[int, float]:
    """Equity at the day's start: a snapshot just after midnight, else the last before it, else the day's
    first. With what came in or went out since, which is no result of the day.
    """
    midnight = datetime.combine(at.astimezone(UTC).date(), time.min, tzinfo=UTC)
    known = RiskSnapshot.objects.filter(book=OuterRef("pk"), equity__isnull=False, at__lte=at)
    today = known.filter(at__gte=midnight).order_by("at")
    ranked = {
        "on_time": today.filter(at__lte=midnight + ON_TIME),
        "before": known.filter(at__lt=midnight).order_by("-at"),
        "later": today,
    }
    books = Book.objects.filter(pk__in=book_ids).annotate(
        **{name: Subquery(rows.values("pk")[:1]) for name, rows in ranked.items()}
    )
    chosen = {}
    for pk, *snapshots in books.values_list("pk", *ranked):
        there = [snapshot for snapshot in snapshots if snapshot is not None]
        if there:
            chosen[pk] = there[0]
    rows = RiskSnapshot.objects.filter(pk__in=chosen.values()).values_list("book", "equity", "received")
    return {pk: equity + _moved(then, received.get(pk)) for pk, equity, then in rows if equity is not None}


def _peaks(book_ids: Collection[int], at: datetime, received: Mapping[int, float | None]) -> dict[int, float]:
    """The highest equity seen, each with what came in or went out since."""
    rows = RiskSnapshot.objects.filter(book__in=book_ids, equity__isnull=False, at__lte=at).order_by()
    seen = rows.values("book").annotate(
        own=Max(F("equity") - F("received")), whole=Max("equity"), unkept=Max("equity", filter=Q(received=None))
    )
    peaks = {}
    for pk, own, whole, unkept in seen.values_list("book", "own", "whole", "unkept"):
        now = received.get(pk)
        parts = [whole] if now is None or own is None else [own + now, *([] if unkept is None else [unkept])]
        peaks[pk] = max(parts)
    return peaks


def _peak(equity: float | None, before: float | None) -> float | None:
    """The highest equity since measuring began, today's included."""
    if equity is None:
        return None
    return equity if before is None else max(equity, before)
