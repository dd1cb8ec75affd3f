"""Sessions of the database outlive tasks; one that has ended does not fail the next task."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg
import pytest
from celery.fixups.django import DjangoWorkerFixup  # type: ignore[attr-defined] # the stubs do not know it
from django.db import connection

from celery_app import app
from fundops.core import celery_signals
from fundops.core.bulk import run

pytestmark = pytest.mark.django_db(transaction=True)

TASK = SimpleNamespace(request=SimpleNamespace(is_eager=False))


def backend() -> int:
    ((pid,),) = run("SELECT pg_backend_pid()")
    return int(pid)


def between_tasks() -> None:
    fixup = DjangoWorkerFixup(app)
    fixup.on_task_postrun(TASK)
    celery_signals._part_with_a_session_that_is_broken_or_old(TASK)
    fixup.on_task_prerun(TASK)
    celery_signals._part_with_a_session_that_is_broken_or_old(TASK)


def test_the_next_task_finds_the_session_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", celery_signals.SESSION_AGE_S)
    connection.close()
    before = backend()
    between_tasks()
    assert backend() == before


def test_a_session_that_the_database_has_ended_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", celery_signals.SESSION_AGE_S)
    connection.close()
    before = backend()
    with psycopg.connect(connection.connection.info.dsn, password=connection.settings_dict["PASSWORD"]) as other:
        other.autocommit = True
        other.execute("SELECT pg_terminate_backend(%s)", [before])
    between_tasks()
    assert backend() != before


def test_a_session_that_is_old_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    connection.close()
    before = backend()
    between_tasks()
    assert backend() != before
