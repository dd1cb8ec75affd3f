"""What Books hold, kept up to date from the journal: each reading adds what was posted since the last one.

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
from treasury.models import JournalEntry, JournalLine
from treasury.models.books import EQUITY_KINDS
from treasury.selectors import By, balances

Held = dict[int, dict[str, Decimal]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The sums of a fund up to an entry. `entry` and `booked_at` say whether this journal is still that one; `latest`
    is the last instant that anything in it was booked at.
    """

    posting_seq: int
    entry: int
    booked_at: datetime
    latest: datetime
    sums: Mapping[tuple[int, str], Decimal]


#: By database and fund.
_kept: dict[tuple[str, int], _Kept] = {}


def held_amounts(funds: Mapping[int, Collection[int]], at: datetime) -> Held:
    """Cash and positions by Book and asset, as known at `at`; `funds` gives the Books asked for by fund."""
    out: Held = defaultdict(dict)
    for fund_id, book_ids in funds.items():
        wanted = set(book_ids)
        last = _last_entry(fund_id)
        if last is None:
            continue
        kept = _up_to(fund_id, last)
        if kept.latest > at:
            for book_id, asset, amount in _as_known(wanted, at):
                out[book_id][asset] = out[book_id].get(asset, Decimal(0)) + amount
            continue
        for (book_id, asset), amount in kept.sums.items():
            if book_id in wanted and amount:
                out[book_id][asset] = amount
    return out


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


def _as_known(book_ids: Collection[int], at: datetime) -> list[tuple[int, str, Decimal]]:
    """The past: summed anew, for some entries are not known yet."""
    return [
        (b.book_id, b.asset, b.amount)
        for b in balances(books=book_ids, by=(By.BOOK, By.KIND), as_known=at)
        if b.kind in EQUITY_KINDS and b.book_id is not None
    ]


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
        for book_id, asset, amount in _posted(fund_id, since, last[0]):
            sums[book_id, asset] = sums.get((book_id, asset), Decimal(0)) + amount
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


def _posted(fund_id: int, after: int, until: int) -> list[tuple[int, str, Decimal]]:
    """Sums by Book and asset of the entries numbered in (after, until]."""
    lines = JournalLine.objects.filter(account__kind__in=[k.value for k in EQUITY_KINDS])
    if after:
        lines = lines.filter(entry__fund=fund_id, entry__posting_seq__gt=after, entry__posting_seq__lte=until)
    else:
        lines = lines.filter(account__book__fund=fund_id, entry__posting_seq__lte=until)
    return list(
        lines.order_by()
        .values("account__book_id", "asset__code")
        .annotate(total=Sum("amount"))
        .values_list("account__book_id", "asset__code", "total")
    )
