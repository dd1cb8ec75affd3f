"""Single postings: what is written, and what is refused, each with its own error."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from fundops.core import clock
from fundops.core.errors import FundopsError
from tests.treasury.conftest import DAY, OPENED, Cast
from treasury import errors
from treasury.actions.books import close_book, open_book
from treasury.models import Book, BookKind, EntryKind, JournalEntry, JournalLine, PostingCheck
from treasury.postings import Line, Source, contribution
from treasury.selectors import book_accounts, trial_balance

pytestmark = pytest.mark.django_db


def test_entry_posted_is_numbered_from_one_and_sealed(cast: Cast) -> None:
    first = cast.post(source=Source("trading.fill", "4711"), memo="opening")
    second = cast.post()

    assert (first.posting_seq, second.posting_seq) == (1, 2)
    stored = JournalEntry.objects.get(pk=first.pk)
    assert (stored.source_type, stored.source_id, stored.memo) == ("trading.fill", "4711", "opening")
    assert stored.created_xid == JournalEntry.objects.get(pk=second.pk).created_xid  # one test, one transaction
    assert [line.amount for line in first.lines.all()] == [Decimal(100), Decimal(-100)]
    assert not PostingCheck.objects.exists()


def test_funds_number_their_entries_apart(cast: Cast) -> None:
    cast.post()
    root = Book.objects.get(fund=cast.other_fund, parent=None)
    paper = open_book(parent=root, code="c9", name="Paper", kind=BookKind.COHORT, opened_on=DAY, actor=None)
    lines = contribution(book=book_accounts(paper), asset_id=cast.usdt.pk, amount=Decimal(5))
    other = cast.post(fund=cast.other_fund, lines=lines)
    assert other.posting_seq == 1


def lines_of(cast: Cast, *amounts: str) -> list[Line]:
    accounts = (cast.cash, cast.capital)
    return [Line(accounts[i % 2], cast.usdt.pk, Decimal(amount)) for i, amount in enumerate(amounts)]


@pytest.mark.parametrize(
    ("amounts", "error", "says"),
    [
        (["100", "-99.99"], errors.UnbalancedEntryError, "off by 0.01 in USDT"),
        (["100", "-100.000000000000000001"], errors.UnbalancedEntryError, "off by -0.000000000000000001"),
        (["100"], errors.UnbalancedEntryError, "off by 100 in USDT"),
        ([], errors.EmptyEntryError, "has no lines"),
        (["0", "0"], errors.ZeroLineError, "Leave the line out"),
        (["NaN", "NaN"], errors.NotANumberError, "finite"),
        (["Infinity", "-Infinity"], errors.NotANumberError, "finite"),
        (["1e20", "-1e20"], errors.AmountOutOfRangeError, "20 digits"),
        (["1e-19", "-1e-19"], errors.TooPreciseError, "18 decimals"),
    ],
)
def test_bad_amounts_are_refused(cast: Cast, amounts: list[str], error: type[FundopsError], says: str) -> None:
    with pytest.raises(error, match=says):
        cast.post(lines_of(cast, *amounts))
    assert not JournalEntry.objects.exists()


def test_not_a_number_is_refused_also_twice_on_one_account(cast: Cast) -> None:
    line = Line(cast.cash, cast.usdt.pk, Decimal("NaN"))
    with pytest.raises(errors.NotANumberError):
        cast.post([line, line])


def test_text_too_long_is_refused(cast: Cast) -> None:
    with pytest.raises(errors.TextTooLongError, match="Shorten the memo"):
        cast.post(memo="x" * 241)


def test_floats_are_no_money(cast: Cast) -> None:
    lines: list[Any] = [Line(cast.cash, cast.usdt.pk, 1.5), Line(cast.capital, cast.usdt.pk, -1.5)]  # type: ignore[arg-type]
    with pytest.raises(errors.NotANumberError, match="Decimal"):
        cast.post(lines)


def test_balance_is_asked_of_each_asset(cast: Cast) -> None:
    lines = [Line(cast.cash, cast.usdt.pk, Decimal(10)), Line(cast.capital, cast.btc.pk, Decimal(-10))]
    with pytest.raises(errors.UnbalancedEntryError) as refused:
        cast.post(lines)
    assert refused.value.extra["posting_seq"] == 1
    assert refused.value.extra["asset"] in {"USDT", "BTC"}


def test_unknown_asset_is_refused(cast: Cast) -> None:
    lines = [line._replace(asset_id=987654) for line in cast.balanced()]
    with pytest.raises(errors.UnknownAssetError, match="987654"):
        cast.post(lines)


def test_unknown_account_is_refused(cast: Cast) -> None:
    first, second = cast.balanced()
    with pytest.raises(errors.UnknownAccountError, match="987654"):
        cast.post([first._replace(account_id=987654), second])


def test_unknown_fund_is_refused(cast: Cast) -> None:
    stranger = cast.fund.__class__(pk=987654, code="X", base_asset=cast.usdt, opened_on=OPENED)
    with pytest.raises(errors.UnknownFundError, match="987654"):
        cast.post(fund=stranger)


def test_account_of_another_fund_is_refused(cast: Cast) -> None:
    first, second = cast.balanced()
    with pytest.raises(errors.ForeignAccountError, match="OTHER"):
        cast.post([first._replace(account_id=cast.foreign_cash), second])


def test_closed_book_is_refused(cast: Cast) -> None:
    close_book(book=cast.cohort, actor=None)
    with pytest.raises(errors.ClosedBookError, match="MAIN/c1 is closed since"):
        cast.post()


@pytest.mark.parametrize("value_date", [OPENED - timedelta(days=1), date(2099, 1, 1)])
def test_absurd_value_date_is_refused(cast: Cast, value_date: date) -> None:
    with pytest.raises(errors.ValueDateError, match="value date"):
        cast.post(value_date=value_date)


def test_key_used_again_for_the_same_returns_the_entry_that_is_there(cast: Cast) -> None:
    first = cast.post(idempotency_key="day-1")
    again = cast.post(list(reversed(cast.balanced())), idempotency_key="day-1")
    assert again.pk == first.pk
    assert JournalEntry.objects.count() == 1


@pytest.mark.parametrize("change", [{"memo": "x"}, {"value_date": DAY + timedelta(days=1)}, {"lines": "101"}])
def test_key_used_again_for_another_entry_is_refused(cast: Cast, change: dict[str, Any]) -> None:
    cast.post(idempotency_key="day-1")
    if "lines" in change:
        change = {"lines": cast.balanced(change["lines"])}
    with pytest.raises(errors.DuplicateKeyError, match="entry #1"):
        cast.post(idempotency_key="day-1", **change)


def test_refusal_inside_a_callers_transaction_leaves_it_usable(cast: Cast) -> None:
    with transaction.atomic():
        with pytest.raises(errors.UnbalancedEntryError):
            cast.post(lines_of(cast, "1"))
        kept = cast.post()
    assert kept.posting_seq == 1


def test_booking_time_never_runs_backwards(cast: Cast) -> None:
    now = clock.now()
    with clock.frozen(now):
        first = cast.post()
    with clock.frozen(now - timedelta(hours=3)):
        second = cast.post()
    assert first.booked_at == second.booked_at == now


def test_booking_in_the_future_is_refused(cast: Cast) -> None:
    with (
        clock.frozen(clock.now() + timedelta(days=3)),
        pytest.raises(errors.PostingSequenceError, match="clock"),
    ):
        cast.post()


def test_every_refusal_maps_to_an_error_of_its_own() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.LedgerError)]
    assert len({kind("x").code for kind in kinds}) == len(kinds)
    assert len({kind.title for kind in kinds}) == len(kinds)


def test_trial_balance_after_postings_is_zero_in_every_asset(cast: Cast) -> None:
    cast.post()
    assert trial_balance(fund=cast.fund).is_balanced
    assert JournalLine.objects.count() == 2
    assert cast.fund.entries.get().kind == EntryKind.CONTRIBUTION
