"""Writing events into the stream: the sink behind `fundops.core.events.publish`."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from compliance.errors import EventNameError, TransactionRequiredError
from compliance.payloads import encode_payload
from fundops.core import clock
from fundops.core.bulk import run
from fundops.core.events import Event
from fundops.core.live import TOPIC_PATTERN

logger = logging.getLogger(__name__)

#: PostgreSQL's channel on which the relay hears of new events.
WAKE_CHANNEL = "compliance_event"
SYSTEM_LABEL = "system"

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", re.ASCII)
_INSERT = (
    "INSERT INTO compliance_auditevent"
    " (at, kind, actor_id, actor_label, object_type, object_id, object_label, payload, topics)"
    " SELECT %s::timestamptz, kind, actor_id, actor_label, object_type, object_id, object_label, payload,"
    " ARRAY(SELECT json_array_elements_text(topics))"
    " FROM ROWS FROM (json_to_recordset(%s::json) AS (kind text, actor_id bigint, actor_label text, object_type text,"
    " object_id text, object_label text, payload jsonb, topics json)) WITH ORDINALITY AS e (kind, actor_id,"
    " actor_label, object_type, object_id, object_label, payload, topics, place) ORDER BY place RETURNING id"
)
# Sent after the commit, in a transaction of its own that waits for no disk: NOTIFY takes a lock that all
# notifying transactions of a database share until they are flushed, and acts must not queue behind one
# another.
_WAKE = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s::text, '')"


def record_events(events: Sequence[Event]) -> list[UUID]:
    """Adds events to the stream inside the running transaction, in their order; returns their ids.

    Takes no lock that another writer could wait for; their place in the order is given later, by the sealer.
    Raises TransactionRequiredError outside a transaction, EventNameError and EventPayloadError on what is
    not an event.
    """
    if not connection.in_atomic_block:
        raise TransactionRequiredError(events[0].kind)
    for event in events:
        _check_names(event)
    document = ",".join([_document(event) for event in events])
    told = run(_INSERT, [clock.now(), f"[{document}]"])
    if not any(hook[1] is _wake_relay for hook in connection.run_on_commit):
        transaction.on_commit(_wake_relay, robust=True)
    return [event_id for (event_id,) in told]


def _document(event: Event) -> str:
    """The event as JSON, its payload as it was encoded."""
    actor, obj = event.actor, event.obj
    head = {
        "kind": event.kind,
        "actor_id": actor.pk if actor is not None else None,
        "actor_label": str(actor)[:200] if actor is not None else SYSTEM_LABEL,
        "object_type": obj._meta.label_lower if obj is not None else "",
        "object_id": str(obj.pk)[:100] if obj is not None else "",
        "object_label": str(obj)[:200] if obj is not None else "",
        "topics": list(dict.fromkeys(event.topics)),
    }
    return f'{json.dumps(head)[:-1]}, "payload": {encode_payload(event.payload)}}}'


def _check_names(event: Event) -> None:
    if len(event.kind) > 120 or _KIND.fullmatch(event.kind) is None:
        raise EventNameError(
            f"'{event.kind}' is no event kind: write app.subject.verb_past in lower case.", kind=event.kind
        )
    for topic in event.topics:
        if TOPIC_PATTERN.fullmatch(topic) is None:
            raise EventNameError(f"'{topic}' is no live topic: write prefix or prefix:key.", topic=topic)


def _wake_relay() -> None:
    """Tells the relay that something was committed. Lost calls cost a moment only: it also looks by
    itself."""
    try:
        run(_WAKE, [WAKE_CHANNEL])
    except DatabaseError:
        logger.warning("The relay could not be woken; it will find the event by itself.", exc_info=True)
