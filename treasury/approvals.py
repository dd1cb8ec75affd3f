"""What of the books passes the gate: every way in which a person moves value, and opens and closes Books.

The machine's own postings (paper cohorts, and what trading does on the Books that trade) are no requests; the line is
drawn in the database (treasury/sql/gate_guards.sql).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from compliance.approvals.access import grantable
from compliance.approvals.registry import ActionPayload, DisplayedField, Target, Warrant, register_action
from fundops.core import clock
from treasury.actions.books import close_book, open_book, open_fund
from treasury.actions.ledger import entry_lines, post_entry, reverse_entry
from treasury.canonical import canonical_entry
from treasury.errors import (
    AlreadyReversedError,
    BookExistsError,
    BookTreeError,
    ClosedBookError,
    EmptyEntryError,
    ReversalOfReversalError,
    UnbalancedEntryError,
    UnknownAccountError,
    UnknownAssetError,
    UnknownEntryError,
    UnknownFundError,
    ValueDateError,
    ZeroLineError,
)
from treasury.models import AccountKind, Asset, Book, BookKind, EntryKind, Fund, JournalEntry, LedgerAccount
from treasury.models.books import EQUITY_KINDS
from treasury.postings import Line, Source

OPEN_FUND = "treasury.open_fund"
OPEN_BOOK = "treasury.open_book"
CLOSE_BOOK = "treasury.close_book"
POST_ENTRY = "treasury.post_entry"
REVERSE_ENTRY = "treasury.reverse_entry"

MAY_OPEN = "treasury.open_book"
MAY_CLOSE = "treasury.close_book"
MAY_POST = "treasury.propose_entry"

#: How far ahead the books accept a value date.
_AHEAD = timedelta(days=366)

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=40)]
Amount = Annotated[Decimal, Field(allow_inf_nan=False, max_digits=38, decimal_places=18)]


grantable("treasury.fund", by="code", permissions=("view_fund",))
grantable("treasury.book", by="path", permissions=("view_book",))


def _book(path: str) -> Book:
    book = Book.objects.select_related("fund__base_asset").filter(path=path).first()
    if book is None:
        raise BookTreeError(f"There is no book {path}. Give its path.", book=path)
    return book


def _open(book: Book) -> Book:
    if not book.is_open:
        raise ClosedBookError(f"Book {book.path} is closed; a closed one stays closed.", book=book.path)
    return book


def _fund(code: str) -> Fund:
    fund = Fund.objects.select_related("base_asset").filter(code=code).first()
    if fund is None:
        raise UnknownFundError(f"There is no fund {code}. Open it first.", fund=code)
    return fund


def _asset(code: str) -> Asset:
    asset = Asset.objects.filter(code=code).first()
    if asset is None:
        raise UnknownAssetError(f"There is no asset {code}. Register it first.", asset=code)
    return asset


# --- Opening and closing --------------------------------------------------------------------------------------
class OpenFund(ActionPayload):
    """A fund with its root Book, in a base asset that is known."""

    code: Code
    name: str = Field(min_length=1, max_length=120)
    base_asset: str = Field(max_length=40, description="The code of an asset.")
    opened_on: date = Field(description="The first value date the books accept.")


def _render_fund(payload: OpenFund) -> Sequence[DisplayedField]:
    asset = _asset(payload.base_asset)
    return [
        DisplayedField("Fund", "", f"{payload.code}: {payload.name}"),
        DisplayedField("Base asset", "", f"{asset.code} ({asset.name})"),
        DisplayedField("First value date", "", payload.opened_on.isoformat()),
    ]


def _recheck_fund(payload: OpenFund) -> None:
    _asset(payload.base_asset)
    if Fund.objects.filter(code=payload.code).exists():
        raise BookExistsError(f"There is a fund {payload.code} already. Choose another code.", fund=payload.code)


@register_action(
    kind=OPEN_FUND,
    title="Open a fund",
    payload=OpenFund,
    maker_permission=MAY_OPEN,
    render=_render_fund,
    recheck=_recheck_fund,
    target=lambda payload: Target("treasury.fund", payload.code, payload.name),
)
def open_fund_as_approved(payload: OpenFund, warrant: Warrant) -> Mapping[str, Any]:
    """Opens it with its root Book and accounts."""
    fund = open_fund(
        code=payload.code,
        name=payload.name,
        base_asset=_asset(payload.base_asset),
        opened_on=payload.opened_on,
        actor=warrant.actor,
    )
    return {"fund": fund.pk, "book": Book.objects.get(fund=fund, parent=None).pk}


class OpenBook(ActionPayload):
    """A Book below another one, with its accounts."""

    parent: str = Field(max_length=400, description="The path of the Book above.")
    code: Code
    name: str = Field(min_length=1, max_length=160)
    book_kind: BookKind = BookKind.STRATEGY
    opened_on: date


def _render_book(payload: OpenBook) -> Sequence[DisplayedField]:
    return [
        DisplayedField("Under", payload.parent, payload.parent),
        DisplayedField("Book", "", f"{payload.code}: {payload.name}"),
        DisplayedField("Kind", "", str(payload.book_kind.label)),
        DisplayedField("First value date", "", payload.opened_on.isoformat()),
    ]


def _recheck_book(payload: OpenBook) -> None:
    _open(_book(payload.parent))
    path = f"{payload.parent}/{payload.code}"
    if payload.book_kind == BookKind.FUND:
        raise BookTreeError("Only the root book is of kind 'fund'. Choose another kind.")
    if Book.objects.filter(path=path).exists():
        raise BookExistsError(f"There is a book {path} already. Choose another code.", book=path)


def _parent_target(payload: OpenBook) -> Target:
    return Target("treasury.book", str(_book(payload.parent).pk), f"{payload.parent}/{payload.code}")


@register_action(
    kind=OPEN_BOOK,
    title="Open a book",
    payload=OpenBook,
    maker_permission=MAY_OPEN,
    render=_render_book,
    recheck=_recheck_book,
    target=_parent_target,
)
def open_book_as_approved(payload: OpenBook, warrant: Warrant) -> Mapping[str, Any]:
    """Opens it with its accounts."""
    book = open_book(
        parent=_book(payload.parent),
        code=payload.code,
        name=payload.name,
        kind=payload.book_kind,
        opened_on=payload.opened_on,
        actor=warrant.actor,
    )
    return {"book": book.pk, "path": book.path}


class CloseBook(ActionPayload):
    """A Book and all below it, for good; empty ones alone can be closed."""

    book: str = Field(max_length=400, description="The Book's path.")


def _render_closing(payload: CloseBook) -> Sequence[DisplayedField]:
    book = _book(payload.book)
    below = Book.objects.below(book, include_self=False).filter(closed_at=None).count()
    return [
        DisplayedField("Book", f"{book.path}: open" if book.is_open else f"{book.path}: closed", "closed, for good"),
        DisplayedField("Open books below it", str(below), "closed, for good" if below else "0"),
    ]


def _recheck_closing(payload: CloseBook) -> None:
    _open(_book(payload.book))


def _book_target(payload: CloseBook) -> Target:
    book = _book(payload.book)
    return Target("treasury.book", str(book.pk), book.path)


@register_action(
    kind=CLOSE_BOOK,
    title="Close a book",
    payload=CloseBook,
    maker_permission=MAY_CLOSE,
    render=_render_closing,
    recheck=_recheck_closing,
    target=_book_target,
)
def close_book_as_approved(payload: CloseBook, warrant: Warrant) -> Mapping[str, Any]:
    """Closes it and all below it."""
    book = close_book(book=_book(payload.book), actor=warrant.actor)
    return {"book": book.pk, "closed_at": book.closed_at}


# --- Entries --------------------------------------------------------------------------------------------------
class EntryLine(ActionPayload):
    """A signed amount of one asset on one account of one Book."""

    book: str = Field(max_length=400, description="The Book's path.")
    account: AccountKind
    asset: str = Field(max_length=40, description="The asset's code.")
    amount: Amount


class PostEntry(ActionPayload):
    """An entry by hand: its lines sum to zero in every asset."""

    fund: str = Field(max_length=40, description="The fund's code.")
    value_date: date
    entry_kind: EntryKind
    memo: str = Field(min_length=1, max_length=240)
    lines: tuple[EntryLine, ...] = Field(min_length=2, max_length=200)


def _lines(payload: PostEntry) -> list[Line]:
    """The lines with their accounts; raises what is wrong with one of them."""
    fund = _fund(payload.fund)
    found = []
    for line in payload.lines:
        book = _open(_book(line.book))
        account = LedgerAccount.objects.filter(book=book, kind=line.account).first()
        if account is None or book.fund_id != fund.pk:
            raise UnknownAccountError(f"Book {line.book} has no {line.account.label} account in fund {fund.code}.")
        if payload.value_date < book.opened_on:
            raise ValueDateError(f"Book {book.path} accepts value dates from {book.opened_on}.", book=book.path)
        found.append(Line(account.pk, _asset(line.asset).pk, line.amount))
    return found


def _recheck_entry(payload: PostEntry) -> None:
    if payload.entry_kind == EntryKind.REVERSAL:
        raise ReversalOfReversalError(f"A reversal names the entry that it reverses: ask for {REVERSE_ENTRY}.")
    _check_value_date(payload.value_date)
    lines = _lines(payload)
    if not lines:
        raise EmptyEntryError("The entry has no lines.")
    if any(line.amount == 0 for line in lines):
        raise ZeroLineError("A line has the amount zero. Leave the line out: it moves nothing.")
    sums: dict[str, Decimal] = {}
    for line in payload.lines:
        sums[line.asset] = sums.get(line.asset, Decimal(0)) + line.amount
    for asset, off in sorted(sums.items()):
        if off != 0:
            raise UnbalancedEntryError(f"The entry is off by {off:f} in {asset}: make its lines sum to zero.")
    canonical_entry(value_date=payload.value_date, kind=payload.entry_kind, source=None, memo=payload.memo, lines=lines)


def _check_value_date(value_date: date) -> None:
    if value_date > clock.now().date() + _AHEAD:
        raise ValueDateError("The value date is more than a year ahead. Correct it.")


def _render_entry(payload: PostEntry) -> Sequence[DisplayedField]:
    fund = _fund(payload.fund)
    return [
        DisplayedField("Fund", fund.code, fund.code),
        DisplayedField("Entry", "", f"{payload.entry_kind.label}, value date {payload.value_date}"),
        DisplayedField("Memo", "", payload.memo),
        *(
            DisplayedField(f"{line.book}, {line.account.label}", "", f"{line.amount:+f} {line.asset}")
            for line in payload.lines
        ),
    ]


def _entry_amount(payload: PostEntry) -> Decimal | None:
    base = _fund(payload.fund).base_asset.code
    return _value([(line.asset == base, line.account in EQUITY_KINDS, line.amount) for line in payload.lines])


def _value(lines: Sequence[tuple[bool, bool, Decimal]]) -> Decimal | None:
    """What an entry moves in the base asset; None (the largest band) when any of it is something else.

    ``lines`` are (in the base asset, on cash or positions, amount): what cash and positions gain or lose, whichever
    is more, or, where they are not touched, what other accounts do.
    """
    if not all(base for base, _, _ in lines):
        return None
    on_equity = [amount for _, equity, amount in lines if equity] or [amount for _, _, amount in lines]
    gained = sum((amount for amount in on_equity if amount > 0), Decimal(0))
    lost = sum((-amount for amount in on_equity if amount < 0), Decimal(0))
    return max(gained, lost)


@register_action(
    kind=POST_ENTRY,
    title="Post a journal entry by hand",
    payload=PostEntry,
    maker_permission=MAY_POST,
    render=_render_entry,
    recheck=_recheck_entry,
    amount=_entry_amount,
    target=lambda payload: Target("treasury.fund", payload.fund, f"{payload.entry_kind.label}: {payload.memo}"),
)
def post_entry_as_approved(payload: PostEntry, warrant: Warrant) -> Mapping[str, Any]:
    """Posts it, naming the request as its source."""
    entry = post_entry(
        fund=_fund(payload.fund),
        value_date=payload.value_date,
        kind=payload.entry_kind,
        lines=_lines(payload),
        memo=payload.memo,
        source=Source("compliance.approvalrequest", str(warrant.request_id)),
        idempotency_key=f"approval:{warrant.request_id}",
        actor=warrant.actor,
    )
    return {"entry": entry.pk, "posting_seq": entry.posting_seq}


class ReverseEntry(ActionPayload):
    """The exact mirror of a posted entry, by its number in the fund."""

    fund: str = Field(max_length=40, description="The fund's code.")
    posting_seq: int = Field(ge=1)
    value_date: date
    memo: str = Field(min_length=1, max_length=240)


def _entry(payload: ReverseEntry) -> JournalEntry:
    entry = (
        JournalEntry.objects.select_related("fund__base_asset")
        .filter(fund__code=payload.fund, posting_seq=payload.posting_seq)
        .first()
    )
    if entry is None:
        raise UnknownEntryError(f"Fund {payload.fund} has no entry #{payload.posting_seq}.")
    return entry


def _recheck_reversal(payload: ReverseEntry) -> None:
    entry = _entry(payload)
    _check_value_date(payload.value_date)
    if entry.reverses_id is not None:
        raise ReversalOfReversalError(f"Entry #{entry.posting_seq} is a reversal itself. Post the movement again.")
    if entry.reversals.exists():
        raise AlreadyReversedError(f"Entry #{entry.posting_seq} is reversed already. Post what is missing anew.")
    if payload.value_date < entry.value_date:
        raise ValueDateError(f"Reverse entry #{entry.posting_seq} on its value date, {entry.value_date}, or later.")
    for account in LedgerAccount.objects.filter(pk__in={x.account_id for x in entry_lines(entry)}):
        _open(account.book)


def _render_reversal(payload: ReverseEntry) -> Sequence[DisplayedField]:
    entry = _entry(payload)
    reversal = "reversed" if entry.reversals.exists() else "stands"
    lines = entry.lines.select_related("account__book", "asset").order_by("id")
    return [
        DisplayedField("Fund", entry.fund.code, entry.fund.code),
        DisplayedField(f"Entry #{entry.posting_seq}", f"{entry.get_kind_display()}, {reversal}", "reversed"),
        DisplayedField("Its memo", entry.memo, entry.memo),
        DisplayedField("Value date", entry.value_date.isoformat(), payload.value_date.isoformat()),
        DisplayedField("Memo of the reversal", "", payload.memo),
        *(
            DisplayedField(
                f"{line.account.book.path}, {AccountKind(line.account.kind).label}",
                f"{line.amount.normalize():+f} {line.asset.code}",
                f"{line.amount.copy_negate().normalize():+f} {line.asset.code} on top",
            )
            for line in lines[:200]
        ),
    ]


def _reversal_amount(payload: ReverseEntry) -> Decimal | None:
    entry = _entry(payload)
    base = entry.fund.base_asset_id
    lines = entry.lines.select_related("account").order_by("id")
    return _value([(x.asset_id == base, x.account.kind in EQUITY_KINDS, x.amount) for x in lines])


def _reversal_target(payload: ReverseEntry) -> Target:
    entry = _entry(payload)
    return Target("treasury.journalentry", str(entry.pk), f"#{entry.posting_seq} of {entry.fund.code}")


@register_action(
    kind=REVERSE_ENTRY,
    title="Reverse a journal entry",
    payload=ReverseEntry,
    maker_permission=MAY_POST,
    render=_render_reversal,
    recheck=_recheck_reversal,
    amount=_reversal_amount,
    target=_reversal_target,
)
def reverse_entry_as_approved(payload: ReverseEntry, warrant: Warrant) -> Mapping[str, Any]:
    """Posts the mirror."""
    reversal = reverse_entry(
        entry=_entry(payload), value_date=payload.value_date, memo=payload.memo, actor=warrant.actor
    )
    return {"entry": reversal.pk, "posting_seq": reversal.posting_seq}
