"""Reading the audit stream and the relay's state for pages, interfaces and probes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import F, QuerySet

from compliance.chain import EVENT_COLUMNS, EventRow, link
from compliance.consumers import LIVE, consumers
from compliance.models import AuditAnchor, AuditEvent, AuditSeal, EventCursor, RelayState
from compliance.stream import Snapshot, sealed_head
from compliance.topics import VIEW_EVENTS
from fundops.core import clock
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User

_COUNT_UPTO = 10_000


def audit_event_list(
    *,
    user: User,
    kind: str = "",
    actor_id: int | None = None,
    object_type: str = "",
    object_id: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[AuditEvent]:
    """The events ``user`` may read, newest first, each with its place as ``seq`` and its ``seal_hash``
    (None until it is sealed).

    ``kind`` matches exactly, or as a beginning when it ends with a dot ("trading.cohort."); ``since`` is
    inclusive, ``until`` is not. Raises PermissionMissingError without compliance.view_auditevent.
    """
    if not user.has_perm(VIEW_EVENTS):
        raise PermissionMissingError(VIEW_EVENTS)
    events = (
        AuditEvent.objects.select_related("actor")
        .annotate(seq=F("seal__seq"), seal_hash=F("seal__hash"))
        .order_by("-id")
    )
    if kind:
        events = events.filter(kind__startswith=kind) if kind.endswith(".") else events.filter(kind=kind)
    if actor_id is not None:
        events = events.filter(actor_id=actor_id)
    if object_type:
        events = events.filter(object_type=object_type.lower())
    if object_id:
        events = events.filter(object_id=object_id)
    if since is not None:
        events = events.filter(at__gte=since)
    if until is not None:
        events = events.filter(at__lt=until)
    return events


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """The chain at a glance; only `verify_audit` proves it."""

    head_seq: int
    head_hash: str
    unsealed: int
    oldest_unsealed_at: datetime | None
    anchored_seq: int
    anchored_at: datetime | None


def chain_status() -> ChainStatus:
    """Where the chain ends, what waits for its place, and when the head was last anchored."""
    seq, head = sealed_head()
    count, oldest = _unsealed()
    anchor = AuditAnchor.objects.order_by("-seq").first()
    return ChainStatus(
        head_seq=seq,
        head_hash=head,
        unsealed=count,
        oldest_unsealed_at=oldest,
        anchored_seq=anchor.seq if anchor else 0,
        anchored_at=anchor.at if anchor else None,
    )


@dataclass(frozen=True, slots=True)
class RelayLag:
    """How far behind the relay is. Seconds; ``heartbeat_age`` is None when no relay has ever led."""

    head_seq: int
    unsealed: int
    oldest_unsealed_age: float
    heartbeat_age: float | None
    holder: str
    consumers: dict[str, int]
    errors: dict[str, str]

    @property
    def alive(self) -> bool:
        """True when a relay leads: its heart beats every second."""
        return self.heartbeat_age is not None and self.heartbeat_age < 10

    def healthy(self, *, max_seconds: float = 10.0) -> bool:
        """True when a relay leads and nothing has waited for its place longer than ``max_seconds``."""
        return self.alive and self.oldest_unsealed_age < max_seconds


def relay_lag() -> RelayLag:
    """The relay's lag for /readyz and /metrics; a few short queries.

    ``consumers`` holds the events each one is behind the sealed head (the live push saves its cursor once a
    second, so it may show up to a second's events); ``unsealed`` counts to 10,000 and stops there.
    """
    now = clock.now()
    seq, _ = sealed_head()
    count, oldest = _unsealed()
    state = RelayState.objects.first()
    cursors = {cursor.consumer: cursor for cursor in EventCursor.objects.all()}
    names = {LIVE, *(consumer.name for consumer in consumers())} & cursors.keys()
    return RelayLag(
        head_seq=seq,
        unsealed=count,
        oldest_unsealed_age=max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
        heartbeat_age=max(0.0, (now - state.beat_at).total_seconds()) if state else None,
        holder=state.holder if state else "",
        consumers={name: max(0, seq - cursors[name].seq) for name in sorted(names)},
        errors={name: cursors[name].last_error for name in sorted(names) if cursors[name].last_error},
    )


def live_seq() -> int:
    """The place up to which a page rendered now is sure to be complete: what it hands to its live
    subscriptions."""
    return sealed_head()[0]


def _unsealed() -> tuple[int, datetime | None]:
    """How many committed events have no place yet, and the oldest of them; looks only behind the last
    sealing pass."""
    state = RelayState.objects.first()
    since = Snapshot.parse(state.snapshot) if state and state.snapshot else Snapshot(0, ())
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), min(at) FROM (SELECT e.at FROM compliance_auditevent e"
            " WHERE (e.created_xid >= least(%s, pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"
            " OR e.created_xid = ANY(%s))"
            " AND NOT EXISTS (SELECT FROM compliance_auditseal s WHERE s.event_id = e.id) LIMIT %s) waiting",
            [since.xmax, list(since.running), _COUNT_UPTO],
        )
        count, oldest = cursor.fetchone()
    return int(count), oldest


@dataclass(frozen=True, slots=True)
class EventProof:
    """The place of one event in the chain, and its hash worked out again now from what the database holds."""

    seq: int
    prev_hash: str
    hash: str
    recomputed: str

    @property
    def holds(self) -> bool:
        return self.recomputed == self.hash


def event_proof(event: AuditEvent) -> EventProof | None:
    """None while the event has no place yet. That its neighbours continue it only `verify_audit` proves."""
    seal = AuditSeal.objects.filter(event=event).first()
    if seal is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {EVENT_COLUMNS} FROM compliance_auditevent e WHERE e.id = %s",  # noqa: S608 - constants only
            [event.pk],
        )
        row = EventRow(*cursor.fetchone())
    return EventProof(seal.seq, seal.prev_hash, seal.hash, link(row, seq=seal.seq, prev_hash=seal.prev_hash))
