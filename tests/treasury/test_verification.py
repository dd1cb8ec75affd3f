"""Tampering as a superuser, with every rule switched off, is found afterwards."""

from __future__ import annotations

import json
from decimal import Decimal
from io import StringIO
from typing import Any, LiteralString

import psycopg
import pytest
from django.core.management import call_command

from tests.treasury.conftest import DAY, Cast
from treasury.actions.ledger import post_entries, reverse_entry
from treasury.models import EntryKind
from treasury.postings import EntryBatch
from treasury.verification import verify_ledger


@pytest.fixture
def books(live_cast: Cast) -> Cast:
    """#1 a contribution, #2 to #4 a batch, #5 a contribution, #6 its reversal."""
    live_cast.post()
    batch = EntryBatch(
        value_dates=DAY,
        kinds=EntryKind.CONTRIBUTION,
        line_entries=[0, 0, 1, 1, 2, 2],
        account_ids=[live_cast.cash, live_cast.capital] * 3,
        asset_ids=[live_cast.usdt.pk] * 6,
        amounts=[Decimal(n) for n in (1, -1, 2, -2, 3, -3)],
        idempotency_key="b",
    )
    post_entries(fund=live_cast.fund, batch=batch, actor=None)
    reverse_entry(entry=live_cast.post(memo="mistake"), value_date=DAY, memo="", actor=None)
    return live_cast


def test_books_left_alone_are_intact(books: Cast) -> None:
    verdict = verify_ledger(fund=books.fund)
    assert verdict.intact, verdict.findings
    assert (verdict.entries, verdict.lines) == (6, 12)


TAMPERINGS: list[tuple[LiteralString, set[tuple[str, int]]]] = [
    (
        "UPDATE treasury_journalline SET amount = amount * 2 WHERE entry_id = "
        "(SELECT id FROM treasury_journalentry WHERE posting_seq = 1)",
        {("changed", 1)},
    ),
    (
        "UPDATE treasury_journalline SET amount = amount * 2 WHERE entry_id = "
        "(SELECT id FROM treasury_journalentry WHERE posting_seq = 3)",
        {("changed", 2)},
    ),
    (
        "UPDATE treasury_journalline SET amount = amount + 1 WHERE amount > 0 AND entry_id = "
        "(SELECT id FROM treasury_journalentry WHERE posting_seq = 6)",
        {("unbalanced", 6), ("changed", 6)},
    ),
    ("UPDATE treasury_journalentry SET value_date = '2024-03-04' WHERE posting_seq = 5", {("changed", 5)}),
    ("UPDATE treasury_journalentry SET memo = 'other' WHERE posting_seq = 4", {("changed", 2)}),
    (
        "DELETE FROM treasury_journalline WHERE entry_id = "
        "(SELECT id FROM treasury_journalentry WHERE posting_seq = 1)",
        {("empty", 1), ("changed", 1)},
    ),
    ("DELETE FROM treasury_journalentry WHERE posting_seq = 5", {("gap", 6), ("missing", 5)}),
    ("DELETE FROM treasury_journalentry WHERE posting_seq = 6", {("missing", 6)}),
    (
        "UPDATE treasury_journalline SET account_id = (SELECT min(a.id) FROM treasury_ledgeraccount a"
        " JOIN treasury_book b ON b.id = a.book_id WHERE b.path = 'OTHER')"
        " WHERE amount > 0 AND entry_id = (SELECT id FROM treasury_journalentry WHERE posting_seq = 1)",
        {("stray", 1), ("changed", 1)},
    ),
    (
        "WITH e AS (INSERT INTO treasury_journalentry (fund_id, posting_seq, value_date, booked_at, kind)"
        " SELECT fund_id, 7, value_date, booked_at, 'adjustment' FROM treasury_journalentry"
        " WHERE posting_seq = 1 RETURNING id)"
        " INSERT INTO treasury_journalline (entry_id, account_id, asset_id, amount)"
        " SELECT e.id, l.account_id, l.asset_id, l.amount FROM e, treasury_journalline l WHERE l.entry_id ="
        " (SELECT id FROM treasury_journalentry WHERE posting_seq = 1)",
        {("unrecorded", 7)},
    ),
]


@pytest.mark.parametrize(("tampering", "expected"), TAMPERINGS)
def test_tampering_is_found(
    tampering: LiteralString,
    expected: set[tuple[str, int]],
    books: Cast,
    superuser: psycopg.Connection[Any],
) -> None:
    superuser.execute("SET session_replication_role = replica")
    assert superuser.execute(tampering).rowcount > 0
    findings = verify_ledger(fund=books.fund).findings
    assert {(finding.code, finding.posting_seq) for finding in findings} == expected
    assert verify_ledger(fund=books.other_fund).intact


def test_command_tells_and_ends_with_status_one(books: Cast, superuser: psycopg.Connection[Any]) -> None:
    out = StringIO()
    call_command("verify_ledger", stdout=out)
    assert out.getvalue().splitlines() == [
        "MAIN: 6 entries, 12 lines: intact",
        "OTHER: 0 entries, 0 lines: intact",
    ]
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE treasury_journalentry SET memo = 'x' WHERE posting_seq = 1")
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify_ledger", "MAIN", "--json", stdout=out)
    assert ended.value.code == 1
    (verdict,) = json.loads(out.getvalue())
    assert (verdict["intact"], verdict["findings"][0]["code"]) == (False, "changed")
