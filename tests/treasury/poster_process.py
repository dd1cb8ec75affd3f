"""A real poster in a process of its own, for the tests that kill it or run several at once.

    python -m tests.treasury.poster_process FUND MODE COUNT

Posts COUNT times to the cohort's book of FUND: MODE ``single`` (an entry a transaction), ``bulk`` (a batch of
50 a transaction) or ``hold`` (COUNT entries in one transaction, which then waits for standard input to
commit). Prints the last posting_seq after each posting. The database is DATABASE_URL's.
"""

from __future__ import annotations

import os
import sys
from datetime import date
from decimal import Decimal

import django

BATCH = 50


def main(fund_code: str, mode: str, count: int) -> None:
    """Posts as asked; imports come after Django is set up."""
    from django.db import transaction  # noqa: PLC0415

    from treasury.actions.ledger import post_entries, post_entry  # noqa: PLC0415
    from treasury.models import AccountKind, Book, EntryKind, Fund  # noqa: PLC0415
    from treasury.postings import EntryBatch, contribution  # noqa: PLC0415
    from treasury.selectors import book_accounts  # noqa: PLC0415

    fund = Fund.objects.get(code=fund_code)
    accounts = book_accounts(Book.objects.get(path=f"{fund_code}/c1"))
    day = date(2024, 2, 2)

    def single() -> int:
        lines = contribution(book=accounts, asset_id=fund.base_asset_id, amount=Decimal("0.01"))
        return post_entry(
            fund=fund,
            value_date=day,
            kind=EntryKind.CONTRIBUTION,
            lines=lines,
            idempotency_key=None,
            actor=None,
        ).posting_seq

    def bulk(number: int) -> int:
        batch = EntryBatch(
            value_dates=day,
            kinds=EntryKind.CONTRIBUTION,
            line_entries=[i for i in range(BATCH) for _ in range(2)],
            account_ids=[accounts[AccountKind.CASH], accounts[AccountKind.CAPITAL]] * BATCH,
            asset_ids=[fund.base_asset_id] * (2 * BATCH),
            amounts=[Decimal("0.01"), Decimal("-0.01")] * BATCH,
            idempotency_key=f"process {os.getpid()}, batch {number}",
        )
        return post_entries(fund=fund, batch=batch, actor=None).last_seq

    if mode == "hold":
        with transaction.atomic():
            for _ in range(count):
                _say(single())
            sys.stdin.readline()
        return
    for number in range(count):
        _say(single() if mode == "single" else bulk(number))


def _say(seq: int) -> None:
    sys.stdout.write(f"{seq}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
