"""Reads of the books: balances, trial balance, lines, value. All derive from the journal and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from enum import StrEnum

import numpy as np
from django.db.models import Max, QuerySet, Sum

from fundops.core.money import WORKING_PRECISION
from fundops.core.permissions import AnyUser, may
from treasury.canonical import CanonicalEntries, whole_units
from treasury.errors import MissingPriceError
from treasury.models import (
    AccountKind,
    Asset,
    Book,
    Fund,
    JournalEntry,
    JournalLine,
    LedgerAccount,
    PostingBatch,
)
from treasury.models.books import EQUITY_KINDS
from treasury.models.journal import JournalLineQuerySet
from treasury.postings import Accounts


def books_to_read(user: AnyUser, permission: str) -> QuerySet[Book]:
    """The Books of which ``user`` may read what ``permission`` stands for: as their roles say, or those granted.

    Who was granted a Book reads what stands in it; the role's right to see the tree gives nobody its lines.
    """
    return Book.objects.for_user(user) if may(user, permission) else Book.objects.granted_to(user)


def has_granted_books(user: AnyUser) -> bool:
    """Whether any Book, or fund with its Books, was granted to ``user`` by itself."""
    return Book.objects.granted_to(user).exists()


class By(StrEnum):
    """What balances are broken down by (always by asset as well)."""

    BOOK = "book_id"
    ACCOUNT = "account_id"
    KIND = "kind"


_COLUMN = {By.BOOK: "account__book_id", By.ACCOUNT: "account_id", By.KIND: "account__kind"}


@dataclass(frozen=True, slots=True)
class Balance:
    """A sum of lines; the fields it was not broken down by are None."""

    asset_id: int
    asset: str
    amount: Decimal
    book_id: int | None = None
    account_id: int | None = None
    kind: AccountKind | None = None


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """What a fund's books say, by account kind and asset, and the sum in each asset (always zero)."""

    fund: str
    as_of: date | None
    as_known: datetime | int | None
    last_seq: int
    rows: list[Balance]
    totals: dict[str, Decimal]

    @property
    def is_balanced(self) -> bool:
        return not any(self.totals.values())


@dataclass(frozen=True, slots=True)
class EntryDetail:
    """An entry with its lines and its place in the history of corrections."""

    entry: JournalEntry
    lines: list[JournalLine]
    reversed_by: JournalEntry | None


def balances(
    *,
    books: Book | Iterable[Book] | Iterable[int],
    descendants: bool = False,
    as_of: date | None = None,
    as_known: datetime | int | None = None,
    by: Sequence[By] = (By.KIND,),
) -> list[Balance]:
    """Sums of lines that are not zero.

    ``as_of`` keeps entries with a value date up to that day; ``as_known`` those booked up to an instant, or
    up to a posting_seq (which freezes the answer for good).
    """
    lines = JournalLine.objects.filter(account__book__in=_books(books, descendants=descendants))
    return _summed(_as_seen(lines, as_of=as_of, as_known=as_known), by=by)


def trial_balance(
    *,
    fund: Fund,
    as_of: date | None = None,
    as_known: datetime | int | None = None,
    by: Sequence[By] = (By.KIND,),
) -> TrialBalance:
    """Every balance of a fund, and their totals; ``last_seq`` is the last posting it has seen."""
    lines = _as_seen(JournalLine.objects.filter(entry__fund=fund), as_of=as_of, as_known=as_known)
    # Read before the lines: a posting that commits in between is then later than what is claimed, never
    # missing.
    seen = _known_entries(JournalEntry.objects.filter(fund=fund), as_known=as_known)
    last_seq = seen.aggregate(last=Max("posting_seq"))["last"] or 0
    rows = _summed(lines.filter(entry__posting_seq__lte=last_seq), by=by)
    totals: dict[str, Decimal] = {}
    with localcontext(prec=WORKING_PRECISION):
        for row in rows:
            totals[row.asset] = totals.get(row.asset, Decimal(0)) + row.amount
    return TrialBalance(fund=fund.code, as_of=as_of, as_known=as_known, last_seq=last_seq, rows=rows, totals=totals)


def ledger_lines(
    *,
    book: Book,
    descendants: bool = False,
    as_of: date | None = None,
    as_known: datetime | int | None = None,
) -> JournalLineQuerySet:
    """The lines on a book, newest posting first, with entry, account, book and asset along for a page."""
    lines = JournalLine.objects.filter(account__book__in=_books(book, descendants=descendants))
    return (
        _as_seen(lines, as_of=as_of, as_known=as_known)
        .select_related("entry", "account__book", "asset")
        .order_by("-entry__posting_seq", "id")
    )


def entry_detail(*, entry_id: int) -> EntryDetail:
    """One entry with everything on it; raises JournalEntry.DoesNotExist."""
    entry = JournalEntry.objects.select_related("fund", "reverses").get(pk=entry_id)
    lines = JournalLine.objects.filter(entry=entry).select_related("account__book", "asset").order_by("id")
    return EntryDetail(entry=entry, lines=list(lines), reversed_by=entry.reversals.first())


def entries_of_source(*, fund: Fund, source_type: str, source_id: str) -> QuerySet[JournalEntry]:
    """The entries that stand for one thing elsewhere: a fill, a cohort's day."""
    return JournalEntry.objects.filter(fund=fund, source_type=source_type, source_id=source_id)


def book_accounts(book: Book | int) -> Accounts:
    """The ids of a book's accounts by kind, for the builders of treasury.postings."""
    found = LedgerAccount.objects.filter(book=book).values_list("kind", "pk")
    return {AccountKind(kind): pk for kind, pk in found}


def free_cash(book: Book | int, asset: Asset | int) -> Decimal:
    """What a book itself holds of an asset in cash; nothing below it counts."""
    wanted = asset if isinstance(asset, int) else asset.pk
    held = balances(books=[book if isinstance(book, int) else book.pk], by=(By.KIND,))
    return sum((b.amount for b in held if b.kind == AccountKind.CASH and b.asset_id == wanted), Decimal(0))


def value_book(
    *,
    book: Book,
    prices: Mapping[int, Decimal],
    descendants: bool = True,
    as_of: date | None = None,
    as_known: datetime | int | None = None,
) -> Decimal:
    """Equity of a book: (CASH + POSITION) x price over all assets; ``prices`` by asset id, in one asset.

    Raises MissingPriceError when an asset held has no price. Nothing is rounded.
    """
    held = balances(books=book, descendants=descendants, as_of=as_of, as_known=as_known)
    return value_balances([b for b in held if b.kind in EQUITY_KINDS], prices=prices)


def value_balances(held: Iterable[Balance], *, prices: Mapping[int, Decimal]) -> Decimal:
    """The sum of balances times price, unrounded."""
    with localcontext(prec=WORKING_PRECISION):
        total = Decimal(0)
        for balance in held:
            price = prices.get(balance.asset_id)
            if price is None:
                raise MissingPriceError(
                    f"There is no price for {balance.asset}. Give one for every asset held.",
                    asset=balance.asset,
                )
            total += balance.amount * price
        return total


def batch_digest(batch: PostingBatch) -> str:
    """A batch's digest taken from the books anew: it differs from ``batch.digest`` after tampering."""
    return digest_of_range(fund_id=batch.fund_id, first_seq=batch.first_seq, last_seq=batch.last_seq)


def digest_of_range(*, fund_id: int, first_seq: int, last_seq: int) -> str:
    """The digest of the entries of a range of numbers as one batch, from the books."""
    entries = JournalEntry.objects.filter(fund_id=fund_id, posting_seq__range=(first_seq, last_seq))
    heads = entries.order_by("posting_seq").values_list("value_date", "kind", "source_type", "source_id", "memo")
    lines = JournalLine.objects.filter(entry__in=entries).order_by("entry__posting_seq", "id")
    columns = list(lines.values_list("entry__posting_seq", "account_id", "asset_id", "amount"))
    return CanonicalEntries(
        heads=[(day.isoformat(), kind, of, source, memo) for day, kind, of, source, memo in heads],
        line_entries=np.array([seq - first_seq for seq, *_ in columns], dtype=np.int64),
        account_ids=np.array([account for _, account, *_ in columns], dtype=np.int64),
        asset_ids=np.array([asset for *_, asset, _ in columns], dtype=np.int64),
        amounts=whole_units(amount for *_, amount in columns),
    ).digest()


def _books(books: Book | Iterable[Book] | Iterable[int], *, descendants: bool) -> QuerySet[Book]:
    ids = {books.pk} if isinstance(books, Book) else {b.pk if isinstance(b, Book) else b for b in books}
    chosen = Book.objects.filter(pk__in=ids)
    if not descendants:
        return chosen
    below = Book.objects.none()
    for book in chosen:
        below = below | Book.objects.below(book)
    return below


def _as_seen(lines: JournalLineQuerySet, *, as_of: date | None, as_known: datetime | int | None) -> JournalLineQuerySet:
    if as_of is not None:
        lines = lines.filter(entry__value_date__lte=as_of)
    if isinstance(as_known, datetime):
        lines = lines.filter(entry__booked_at__lte=as_known)
    elif as_known is not None:
        lines = lines.filter(entry__posting_seq__lte=as_known)
    return lines


def _known_entries(entries: QuerySet[JournalEntry], *, as_known: datetime | int | None) -> QuerySet[JournalEntry]:
    if isinstance(as_known, datetime):
        return entries.filter(booked_at__lte=as_known)
    return entries if as_known is None else entries.filter(posting_seq__lte=as_known)


def _summed(lines: JournalLineQuerySet, *, by: Sequence[By]) -> list[Balance]:
    columns = [_COLUMN[dimension] for dimension in by]
    sums = (
        lines.order_by()
        .values("asset_id", "asset__code", *columns)
        .annotate(total=Sum("amount"))
        .exclude(total=0)
        .order_by(*columns, "asset__code")
    )
    found = []
    for row in sums:
        broken_down = {dimension: row[_COLUMN[dimension]] for dimension in by}
        kind = broken_down.get(By.KIND)
        found.append(
            Balance(
                asset_id=row["asset_id"],
                asset=row["asset__code"],
                amount=row["total"],
                book_id=broken_down.get(By.BOOK),
                account_id=broken_down.get(By.ACCOUNT),
                kind=None if kind is None else AccountKind(kind),
            )
        )
    return found
