"""Delegations and references: facts that are not rewritten, and who hears of a request."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from celery_app import app
from compliance.actions.people import delegate_duties, end_delegation
from compliance.approvals.errors import AccountLinkError, DelegateError
from compliance.approvals.topics import may_watch_approvals, may_watch_request
from compliance.models import Delegation
from compliance.selectors_approvals import approval_queue, person_of
from fundops.core import clock
from fundops.core.roles import Role
from tests.compliance.approvals.support import People, ask, staff, vote
from tests.factories import user_with

pytestmark = pytest.mark.django_db


def delegated(people: People) -> Delegation:
    return delegate_duties(
        principal=person_of(people.maker),
        delegate=person_of(people.risk),
        starts_at=clock.now() - timedelta(days=1),
        ends_at=None,
        actor=None,
    )


def test_ending_a_delegation_frees_the_delegate_for_what_is_asked_later(people: People) -> None:
    delegation = delegated(people)
    before = ask(people)
    assert before not in approval_queue(user=people.risk)
    end_delegation(delegation=delegation, actor=None)
    assert before not in approval_queue(user=people.risk)
    with pytest.raises(DelegateError):
        vote(before, people.risk, Role.RISK_OFFICER)
    after = ask(people)
    assert after in approval_queue(user=people.risk)
    vote(after, people.risk, Role.RISK_OFFICER)
    with pytest.raises(AccountLinkError):
        end_delegation(delegation=delegation, actor=None)


@pytest.mark.parametrize(
    "change",
    [
        "ends_at = starts_at",
        "starts_at = now()",
        "delegate_id = (SELECT max(id) FROM compliance_person)",
    ],
)
def test_a_delegation_is_not_rewritten(people: People, change: str) -> None:
    delegated(people)
    with pytest.raises(DatabaseError, match="only ended"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE compliance_delegation SET {change}")  # noqa: S608


def test_a_reference_is_not_rewritten(people: People) -> None:
    with pytest.raises(DatabaseError, match="never changes"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE compliance_person SET reference = reference || 'x'")
    person = person_of(people.maker)
    person.full_name = "Maria Married"
    person.save()
    assert person_of(people.maker).full_name == "Maria Married"


def test_who_may_listen(people: People) -> None:
    request = ask(people)
    assert may_watch_approvals(people.risk, "")
    assert may_watch_request(people.risk, str(request.pk))
    outsider = user_with(Role.INVESTOR)
    assert not may_watch_approvals(outsider, "")
    assert not may_watch_request(outsider, str(request.pk))
    assert not may_watch_request(people.risk, "nonsense")
    # A maker whose role has gone still hears of their own.
    people.maker.groups.clear()
    former = type(people.maker).objects.get(pk=people.maker.pk)
    assert may_watch_request(former, str(request.pk))
    assert not may_watch_approvals(former, "")


def test_the_queue_shows_only_what_one_may_still_decide(people: People) -> None:
    request = ask(people)
    second = staff("maria_risk", Role.RISK_OFFICER, reference="staff-maria")
    assert list(approval_queue(user=people.risk)) == [request]
    assert list(approval_queue(user=second)) == []
    assert list(approval_queue(user=people.reviewer)) == []
    assert list(approval_queue(user=user_with(Role.RISK_OFFICER))) == []
    with clock.frozen(clock.now() + timedelta(hours=25)):
        assert list(approval_queue(user=people.risk)) == []


def test_workers_and_the_schedule_know_the_tasks() -> None:
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert {"compliance.tasks.execute_approval", "compliance.tasks.tick_approvals"} <= set(app.tasks)
    assert "compliance.tasks.tick_approvals" in scheduled
