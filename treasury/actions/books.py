"""Opening and closing: assets, funds, books and their accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from fundops.core.models import User
from treasury.models import AccountKind, Asset, AssetKind, Book, BookKind, Fund
from treasury.postings import Accounts

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
    raise NotImplementedError


def open_fund(*, code: str, name: str, base_asset: Asset, opened_on: date, actor: User | None) -> Fund:
    """Creates a fund with its root book (same code) and that book's accounts."""
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


def close_book(*, book: Book, actor: User | None) -> Book:
    """Closes a book and all below it, for good.

    Raises BookNotEmptyError while any of them holds cash or positions.
    """
    raise NotImplementedError
