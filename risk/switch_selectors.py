"""Reads of the kill switch for pages and the API: what stands still and why, and how it came to that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import QuerySet

from fundops.core.permissions import AnyUser, may
from risk.actions.switches import scope_label
from risk.models import BreachStatus, KillSwitch, LimitBreach, SwitchChange
from risk.models.limits import BreachLevel
from risk.models.switches import SEVERITY
from risk.quant.pretrade import TradingMode
from risk.switches import Modes, modes_in_database, modes_now
from treasury.models import Book
from treasury.models.books import PATH_SEPARATOR

VIEW_SWITCHES = "risk.view_killswitch"


@dataclass(frozen=True, slots=True)
class ScopeStanding:
    """One place a switch can be turned: its own mode, the one that binds it, and what holds it down.

    `held_by` are the switches that bind it and are not ACTIVE, the tightest first; `breaches` the open hard breaches.
    """

    label: str
    book: Book | None
    venue: str
    depth: int
    own: KillSwitch | None
    mode: TradingMode
    held_by: tuple[KillSwitch, ...] = ()
    breaches: tuple[LimitBreach, ...] = ()

    @property
    def own_mode(self) -> TradingMode:
        return TradingMode.ACTIVE if self.own is None else self.own.trading_mode

    @property
    def is_active(self) -> bool:
        return self.mode is TradingMode.ACTIVE


def switch_list(user: AnyUser) -> QuerySet[KillSwitch]:
    """Every switch that was ever turned; by role alone, for a part of the picture would mislead."""
    rows = KillSwitch.objects.select_related("book", "changed_by", "request")
    return rows if may(user, VIEW_SWITCHES) else rows.none()


def change_list(user: AnyUser) -> QuerySet[SwitchChange]:
    """Every turn of every switch, newest first."""
    rows = SwitchChange.objects.select_related("switch__book", "changed_by", "request").order_by("-changed_at", "-pk")
    return rows if may(user, VIEW_SWITCHES) else rows.none()


def standings(books: Iterable[Book], venues: Iterable[str]) -> list[ScopeStanding]:
    """Everything, each venue, each Book of `books` (ordered by path), and whatever else has a switch that is turned."""
    switches = {(s.book_id, s.venue): s for s in KillSwitch.objects.select_related("book", "changed_by", "request")}
    breaches = _acting_breaches()
    modes = modes_in_database()
    shown = {b.pk: b for b in books}
    for (book_id, _), switch in switches.items():
        if book_id is not None and book_id not in shown and switch.mode != TradingMode.ACTIVE and switch.book:
            shown[book_id] = switch.book
    for breach in breaches:
        shown.setdefault(breach.book_id, breach.book)
    ordered = sorted(shown.values(), key=lambda b: b.path.split(PATH_SEPARATOR))
    places: list[tuple[Book | None, str]] = [(None, "")]
    places += [(None, venue) for venue in sorted({*venues, *(v for b, v in switches if b is None and v)})]
    for book in ordered:
        places.append((book, ""))
        places += [(book, v) for b, v in sorted(switches, key=str) if b == book.pk and v]
    lines = _lines(ordered)
    return [_standing(book, venue, switches, breaches, modes, lines) for book, venue in places]


def _lines(books: list[Book]) -> dict[int, tuple[int, ...]]:
    """From the root down to each Book, by ids; one query."""
    split = [b.path.split(PATH_SEPARATOR) for b in books]
    paths = {PATH_SEPARATOR.join(parts[: i + 1]) for parts in split for i in range(len(parts))}
    ids = dict(Book.objects.filter(path__in=paths).values_list("path", "pk"))
    out = {}
    for book in books:
        parts = book.path.split(PATH_SEPARATOR)
        out[book.pk] = tuple(ids[PATH_SEPARATOR.join(parts[: i + 1])] for i in range(len(parts)))
    return out


def _standing(
    book: Book | None,
    venue: str,
    switches: dict[tuple[int | None, str], KillSwitch],
    breaches: list[LimitBreach],
    modes: Modes,
    lines: dict[int, tuple[int, ...]],
) -> ScopeStanding:
    line = () if book is None else lines[book.pk]
    binding = [
        s
        for (book_id, at), s in switches.items()
        if s.mode != TradingMode.ACTIVE and (book_id is None or book_id in line) and at in {"", venue}
    ]
    return ScopeStanding(
        label=scope_label(book, venue),
        book=book,
        venue=venue,
        depth=0 if book is None else book.path.count(PATH_SEPARATOR) + (1 if venue else 0),
        own=switches.get((None if book is None else book.pk, venue)),
        mode=modes.of(line, venue),
        held_by=tuple(sorted(binding, key=lambda s: -SEVERITY[s.trading_mode])),
        breaches=tuple(b for b in breaches if b.book_id in line),
    )


def _acting_breaches() -> list[LimitBreach]:
    running = LimitBreach.objects.filter(level=BreachLevel.HARD).exclude(status=BreachStatus.CLOSED)
    return list(running.filter(actions__overlap=["halt", "reduce", "flatten"]).select_related("book"))


@dataclass(frozen=True, slots=True)
class NotActive:
    """What every page must say: the worst mode there is, the switches turned, and how many Books breaches hold down.

    `known` is False where neither Redis nor the database tells, and no order passes.
    """

    known: bool
    worst: TradingMode
    everywhere: bool
    switches: tuple[KillSwitch, ...] = ()
    breached_books: int = 0


def not_active() -> NotActive | None:
    """None while everything is ACTIVE: one round trip to Redis, and no query."""
    modes = modes_now()
    if modes is None:
        return NotActive(known=False, worst=TradingMode.HALTED, everywhere=True)
    if not modes.stopped:
        return None
    turned = list(
        KillSwitch.objects.exclude(mode=TradingMode.ACTIVE).select_related("book", "changed_by").order_by("-changed_at")
    )
    held = {b.book_id for b in _acting_breaches()}
    worst = max(modes.stopped.values())
    return NotActive(
        known=True,
        worst=next(mode for mode, severity in SEVERITY.items() if severity == worst),
        everywhere=(None, "") in modes.stopped,
        switches=tuple(turned),
        breached_books=len(held),
    )
