"""What no action of ours would try still comes back as the books' own error: its reason, and what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction

from tests.treasury.conftest import DAY, Cast
from treasury import errors
from treasury.models import Asset, JournalEntry, JournalLine, PostingBatch
from treasury.refusals import refusals

Attempt = Callable[[Cast, JournalEntry], object]


def raw_line(cast: Cast, entry_id: int) -> JournalLine:
    return JournalLine.objects.create(entry_id=entry_id, account_id=cast.cash, asset=cast.usdt, amount=1)


def raw_entry(cast: Cast, **fields: object) -> JournalEntry:
    entry = JournalEntry.objects.get()
    row = {
        "fund": cast.fund,
        "posting_seq": 2,
        "value_date": DAY,
        "booked_at": entry.booked_at,
        "kind": "adjustment",
    }
    return JournalEntry.objects.create(**(row | fields))


def raw_reversal(cast: Cast, entry: JournalEntry) -> None:
    reversal = raw_entry(cast, kind="reversal", reverses=entry)
    for amount, account in ((-1, cast.cash), (1, cast.capital)):
        JournalLine.objects.create(entry=reversal, account_id=account, asset=cast.usdt, amount=amount)


def at_repeatable_read(cast: Cast, entry: JournalEntry) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    raw_entry(cast)


def forged_batch(cast: Cast, entry: JournalEntry) -> None:
    PostingBatch.objects.create(
        fund=cast.fund,
        first_seq=1,
        last_seq=1,
        entry_count=1,
        line_count=2,
        digest="",
        booked_at=entry.booked_at,
        idempotency_key="k",
    )


ATTEMPTS: list[tuple[Attempt, type[errors.LedgerError], str]] = [
    (lambda cast, entry: raw_line(cast, entry.pk), errors.SealedEntryError, "reverse it first"),
    (lambda cast, entry: raw_line(cast, 987654), errors.UnknownEntryError, "Post the entry before its lines"),
    (
        lambda cast, entry: raw_entry(cast, posting_seq=9),
        errors.PostingSequenceError,
        "treasury_begin_posting",
    ),
    (lambda cast, entry: raw_entry(cast, posting_seq=1), errors.PostingSequenceError, "is taken"),
    (lambda cast, entry: raw_entry(cast, created_xid=5), errors.SealedEntryError, "Leave created_xid"),
    (lambda cast, entry: raw_entry(cast), errors.EmptyEntryError, "together with its lines"),
    (raw_reversal, errors.ReversalMismatchError, "Use reverse_entry"),
    (at_repeatable_read, errors.PostingIsolationError, "READ COMMITTED"),
    (forged_batch, errors.SealedEntryError, "Use post_entries"),
    (lambda cast, entry: Asset.objects.update(code="X"), errors.ImmutableLedgerError, "Register a new one"),
    (lambda cast, entry: cast.btc.delete(), errors.ImmutableLedgerError, "only ever added to"),
]


@pytest.mark.parametrize(("attempt", "error", "says"), ATTEMPTS)
def test_refusal_of_the_database_becomes_its_own_error(
    live_cast: Cast, attempt: Attempt, error: type[errors.LedgerError], says: str
) -> None:
    entry = live_cast.post()
    with pytest.raises(error, match=says) as refused, refusals(), transaction.atomic():
        attempt(live_cast, entry)
    assert refused.value.__cause__ is not None
    assert JournalLine.objects.count() == 2


def test_other_database_errors_pass_through(live_cast: Cast) -> None:
    with pytest.raises(IntegrityError), refusals(), transaction.atomic():
        Asset.objects.create(code="BTC", name="", kind="crypto")
