"""What Books hold and were given, kept up to date from the journal: each reading adds what was posted since the last.

The journal only grows and its numbers (`posting_seq`) follow the order of the commits, so a sum up to a number stays
true. Summing a million lines takes seconds; what came in the last ten seconds takes milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from django.db import connection
from django.db.models import Max, Sum

from fundops.core.money import WORKING_PRECISION
from treasury.models import Book, JournalEntry, JournalLine
from treasury.models.books import EQUITY_KINDS, AccountKind
from treasury.selectors import By, balances

Held = dict[int, dict[str, Decimal]]
#: Where a Book's money came from, and what it handed to those below: opposite signs in a Book and in its child.
GIVEN_KINDS = (AccountKind.CAPITAL, AccountKind.BANKROLL)
SUMMED_KINDS = (*EQUITY_KINDS, *GIVEN_KINDS)


@dataclass(frozen=True, slots=True)
class Amounts:
    """`held` is the cash and the positions of the Books asked for, by Book and asset. `given` is what every Book of
    their funds was given less what it handed out: over a whole tree, what came from outside it.
    """

    held: Held
    given: Held


@dataclass(frozen=True, slots=True)
class _Kept:
    """The sums of a fund up to an entry, by Book, asset and whether it is what was given. `entry` and `booked_at` say
    whether this journal is still that one; `latest` is the last instant that anything in it was booked at.
    """

    posting_seq: int
    entry: int
    booked_at: datetime
    latest: datetime
    sums: Mapping[tuple[int, str, bool], Decimal]


#: By database and fund.
_kept: dict[tuple[str, int], _Kept] = {}


def read_amounts(funds: Mapping[int, Collection[int]], at: datetime) -> Amounts:
    """What Books hold and were given, as known at `at`; `funds` names the Books asked for by fund."""
    held: Held = defaultdict(dict)
    given: Held = defaultdict(dict)
    for fund_id, book_ids in funds.items():
        wanted = set(book_ids)
        last = _last_entry(fund_id)
        if last is None:
            continue
        kept = _up_to(fund_id, last)
        sums = kept.sums if kept.latest <= at else _as_known(fund_id, at)
        for (book_id, asset, was_given), amount in sums.items():
            if amount and was_given:
                given[book_id][asset] = -amount
            elif amount and book_id in wanted:
                held[book_id][asset] = amount
    return Amounts(held, given)


def held_amounts(funds: Mapping[int, Collection[int]], at: datetime) -> Held:
    """Cash and positions alone."""
    return read_amounts(funds, at).held


def forget() -> None:
    """Nothing is kept of a journal that was replaced."""
    _kept.clear()


def _last_entry(fund_id: int) -> tuple[int, int, datetime] | None:
    return (
        JournalEntry.objects.filter(fund=fund_id)
        .order_by("-posting_seq")
        .values_list("posting_seq", "pk", "booked_at")
        .first()
    )


def _as_known(fund_id: int, at: datetime) -> dict[tuple[int, str, bool], Decimal]:
    """The past: summed anew, for some entries are not known yet."""
    sums: dict[tuple[int, str, bool], Decimal] = defaultdict(Decimal)
    with localcontext(prec=WORKING_PRECISION):
        for b in balances(books=Book.objects.filter(fund=fund_id), by=(By.BOOK, By.KIND), as_known=at):
            if b.kind in SUMMED_KINDS and b.book_id is not None:
                sums[b.book_id, b.asset, b.kind in GIVEN_KINDS] += b.amount
    return sums


def _up_to(fund_id: int, last: tuple[int, int, datetime]) -> _Kept:
    key = (str(connection.settings_dict["NAME"]), fund_id)
    kept = _kept.get(key)
    if kept is not None and (kept.posting_seq > last[0] or not _still_there(fund_id, kept)):
        kept = None
    if kept is not None and kept.posting_seq == last[0]:
        return kept
    since = 0 if kept is None else kept.posting_seq
    sums = {} if kept is None else dict(kept.sums)
    with localcontext(prec=WORKING_PRECISION):
        for book_id, asset, kind, amount in _posted(fund_id, since, last[0]):
            key_of_sum = (book_id, asset, kind in GIVEN_KINDS)
            sums[key_of_sum] = sums.get(key_of_sum, Decimal(0)) + amount
    entries = JournalEntry.objects.filter(fund=fund_id, posting_seq__gt=since, posting_seq__lte=last[0])
    latest = entries.aggregate(latest=Max("booked_at"))["latest"] or last[2]
    fresh = _Kept(*last, latest if kept is None else max(latest, kept.latest), sums)
    _kept[key] = fresh
    return fresh


def _still_there(fund_id: int, kept: _Kept) -> bool:
    same = JournalEntry.objects.filter(
        pk=kept.entry, fund=fund_id, posting_seq=kept.posting_seq, booked_at=kept.booked_at
    )
    return same.exists()


def _posted(fund_id: int, after: int, until: int) -> list[tuple[int, str, str, Decimal]]:
    """Sums by Book, asset and kind of account of the entries numbered in (after, until]."""
    lines = JournalLine.objects.filter(account__kind__in=[k.value for k in SUMMED_KINDS])
    if after:
        lines = lines.filter(entry__fund=fund_id, entry__posting_seq__gt=after, entry__posting_seq__lte=until)
    else:
        lines = lines.filter(account__book__fund=fund_id, entry__posting_seq__lte=until)
    return list(
        lines.order_by()
        .values("account__book_id", "asset__code", "account__kind")
        .annotate(total=Sum("amount"))
        .values_list("account__book_id", "asset__code", "account__kind", "total")
    )
