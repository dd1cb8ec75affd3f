"""Publishing: every act writes one event in the transaction that does it.

The store is the audit stream, which lives a layer above; it registers itself here as the sink at start-up, so that
the core can publish its own acts without knowing it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from django.db.models import Model

    from fundops.core.models import User


@dataclass(frozen=True, slots=True)
class Event:
    """One act, as `publish` takes it."""

    kind: str
    actor: User | None
    payload: Mapping[str, Any]
    obj: Model | None = None
    topics: Sequence[str] = ()


class EventSink(Protocol):
    def __call__(self, events: Sequence[Event]) -> list[UUID]: ...


_sink: EventSink | None = None


def install_sink(sink: EventSink) -> None:
    """Called once, by the application that stores the events."""
    global _sink
    _sink = sink


def publish(
    kind: str,
    *,
    actor: User | None,
    payload: Mapping[str, Any],
    obj: Model | None = None,
    topics: Sequence[str] = (),
) -> UUID:
    """Records one act, to be called inside the transaction that performs it; returns the event's id.

    ``kind`` reads ``app.subject.verb_past`` ("trading.cohort.launched"); ``actor`` None means the system itself;
    ``payload`` is JSON (Decimals become strings, times ISO 8601); ``topics`` are the live topics to push it to.
    Raises TransactionRequiredError outside a transaction.
    """
    return publish_all([Event(kind, actor, payload, obj, topics)])[0]


def publish_all(events: Sequence[Event]) -> list[UUID]:
    """Records several acts of one transaction with one statement, in their order; see `publish`."""
    if _sink is None:
        raise RuntimeError("No event store is installed: is 'compliance' among the installed apps?")
    return _sink(events) if events else []
