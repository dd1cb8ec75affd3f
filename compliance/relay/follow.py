"""Feeding one registered consumer: a thread with its own database connection and a durable cursor."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import DatabaseError, connection, transaction

from compliance.consumers import Consumer
from compliance.models import EventCursor
from compliance.stream import StreamEvent, read_sealed, sealed_head
from fundops.core import clock

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = (0.2, 30.0)


class Head:
    """How far the stream is sealed, for threads that wait for more."""

    def __init__(self) -> None:
        self._seq = 0
        self._moved = threading.Condition()

    def advance(self, seq: int) -> None:
        with self._moved:
            self._seq = seq
            self._moved.notify_all()

    def wait_beyond(self, seq: int, *, seconds: float) -> None:
        with self._moved:
            self._moved.wait_for(lambda: self._seq > seq, timeout=seconds)


def deliver_batch(consumer: Consumer) -> int | None:
    """Gives ``consumer`` its next events and moves its cursor, in one transaction.

    Returns the cursor's new place, or None when there was nothing new. Whoever else delivers to the same
    consumer waits at the cursor's row, so no event is handled twice.
    """
    with transaction.atomic():
        cursor = EventCursor.objects.select_for_update().filter(consumer=consumer.name).first()
        if cursor is None:
            start = 0 if consumer.from_start else sealed_head()[0]
            EventCursor.objects.get_or_create(
                consumer=consumer.name, defaults={"seq": start, "updated_at": clock.now()}
            )
            cursor = EventCursor.objects.select_for_update().get(consumer=consumer.name)
        sealed = read_sealed(after=cursor.seq, limit=consumer.batch)
        if not sealed:
            return None
        wanted = [StreamEvent.of(item) for item in sealed if consumer.wants(item.event.kind)]
        if wanted:
            consumer.handle(wanted)
        cursor.seq, cursor.updated_at, cursor.last_error = sealed[-1].seq, clock.now(), ""
        cursor.save(update_fields=["seq", "updated_at", "last_error"])
        return cursor.seq


def follow(consumer: Consumer, *, head: Head, stop: Callable[[], bool]) -> None:
    """Delivers until ``stop()``: failures are retried with growing pauses and never skipped."""
    at, pause = 0, _PAUSE_SECONDS[0]
    try:
        while not stop():
            try:
                moved = deliver_batch(consumer)
            except Exception as error:  # whatever a consumer raises, the stream waits for it
                logger.exception("Consumer '%s' failed behind event %d; it is offered again.", consumer.name, at)
                _note_failure(consumer, error)
                head.wait_beyond(2**62, seconds=pause)
                pause = min(pause * 2, _PAUSE_SECONDS[1])
                continue
            pause = _PAUSE_SECONDS[0]
            if moved is None:
                head.wait_beyond(at, seconds=1.0)
            else:
                at = moved
    finally:
        connection.close()


def _note_failure(consumer: Consumer, error: Exception) -> None:
    try:
        EventCursor.objects.filter(consumer=consumer.name).update(last_error=f"{type(error).__name__}: {error}"[:2000])
    except DatabaseError:
        connection.close()
