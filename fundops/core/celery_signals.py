"""What every Celery process does beside its tasks: heartbeats, log lines with ids, counts. Imported by
celery_app.
"""

from __future__ import annotations

import gc
import time
from contextlib import AbstractContextManager
from typing import Any

import redis
from celery import shared_task, signals
from django.db import close_old_connections, connections

from fundops.core.env import load_env_or_exit
from fundops.core.health import WORKER_BEATS_EVERY_S, remove_heartbeat, stamp_heartbeat
from fundops.core.logging import configure_logging, current_context, get_logger, log_context
from fundops.core.metrics import count_task

#: The message header that carries a request's ids to the tasks it queued.
HEADER = "fundops_context"

#: How long a worker keeps a session of the database.
SESSION_AGE_S = 3600

_log = get_logger("fundops.tasks")
_running: dict[str, tuple[float, AbstractContextManager[None]]] = {}


@signals.setup_logging.connect(dispatch_uid="core.logging")
def _use_our_logging(**_kwargs: Any) -> None:
    """Being connected keeps Celery from installing handlers of its own."""
    configure_logging(load_env_or_exit())


@signals.before_task_publish.connect(dispatch_uid="core.context")
def _hand_context_on(headers: dict[str, Any] | None = None, **_kwargs: Any) -> None:
    if headers is not None:
        kept = {key: value for key, value in current_context().items() if key in {"request_id", "event_id", "user_id"}}
        if kept:
            headers[HEADER] = kept


@signals.task_prerun.connect(dispatch_uid="core.begin")
def _begin(task_id: str, task: Any, **_kwargs: Any) -> None:
    handed_on = getattr(task.request, HEADER, None) or {}
    context = log_context(**handed_on, task_id=task_id, task=task.name)
    context.__enter__()
    _running[task_id] = (time.perf_counter(), context)


@signals.task_prerun.connect(dispatch_uid="core.session_before")
@signals.task_postrun.connect(dispatch_uid="core.session_after")
def _part_with_a_session_that_is_broken_or_old(task: Any, **_kwargs: Any) -> None:
    """Sessions outlive tasks (`CELERY_DB_REUSE_MAX`); one that the database has ended must not fail the next."""
    if not task.request.is_eager:
        close_old_connections()


@signals.task_failure.connect(dispatch_uid="core.failed")
def _failed(exception: BaseException, **_kwargs: Any) -> None:
    _log.error("task.failed", exc_info=exception)


@signals.task_retry.connect(dispatch_uid="core.retry")
def _retried(reason: Any, **_kwargs: Any) -> None:
    _log.warning("task.retried", reason=str(reason))


@signals.task_postrun.connect(dispatch_uid="core.end")
def _end(task_id: str, task: Any, state: str | None = None, **_kwargs: Any) -> None:
    if task_id not in _running:
        return
    begun, context = _running.pop(task_id)
    seconds = time.perf_counter() - begun
    _log.info("task.done", state=(state or "unknown").lower(), duration_ms=round(seconds * 1000, 1))
    context.__exit__(None, None, None)
    try:
        count_task(task=task.name, state=(state or "unknown").lower(), seconds=seconds)
    except redis.RedisError as error:  # a count must not fail a task that is done
        _log.warning("task.not_counted", reason=str(error))


@signals.worker_ready.connect(dispatch_uid="core.heartbeat")
def _beat_from_now_on(sender: Any, **_kwargs: Any) -> None:
    """The worker's own event loop stamps: a worker that hangs falls silent."""
    name = f"worker:{sender.hostname}"
    queues = sorted(queue.name for queue in sender.task_consumer.queues)

    def stamp() -> None:
        try:
            stamp_heartbeat(name, queues=queues)
        except redis.RedisError as error:
            _log.warning("heartbeat.failed", reason=str(error))

    stamp()
    sender.timer.call_repeatedly(WORKER_BEATS_EVERY_S, stamp)


@signals.worker_process_init.connect(dispatch_uid="core.settled")
def _let_the_collector_pass_over_what_is_loaded(**_kwargs: Any) -> None:
    """What a worker has loaded by now stays. To look through all of it again and again held up whole bars of desks."""
    gc.collect()
    gc.freeze()


@signals.worker_process_init.connect(dispatch_uid="core.session_age")
def _keep_sessions_for_long(**_kwargs: Any) -> None:
    """A bar of a minute finds the session that worked the one before, with every statement prepared."""
    for session in connections.all():
        session.settings_dict["CONN_MAX_AGE"] = SESSION_AGE_S


@signals.worker_shutdown.connect(dispatch_uid="core.goodbye")
def _say_goodbye(sender: Any, **_kwargs: Any) -> None:
    try:
        remove_heartbeat(f"worker:{sender.hostname}")
    except redis.RedisError as error:
        _log.warning("heartbeat.failed", reason=str(error))


@shared_task(name="core.beat_heartbeat")
def beat_heartbeat() -> None:
    """Beat sent it, the broker carried it, a worker ran it: the whole way works."""
    stamp_heartbeat("beat")
