"""Posting: the only writes to the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from fundops.core.models import User
from treasury.models import EntryKind, Fund, JournalEntry
from treasury.postings import EntryBatch, Line, Source


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
    raise NotImplementedError


def post_entries(*, fund: Fund, batch: EntryBatch, actor: User | None) -> PostedBatch:
    """Posts a batch through COPY, all or nothing, with one audit event (counts, digest, sequence range)."""
    raise NotImplementedError


def reverse_entry(*, entry: JournalEntry, value_date: date, memo: str, actor: User | None) -> JournalEntry:
    """Posts the exact mirror of ``entry``; at most once, and never of a reversal."""
    raise NotImplementedError
