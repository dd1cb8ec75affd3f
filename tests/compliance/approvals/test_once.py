"""Exactly once: two workers, killed workers, votes at the same moment, and a superuser's hand in the tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import psycopg
import pytest
from django.db import connection

from compliance.actions.approval_execution import execute_request, release_request, resume_executions
from compliance.actions.approvals import edit_request
from compliance.approvals.errors import RoleNotAskedError, TamperedError, TransitionRefusedError
from compliance.models import ApprovalDecision, ApprovalExecution, ApprovalRequest, AuditEvent, RequestState
from compliance.tasks import execute_approval, tick_approvals
from fundops.core.roles import Role
from tests.compliance.approvals.support import (
    EFFECT,
    KIND,
    People,
    approved,
    ask,
    make_people,
    policy_document,
    set_policy,
    staff,
    vote,
)
from tests.compliance.support import ROOT, process_env

pytestmark = pytest.mark.usefixtures("shared_key")


@pytest.fixture
def crew(transactional_db: None, shared_key: None) -> People:
    made = make_people()
    set_policy(made, policy_document())
    return made


def effects() -> int:
    return AuditEvent.objects.filter(kind=EFFECT).count()


def released(people: People) -> ApprovalRequest:
    request = approved(people)
    return release_request(request_id=request.pk, actor=people.releaser)


@contextmanager
def worker(request: ApprovalRequest, where: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.compliance.approvals.worker", str(request.pk), where],
        cwd=ROOT,
        env=process_env(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return str(process.stdout.readline()).strip()


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Runs each in a session of its own at the same moment; results or exceptions."""
    start = Barrier(len(works))

    def one(work: Callable[[], Any]) -> Any:
        try:
            start.wait(timeout=30)
            return work()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def test_killed_inside_the_executor_it_is_done_once_by_the_next(crew: People) -> None:
    request = released(crew)
    with worker(request, "inside") as process:
        assert said(process) == "inside"
        assert effects() == 0
        # Meanwhile another worker leaves it alone.
        assert execute_request(request_id=request.pk) is None
        process.kill()
        process.wait()
    with worker(request, "never") as process:
        assert said(process) == "executed"
    request.refresh_from_db()
    assert (request.state, effects()) == (RequestState.EXECUTED, 1)


def test_killed_after_the_commit_it_is_not_done_again(crew: People) -> None:
    request = released(crew)
    with worker(request, "after") as process:
        assert said(process) == "after"
        process.kill()
        process.wait()
    execute_approval(str(request.pk))  # the broker delivers the task again
    tick_approvals()
    assert effects() == 1
    assert ApprovalExecution.objects.filter(request=request).count() == 1


def test_killed_between_release_and_execution_the_schedule_takes_it_up(crew: People) -> None:
    request = released(crew)
    assert resume_executions() == 1
    assert resume_executions() == 0
    request.refresh_from_db()
    assert (request.state, effects()) == (RequestState.EXECUTED, 1)


def test_many_workers_at_once_do_it_once(crew: People) -> None:
    request = released(crew)
    made = at_once([lambda: execute_request(request_id=request.pk) for _ in range(8)])
    assert not [result for result in made if isinstance(result, Exception)], made
    assert any(result is not None for result in made)
    assert effects() == 1


def test_two_releases_at_once_are_one(crew: People) -> None:
    request = approved(crew)
    other = staff("omar", Role.OPERATIONS)
    made = at_once(
        [
            lambda: release_request(request_id=request.pk, actor=crew.releaser),
            lambda: release_request(request_id=request.pk, actor=other),
        ]
    )
    assert sorted(type(result).__name__ for result in made) == ["ApprovalRequest", "TransitionRefusedError"]


def test_two_last_votes_at_once_are_counted_once(crew: People) -> None:
    request = ask(crew)
    vote(request, crew.risk, Role.RISK_OFFICER)
    rivals = [staff(f"ops{number}", Role.OPERATIONS) for number in range(4)]
    made = at_once(
        [
            lambda user=user: vote(ApprovalRequest.objects.get(pk=request.pk), user, Role.OPERATIONS)  # type: ignore[misc]
            for user in rivals
        ]
    )
    votes = [result for result in made if isinstance(result, ApprovalDecision)]
    # Who read the request before the vote that settled it hears that the votes are complete.
    refused = [result for result in made if isinstance(result, (TransitionRefusedError, RoleNotAskedError))]
    assert (len(votes), len(refused)) == (1, 3), made
    request.refresh_from_db()
    assert request.state == RequestState.APPROVED
    approvals = AuditEvent.objects.filter(kind="compliance.approval.approved", object_id=str(request.pk))
    assert approvals.count() == 1


# --- Somebody with all rights in the database ---------------------------------------------------------------
TAMPERINGS = [
    'UPDATE compliance_approvalrequest SET payload = \'{"to": "thief", "amount": "25"}\'',
    "UPDATE compliance_approvalrequest SET reason = 'Another.'",
    "UPDATE compliance_approvalrequest SET amount = 24",
    "UPDATE compliance_approvalstatement SET quorum = '{\"Operations\": 1}'",
    "UPDATE compliance_approvalstatement SET expires_at = expires_at + interval '1 year'",
    "UPDATE compliance_approvalstatement SET canonical = replace(canonical, 'broker', 'thief')",
    "UPDATE compliance_approvalstatement SET canonical = replace(canonical, 'broker', 'thief'),"
    " sha256 = encode(sha256(convert_to(replace(canonical, 'broker', 'thief'), 'UTF8')), 'hex')",
    "UPDATE compliance_approvaldecision SET signed_sha256 = md5(id::text) || md5(id::text)",
    "UPDATE compliance_approvaldecision SET at = at - interval '1 hour'",
    "UPDATE compliance_approvaldecision SET comment = 'Yes, and more of it.'",
    "UPDATE compliance_approvalpolicy SET document = jsonb_set(document, '{bands,0,expires_h}', '99')",
]


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=range(len(TAMPERINGS)))
@pytest.mark.parametrize("when", ["before release", "after release"])
def test_what_a_superuser_swaps_is_caught_by_the_hash(
    crew: People, superuser: psycopg.Connection[Any], tampering: str, when: str
) -> None:
    request = approved(crew)
    if when == "after release":
        release_request(request_id=request.pk, actor=crew.releaser)
    superuser.execute("SET session_replication_role = replica")  # triggers are silent now
    if "policy" in tampering:
        superuser.execute(f"{tampering} WHERE kind = %s", [KIND])
    else:
        key = "id" if "approvalrequest" in tampering else "request_id"
        superuser.execute(f"{tampering} WHERE {key} = %s", [request.pk])
    if when == "before release":
        with pytest.raises(TamperedError):
            release_request(request_id=request.pk, actor=crew.releaser)
    else:
        record = execute_request(request_id=request.pk)
        assert record is not None and (record.outcome, record.error_code) == ("failed", "tampered")
    assert effects() == 0


def test_a_state_set_by_a_superuser_still_executes_nothing(crew: People, superuser: psycopg.Connection[Any]) -> None:
    request = ask(crew)
    superuser.execute("SET session_replication_role = replica")
    superuser.execute(
        "UPDATE compliance_approvalrequest SET state = 'executing', released_by_id = %s, released_person_id ="
        " (SELECT person_id FROM compliance_personaccount WHERE account_id = %s), released_at = now()"
        " WHERE id = %s",
        [crew.releaser.pk, crew.releaser.pk, request.pk],
    )
    record = execute_request(request_id=request.pk)
    assert record is not None and (record.outcome, record.error_code) == ("failed", "quorum_lost")
    assert effects() == 0


def test_one_that_cannot_be_ended_does_not_keep_the_others_waiting(
    crew: People, superuser: psycopg.Connection[Any]
) -> None:
    stuck, fine = released(crew), released(crew)
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("DELETE FROM compliance_approvalstatement WHERE request_id = %s", [stuck.pk])
    assert resume_executions() == 1
    fine.refresh_from_db()
    stuck.refresh_from_db()
    assert (fine.state, stuck.state) == (RequestState.EXECUTED, RequestState.EXECUTING)


def test_a_vote_and_an_edit_at_once_leave_no_vote_on_what_was_not_seen(crew: People) -> None:
    for amount in range(1, 6):
        request = ask(crew)
        vote(request, crew.risk, Role.RISK_OFFICER)
        payload = {"to": "broker", "amount": str(amount)}
        made = at_once(
            [
                lambda pk=request.pk: vote(ApprovalRequest.objects.get(pk=pk), crew.operations, Role.OPERATIONS),  # type: ignore[misc]
                lambda pk=request.pk, to=payload: edit_request(request_id=pk, payload=to, actor=crew.maker),  # type: ignore[misc]
            ]
        )
        assert not isinstance(made[1], Exception), made
        request.refresh_from_db()
        assert (request.state, request.version) == (RequestState.DRAFT, 2)
        assert not ApprovalDecision.objects.filter(request=request, statement__version=2).exists()
