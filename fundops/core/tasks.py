"""Tasks start when the transaction that wants them has committed, never before."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from celery import Celery
from django.db import transaction
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

#: The application of this project, by name: it is built of everything and therefore imported by nothing.
APPLICATION = "celery_app.app"


def enqueue_on_commit(task_name: str, *ids: Any) -> None:
    """Queues the task of that name once the current transaction commits; with none open, at once.

    By name, because tasks import actions and not the other way round. What was committed stays committed when the
    broker cannot be reached: whoever uses this also has a scheduled task that finds what is left to do.
    """
    transaction.on_commit(partial(_send, task_name, ids))


def _send(task_name: str, ids: tuple[Any, ...]) -> None:
    app: Celery = import_string(APPLICATION)
    try:
        app.send_task(task_name, args=ids, retry=False)
    except OperationalError:
        logger.exception("The broker cannot be reached; %s%s waits for its schedule.", task_name, ids)
