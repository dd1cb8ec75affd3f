"""Tasks start when the transaction that wants them has committed, never before."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import current_app, shared_task
from django.db import transaction

from fundops.core.health import stamp_heartbeat


def enqueue_on_commit(task_name: str, *ids: Any) -> None:
    """Queues the task of that name once the current transaction commits; with none open, at once.

    By name, because tasks import actions and not the other way round.
    """
    transaction.on_commit(partial(current_app.send_task, task_name, args=ids))


@shared_task(name="core.beat_heartbeat")
def beat_heartbeat() -> None:
    """Beat sent it, the broker carried it, a worker ran it: the whole way works."""
    stamp_heartbeat("beat")
