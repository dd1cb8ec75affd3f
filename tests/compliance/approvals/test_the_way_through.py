"""From a draft to its execution: four people, one act."""

from __future__ import annotations

import pytest
from django.db import connection

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.approvals import draft_request, edit_request, submit_request, withdraw_request
from compliance.approvals.errors import (
    PolicyMissingError,
    StandsStillError,
    TransitionRefusedError,
)
from compliance.approvals.machine import allowed_steps
from compliance.models import (
    ApprovalExecution,
    ApprovalPolicy,
    ApprovalRequest,
    AuditEvent,
    RequestState,
)
from fundops.core.errors import FundopsError
from fundops.core.roles import Role
from tests.compliance.approvals.support import (
    EFFECT,
    KIND,
    WORLD,
    People,
    approved,
    ask,
    carry_through,
    make_people,
    policy_document,
    set_policy,
    vote,
)

pytestmark = pytest.mark.django_db


def effects() -> int:
    return AuditEvent.objects.filter(kind=EFFECT).count()


def test_two_people_approve_a_third_releases_and_it_is_done_once(people: People) -> None:
    request = ask(people)
    assert request.state == RequestState.SUBMITTED
    vote(request, people.risk, Role.RISK_OFFICER)
    request.refresh_from_db()
    assert request.state == RequestState.PARTIALLY_APPROVED
    vote(request, people.operations, Role.OPERATIONS)
    request.refresh_from_db()
    assert request.state == RequestState.APPROVED
    release_request(request_id=request.pk, actor=people.releaser)
    assert effects() == 0
    first = execute_request(request_id=request.pk)
    again = execute_request(request_id=request.pk)
    assert first is not None and again is not None and first.pk == again.pk
    assert (first.outcome, first.result) == ("executed", {"moved": "25"})
    assert effects() == 1
    told = AuditEvent.objects.filter(object_id=str(request.pk)).order_by("id").values_list("kind", "topics")
    assert [kind.rpartition(".")[2] for kind, _ in told] == [
        "drafted", "submitted", "voted", "approved", "released", "executed",
    ]  # fmt: skip
    assert all(topics == ["approvals", f"approval:{request.pk}"] for _, topics in told)


def test_the_policy_itself_went_through_the_gate(people: People) -> None:
    policy = ApprovalPolicy.objects.get(kind=KIND)
    assert policy.version == 1
    assert policy.request is not None and policy.request.state == RequestState.EXECUTED
    set_policy(people, policy_document(expires_h=48))
    assert list(ApprovalPolicy.objects.filter(kind=KIND).values_list("version", flat=True)) == [1, 2]


def test_without_a_policy_nothing_can_be_asked(db: None) -> None:
    people = make_people()
    draft = draft_request(kind=KIND, payload={"to": "broker", "amount": "1"}, reason="Why not", actor=people.maker)
    with pytest.raises(PolicyMissingError):
        submit_request(request_id=draft.pk, actor=people.maker)


def test_an_edit_is_a_new_version_and_voids_the_votes(people: People) -> None:
    request = ask(people)
    vote(request, people.risk, Role.RISK_OFFICER)
    edited = edit_request(request_id=request.pk, payload={"to": "broker", "amount": "30"}, actor=people.maker)
    assert (edited.state, edited.version) == (RequestState.DRAFT, 2)
    submit_request(request_id=request.pk, actor=people.maker)
    vote(request, people.operations, Role.OPERATIONS)
    request.refresh_from_db()
    assert request.state == RequestState.PARTIALLY_APPROVED
    vote(request, people.risk, Role.RISK_OFFICER)
    request.refresh_from_db()
    assert request.state == RequestState.APPROVED


def test_a_request_stays_with_what_it_is_about(people: People) -> None:
    request = ask(people)
    with pytest.raises(StandsStillError):
        edit_request(request_id=request.pk, payload={"to": "elsewhere", "amount": "25"}, actor=people.maker)


def test_a_withdrawn_request_is_over(people: People) -> None:
    request = approved(people)
    withdraw_request(request_id=request.pk, actor=people.maker, note="Not needed.")
    with pytest.raises(TransitionRefusedError):
        release_request(request_id=request.pk, actor=people.releaser)


def test_a_request_that_supersedes_ends_the_former_one(people: People) -> None:
    former = approved(people)
    ask(people, "30", supersedes=former)
    former.refresh_from_db()
    assert former.state == RequestState.SUPERSEDED


def test_what_the_executor_refuses_fails_and_leaves_nothing(people: People) -> None:
    def refuse() -> None:
        raise FundopsError("The bank is closed. Try on Monday.")

    WORLD["on_execute"] = refuse
    request = carry_through(ask(people), people)
    record = ApprovalExecution.objects.get(request=request)
    assert (request.state, record.error) == (RequestState.FAILED, "The bank is closed. Try on Monday.")
    assert effects() == 0


def test_when_the_world_has_moved_the_signed_request_is_stale(people: People) -> None:
    request = approved(people)
    release_request(request_id=request.pk, actor=people.releaser)
    WORLD["balance"] = "10"
    record = execute_request(request_id=request.pk)
    assert record is not None and (record.outcome, record.error_code) == ("failed", "stale_request")
    assert effects() == 0


def test_the_re_check_is_asked_at_the_execution(people: People) -> None:
    request = approved(people)
    release_request(request_id=request.pk, actor=people.releaser)
    WORLD["open"] = False
    record = execute_request(request_id=request.pk)
    assert record is not None and (record.outcome, record.error_code) == ("failed", "world_says_no")
    assert effects() == 0


def test_the_database_knows_the_same_steps_as_the_machine() -> None:
    states = RequestState.values
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a, b FROM unnest(%s::text[]) a, unnest(%s::text[]) b WHERE compliance_approval_step(a, b)",
            [states, states],
        )
        known = set(cursor.fetchall())
    # The one more is the executing transaction writing its name on the row.
    assert known == allowed_steps() | {("executing", "executing")}


def test_history_is_readable(people: People) -> None:
    request = carry_through(ask(people), people)
    seen = ApprovalRequest.history.filter(id=request.pk).order_by("history_id")
    assert [row.state for row in seen] == [
        "draft", "submitted", "partially_approved", "approved", "executing", "executed",
    ]  # fmt: skip
