"""Lines and batches, and how each act of a book's life is written as lines. Pure: no database.

Signs: what a book has is positive (CASH, POSITION), what it came from is negative (CAPITAL). Every builder
keeps each book balanced on its own, so that for a book with everything below it

    equity = sum(CASH + POSITION, times price)
    profit = equity + CAPITAL + BANKROLL

TRADING is the conversion account: a purchase puts the cash spent on it as a positive amount and the quantity
bought as a negative one, so that the entry balances in each asset; a short sale has the signs turned.
Amounts are Decimals with at most 18 decimals, rounded by the caller (``fundops.core.money.round_to``). Their
sign is turned by ``copy_negate``: a bare minus would round them to the 28 digits of Python's default decimal
context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fundops.core.money import LEDGER_PLACES
from treasury.models import AccountKind, EntryKind

#: The ids of one book's accounts by kind, as ``treasury.actions.books`` returns them.
Accounts = Mapping[AccountKind, int]


class Line(NamedTuple):
    """A signed amount of one asset on one account."""

    account_id: int
    asset_id: int
    amount: Decimal


class Source(NamedTuple):
    """What an entry stands for elsewhere: ``Source("trading.fill", "4711")``."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class EntryBatch:
    """Many entries in columns, for :func:`treasury.actions.ledger.post_entries`.

    ``value_dates``, ``kinds``, ``source_ids`` and ``memos`` have one value an entry (or, where a single
    value is given, one for all); ``line_entries``, ``account_ids``, ``asset_ids`` and ``amounts`` one
    value a line. ``line_entries`` says which entry a line belongs to, counted from 0, in ascending order.
    ``amounts`` is either a sequence of Decimals, or an int64 array in units of ``10**-amount_places``:
    the way to post what was computed in numpy without making a Decimal a line. ``idempotency_key`` names
    the whole batch: posting it again does nothing, posting something else under it is refused.
    """

    value_dates: date | Sequence[date]
    kinds: EntryKind | Sequence[EntryKind]
    line_entries: Sequence[int] | npt.NDArray[np.int64]
    account_ids: Sequence[int] | npt.NDArray[np.int64]
    asset_ids: Sequence[int] | npt.NDArray[np.int64]
    amounts: Sequence[Decimal] | npt.NDArray[np.int64]
    idempotency_key: str
    source_type: str = ""
    source_ids: Sequence[str] | None = None
    memos: str | Sequence[str] = ""
    amount_places: int = LEDGER_PLACES


def contribution(*, book: Accounts, asset_id: int, amount: Decimal) -> list[Line]:
    """Capital from outside into a book's cash; a negative amount is a withdrawal."""
    return [
        Line(book[AccountKind.CASH], asset_id, amount),
        Line(book[AccountKind.CAPITAL], asset_id, amount.copy_negate()),
    ]


def draw(*, parent: Accounts, child: Accounts, asset_id: int, amount: Decimal) -> list[Line]:
    """Cash from a parent book's bankroll to a child book."""
    return [
        Line(parent[AccountKind.CASH], asset_id, amount.copy_negate()),
        Line(parent[AccountKind.BANKROLL], asset_id, amount),
        Line(child[AccountKind.CASH], asset_id, amount),
        Line(child[AccountKind.CAPITAL], asset_id, amount.copy_negate()),
    ]


def release(*, parent: Accounts, child: Accounts, asset_id: int, amount: Decimal) -> list[Line]:
    """Cash of a child book back to its parent's bankroll: a draw the other way round."""
    return draw(parent=parent, child=child, asset_id=asset_id, amount=amount.copy_negate())


def fill(
    *,
    book: Accounts,
    base_asset_id: int,
    quote_asset_id: int,
    quantity: Decimal,
    quote_amount: Decimal,
    fee: Decimal = Decimal(0),
    fee_asset_id: int | None = None,
) -> list[Line]:
    """A fill, spot or linear perpetual: cash exchanged for the base asset or the contract.

    ``quantity`` is signed (sold is negative), ``quote_amount`` = quantity x price x multiplier, signed
    alike, rounded by the caller; ``fee`` is what was paid (a rebate is negative), in ``fee_asset_id`` or
    the quote.
    """
    lines = [
        Line(book[AccountKind.POSITION], base_asset_id, quantity),
        Line(book[AccountKind.TRADING], base_asset_id, quantity.copy_negate()),
        Line(book[AccountKind.CASH], quote_asset_id, quote_amount.copy_negate()),
        Line(book[AccountKind.TRADING], quote_asset_id, quote_amount),
    ]
    if fee:
        lines += paid(
            book=book,
            kind=AccountKind.FEES,
            asset_id=quote_asset_id if fee_asset_id is None else fee_asset_id,
            amount=fee,
        )
    return lines


def paid(*, book: Accounts, kind: AccountKind, asset_id: int, amount: Decimal) -> list[Line]:
    """A cost paid from cash onto FEES or FUNDING; a negative amount is one received."""
    return [
        Line(book[AccountKind.CASH], asset_id, amount.copy_negate()),
        Line(book[kind], asset_id, amount),
    ]
