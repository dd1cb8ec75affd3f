"""Sealing: every committed event gets its place in the gapless, hash-chained order, exactly once.

How late committers are found. Events carry the id of their transaction. The sealer remembers the database
snapshot of its last complete pass; what is new since then was written either by a transaction that had not
begun at that time (its id is at or above the snapshot's ``xmax``) or by one that was still running (its id
is in the snapshot's list). Both are short ranges of one index, so a pass costs what it finds, however old a
late committer is and however long the stream has grown. An anti-join with the seals makes a repeated pass
harmless, so the snapshot may be remembered late; and where it cannot be trusted (first start, a database
restored into another cluster) one pass looks at all.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from uuid import UUID

from compliance.chain import EVENT_COLUMNS, GENESIS, EventRow, links
from compliance.relay.session import Session
from compliance.stream import Sealed, Snapshot

logger = logging.getLogger(__name__)

BATCH = 2_000
_BEFORE_ALL = UUID(int=0)

_NOT_SEALED = "NOT EXISTS (SELECT FROM compliance_auditseal s WHERE s.event_id = e.id)"
_SINCE = (
    f"SELECT {EVENT_COLUMNS} FROM compliance_auditevent e"  # noqa: S608 - constants only
    f" WHERE (e.created_xid >= %s OR e.created_xid = ANY(%s)) AND e.id > %s AND {_NOT_SEALED}"
    f" ORDER BY e.id LIMIT {BATCH}"
)
_ALL = (
    f"SELECT {EVENT_COLUMNS} FROM compliance_auditevent e"  # noqa: S608 - constants only
    f" WHERE e.id > %s AND {_NOT_SEALED} ORDER BY e.id LIMIT {BATCH}"
)
_SEAL = (
    "INSERT INTO compliance_auditseal (seq, event_id, prev_hash, hash)"
    " SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::text[], %s::text[])"
)


@dataclass(slots=True)
class _Pass:
    """A pass under way: the snapshot it began with, and the last id it has sealed."""

    snapshot: str
    after: UUID = _BEFORE_ALL


def chain_name(session: Session) -> str:
    """Which database of which cluster this is; a restored copy elsewhere has another name."""
    row = session.execute("SELECT system_identifier || '/' || current_database() FROM pg_control_system()").fetchone()
    assert row is not None  # noqa: S101 - the function has one row
    return str(row[0])


class Sealer:
    """Seals in the session that holds the leader's lock. Not thread-safe; one a process."""

    def __init__(self, session: Session) -> None:
        self._session = session
        head = session.execute("SELECT seq, hash FROM compliance_auditseal ORDER BY seq DESC LIMIT 1").fetchone()
        self.seq, self.hash = (int(head[0]), str(head[1])) if head else (0, GENESIS)
        self.chain = chain_name(session)
        self.snapshot_text = ""
        self._since: Snapshot | None = self._remembered()
        self._pass: _Pass | None = None

    def _remembered(self) -> Snapshot | None:
        row = self._session.execute(
            "SELECT snapshot, pg_snapshot_xmax(pg_current_snapshot())::text FROM compliance_relaystate"
            " WHERE id = 1 AND cluster = %s",
            [self.chain],
        ).fetchone()
        if row is None or not row[0]:
            return None
        self.snapshot_text = str(row[0])
        remembered = Snapshot.parse(self.snapshot_text)
        return remembered if remembered.xmax <= int(row[1]) else None

    def seal_batch(self) -> list[Sealed]:
        """Seals up to `BATCH` events and returns them in their order; an empty list means that all is sealed.

        A pass walks by id from the first to the last event that its starting snapshot could see; what commits
        meanwhile is outside that snapshot and therefore belongs to the next pass, whatever its id.
        """
        if self._pass is None:
            row = self._session.execute("SELECT pg_current_snapshot()::text").fetchone()
            assert row is not None  # noqa: S101 - a SELECT without FROM has one row
            self._pass = _Pass(str(row[0]))
        since = self._since
        found = (
            self._session.execute(_ALL, [self._pass.after])
            if since is None
            else self._session.execute(_SINCE, [since.xmax, list(since.running), self._pass.after])
        )
        events = [EventRow(*row) for row in found]
        sealed = [Sealed(seq, event, head) for seq, event, _, head in links(events, seq=self.seq, head=self.hash)]
        if sealed:
            hashes = [self.hash, *(item.hash for item in sealed)]
            self._session.execute(
                _SEAL,
                [[item.seq for item in sealed], [item.event.id for item in sealed], hashes[:-1], hashes[1:]],
            )
            self.seq, self.hash = sealed[-1].seq, sealed[-1].hash
        if len(sealed) < BATCH:
            self.snapshot_text, self._since = self._pass.snapshot, Snapshot.parse(self._pass.snapshot)
            self._pass = None
        else:
            self._pass.after = sealed[-1].event.id
        return sealed
