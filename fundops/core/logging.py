"""Logs: every process, every library, one line of JSON an event, one schema.

==============
================================================================================================== ``at``
when, ISO 8601 in UTC ``level``       debug, info, warning, error or critical ``event``       what happened:
``http.request``, ``task.failed``, or a library's own words ``logger``      who says so ``process``     which
of the product's processes: web, worker-trading, beat, relay, a command's name ``pid``         its process id
``request_id``  the web request it belongs to; tasks that a request queued carry it on ``event_id``    the
audit event it belongs to ``user_id``     the person behind it ``task_id``     the Celery task it belongs to,
with ``task`` its name ``error``       ``{type, message, trace}`` of an exception others          facts of the
event, named by whoever logs it ==============
==================================================================================================

Fields that do not apply are absent. Secrets are masked by :mod:`fundops.core.redaction` before anything is
rendered.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

import structlog
from pydantic import SecretStr
from structlog.typing import Processor

from fundops.core.env import Env
from fundops.core.redaction import know_secrets, redact_event

SCHEMA: Final = (
    "at",
    "level",
    "event",
    "logger",
    "process",
    "pid",
    "request_id",
    "event_id",
    "user_id",
    "task_id",
    "task",
)
CONTEXT: Final = frozenset({"request_id", "event_id", "user_id", "task_id", "task"})
#: Libraries whose chatter our own events replace.
QUIET: Final = {
    "celery.app.trace": logging.CRITICAL,
    "celery.worker.strategy": logging.WARNING,
    "django.request": logging.CRITICAL,
    "django.server": logging.WARNING,
    "uvicorn.access": logging.CRITICAL,
    "asyncio": logging.WARNING,
    "botocore": logging.WARNING,
    "matplotlib": logging.WARNING,
    "numba": logging.WARNING,
}

_user_of_request: Callable[[], int | None] = lambda: None  # noqa: E731 - replaced by the web process


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: ``get_logger(__name__).info("cohort.day_scored", cohort_id=7, day=2)``."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure_logging(env: Env, *, stream: TextIO | None = None) -> None:
    """Sends everything that any library logs through one formatter to ``stream`` (stderr). Harmless to
    repeat.
    """
    stream = stream or sys.stderr
    know_secrets(_secrets(env))
    console = env.log_format == "console" or (env.log_format == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        _stamp,
        _describe_error,
        redact_event,
    ]
    renderer: list[Processor] = (
        [_flatten_error, structlog.dev.ConsoleRenderer(timestamp_key="at", colors=stream.isatty())]
        if console
        else [_order, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(env.log_level)
    for name in (
        "uvicorn",
        "uvicorn.error",
        "uvicorn.access",
        "celery",
        "celery.task",
        "django",
        "django.server",
    ):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Binds fields of the context (``request_id`` and its like) to every event logged inside."""
    unknown = set(fields) - CONTEXT
    if unknown:
        raise ValueError(f"Not part of the event schema's context: {', '.join(sorted(unknown))}.")
    with structlog.contextvars.bound_contextvars(**{key: value for key, value in fields.items() if value}):
        yield


def current_context() -> dict[str, Any]:
    """What is bound now, to be handed on to a task."""
    return {key: value for key, value in structlog.contextvars.get_contextvars().items() if key in CONTEXT}


def install_user_lookup(lookup: Callable[[], int | None]) -> None:
    """Lets the web process say whose request is being served, once it knows, without a query for the log's
    sake.
    """
    global _user_of_request
    _user_of_request = lookup


def process_name() -> str:
    """This process' name in the logs: set by `up`, else the command that runs."""
    named = os.environ.get("FUNDOPS_PROCESS")
    if named:
        return named
    program = Path(sys.argv[0]).name
    return sys.argv[1] if program == "manage.py" and len(sys.argv) > 1 else program


def _secrets(env: Env) -> list[str]:
    values = (getattr(env, name) for name in type(env).model_fields)
    return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


def _stamp(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    at = datetime.fromtimestamp(record.created, UTC) if record is not None else datetime.now(UTC)
    event["at"] = at.isoformat(timespec="microseconds")
    event["process"] = process_name()
    event["pid"] = os.getpid()
    if "user_id" not in event:
        user_id = _user_of_request()
        if user_id is not None:
            event["user_id"] = user_id
    return event


def _describe_error(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    elif isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    event.pop("exc_text", None)
    event.pop("color_message", None)  # uvicorn's second copy of its words
    if info and info[0] is not None:
        event["error"] = {
            "type": f"{info[0].__module__}.{info[0].__qualname__}".removeprefix("builtins."),
            "message": str(info[1]),
            "trace": "".join(traceback.format_exception(*info)),
        }
    return event


def _flatten_error(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For eyes: the traceback below the line, not a dictionary in it."""
    error = event.pop("error", None)
    if isinstance(error, Mapping):
        event["exception"] = error["trace"]
    event.pop("pid", None)
    event.pop("process", None)
    return event


def _order(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = {key: event.pop(key) for key in SCHEMA if key in event}
    return {**first, **event}
