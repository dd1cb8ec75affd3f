"""How a sealed event becomes a hash: the canonical form, the link to the one before, and the anchors' code.

The canonical form of an event is a JSON object with sorted keys, no spaces and unescaped UTF-8, holding
every column of the event, its place in the order and the hash before it. The payload goes in as the very
text PostgreSQL prints for its jsonb (keys ordered and deduplicated, numbers with every digit they were
given), so that no parser's rounding can hide a change.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.encoding import force_bytes

GENESIS = "0" * 64

#: The columns of an event in the order of `EventRow`, ready for a SELECT with the alias `e`.
EVENT_COLUMNS = (
    "e.id, e.at, e.kind, e.actor_id, e.actor_label, e.object_type, e.object_id, e.object_label, "
    "e.payload::text, e.topics, e.created_xid"
)


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as the chain sees it."""

    id: UUID
    at: datetime
    kind: str
    actor_id: int | None
    actor_label: str
    object_type: str
    object_id: str
    object_label: str
    payload: str
    topics: list[str]
    created_xid: int

    @property
    def at_text(self) -> str:
        return self.at.astimezone(UTC).isoformat(timespec="microseconds")


def canonical(event: EventRow, *, seq: int, prev_hash: str) -> bytes:
    """The bytes that are hashed for ``event`` at place ``seq``."""
    document = {
        "actor_id": event.actor_id,
        "actor_label": event.actor_label,
        "at": event.at_text,
        "created_xid": event.created_xid,
        "id": str(event.id),
        "kind": event.kind,
        "object_id": event.object_id,
        "object_label": event.object_label,
        "object_type": event.object_type,
        "payload": event.payload,
        "prev_hash": prev_hash,
        "seq": seq,
        "topics": event.topics,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def link(event: EventRow, *, seq: int, prev_hash: str) -> str:
    """The hash that seals ``event`` at place ``seq`` behind ``prev_hash``: SHA-256 in hex."""
    return hashlib.sha256(canonical(event, seq=seq, prev_hash=prev_hash)).hexdigest()


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of the chain at one moment, as it is kept outside the chain."""

    seq: int
    hash: str
    at: datetime
    mac: str

    @classmethod
    def make(cls, *, seq: int, head: str, at: datetime) -> Anchor:
        return cls(seq, head, at, _mac(settings.SECRET_KEY, seq, head, at))

    @property
    def genuine(self) -> bool:
        """True when it was made with the application's key, or with one it used before."""
        keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        return any(hmac.compare_digest(self.mac, _mac(key, self.seq, self.hash, self.at)) for key in keys)

    def to_line(self) -> str:
        return json.dumps({"seq": self.seq, "hash": self.hash, "at": self.at.isoformat(), "mac": self.mac})

    @classmethod
    def from_line(cls, line: str) -> Anchor:
        """Raises ValueError (KeyError, TypeError included) on a line that is no anchor."""
        try:
            data: dict[str, Any] = json.loads(line)
            return cls(int(data["seq"]), str(data["hash"]), datetime.fromisoformat(data["at"]), str(data["mac"]))
        except (KeyError, TypeError) as error:
            raise ValueError("not an anchor") from error


def _mac(key: str | bytes, seq: int, head: str, at: datetime) -> str:
    secret = hashlib.sha256(b"fundops.compliance.anchor\0" + force_bytes(key)).digest()
    message = f"{seq}:{head}:{at.astimezone(UTC).isoformat()}"
    return hmac.new(secret, message.encode(), hashlib.sha256).hexdigest()


def links(events: list[EventRow], *, seq: int, head: str) -> Iterator[tuple[int, EventRow, str, str]]:
    """Continues a chain whose last place is ``seq`` with hash ``head``: (seq, event, prev_hash, hash) for
    each."""
    for event in events:
        seq += 1
        prev, head = head, link(event, seq=seq, prev_hash=head)
        yield seq, event, prev, head
