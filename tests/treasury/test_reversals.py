"""Corrections: an exact mirror, once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from compliance.models import AuditEvent
from tests.treasury.conftest import DAY, Cast
from treasury import errors
from treasury.actions.books import close_book
from treasury.actions.ledger import entry_lines, reverse_entry
from treasury.models import EntryKind
from treasury.postings import Source, fill
from treasury.selectors import balances, entries_of_source, entry_detail

pytestmark = pytest.mark.django_db


def test_reversal_mirrors_every_line_and_empties_the_books(cast: Cast) -> None:
    lines = fill(
        book=cast.cohort_accounts,
        base_asset_id=cast.btc.pk,
        quote_asset_id=cast.usdt.pk,
        quantity=Decimal("0.5"),
        quote_amount=Decimal("20000.25"),
        fee=Decimal("8.1"),
    )
    entry = cast.post(lines, kind=EntryKind.FILL, source=Source("trading.fill", "9"))
    reversal = reverse_entry(entry=entry, value_date=DAY + timedelta(days=2), memo="wrong venue", actor=None)

    assert [line._replace(amount=-line.amount) for line in entry_lines(reversal)] == entry_lines(entry)
    assert balances(books=cast.cohort) == []
    assert len(balances(books=cast.cohort, as_of=DAY)) == 5  # cash, fees, position, trading in two assets
    traced = entries_of_source(fund=cast.fund, source_type="trading.fill", source_id="9")
    assert set(traced) == {entry, reversal}
    assert entry_detail(entry_id=entry.pk).reversed_by == reversal
    assert AuditEvent.objects.get(kind="treasury.entry.reversed").payload["reverses_seq"] == 1


def test_second_reversal_is_refused(cast: Cast) -> None:
    entry = cast.post()
    reverse_entry(entry=entry, value_date=DAY, memo="", actor=None)
    with pytest.raises(errors.AlreadyReversedError, match="reversed already"):
        reverse_entry(entry=entry, value_date=DAY, memo="", actor=None)


def test_reversal_of_a_reversal_is_refused(cast: Cast) -> None:
    reversal = reverse_entry(entry=cast.post(), value_date=DAY, memo="", actor=None)
    with pytest.raises(errors.ReversalOfReversalError, match="Post the movement again"):
        reverse_entry(entry=reversal, value_date=DAY, memo="", actor=None)


def test_reversal_before_its_entry_is_refused(cast: Cast) -> None:
    with pytest.raises(errors.ValueDateError, match="before its entry's"):
        reverse_entry(entry=cast.post(), value_date=DAY - timedelta(days=1), memo="", actor=None)


def test_entry_on_a_book_closed_since_is_not_reversed(cast: Cast) -> None:
    entry = cast.post()
    cast.post(cast.balanced("-100"))
    close_book(book=cast.cohort, actor=None)
    with pytest.raises(errors.ClosedBookError):
        reverse_entry(entry=entry, value_date=DAY, memo="", actor=None)
