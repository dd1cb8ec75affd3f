"""What Books hold, kept up to date: always what the journal says, whatever was read before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from fundops.core import clock
from risk import ledger_held
from risk.ledger_held import Held, held_amounts
from tests.trading.risk.test_risk_source import NOW, stretch
from trading.models.cohort import Cohort
from treasury.models import Book, Fund, JournalEntry
from treasury.models.books import EQUITY_KINDS
from treasury.selectors import By, balances


def from_scratch(fund: Fund) -> Held:
    """The plain sum over the whole journal."""
    out: Held = {}
    for b in balances(books=Book.objects.filter(fund=fund), by=(By.BOOK, By.KIND)):
        if b.kind in EQUITY_KINDS and b.book_id is not None:
            held = out.setdefault(b.book_id, {})
            held[b.asset] = held.get(b.asset, Decimal(0)) + b.amount
    return {pk: {asset: amount for asset, amount in held.items() if amount} for pk, held in out.items()}


def kept(fund: Fund) -> Held:
    found = held_amounts({fund.pk: list(Book.objects.filter(fund=fund).values_list("pk", flat=True))}, NOW)
    return {pk: dict(held) for pk, held in found.items()}


def test_each_reading_adds_what_was_posted_since(launched: Callable[..., Cohort]) -> None:
    cohort = launched()
    assert kept(cohort.fund) == {}
    for bars in (200, 200, 300):
        stretch(cohort, bars)
        assert kept(cohort.fund) == from_scratch(cohort.fund) != {}
        assert kept(cohort.fund) == from_scratch(cohort.fund), "read twice"


def test_what_was_read_and_taken_back_is_forgotten(launched: Callable[..., Cohort]) -> None:
    cohort = launched()
    stretch(cohort, 100)
    before = kept(cohort.fund)
    with transaction.atomic():
        stretch(cohort, 500)
        assert kept(cohort.fund) != before
        transaction.set_rollback(True)
    assert kept(cohort.fund) == before
    stretch(cohort, 250)
    assert kept(cohort.fund) == from_scratch(cohort.fund)


def test_the_past_is_read_as_it_was_known(launched: Callable[..., Cohort]) -> None:
    cohort = launched()
    stretch(cohort, 100)
    then, before = clock.now(), kept(cohort.fund)
    with clock.frozen(then + timedelta(hours=1)):
        stretch(cohort, 500)
    assert kept(cohort.fund) == from_scratch(cohort.fund) != before
    ids = list(Book.objects.filter(fund=cohort.fund).values_list("pk", flat=True))
    assert {pk: dict(h) for pk, h in held_amounts({cohort.fund.pk: ids}, then).items()} == before
    assert held_amounts({cohort.fund.pk: ids}, then - timedelta(days=365)) == {}


def test_a_second_reading_sums_only_what_is_new(launched: Callable[..., Cohort]) -> None:
    cohort = launched()
    stretch(cohort, 600)
    kept(cohort.fund)
    with CaptureQueriesContext(connection) as again:
        kept(cohort.fund)
    assert not [q for q in again if "SUM(" in q["sql"]]
    last = (
        JournalEntry.objects.filter(fund=cohort.fund).order_by("-posting_seq").values_list("posting_seq", flat=True)[0]
    )
    stretch(cohort, 300)
    with CaptureQueriesContext(connection) as more:
        kept(cohort.fund)
    (summed,) = [q["sql"] for q in more if "SUM(" in q["sql"]]
    assert f'"posting_seq" > {last}' in summed


@pytest.fixture(autouse=True)
def fresh() -> None:
    ledger_held.forget()
