"""Posting: the only writes to the journal.

Each action runs in one transaction (a caller's, if it has one), holds the fund's posting lock until that
transaction commits, and lets the database check its work before it returns, so that a refusal surfaces
here, as its own error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import count, islice, repeat
from typing import Any

import numpy as np
from django.db import connection, transaction

from fundops.core import clock
from fundops.core.bulk import insert_many, order, run
from fundops.core.events import publish
from fundops.core.models import User
from treasury.canonical import CanonicalEntries, canonical_batch, canonical_entry
from treasury.errors import DuplicateKeyError
from treasury.models import EntryKind, Fund, JournalEntry, JournalLine, LedgerAccount, PostingBatch
from treasury.postings import EntryBatch, Line, Source
from treasury.refusals import refusals

_ENTRY_COLUMNS = "id, fund_id, posting_seq, booked_at, value_date, kind, source_type, source_id, memo"
_COPY_ENTRIES = f"COPY treasury_journalentry ({_ENTRY_COLUMNS}) FROM STDIN"
_COPY_LINES = "COPY treasury_journalline (entry_id, account_id, asset_id, amount) FROM STDIN"
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NEEDS_ESCAPE = re.compile(r"[\\\t\n\r]")
_POSTED_BEFORE = "SELECT FROM treasury_postingbatch WHERE fund_id = %s::bigint AND idempotency_key = %s::text LIMIT 1"
_ROOTS = "SELECT id FROM treasury_book WHERE fund_id = %s::bigint AND parent_id IS NULL"
#: Rows sent at a time.
_PIECE = 2_000


@dataclass(frozen=True, slots=True)
class PostedBatch:
    """What a bulk posting made: entry ``i`` of the batch has the posting_seq ``first_seq + i``."""

    batch_id: int
    first_seq: int
    last_seq: int
    entry_count: int
    line_count: int
    digest: str
    replayed: bool


def post_entry(
    *,
    fund: Fund,
    value_date: date,
    kind: EntryKind,
    lines: Sequence[Line],
    idempotency_key: str | None,
    actor: User | None,
    memo: str = "",
    source: Source | None = None,
) -> JournalEntry:
    """Posts one entry. Under a key in use: the existing entry if it is the same, else DuplicateKeyError."""
    form = canonical_entry(value_date=value_date, kind=kind, source=source, memo=memo, lines=lines)
    with refusals(), transaction.atomic():
        next_seq, booked_at = _begin_posting(fund)
        if idempotency_key is not None:
            existing = JournalEntry.objects.filter(fund=fund, idempotency_key=idempotency_key).first()
            if existing is not None:
                if entry_digest(existing) != form.digest():
                    raise DuplicateKeyError(
                        f"The key '{idempotency_key}' belongs to entry #{existing.posting_seq}, which is "
                        "another one. Give each posting a key of its own.",
                        entry_id=existing.pk,
                    )
                return existing
        entry = _insert_entry(
            fund=fund,
            posting_seq=next_seq,
            value_date=value_date,
            booked_at=booked_at,
            kind=kind,
            memo=memo,
            source=source or Source("", ""),
            idempotency_key=idempotency_key,
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO treasury_journalline (entry_id, account_id, asset_id, amount)"
                " SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[])",
                [
                    entry.pk,
                    [line.account_id for line in lines],
                    [line.asset_id for line in lines],
                    [line.amount for line in lines],
                ],
            )
        _check_now()
        _publish_entry("treasury.entry.posted", entry=entry, digest=form.digest(), lines=lines, actor=actor)
    return entry


def reverse_entry(*, entry: JournalEntry, value_date: date, memo: str, actor: User | None) -> JournalEntry:
    """Posts the exact mirror of ``entry``; at most once, and never of a reversal.

    Raises AlreadyReversedError, ReversalOfReversalError, and ValueDateError before the entry's own value
    date.
    """
    with refusals(), transaction.atomic():
        next_seq, booked_at = _begin_posting(entry.fund)
        reversal = _insert_entry(
            fund=entry.fund,
            posting_seq=next_seq,
            value_date=value_date,
            booked_at=booked_at,
            kind=EntryKind.REVERSAL,
            memo=memo,
            source=Source(entry.source_type, entry.source_id),
            idempotency_key=None,
            reverses=entry,
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO treasury_journalline (entry_id, account_id, asset_id, amount)"
                " SELECT %s, account_id, asset_id, -amount FROM treasury_journalline"
                " WHERE entry_id = %s ORDER BY id",
                [reversal.pk, entry.pk],
            )
        _check_now()
        _publish_entry(
            "treasury.entry.reversed",
            entry=reversal,
            digest=entry_digest(reversal),
            lines=entry_lines(reversal),
            actor=actor,
            reverses_seq=entry.posting_seq,
        )
    return reversal


def post_entries(*, fund: Fund, batch: EntryBatch, actor: User | None) -> PostedBatch:
    """Posts a batch through COPY, all or nothing, with one audit event (counts, digest, sequence range)."""
    form = canonical_batch(batch)
    digest = form.digest()
    with refusals(), transaction.atomic():
        ids = _entry_ids(len(form.heads))
        roots = [pk for (pk,) in run(_ROOTS, [fund.pk])]
        first_seq, booked_at = _begin_posting(fund)
        if batch.idempotency_key is not None and run(_POSTED_BEFORE, [fund.pk, batch.idempotency_key]):
            existing = PostingBatch.objects.get(fund=fund, idempotency_key=batch.idempotency_key)
            if existing.digest != digest:
                raise DuplicateKeyError(
                    f"The key '{batch.idempotency_key}' belongs to the entries #{existing.first_seq} to "
                    f"#{existing.last_seq}, which are others. Give each batch a key of its own.",
                    batch_id=existing.pk,
                )
            return _posted(existing, replayed=True)
        _copy_batch(fund=fund, form=form, ids=ids, first_seq=first_seq, booked_at=booked_at)
        made = PostingBatch(
            fund=fund,
            first_seq=first_seq,
            last_seq=first_seq + len(form.heads) - 1,
            entry_count=len(form.heads),
            line_count=len(form.amounts),
            digest=digest,
            booked_at=booked_at,
            idempotency_key=batch.idempotency_key,
        )
        insert_many(PostingBatch, [made], key="first_seq")
        _check_now()
        publish(
            "treasury.batch.posted",
            actor=actor,
            obj=made,
            payload={
                "fund": fund.code,
                "first_seq": made.first_seq,
                "last_seq": made.last_seq,
                "entries": made.entry_count,
                "lines": made.line_count,
                "digest": digest,
                "idempotency_key": batch.idempotency_key,
            },
            topics=_book_topics(roots),
        )
    return _posted(made, replayed=False)


def entry_lines(entry: JournalEntry) -> list[Line]:
    """The lines of a posted entry."""
    found = JournalLine.objects.filter(entry=entry).order_by("id")
    return [Line(*row) for row in found.values_list("account_id", "asset_id", "amount")]


def entry_digest(entry: JournalEntry) -> str:
    """The digest of a posted entry in its canonical form, from the books."""
    return canonical_entry(
        value_date=entry.value_date,
        kind=EntryKind(entry.kind),
        source=Source(entry.source_type, entry.source_id),
        memo=entry.memo,
        lines=entry_lines(entry),
    ).digest()


def _begin_posting(fund: Fund) -> tuple[int, datetime]:
    """Waits for the fund's posting lock; returns the next posting_seq and the booking time."""
    ((next_seq, booked_at),) = run(
        "SELECT next_seq, booking_time FROM treasury_begin_posting(%s::bigint, %s::timestamptz)", [fund.pk, clock.now()]
    )
    return next_seq, booked_at


def _check_now() -> None:
    """Lets the checks that wait for the commit run at once, and later ones of this transaction wait again."""
    order("SET CONSTRAINTS treasury_posting_checked IMMEDIATE; SET CONSTRAINTS treasury_posting_checked DEFERRED")


def _insert_entry(
    *,
    fund: Fund,
    posting_seq: int,
    value_date: date,
    booked_at: datetime,
    kind: EntryKind,
    memo: str,
    source: Source,
    idempotency_key: str | None,
    reverses: JournalEntry | None = None,
) -> JournalEntry:
    entry = JournalEntry(
        fund=fund,
        posting_seq=posting_seq,
        value_date=value_date,
        booked_at=booked_at,
        kind=kind,
        memo=memo,
        source_type=source.type,
        source_id=source.id,
        idempotency_key=idempotency_key,
        reverses=reverses,
    )
    entry.save(force_insert=True)
    return entry


def _entry_ids(count: int) -> list[int]:
    """So many ids for entries; taken before the posting lock, for they need not follow on one another."""
    ((ids,),) = run(
        "SELECT array_agg(nextval('treasury_journalentry_id_seq')) FROM generate_series(1, %s::bigint)", [count]
    )
    return list(ids or [])


def _copy_batch(*, fund: Fund, form: CanonicalEntries, ids: Sequence[int], first_seq: int, booked_at: datetime) -> None:
    with connection.cursor() as cursor:
        heads = zip(*form.heads, strict=True)
        entries = zip(
            map(str, ids),
            repeat(str(fund.pk)),
            map(str, count(first_seq)),
            repeat(booked_at.isoformat()),
            *(_escaped(column) for column in heads),
            strict=False,
        )
        _copy(cursor, _COPY_ENTRIES, entries, end="\n")
        lines = zip(
            map(str, np.asarray(ids)[form.line_entries].tolist()),
            map(str, form.account_ids.tolist()),
            map(str, form.asset_ids.tolist()),
            form.amounts,
            strict=True,
        )
        _copy(cursor, _COPY_LINES, lines, end="e-18\n")  # the amounts are whole 10**-18


def _escaped(column: Sequence[str]) -> Iterable[str]:
    """A text column as COPY wants it; most hold nothing to escape, which one look over all of it tells."""
    if _NEEDS_ESCAPE.search("".join(column)) is None:
        return column
    return [text.translate(_ESCAPES) for text in column]


def _copy(cursor: Any, statement: str, rows: Iterable[tuple[str, ...]], *, end: str) -> None:
    """Streams rows piece by piece, so that the database reads one while the next is being written."""
    lines = map("\t".join, rows)
    # Django does not turn COPY's errors into its own by itself.
    with connection.wrap_database_errors, cursor.copy(statement) as copy:
        while piece := list(islice(lines, _PIECE)):
            copy.write(end.join(piece) + end)


def _publish_entry(
    kind: str,
    *,
    entry: JournalEntry,
    digest: str,
    lines: Sequence[Line],
    actor: User | None,
    **more: Any,
) -> None:
    accounts = {line.account_id for line in lines}
    books = LedgerAccount.objects.filter(pk__in=accounts).values_list("book_id", flat=True)
    publish(
        kind,
        actor=actor,
        obj=entry,
        payload={
            "fund": entry.fund.code,
            "posting_seq": entry.posting_seq,
            "kind": entry.kind,
            "value_date": entry.value_date,
            "source": [entry.source_type, entry.source_id],
            "lines": len(lines),
            "digest": digest,
            **more,
        },
        topics=_book_topics(books),
    )


def _book_topics(book_ids: Iterable[int]) -> list[str]:
    return [f"book:{pk}" for pk in sorted(set(book_ids))]


def _posted(batch: PostingBatch, *, replayed: bool) -> PostedBatch:
    return PostedBatch(
        batch_id=batch.pk,
        first_seq=batch.first_seq,
        last_seq=batch.last_seq,
        entry_count=batch.entry_count,
        line_count=batch.line_count,
        digest=batch.digest,
        replayed=replayed,
    )
