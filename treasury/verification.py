"""Whether the books are still what was posted: against a superuser, or the owner with the rules off.

The arithmetic is checked in the database; then every entry must be covered by an event of the audit stream,
and its digest, taken anew, must be the one in that event. ``manage.py verify_audit`` vouches for the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from compliance.models import AuditEvent
from treasury.canonical import canonical_entry
from treasury.models import EntryKind, Fund, JournalEntry
from treasury.postings import Line, Source
from treasury.selectors import digest_of_range

BATCH_POSTED = "treasury.batch.posted"
ENTRY_KINDS = ("treasury.entry.posted", "treasury.entry.reversed")
_CHUNK = 1_000
#: Findings of one sort that are worth naming one by one.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was posted."""

    code: str
    message: str
    posting_seq: int | None = None


@dataclass(frozen=True, slots=True)
class LedgerVerdict:
    """What a verification looked at and found."""

    fund: str
    entries: int
    lines: int
    findings: list[Finding]

    @property
    def intact(self) -> bool:
        return not self.findings


#: code, message, and a query for (posting_seq) of what is wrong in the fund %(fund)s.
_ARITHMETIC = (
    (
        "gap",
        "Before entry #{0} a number is missing.",
        "SELECT posting_seq FROM"
        " (SELECT posting_seq, lag(posting_seq, 1, 0::bigint) OVER (ORDER BY posting_seq) AS before"
        " FROM treasury_journalentry WHERE fund_id = %(fund)s) e WHERE posting_seq <> before + 1",
    ),
    (
        "empty",
        "Entry #{0} has no lines.",
        "SELECT posting_seq FROM treasury_journalentry e WHERE fund_id = %(fund)s"
        " AND NOT EXISTS (SELECT FROM treasury_journalline l WHERE l.entry_id = e.id)",
    ),
    (
        "unbalanced",
        "Entry #{0} does not balance.",
        "SELECT DISTINCT posting_seq"
        " FROM treasury_journalentry e JOIN treasury_journalline l ON l.entry_id = e.id"
        " WHERE e.fund_id = %(fund)s GROUP BY posting_seq, asset_id HAVING sum(amount) <> 0",
    ),
    (
        "stray",
        "Entry #{0} has a line on an account of no book of this fund, or of no known asset.",
        "SELECT DISTINCT posting_seq"
        " FROM treasury_journalentry e JOIN treasury_journalline l ON l.entry_id = e.id"
        " LEFT JOIN treasury_ledgeraccount a ON a.id = l.account_id"
        " LEFT JOIN treasury_book b ON b.id = a.book_id"
        " LEFT JOIN treasury_asset s ON s.id = l.asset_id"
        " WHERE e.fund_id = %(fund)s AND (b.fund_id IS DISTINCT FROM e.fund_id OR s.id IS NULL)",
    ),
)


def verify_ledger(*, fund: Fund) -> LedgerVerdict:
    """Looks at every entry of a fund; reads all its lines once for the sums and once for the digests."""
    findings = [*_arithmetic(fund), *_evidence(fund)]
    entries = JournalEntry.objects.filter(fund=fund)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM treasury_journalline l JOIN treasury_journalentry e ON e.id = l.entry_id"
            " WHERE e.fund_id = %s",
            [fund.pk],
        )
        (lines,) = cursor.fetchone()
    return LedgerVerdict(fund=fund.code, entries=entries.count(), lines=lines, findings=findings)


def _arithmetic(fund: Fund) -> Iterator[Finding]:
    with connection.cursor() as cursor:
        for code, message, query in _ARITHMETIC:
            cursor.execute(f"{query} ORDER BY 1 LIMIT {_NAMED}", {"fund": fund.pk})
            for (seq,) in cursor.fetchall():
                yield Finding(code, message.format(seq), seq)


def _evidence(fund: Fund) -> Iterator[Finding]:
    events = AuditEvent.objects.filter(payload__fund=fund.code)
    covered: set[int] = set()

    for batch in events.filter(kind=BATCH_POSTED).values_list("payload", flat=True):
        first, last = batch["first_seq"], batch["last_seq"]
        covered.update(range(first, last + 1))
        if digest_of_range(fund_id=fund.pk, first_seq=first, last_seq=last) != batch["digest"]:
            yield Finding("changed", f"Entries #{first} to #{last} are not the ones that were posted.", first)

    singles = {
        payload["posting_seq"]: payload["digest"]
        for payload in events.filter(kind__in=ENTRY_KINDS).values_list("payload", flat=True).iterator()
    }
    numbers = sorted(singles)
    for start in range(0, len(numbers), _CHUNK):
        found = dict(_digests(fund, numbers[start : start + _CHUNK]))
        for seq in numbers[start : start + _CHUNK]:
            if seq not in found:
                yield Finding("missing", f"Entry #{seq} was posted and is not there.", seq)
            elif found[seq] != singles[seq]:
                yield Finding("changed", f"Entry #{seq} is not the one that was posted.", seq)
    covered.update(numbers)

    posted = JournalEntry.objects.filter(fund=fund).order_by("posting_seq").values_list("posting_seq", flat=True)
    unrecorded = [seq for seq in posted.iterator() if seq not in covered]
    for seq in unrecorded[:_NAMED]:
        yield Finding("unrecorded", f"Entry #{seq} is in no event of the audit stream.", seq)


def _digests(fund: Fund, numbers: Sequence[int]) -> Iterator[tuple[int, Any]]:
    entries = JournalEntry.objects.filter(fund=fund, posting_seq__in=numbers).prefetch_related("lines")
    for entry in entries:
        form = canonical_entry(
            value_date=entry.value_date,
            kind=EntryKind(entry.kind),
            source=Source(entry.source_type, entry.source_id),
            memo=entry.memo,
            lines=[Line(line.account_id, line.asset_id, line.amount) for line in entry.lines.all()],
        )
        yield entry.posting_seq, form.digest()
