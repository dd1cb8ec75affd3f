"""Tasks start when the transaction that wants them has committed, never before."""

from __future__ import annotations

from functools import partial
from typing import Any

from celery import Task
from django.db import transaction


def enqueue_on_commit(task: Task[Any, Any], *ids: Any) -> None:
    """Queues ``task(*ids)`` once the current transaction commits; with none open, at once."""
    transaction.on_commit(partial(task.delay, *ids))
