"""Random postings against a naive model of the books that keeps everything in a list and adds it up."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Context, Decimal, localcontext
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fundops.core import clock
from fundops.core.errors import FundopsError
from tests.treasury.conftest import OPENED, Cast
from treasury import errors
from treasury.actions.ledger import post_entries, reverse_entry
from treasury.models import AccountKind, Book, EntryKind, JournalEntry, JournalLine, LedgerAccount, PostingBatch
from treasury.postings import EntryBatch, Line
from treasury.selectors import By, balances, batch_digest, trial_balance

pytestmark = pytest.mark.django_db

DAYS = 5
ACCOUNTS = 6
#: Python rounds to 28 digits by default: less than the ledger keeps.
EXACT = Context(prec=60)
relaxed = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)

amounts = st.decimals(
    min_value=Decimal("-1e12"), max_value=Decimal("1e12"), places=18, allow_nan=False, allow_infinity=False
).filter(bool)
#: (from account, to account, asset, amount)
moves = st.tuples(st.integers(0, ACCOUNTS - 1), st.integers(0, ACCOUNTS - 1), st.integers(0, 1), amounts)
entries = st.tuples(st.integers(0, DAYS - 1), st.lists(moves, min_size=1, max_size=4))
operations = st.lists(
    st.tuples(
        st.integers(0, 3),  # minutes since the last one
        st.one_of(
            st.tuples(st.just("single"), entries),
            st.tuples(st.just("bulk"), st.lists(entries, min_size=1, max_size=6)),
            st.tuples(st.just("reverse"), st.integers(0, 30)),
            st.tuples(st.just("spoiled"), entries),
        ),
    ),
    min_size=1,
    max_size=12,
)


@dataclass
class Posted:
    """What the model remembers of an entry."""

    value_date: date
    booked_at: datetime
    lines: list[Line]
    is_reversal: bool = False
    reversed: bool = False


@dataclass
class NaiveBooks:
    """The specification: a list, and sums over it."""

    entries: list[Posted] = field(default_factory=list)

    def balances(
        self, *, as_of: date | None = None, as_known: datetime | int | None = None
    ) -> dict[tuple[int, int], Decimal]:
        sums: dict[tuple[int, int], Decimal] = defaultdict(Decimal)
        for seq, entry in enumerate(self.entries, 1):
            if as_of is not None and entry.value_date > as_of:
                continue
            if isinstance(as_known, datetime) and entry.booked_at > as_known:
                continue
            if isinstance(as_known, int) and seq > as_known:
                continue
            with localcontext(EXACT):
                for line in entry.lines:
                    sums[line.account_id, line.asset_id] += line.amount
        return {key: amount for key, amount in sums.items() if amount}


def lines_of(cast: Cast, accounts: list[int], wanted: list[tuple[int, int, int, Decimal]]) -> list[Line]:
    assets = (cast.usdt.pk, cast.btc.pk)
    return [
        line
        for source, target, asset, amount in wanted
        for line in (
            Line(accounts[source], assets[asset], amount.copy_negate()),
            Line(accounts[target], assets[asset], amount),
        )
    ]


def batch_of(cast: Cast, rows: list[tuple[date, list[Line]]], key: str) -> EntryBatch:
    numbered = [(i, line) for i, (_, lines) in enumerate(rows) for line in lines]
    return EntryBatch(
        value_dates=[day for day, _ in rows],
        kinds=EntryKind.ADJUSTMENT,
        line_entries=[i for i, _ in numbered],
        account_ids=[line.account_id for _, line in numbered],
        asset_ids=[line.asset_id for _, line in numbered],
        amounts=[line.amount for _, line in numbered],
        idempotency_key=key,
    )


def perform(cast: Cast, accounts: list[int], model: NaiveBooks, at: datetime, name: str, what: Any) -> None:
    """Does one operation to the books and to the model."""
    if name in {"single", "spoiled"}:
        day, lines = OPENED + timedelta(days=what[0]), lines_of(cast, accounts, what[1])
        if name == "spoiled":
            off = EXACT.add(lines[0].amount, Decimal("1e-18"))
            with pytest.raises((errors.UnbalancedEntryError, errors.ZeroLineError)):
                cast.post(
                    [lines[0]._replace(amount=off), *lines[1:]],
                    value_date=day,
                )
            return
        cast.post(lines, value_date=day)
        model.entries.append(Posted(day, at, lines))
    elif name == "bulk":
        rows = [(OPENED + timedelta(days=day), lines_of(cast, accounts, wanted)) for day, wanted in what]
        batch = batch_of(cast, rows, key=f"batch-{len(model.entries)}")
        post_entries(fund=cast.fund, batch=batch, actor=None)
        model.entries += [Posted(day, at, lines) for day, lines in rows]
    elif model.entries:
        index = what % len(model.entries)
        target = model.entries[index]
        entry = JournalEntry.objects.get(fund=cast.fund, posting_seq=index + 1)
        day = max(target.value_date, OPENED + timedelta(days=DAYS))
        if target.reversed or target.is_reversal:
            with pytest.raises((errors.AlreadyReversedError, errors.ReversalOfReversalError)):
                reverse_entry(entry=entry, value_date=day, memo="", actor=None)
            return
        reverse_entry(entry=entry, value_date=day, memo="", actor=None)
        target.reversed = True
        mirror = [line._replace(amount=line.amount.copy_negate()) for line in target.lines]
        model.entries.append(Posted(day, at, mirror, is_reversal=True))


@relaxed
@given(script=operations, day=st.integers(-1, DAYS + 1), known=st.integers(0, 40), minutes=st.integers(-1, 40))
def test_books_say_what_the_naive_model_says(cast: Cast, script: list[Any], day: int, known: int, minutes: int) -> None:
    own = Book.objects.below(cast.cohort)  # paper, where postings need no approved request
    accounts = list(LedgerAccount.objects.filter(book__in=own).values_list("pk", flat=True)[:ACCOUNTS])
    books = list(cast.fund.books.all())
    start = datetime(2024, 6, 1, tzinfo=clock.now().tzinfo)
    model = NaiveBooks()
    with transaction.atomic():
        at = start
        for pause, (name, what) in script:
            at += timedelta(minutes=pause)
            with clock.frozen(at):
                perform(cast, accounts, model, at, name, what)

        as_of = OPENED + timedelta(days=day)
        views: tuple[dict[str, Any], ...] = (
            {},
            {"as_of": as_of},
            {"as_known": known},
            {"as_known": start + timedelta(minutes=minutes)},
            {"as_of": as_of, "as_known": known},
        )
        for seen in views:
            found = balances(books=books, by=[By.ACCOUNT], **seen)
            assert {(b.account_id, b.asset_id): b.amount for b in found} == model.balances(**seen)
            assert trial_balance(fund=cast.fund, **seen).is_balanced
        seqs = JournalEntry.objects.filter(fund=cast.fund).order_by("posting_seq")
        assert list(seqs.values_list("posting_seq", flat=True)) == list(range(1, len(model.entries) + 1))
        assert all(batch_digest(batch) == batch.digest for batch in PostingBatch.objects.all())
        transaction.set_rollback(True)


def expected_refusals(lines: list[tuple[int, int, Decimal]], *, accounts: int, assets: int) -> set[type[FundopsError]]:
    """All that is wrong with an entry of (account, asset, amount); any of it may be what is reported."""
    found: set[type[FundopsError]] = set()
    if not lines:
        return {errors.EmptyEntryError}
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for account, asset, amount in lines:
        sums[asset] += amount
        if account >= accounts:
            found.add(errors.UnknownAccountError)
        if asset >= assets:
            found.add(errors.UnknownAssetError)
        if amount == 0:
            found.add(errors.ZeroLineError)
    if any(sums.values()):
        found.add(errors.UnbalancedEntryError)
    return found


@relaxed
@given(
    lines=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-2, 2).map(Decimal)), max_size=5),
    in_bulk=st.booleans(),
)
def test_entry_is_accepted_exactly_when_nothing_is_wrong_with_it(
    cast: Cast, lines: list[tuple[int, int, Decimal]], in_bulk: bool
) -> None:
    accounts = [cast.cash, cast.capital, cast.agent_accounts[0][AccountKind.CASH], 987654]
    assets = [cast.usdt.pk, cast.btc.pk, 987654]
    real = [Line(accounts[account], assets[asset], amount) for account, asset, amount in lines]
    wrong = expected_refusals(lines, accounts=3, assets=2)

    def post() -> None:
        if in_bulk:
            good = (OPENED, cast.balanced("3"))
            batch = batch_of(cast, [good, (OPENED, real), good], key="k")
            post_entries(fund=cast.fund, batch=batch, actor=None)
        else:
            cast.post(real)

    with transaction.atomic():
        if wrong:
            with pytest.raises(tuple(wrong)):
                post()
            assert not JournalEntry.objects.exists()
            assert not JournalLine.objects.exists()
        else:
            post()
            assert JournalLine.objects.count() == len(real) + (4 if in_bulk else 0)
        transaction.set_rollback(True)
