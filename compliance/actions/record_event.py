"""Writing one event into the stream: the sink behind `fundops.core.events.publish`."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.models import Model

from compliance.errors import EventNameError, TransactionRequiredError
from compliance.payloads import encode_payload
from fundops.core import clock
from fundops.core.live import TOPIC_PATTERN
from fundops.core.models import User

logger = logging.getLogger(__name__)

#: PostgreSQL's channel on which the relay hears of new events.
WAKE_CHANNEL = "compliance_event"
SYSTEM_LABEL = "system"

_KIND = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", re.ASCII)
_INSERT = (
    "INSERT INTO compliance_auditevent"
    " (at, kind, actor_id, actor_label, object_type, object_id, object_label, payload, topics)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s) RETURNING id"
)
# Sent after the commit, in a transaction of its own that waits for no disk: NOTIFY takes a lock that all
# notifying transactions of a database share until they are flushed, and acts must not queue behind one
# another.
_WAKE = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, '')"


def record_event(
    kind: str,
    *,
    actor: User | None,
    obj: Model | None,
    payload: Mapping[str, Any],
    topics: Sequence[str],
) -> UUID:
    """Adds one event to the stream inside the running transaction and returns its id.

    Takes no lock that another writer could wait for; its place in the order is given later, by the sealer.
    Raises TransactionRequiredError outside a transaction, EventNameError and EventPayloadError on what is
    not an event.
    """
    if not connection.in_atomic_block:
        raise TransactionRequiredError(kind)
    if len(kind) > 120 or _KIND.fullmatch(kind) is None:
        raise EventNameError(f"'{kind}' is no event kind: write app.subject.verb_past in lower case.", kind=kind)
    for topic in topics:
        if TOPIC_PATTERN.fullmatch(topic) is None:
            raise EventNameError(f"'{topic}' is no live topic: write prefix or prefix:key.", topic=topic)
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            [
                clock.now(),
                kind,
                actor.pk if actor is not None else None,
                str(actor)[:200] if actor is not None else SYSTEM_LABEL,
                obj._meta.label_lower if obj is not None else "",
                str(obj.pk)[:100] if obj is not None else "",
                str(obj)[:200] if obj is not None else "",
                encode_payload(payload),
                list(dict.fromkeys(topics)),
            ],
        )
        event_id: UUID = cursor.fetchone()[0]
    if not any(hook[1] is _wake_relay for hook in connection.run_on_commit):
        transaction.on_commit(_wake_relay, robust=True)
    return event_id


def _wake_relay() -> None:
    """Tells the relay that something was committed. Lost calls cost a moment only: it also looks by
    itself."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_WAKE, [WAKE_CHANNEL])
    except DatabaseError:
        logger.warning("The relay could not be woken; it will find the event by itself.", exc_info=True)
