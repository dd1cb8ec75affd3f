"""Opening and closing: assets, funds, books and their accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from django.db import connection, transaction

from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from treasury.errors import BatchShapeError, ClosedBookError
from treasury.models import AccountKind, Asset, AssetKind, Book, BookKind, Fund, LedgerAccount
from treasury.postings import Accounts
from treasury.refusals import refusals

ALL_ACCOUNTS: tuple[AccountKind, ...] = tuple(AccountKind)


class NewBook(NamedTuple):
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class OpenedBooks:
    """What a bulk opening made; the lists run parallel to the books asked for."""

    book_ids: list[int]
    account_ids: dict[AccountKind, list[int]]

    def accounts(self, index: int) -> Accounts:
        """The accounts of the book at ``index``, for the builders of treasury.postings."""
        return {kind: ids[index] for kind, ids in self.account_ids.items()}


def ensure_asset(*, code: str, name: str, kind: AssetKind, places: int, actor: User | None) -> Asset:
    """The asset of this code, created when it is new (an existing one is left as it is)."""
    with refusals(), transaction.atomic():
        asset, created = Asset.objects.get_or_create(code=code, defaults={"name": name, "kind": kind, "places": places})
        if created:
            publish(
                "treasury.asset.registered",
                actor=actor,
                obj=asset,
                payload={"code": code, "kind": kind, "places": places},
            )
    return asset


def open_fund(*, code: str, name: str, base_asset: Asset, opened_on: date, actor: User | None) -> Fund:
    """Creates a fund with its root book (same code) and that book's accounts."""
    with refusals(), transaction.atomic():
        fund = Fund.objects.create(code=code, name=name, base_asset=base_asset, opened_on=opened_on)
        opened = _insert_books(
            fund=fund,
            parent=None,
            books=[NewBook(code, name)],
            kind=BookKind.FUND,
            opened_on=opened_on,
            accounts=ALL_ACCOUNTS,
        )
        publish(
            "treasury.fund.opened",
            actor=actor,
            obj=fund,
            payload={
                "code": code,
                "base_asset": base_asset.code,
                "opened_on": opened_on,
                "book_id": opened.book_ids[0],
            },
        )
    return fund


def open_book(
    *,
    parent: Book,
    code: str,
    name: str,
    kind: BookKind,
    opened_on: date,
    actor: User | None,
    accounts: Sequence[AccountKind] = ALL_ACCOUNTS,
) -> Book:
    """Opens one book under ``parent`` with its accounts; ``opened_on`` is the first value date it accepts."""
    with refusals(), transaction.atomic():
        opened = _insert_books(
            fund=parent.fund,
            parent=parent,
            books=[NewBook(code, name)],
            kind=kind,
            opened_on=opened_on,
            accounts=accounts,
        )
        book = Book.objects.get(pk=opened.book_ids[0])
        publish(
            "treasury.book.opened",
            actor=actor,
            obj=book,
            payload={"path": book.path, "kind": kind, "opened_on": opened_on},
            topics=[f"book:{parent.pk}"],
        )
    return book


def open_books(
    *,
    parent: Book,
    books: Sequence[NewBook],
    kind: BookKind,
    opened_on: date,
    actor: User | None,
    accounts: Sequence[AccountKind] = ALL_ACCOUNTS,
) -> OpenedBooks:
    """Opens many books under one parent, with their accounts, in two statements and with one event."""
    if not books:
        raise BatchShapeError("There is no book to open. Name at least one.")
    with refusals(), transaction.atomic():
        opened = _insert_books(
            fund=parent.fund, parent=parent, books=books, kind=kind, opened_on=opened_on, accounts=accounts
        )
        publish(
            "treasury.books.opened",
            actor=actor,
            obj=parent,
            payload={
                "parent": parent.path,
                "kind": kind,
                "count": len(books),
                "first": books[0].code,
                "last": books[-1].code,
                "opened_on": opened_on,
            },
            topics=[f"book:{parent.pk}"],
        )
    return opened


def open_accounts(
    *, books: Sequence[Book], kinds: Sequence[AccountKind], actor: User | None
) -> dict[AccountKind, list[int]]:
    """Gives books the accounts of ``kinds`` they lack; returns the ids of all, parallel to the books."""
    book_ids = [book.pk for book in books]
    with refusals(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO treasury_ledgeraccount (book_id, kind)"
            " SELECT book_id, kind FROM unnest(%s::bigint[]) book_id CROSS JOIN unnest(%s::text[]) kind"
            " ON CONFLICT (book_id, kind) DO NOTHING",
            [book_ids, [kind.value for kind in kinds]],
        )
        if cursor.rowcount:
            publish(
                "treasury.accounts.opened",
                actor=actor,
                payload={"books": len(books), "kinds": list(kinds), "accounts": cursor.rowcount},
                topics=[],
            )
    found = LedgerAccount.objects.filter(book__in=book_ids, kind__in=kinds)
    account_of = {(kind, book_id): pk for kind, book_id, pk in found.values_list("kind", "book_id", "pk")}
    return {kind: [account_of[kind.value, book_id] for book_id in book_ids] for kind in kinds}


def close_book(*, book: Book, actor: User | None) -> Book:
    """Closes a book and all below it, for good.

    Raises BookNotEmptyError while any of them holds cash or positions, ClosedBookError when it is closed
    already.
    """
    with refusals(), transaction.atomic():
        closed_at = clock.now()
        count = Book.objects.below(book).filter(closed_at=None).update(closed_at=closed_at)
        book.refresh_from_db()
        if count == 0 and book.closed_at is not None:
            raise ClosedBookError(
                f"Book {book.path} is closed since {book.closed_at:%Y-%m-%d}. Nothing is left to close.",
                book=book.path,
            )
        publish(
            "treasury.book.closed",
            actor=actor,
            obj=book,
            payload={"path": book.path, "books_closed": count, "closed_at": closed_at},
            topics=[f"book:{book.pk}"],
        )
    return book


def _insert_books(
    *,
    fund: Fund,
    parent: Book | None,
    books: Sequence[NewBook],
    kind: BookKind,
    opened_on: date,
    accounts: Sequence[AccountKind],
) -> OpenedBooks:
    codes = [book.code for book in books]
    with connection.cursor() as cursor:
        # The path is the database's to write, from the parent's.
        cursor.execute(
            "INSERT INTO treasury_book (fund_id, parent_id, code, name, kind, path, opened_on)"
            " SELECT %s, %s, code, name, %s, '', %s FROM unnest(%s::text[], %s::text[]) AS new (code, name)"
            " RETURNING code, id",
            [fund.pk, parent.pk if parent else None, kind, opened_on, codes, [book.name for book in books]],
        )
        book_of: dict[str, int] = dict(cursor.fetchall())
        book_ids = [book_of[code] for code in codes]
        cursor.execute(
            "INSERT INTO treasury_ledgeraccount (book_id, kind)"
            " SELECT book_id, kind FROM unnest(%s::bigint[]) book_id CROSS JOIN unnest(%s::text[]) kind"
            " RETURNING kind, book_id, id",
            [book_ids, [account.value for account in accounts]],
        )
        account_of = {(kind, book_id): pk for kind, book_id, pk in cursor.fetchall()}
    return OpenedBooks(
        book_ids=book_ids,
        account_ids={a: [account_of[a.value, book_id] for book_id in book_ids] for a in accounts},
    )
