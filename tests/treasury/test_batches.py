"""Bulk postings: the same rules, all or nothing, replayable."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from compliance.models import AuditEvent
from fundops.core.errors import FundopsError
from tests.treasury.conftest import DAY, OPENED, Cast
from treasury import errors
from treasury.actions.books import close_book
from treasury.actions.ledger import PostedBatch, post_entries
from treasury.canonical import canonical_batch
from treasury.models import EntryKind, JournalEntry, JournalLine, PostingBatch
from treasury.postings import EntryBatch
from treasury.selectors import By, balances, batch_digest, trial_balance

pytestmark = pytest.mark.django_db


def batch_of(cast: Cast, *, entries: int = 3, **changes: Any) -> EntryBatch:
    """Entry i contributes i + 1 USDT to the cohort's book."""
    amounts = [Decimal(sign * (i + 1)) for i in range(entries) for sign in (1, -1)]
    columns: dict[str, Any] = {
        "value_dates": DAY,
        "kinds": EntryKind.CONTRIBUTION,
        "line_entries": np.repeat(np.arange(entries), 2),
        "account_ids": [cast.cash, cast.capital] * entries,
        "asset_ids": [cast.usdt.pk] * (2 * entries),
        "amounts": amounts,
        "idempotency_key": "batch",
    }
    return EntryBatch(**(columns | changes))


def post(cast: Cast, batch: EntryBatch) -> PostedBatch:
    return post_entries(fund=cast.fund, batch=batch, actor=None)


def test_batch_posts_entries_in_order_under_one_record_and_one_event(cast: Cast) -> None:
    cast.post()
    posted = post(
        cast,
        batch_of(
            cast,
            value_dates=[DAY, DAY + timedelta(days=1), DAY],
            kinds=[EntryKind.DRAW, EntryKind.FILL, EntryKind.FEE],
            source_type="trading.fill",
            source_ids=["f1", "tab\there", "back\\slash\nline"],
            memos=["", "", "\\N"],
        ),
    )

    assert (posted.first_seq, posted.last_seq, posted.entry_count, posted.line_count) == (2, 4, 3, 6)
    rows = JournalEntry.objects.filter(posting_seq__gte=2).values_list(
        "posting_seq", "value_date", "kind", "source_type", "source_id", "memo"
    )
    assert list(rows) == [
        (2, DAY, "draw", "trading.fill", "f1", ""),
        (3, DAY + timedelta(days=1), "fill", "trading.fill", "tab\there", ""),
        (4, DAY, "fee", "trading.fill", "back\\slash\nline", "\\N"),
    ]
    record = PostingBatch.objects.get(pk=posted.batch_id)
    assert record.digest == posted.digest == batch_digest(record)
    event = AuditEvent.objects.get(kind="treasury.batch.posted")
    assert event.payload["digest"] == posted.digest
    assert (event.payload["first_seq"], event.payload["last_seq"]) == (2, 4)


def test_integer_units_post_the_same_as_decimals(cast: Cast) -> None:
    units = np.array([1, -1, 123456789, -123456789], dtype=np.int64)
    decimals = [Decimal(int(u)).scaleb(-8) for u in units]
    first = post(cast, batch_of(cast, entries=2, amounts=units, amount_places=8))
    second = post(cast, batch_of(cast, entries=2, amounts=decimals, idempotency_key="other"))
    assert first.digest == second.digest
    (cash,) = balances(books=cast.cohort, by=[By.ACCOUNT])[:1]
    assert cash.amount == 2 * Decimal("1.23456790")


def test_batch_posted_again_does_nothing(cast: Cast) -> None:
    first = post(cast, batch_of(cast))
    again = post(cast, batch_of(cast))
    assert again.replayed
    assert (again.batch_id, again.first_seq, again.last_seq) == (first.batch_id, 1, 3)
    assert JournalEntry.objects.count() == 3


def test_other_batch_under_the_same_key_is_refused(cast: Cast) -> None:
    post(cast, batch_of(cast))
    with pytest.raises(errors.DuplicateKeyError, match="#1 to #3"):
        post(cast, batch_of(cast, memos="changed"))


def spoiled(cast: Cast, column: str, value: Any) -> EntryBatch:
    """A good batch but for one value in the middle of it."""
    good = batch_of(cast, entries=50)
    values = list(getattr(good, column))
    values[51] = value
    return batch_of(cast, entries=50, **{column: values})


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("amounts", Decimal(1), errors.UnbalancedEntryError),
        ("amounts", Decimal(0), errors.ZeroLineError),
        ("amounts", Decimal("NaN"), errors.NotANumberError),
        ("amounts", Decimal("1e20"), errors.AmountOutOfRangeError),
        ("amounts", Decimal("1e-19"), errors.TooPreciseError),
        ("asset_ids", 987654, errors.UnknownAssetError),
        ("account_ids", 987654, errors.UnknownAccountError),
    ],
)
def test_one_bad_line_refuses_the_whole_batch(cast: Cast, column: str, value: Any, error: type[FundopsError]) -> None:
    with pytest.raises(error):
        post(cast, spoiled(cast, column, value))
    assert not JournalEntry.objects.exists()
    assert not JournalLine.objects.exists()


def test_foreign_account_closed_book_and_absurd_date_refuse_the_batch(cast: Cast) -> None:
    with pytest.raises(errors.ForeignAccountError):
        post(cast, spoiled(cast, "account_ids", cast.foreign_cash))
    with pytest.raises(errors.ValueDateError):
        post(cast, batch_of(cast, value_dates=OPENED - timedelta(days=1)))
    close_book(book=cast.cohort, actor=None)
    with pytest.raises(errors.ClosedBookError):
        post(cast, batch_of(cast))


def test_entry_without_lines_refuses_the_batch(cast: Cast) -> None:
    with pytest.raises(errors.EmptyEntryError, match="Entry #2"):
        post(cast, batch_of(cast, line_entries=[0, 0, 2, 2, 2, 2], memos=["", "", ""]))


@pytest.mark.parametrize(
    "changes",
    [
        {"line_entries": [0, 0, 1, 1, 2]},
        {"line_entries": [0, 0, 2, 2, 1, 1]},
        {"line_entries": [-1, -1, 0, 0, 1, 1]},
        {"memos": ["only one"]},
        {"memos": ["a", "b", "c"], "source_ids": ["a", "b"]},
        {"amounts": np.zeros(6)},
        {"amounts": np.ones(6, dtype=np.int64), "amount_places": 19},
    ],
)
def test_columns_that_do_not_fit_are_refused(cast: Cast, changes: dict[str, Any]) -> None:
    with pytest.raises(errors.BatchShapeError):
        post(cast, batch_of(cast, **changes))


def test_digest_tells_texts_apart_that_hold_separators(cast: Cast) -> None:
    first, second = (
        canonical_batch(batch_of(cast, entries=2, memos=memos)).digest() for memos in (['a","b', "c"], ["a", 'b","c'])
    )
    assert first != second


def test_batch_of_nothing_is_refused(cast: Cast) -> None:
    with pytest.raises(errors.EmptyEntryError):
        post(cast, batch_of(cast, entries=0))


def test_single_postings_follow_a_batch_without_a_gap(cast: Cast) -> None:
    post(cast, batch_of(cast, entries=1000))
    assert cast.post().posting_seq == 1001
    assert trial_balance(fund=cast.fund).last_seq == 1001
