"""What the pre-trade check needs for orders of many Books at once: the bulk form of `risk.selectors.order_path`.

For whoever judges the orders of a whole bar close: a few queries for all Books. The state of the Book that orders is
the caller's to give (it knows its positions to the last fill); the states of the Books above it are measured here, and
only of those that are bound by a limit of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise

import numpy as np

from fundops.core import clock
from risk.measuring import MeasuredBooks, measure_books
from risk.quant.metrics import Metric
from risk.quant.pretrade import BookState, LimitSet, TradingMode
from risk.selectors import EffectiveLimit, _effective, _limit_set, _state
from risk.switches import Modes, modes_now
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR

#: What only a history of returns tells; it is read where a limit asks for it.
_TAIL = (Metric.VAR, Metric.ES, Metric.VAR_FRAC, Metric.ES_FRAC)


@dataclass(frozen=True, slots=True)
class OrderPath:
    """What binds orders of one Book. ``mode`` None is not known, and means: deny."""

    mode: TradingMode | None
    limits: LimitSet
    effective: tuple[EffectiveLimit, ...]
    above: tuple[tuple[BookState, LimitSet], ...]

    def with_own(self, state: BookState) -> list[tuple[BookState, LimitSet]]:
        """The path for `check_order_path`, nearest first, from the Book's own state."""
        return [(state, self.limits), *self.above]


def order_paths(books: Sequence[Book], *, venue: str = "", at: datetime | None = None) -> Mapping[int, OrderPath]:
    """The paths of these Books, by id."""
    if not books:
        return {}
    moment = at or clock.now()
    lines = _lines(books)
    ids = sorted({pk for line in lines.values() for pk in line}, key=lambda pk: pk)
    place = {pk: row for row, pk in enumerate(ids)}
    parent = np.full(len(ids), -1, dtype=np.int64)
    for line in lines.values():
        for above, below in pairwise(line):
            parent[place[below]] = place[above]
    limits = dict(zip(ids, _effective(ids, moment, parent), strict=True))
    modes = modes_now()
    measured: dict[int, MeasuredBooks] = {}
    return {
        book.pk: OrderPath(
            mode=None if modes is None else modes.of(lines[book.pk], venue),
            limits=_ready(tuple(limits[book.pk])),
            effective=tuple(limits[book.pk]),
            above=tuple(_above(book, lines[book.pk], limits, modes, measured, moment, venue)),
        )
        for book in books
    }


def _above(
    book: Book,
    line: Sequence[int],
    limits: Mapping[int, Sequence[EffectiveLimit]],
    modes: Modes | None,
    measured: dict[int, MeasuredBooks],
    at: datetime,
    venue: str,
) -> list[tuple[BookState, LimitSet]]:
    """The Books above that have limits of their own, nearest first; measured once a fund."""
    found = []
    for i in range(len(line) - 2, -1, -1):
        pk = line[i]
        if not any(pk in (x.soft_book_id, x.hard_book_id) for x in limits[pk]):
            continue
        if book.fund_id not in measured:
            tail = any(x.metric in _TAIL for found_limits in limits.values() for x in found_limits)
            measured[book.fund_id] = measure_books(at=at, book_ids=[line[0]], tail=tail)
        whole = measured[book.fund_id]
        own = whole.figures[whole.row(book.pk)].positions
        mode = None if modes is None else modes.of(line[: i + 1], venue)
        found.append((_state(whole, pk, book.pk, own, mode), _ready(tuple(limits[pk]))))
    return found


@lru_cache(maxsize=4096)
def _ready(limits: tuple[EffectiveLimit, ...]) -> LimitSet:
    return _limit_set(limits)


def _lines(books: Sequence[Book]) -> dict[int, list[int]]:
    """The ids from the root down to each Book, in one query."""
    wanted: dict[int, list[str]] = {}
    for book in books:
        parts = book.path.split(PATH_SEPARATOR)
        wanted[book.pk] = [PATH_SEPARATOR.join(parts[: i + 1]) for i in range(len(parts))]
    known = dict(
        Book.objects.filter(path__in={path for paths in wanted.values() for path in paths}).values_list("path", "pk")
    )
    return {pk: [known[path] for path in paths] for pk, paths in wanted.items()}
