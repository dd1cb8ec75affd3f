"""What was found to be due is handed on to the worker, which does not look for it twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.trading.desk.support import busiest, replay_of
from trading import tasks
from trading.desk import drive, lease
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeskRun

pytestmark = pytest.mark.django_db(transaction=True)

HOURS = 2


@pytest.fixture
def deployment(cohort: Cohort) -> Deployment:
    return replay_of(busiest(cohort), hours=HOURS)


def test_a_task_is_told_what_is_due(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tasks.run_desks, "apply_async", lambda args, expires: sent.append(args[0]))
    assert tasks.call_desks() == 1
    assert [dict(due) for due in sent] == [drive.due_desks()]
    monkeypatch.setattr(tasks, "HANDED_ON", 0)
    assert tasks.call_desks() == 1 and sent[-1] is None, "of many each worker looks for itself"


def test_what_is_handed_on_is_worked_without_looking(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    due = drive.due_desks()
    monkeypatch.setattr(drive, "due_desks", lambda: pytest.fail("it was told already"))
    tasks.run_desks(json.loads(json.dumps(list(due.items()))))
    assert DeskRun.objects.get(deployment=deployment).bars > 0


def test_an_end_that_has_come_nearer_binds_whatever_was_handed_on(deployment: Deployment) -> None:
    due = drive.due_desks()
    last = deployment.start_ms + 3 * deployment.interval_ms
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=last)
    drive.run_desks(due)
    assert DeskRun.objects.get(deployment=deployment).next_bar_ms == last


def test_a_lease_that_was_taken_a_moment_ago_is_not_written_again(deployment: Deployment) -> None:
    tokens = lease.take([deployment.pk], limit=1)
    taken = DeskRun.objects.get(deployment=deployment).leased_until
    assert lease.hold(tokens) == {deployment.pk}
    assert DeskRun.objects.get(deployment=deployment).leased_until == taken
    assert not lease.is_any_free([deployment.pk])
    assert lease.hold(tokens, lease_s=60.0) == {deployment.pk}
    later = DeskRun.objects.get(deployment=deployment).leased_until
    assert taken is not None and later is not None and later > taken
    lease.release(tokens)
    assert lease.is_any_free([deployment.pk]) and not lease.is_any_free([])
