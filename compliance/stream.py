"""Reading the sealed stream in its order: what every consumer, and every late browser, catches up with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from compliance.chain import EVENT_COLUMNS, EventRow

_AFTER = (
    f"SELECT s.seq, s.hash, {EVENT_COLUMNS} FROM compliance_auditseal s"  # noqa: S608 - constants only
    " JOIN compliance_auditevent e ON e.id = s.event_id WHERE s.seq > %s AND s.seq <= %s"
    " ORDER BY s.seq LIMIT %s"
)
_TOPIC = (
    f"SELECT s.seq, s.hash, {EVENT_COLUMNS} FROM compliance_auditseal s"  # noqa: S608 - constants only
    " JOIN compliance_auditevent e ON e.id = s.event_id WHERE s.seq > %s AND s.seq <= %s"
    " AND (%s OR e.topics @> %s::varchar[]) ORDER BY s.seq LIMIT %s"
)
_END = 2**62


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event with its place in the order."""

    seq: int
    event: EventRow
    hash: str


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """A sealed event as consumers get it: the payload parsed, the chain left aside."""

    seq: int
    id: UUID
    at: datetime
    kind: str
    actor_id: int | None
    actor_label: str
    object_type: str
    object_id: str
    object_label: str
    payload: dict[str, Any]
    topics: tuple[str, ...]

    @classmethod
    def of(cls, sealed: Sealed) -> StreamEvent:
        event = sealed.event
        return cls(
            seq=sealed.seq,
            id=event.id,
            at=event.at,
            kind=event.kind,
            actor_id=event.actor_id,
            actor_label=event.actor_label,
            object_type=event.object_type,
            object_id=event.object_id,
            object_label=event.object_label,
            payload=json.loads(event.payload),
            topics=tuple(event.topics),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A database snapshot: everything below ``xmax`` but the transactions ``running`` had ended."""

    xmax: int
    running: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Reads pg_snapshot's ``xmin:xmax:xip,xip`` form."""
        _, xmax, running = text.split(":")
        return cls(int(xmax), tuple(int(xid) for xid in running.split(",") if xid))


def read_sealed(*, after: int, upto: int | None = None, limit: int) -> list[Sealed]:
    """The next ``limit`` sealed events behind place ``after``, and not beyond ``upto``, in order."""
    with connection.cursor() as cursor:
        cursor.execute(_AFTER, [after, _END if upto is None else upto, limit])
        return [Sealed(row[0], EventRow(*row[2:]), row[1]) for row in cursor.fetchall()]


def sealed_head() -> tuple[int, str]:
    """The last place given and its hash; (0, "") while nothing is sealed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq, hash FROM compliance_auditseal ORDER BY seq DESC LIMIT 1")
        row = cursor.fetchone()
    return (int(row[0]), str(row[1])) if row else (0, "")


def read_topic(topic: str | None, *, after: int, upto: int, limit: int) -> list[Sealed]:
    """The first ``limit`` sealed events of one live topic (None: of all) in the places ``after`` < seq <=
    ``upto``.

    Walks the chain, not an index of topics, so the caller bounds the distance.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TOPIC, [after, upto, topic is None, [topic or ""], limit])
        return [Sealed(row[0], EventRow(*row[2:]), row[1]) for row in cursor.fetchall()]
