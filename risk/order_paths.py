"""What the pre-trade check needs for orders of many Books at once: the bulk form of `risk.selectors.order_path`.

For whoever judges the orders of a whole bar close: a few queries for all Books. The state of the Book that orders is
the caller's to give (it knows its positions to the last fill); the states of the Books above it are measured here, and
only of those that are bound by a limit of their own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from itertools import pairwise

import numpy as np

from fundops.core import clock
from fundops.core.bulk import run
from risk.measuring import MeasuredBooks, measure_books
from risk.quant.metrics import Metric
from risk.quant.pretrade import BookState, LimitSet, PositionState, TradingMode
from risk.selectors import EffectiveLimit, _effective, _limit_set, _state
from risk.switches import Modes, lines_of, modes_now
from treasury.models import Book

#: What only a history of returns tells; it is read where a limit asks for it.
_TAIL = (Metric.VAR, Metric.ES, Metric.VAR_FRAC, Metric.ES_FRAC)

#: Every row in force at one moment that effective limits come from, by its id and the transaction that wrote it.
_STAMP = """
WITH asked AS (SELECT %s::timestamptz AS at, %s::bigint[] AS books)
SELECT concat_ws('|',
    (SELECT string_agg(l.id || '.' || l.xmin, ',' ORDER BY l.id) FROM risk_risklimit l, asked
      WHERE l.book_id = ANY (books) AND l.effective_from <= at AND (l.effective_to IS NULL OR l.effective_to > at)),
    'overrides', (SELECT string_agg(o.id || '.' || o.xmin, ',' ORDER BY o.id) FROM risk_guardrailoverride o, asked
      WHERE o.book_id = ANY (books) AND o.starts_at <= at AND o.ends_at > at AND NOT EXISTS (
            SELECT FROM risk_overrideend e WHERE e.override_id = o.id AND e.at <= asked.at)),
    'leverage', (SELECT string_agg(d.book_id || '.' || d.number, ',' ORDER BY d.book_id) FROM (
        SELECT book_id, max(number) AS number FROM risk_leveragedecision d, asked
         WHERE d.book_id = ANY (books) AND d.at <= asked.at GROUP BY book_id) AS d),
    'policy', (SELECT p.id || '.' || p.xmin FROM risk_leveragepolicy p ORDER BY p.version DESC LIMIT 1),
    'restricted', (SELECT string_agg(x.id || '.' || x.xmin, ',' ORDER BY x.id) FROM compliance_restrictedinstrument x,
        asked WHERE x.effective_from <= at AND (x.lifted_at IS NULL OR x.lifted_at > at)))
"""
#: Says that somebody judges orders against the Books of these roots, one after the other in their order.
_HOLD = (
    "SELECT pg_advisory_xact_lock(hashtextextended('risk.judging:' || root, 0))"
    " FROM (SELECT unnest(%s::bigint[]) AS root ORDER BY 1) AS roots"
)
_KEPT = 64
_kept: OrderedDict[tuple[int, ...], tuple[str, Mapping[int, tuple[EffectiveLimit, ...]]]] = OrderedDict()


@dataclass(frozen=True, slots=True)
class PassedOrder:
    """An order that was let pass a moment ago, so that no measured Book knows of it yet. ``line`` are its Book and
    those above it by id, ``adds`` the position it may add to them (None when it only closes); VaR and ES are money.
    """

    line: tuple[int, ...]
    adds: PositionState | None = None
    var: float = 0.0
    es: float = 0.0


@dataclass(frozen=True, slots=True)
class AboveBook:
    """A Book above with limits of its own, as it was measured."""

    book_id: int
    state: BookState
    limits: LimitSet

    def after(self, passed: Sequence[PassedOrder]) -> BookState:
        """Its state with the orders among ``passed`` that are of Books below it. What they add stands beside what their
        Books hold, so each of them counts as one more open position.
        """
        mine = [order for order in passed if self.book_id in order.line]
        if not mine:
            return self.state
        state = self.state
        return replace(
            state,
            elsewhere=(*state.elsewhere, *(order.adds for order in mine if order.adds is not None)),
            orders_in_window=None if state.orders_in_window is None else state.orders_in_window + len(mine),
            var=None if state.var is None else state.var + sum(order.var for order in mine),
            es=None if state.es is None else state.es + sum(order.es for order in mine),
        )


@dataclass(frozen=True, slots=True)
class OrderPath:
    """What binds orders of one Book. ``mode`` None is not known, and means: deny. ``line`` are the ids of the Book and
    those above it."""

    mode: TradingMode | None
    limits: LimitSet
    effective: tuple[EffectiveLimit, ...]
    above: tuple[AboveBook, ...]
    line: tuple[int, ...]

    def with_own(self, state: BookState, passed: Sequence[PassedOrder] = ()) -> list[tuple[BookState, LimitSet]]:
        """The path for `check_order_path`, nearest first, from the Book's own state, after the orders ``passed``."""
        return [(state, self.limits), *((above.after(passed), above.limits) for above in self.above)]


def order_paths(books: Sequence[Book], *, venue: str = "", at: datetime | None = None) -> Mapping[int, OrderPath]:
    """The paths of these Books, by id.

    Where Books above are bound by limits of their own, the judging of their fund is the caller's until its transaction
    ends: who judges next measures what was let pass.
    """
    if not books:
        return {}
    moment = at or clock.now()
    lines = lines_of(books)
    limits = _limits_of(lines, moment)
    modes = modes_now()
    binding = {pk: [above for above in line[-2::-1] if _binds(above, limits)] for pk, line in lines.items()}
    _hold_judging([lines[pk][0] for pk, above in binding.items() if above])
    moment = at or clock.now()  # after the wait
    measured: dict[int, MeasuredBooks] = {}
    return {
        book.pk: OrderPath(
            mode=None if modes is None else modes.of(lines[book.pk], venue),
            limits=_ready(limits[book.pk]),
            effective=limits[book.pk],
            above=tuple(_above(book, lines[book.pk], binding[book.pk], limits, modes, measured, moment, venue)),
            line=tuple(lines[book.pk]),
        )
        for book in books
    }


def _limits_of(lines: Mapping[int, Sequence[int]], at: datetime) -> Mapping[int, tuple[EffectiveLimit, ...]]:
    """The effective limits of these Books and those above them. Worked out anew when a row that they rest on has
    changed; whether one has is asked of the database every time."""
    ids = sorted({pk for line in lines.values() for pk in line})
    stamp = _stamp(ids, at)
    key = tuple(ids)
    kept = _kept.get(key)
    if kept is not None and kept[0] == stamp:
        return kept[1]
    place = {pk: row for row, pk in enumerate(ids)}
    parent = np.full(len(ids), -1, dtype=np.int64)
    for line in lines.values():
        for above, below in pairwise(line):
            parent[place[below]] = place[above]
    limits = {pk: tuple(mine) for pk, mine in zip(ids, _effective(ids, at, parent), strict=True)}
    if _stamp(ids, at) == stamp:  # nobody changed anything meanwhile
        _kept[key] = (stamp, limits)
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return limits


def _stamp(ids: Sequence[int], at: datetime) -> str:
    ((stamp,),) = run(_STAMP, [at, list(ids)])
    return str(stamp)


def _binds(book_id: int, limits: Mapping[int, tuple[EffectiveLimit, ...]]) -> bool:
    """Whether a Book has limits of its own."""
    return any(book_id in (x.soft_book_id, x.hard_book_id) for x in limits[book_id])


def _hold_judging(roots: Collection[int]) -> None:
    """One judge a fund at a time, until the transaction ends; always in the same order, so that no two wait for one
    another."""
    if roots:
        run(_HOLD, [sorted(set(roots))])


def _above(
    book: Book,
    line: Sequence[int],
    binding: Sequence[int],
    limits: Mapping[int, tuple[EffectiveLimit, ...]],
    modes: Modes | None,
    measured: dict[int, MeasuredBooks],
    at: datetime,
    venue: str,
) -> list[AboveBook]:
    """The Books above that have limits of their own, nearest first; measured once a fund."""
    found = []
    for pk in binding:
        if book.fund_id not in measured:
            tail = any(x.metric in _TAIL for found_limits in limits.values() for x in found_limits)
            measured[book.fund_id] = measure_books(at=at, book_ids=[line[0]], tail=tail)
        whole = measured[book.fund_id]
        own = whole.figures[whole.row(book.pk)].positions
        mode = None if modes is None else modes.of(line[: line.index(pk) + 1], venue)
        found.append(AboveBook(pk, _state(whole, pk, book.pk, own, mode), _ready(limits[pk])))
    return found


@lru_cache(maxsize=4096)
def _ready(limits: tuple[EffectiveLimit, ...]) -> LimitSet:
    return _limit_set(limits)
