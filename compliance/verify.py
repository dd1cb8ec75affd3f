"""Proving the chain: one pass over every sealed event in order, then what only the whole shows.

Memory stays flat however long the stream is; each finding names the row it is about. What a pass can and
cannot prove is written in docs/audit.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from compliance.chain import EVENT_COLUMNS, GENESIS, Anchor, EventRow, link
from compliance.models import AuditAnchor, EventCursor, RelayState
from compliance.relay.anchors import read_anchor_file
from fundops.core import clock

#: A committed event that is older than this and still has no place was not left behind by a relay that runs.
UNSEALED_AFTER = timedelta(minutes=5)
_CHUNK = 2_000
_MAX_ANCHORS_IN_MEMORY = 100_000
_MAX_SUSPECTS = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken thing: ``code`` for machines, ``message`` for people."""

    code: str
    message: str
    seq: int | None = None
    event: str | None = None


@dataclass(slots=True)
class Verdict:
    """What a pass has seen. ``findings`` holds the first thousand; ``count`` counts all."""

    checked: int = 0
    first_seq: int | None = None
    head_seq: int = 0
    head_hash: str = GENESIS
    anchors_checked: int = 0
    unsealed: int = 0
    count: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        return self.count == 0

    def find(self, code: str, message: str, *, seq: int | None = None, event: UUID | str | None = None) -> None:
        self.count += 1
        if len(self.findings) < 1_000:
            self.findings.append(Finding(code, message, seq, None if event is None else str(event)))

    def to_json(self) -> dict[str, Any]:
        return {"intact": self.intact} | asdict(self)


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A place whose event does not hash to what was sealed there."""

    seq: int
    event: EventRow
    prev_hash: str
    hash: str


def verify_chain(
    *, from_seq: int = 1, file: Path | None = None, progress: Callable[[int, int], None] | None = None
) -> Verdict:
    """Checks every sealed event from ``from_seq`` on, the anchors and the rows outside the chain.

    ``file`` is the file of anchors; ``progress(done, total)`` is called now and then. Reads one database
    snapshot, so it may run beside a working relay. O(events) time, constant memory.
    """
    verdict = Verdict()
    nested = connection.in_atomic_block
    with transaction.atomic():
        with connection.cursor() as cursor:
            if not nested:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SELECT coalesce(max(seq), 0), count(*) FROM compliance_auditseal")
            last, rows = cursor.fetchone()
            cursor.execute("SELECT system_identifier || '/' || current_database() FROM pg_control_system()")
            chain = str(cursor.fetchone()[0])
        anchors = _Anchors(verdict, chain=chain, file=file, from_seq=from_seq)
        _walk(verdict, anchors, from_seq=from_seq, total=max(rows, last) - from_seq + 1, progress=progress)
        anchors.check_tail()
        _check_memories(verdict)
        _check_unsealed(verdict)
    return verdict


class _Anchors:
    """The anchors of the table and of the file, held against the chain while it is walked."""

    def __init__(self, verdict: Verdict, *, chain: str, file: Path | None, from_seq: int) -> None:
        self._verdict = verdict
        self._expected: dict[int, tuple[str, str]] = {}
        self._highest: tuple[int, str] = (0, "")
        self._from = from_seq
        rows = AuditAnchor.objects.order_by("-seq").values_list("seq", "hash", "at", "mac")
        for row in rows[:_MAX_ANCHORS_IN_MEMORY].iterator(chunk_size=_CHUNK):
            self._take(Anchor(*row), "the table of anchors")
        seen = 0
        for item in read_anchor_file(file, chain=chain) if file else ():
            if isinstance(item, int):
                verdict.find("anchor_unreadable", f"Line {item} of {file} is no anchor: somebody edited the file.")
            else:
                seen += 1
                self._take(item, f"the file {file}")
        if not seen:
            verdict.notes.append(
                "No anchor file of this database was found: a tail cut off together with the table of "
                "anchors would not show."
            )

    def _take(self, anchor: Anchor, where: str) -> None:
        if not anchor.genuine:
            self._verdict.find(
                "anchor_forged",
                f"The anchor of place {anchor.seq} in {where} was not made with this application's key.",
                seq=anchor.seq,
            )
            return
        if anchor.seq > self._highest[0]:
            self._highest = (anchor.seq, where)
        if anchor.seq < self._from:
            return
        known = self._expected.setdefault(anchor.seq, (anchor.hash, where))
        if known[0] != anchor.hash:
            self._verdict.find(
                "anchors_disagree",
                f"{known[1]} and {where} hold different hashes for place {anchor.seq}: the chain was rewritten.",
                seq=anchor.seq,
            )

    def meet(self, seq: int, hash_: str) -> None:
        expected = self._expected.pop(seq, None)
        if expected is None:
            return
        self._verdict.anchors_checked += 1
        if expected[0] != hash_:
            self._verdict.find(
                "anchor_mismatch",
                f"Place {seq} has the hash {hash_[:16]}… but {expected[1]} holds {expected[0][:16]}…: "
                "the chain was rewritten at or before this place.",
                seq=seq,
            )

    def check_tail(self) -> None:
        seq, where = self._highest
        if seq > self._verdict.head_seq:
            self._verdict.find(
                "tail_missing",
                f"The chain ends at {self._verdict.head_seq} but {where} has seen place {seq}: "
                f"the last {seq - self._verdict.head_seq} or more events were cut off.",
                seq=seq,
            )


def _walk(
    verdict: Verdict,
    anchors: _Anchors,
    *,
    from_seq: int,
    total: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    expected_seq, prev = from_seq, GENESIS
    suspects: list[_Suspect] = []
    for seq, sealed_prev, sealed_hash, event_id, event in _sealed_rows(from_seq - 1):
        if seq == from_seq - 1:
            prev = sealed_hash
            continue
        if verdict.first_seq is None:
            verdict.first_seq = seq
        if seq != expected_seq:
            names = f"place {expected_seq}" if seq == expected_seq + 1 else f"places {expected_seq} to {seq - 1}"
            verdict.find("seal_missing", f"The chain has a hole: {names} were deleted.", seq=expected_seq)
        elif sealed_prev != prev:
            verdict.find(
                "link_broken",
                f"Place {seq} does not continue place {seq - 1}: "
                "one of the two seals was rewritten, moved or inserted.",
                seq=seq,
                event=event_id,
            )
        if event is None:
            verdict.find("event_missing", f"The event {event_id} at place {seq} was deleted.", seq=seq, event=event_id)
        elif link(event, seq=seq, prev_hash=sealed_prev) != sealed_hash:
            if len(suspects) < _MAX_SUSPECTS:
                suspects.append(_Suspect(seq, event, sealed_prev, sealed_hash))
            else:
                _report_edit(verdict, seq, event)
        anchors.meet(seq, sealed_hash)
        verdict.checked += 1
        verdict.head_seq, verdict.head_hash = seq, sealed_hash
        expected_seq, prev = seq + 1, sealed_hash
        if progress is not None and verdict.checked % _CHUNK == 0:
            progress(verdict.checked, total)
    if from_seq > 1 and verdict.first_seq is None:
        verdict.notes.append(f"Nothing is sealed from place {from_seq} on.")
    _explain(verdict, suspects)
    if progress is not None:
        progress(total, total)


def _sealed_rows(from_seq: int) -> Iterator[tuple[int, str, str, UUID, EventRow | None]]:
    """Streams the chain through a server-side cursor."""
    with connection.chunked_cursor() as cursor:
        cursor.itersize = _CHUNK  # type: ignore[attr-defined]
        cursor.execute(
            f"SELECT s.seq, s.prev_hash, s.hash, s.event_id, {EVENT_COLUMNS}"  # noqa: S608 - constants only
            " FROM compliance_auditseal s LEFT JOIN compliance_auditevent e ON e.id = s.event_id"
            " WHERE s.seq >= %s ORDER BY s.seq",
            [from_seq],
        )
        while rows := cursor.fetchmany(_CHUNK):
            for row in rows:
                yield row[0], row[1], row[2], row[3], None if row[4] is None else EventRow(*row[4:])


def _explain(verdict: Verdict, suspects: list[_Suspect]) -> None:
    """Tells a moved event from an edited one: does it hash to what was sealed at another suspect place?"""
    for suspect in suspects:
        home = next(
            (
                other.seq
                for other in suspects
                if other is not suspect and link(suspect.event, seq=other.seq, prev_hash=other.prev_hash) == other.hash
            ),
            None,
        )
        if home is None:
            _report_edit(verdict, suspect.seq, suspect.event)
        else:
            verdict.find(
                "event_moved",
                f"The event {suspect.event.id} ({suspect.event.kind}) stands at place {suspect.seq} "
                f"but was sealed at place {home}.",
                seq=suspect.seq,
                event=suspect.event.id,
            )


def _report_edit(verdict: Verdict, seq: int, event: EventRow) -> None:
    verdict.find(
        "event_edited",
        f"The event {event.id} ({event.kind}) at place {seq} is not what was sealed: the event or its seal was edited.",
        seq=seq,
        event=event.id,
    )


def _check_memories(verdict: Verdict) -> None:
    """Those who read the chain remember places that it must still have."""
    for name, seq in EventCursor.objects.values_list("consumer", "seq"):
        if seq > verdict.head_seq:
            verdict.find(
                "tail_missing",
                f"The chain ends at {verdict.head_seq} but the consumer '{name}' has read place {seq}.",
                seq=seq,
            )
    state = RelayState.objects.first()
    if state is None:
        return
    if state.sealed_seq > verdict.head_seq:
        verdict.find(
            "tail_missing",
            f"The chain ends at {verdict.head_seq} but the relay has sealed place {state.sealed_seq}.",
            seq=state.sealed_seq,
        )
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT hash FROM compliance_auditseal WHERE seq = %s", [state.sealed_seq])
        row = cursor.fetchone()
    if row is not None and row[0] != state.sealed_hash:
        verdict.find(
            "head_rewritten",
            f"Place {state.sealed_seq} has another hash than the relay gave it: the chain was rewritten.",
            seq=state.sealed_seq,
        )


def _check_unsealed(verdict: Verdict) -> None:
    """Committed events without a place: a moment's work for a relay that runs, a finding when they are
    old."""
    limit = clock.now() - UNSEALED_AFTER
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            "SELECT e.id, e.kind, e.at FROM compliance_auditevent e"
            " WHERE NOT EXISTS (SELECT FROM compliance_auditseal s WHERE s.event_id = e.id)"
        )
        while rows := cursor.fetchmany(_CHUNK):
            for event_id, kind, at in rows:
                verdict.unsealed += 1
                if at < limit:
                    verdict.find(
                        "event_unsealed",
                        f"The event {event_id} ({kind}) of {at:%Y-%m-%d %H:%M:%S} UTC has no place: "
                        "its seal was deleted, it was inserted past the rules, or the relay does not run.",
                        event=event_id,
                    )
