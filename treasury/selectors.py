"""Reads of the books: balances, trial balance, lines, value. All derive from the journal and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from treasury.models import AccountKind, Book
from treasury.postings import Accounts


class By(StrEnum):
    """What balances are broken down by (always by asset as well)."""

    BOOK = "book_id"
    ACCOUNT = "account_id"
    KIND = "kind"


@dataclass(frozen=True, slots=True)
class Balance:
    asset_id: int
    asset: str
    amount: Decimal
    book_id: int | None = None
    account_id: int | None = None
    kind: AccountKind | None = None


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
    raise NotImplementedError


def book_accounts(book: Book | int) -> Accounts:
    """The ids of a book's accounts by kind, for the builders of treasury.postings."""
    raise NotImplementedError


def value_book(
    *,
    book: Book,
    prices: Mapping[int, Decimal],
    descendants: bool = True,
    as_of: date | None = None,
    as_known: datetime | int | None = None,
) -> Decimal:
    """Equity of a book: (CASH + POSITION) x price over all assets; ``prices`` by asset id, in one asset.

    Raises MissingPriceError when an asset held has no price.
    """
    raise NotImplementedError
