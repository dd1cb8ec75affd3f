"""Two records of one human being: declared by request, and from then on one pair of eyes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.approvals import submit_request
from compliance.actions.people import delegate_duties
from compliance.approvals import errors
from compliance.approvals.humans import human_of
from compliance.models import ApprovalRequest, AuditEvent, PersonMerge
from compliance.selectors_approvals import approval_queue, person_of, release_queue
from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.support import People, approved, ask, carry_through, staff, vote
from tests.gate import by_gate

pytestmark = pytest.mark.django_db
MERGE = "compliance.merge_people"


def merge(one: User, other: User, *, maker: User | None = None) -> dict[str, Any]:
    asked = {"person": person_of(one).reference, "same_as": person_of(other).reference}
    return by_gate(MERGE, asked, maker=maker or staff(f"cora_{one.username}", Role.COMPLIANCE_OFFICER))


def refused(statement: str, params: list[Any]) -> str:
    with pytest.raises(DatabaseError) as refusal, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, params)
    return str(refusal.value)


def test_the_other_record_s_account_is_no_second_pair_of_eyes(people: People) -> None:
    twin = staff("marie", Role.RISK_OFFICER)
    merge(twin, people.maker)
    request = ask(people)
    assert request not in approval_queue(user=twin)
    with pytest.raises(errors.SamePersonError):
        vote(request, twin, Role.RISK_OFFICER)


def test_nor_does_the_database_take_its_vote(people: People) -> None:
    twin = staff("marie", Role.RISK_OFFICER)
    merge(people.maker, twin)
    request = ask(people)
    said = refused(
        "INSERT INTO compliance_approvaldecision (request_id, statement_id, decision, role, actor_id, person_id,"
        " comment, at, signed_sha256, proof_kind, proof, signature)"
        " VALUES (%s, %s, 'approve', 'Risk officer', %s, %s, '', now(), %s, 'totp', '{}', %s)",
        [request.pk, request.statements.get().pk, twin.pk, person_of(twin).pk, "a" * 64, "b" * 64],
    )
    assert "different people" in said


def test_two_records_have_one_vote_and_one_release(people: People) -> None:
    twin = staff("rick_too", Role.OPERATIONS, Role.RISK_OFFICER)
    merge(twin, people.risk)
    request = ask(people)
    vote(request, people.risk, Role.RISK_OFFICER)
    with pytest.raises(errors.AlreadyDecidedError):
        vote(request, twin, Role.OPERATIONS)
    vote(request, people.operations, Role.OPERATIONS)
    assert request not in release_queue(user=twin)
    with pytest.raises(errors.SamePersonError):
        release_request(request_id=request.pk, actor=twin)
    said = refused(
        "UPDATE compliance_approvalrequest SET state = 'executing', released_by_id = %s, released_person_id = %s,"
        " released_at = now() WHERE id = %s",
        [twin.pk, person_of(twin).pk, request.pk],
    )
    assert "different people" in said


def test_a_chain_of_records_is_one_human(people: People) -> None:
    second, third = staff("marie", Role.RISK_OFFICER), staff("mary", Role.OPERATIONS)
    merge(second, people.maker)
    merge(third, second)
    assert len({human_of(person_of(user).pk) for user in (people.maker, second, third)}) == 1
    for user, role in ((second, Role.RISK_OFFICER), (third, Role.OPERATIONS)):
        with pytest.raises(errors.SamePersonError):
            vote(ask(people), user, role)
    with pytest.raises(errors.AccountLinkError, match="one person already"):
        merge(third, people.maker, maker=people.reviewer)


def test_a_delegate_by_another_record_is_one_still(people: People) -> None:
    twin = staff("rick_too", Role.AUDITOR)
    merge(twin, people.risk)
    delegate_duties(
        principal=person_of(people.maker),
        delegate=person_of(twin),
        starts_at=clock.now() - timedelta(days=1),
        ends_at=None,
        actor=None,
    )
    with pytest.raises(errors.DelegateError):
        vote(ask(people), people.risk, Role.RISK_OFFICER)


def test_votes_that_become_self_approvals_are_void(people: People) -> None:
    """The request is its maker's draft again; one in which the human has a single part stays as it is."""
    request, untouched = approved(people), ask(people)
    vote(untouched, people.operations, Role.OPERATIONS)
    told = merge(people.risk, people.maker)
    assert told["void"] == [str(request.pk)]
    request.refresh_from_db()
    untouched.refresh_from_db()
    assert (request.state, request.version) == ("draft", 2)
    assert (untouched.state, untouched.version) == ("partially_approved", 1)
    event = AuditEvent.objects.get(kind="compliance.approval.votes_voided")
    assert event.payload["void_votes"] == 2
    submit_request(request_id=request.pk, actor=people.maker)
    request.refresh_from_db()
    with pytest.raises(errors.SamePersonError):
        vote(request, people.risk, Role.RISK_OFFICER)


def test_what_was_released_with_it_is_not_executed(people: People) -> None:
    request = approved(people)
    release_request(request_id=request.pk, actor=people.releaser)
    merge(people.risk, people.maker)
    record = execute_request(request_id=request.pk)
    assert record is not None
    assert (record.outcome, record.error_code) == ("failed", "same_person")


def test_what_was_done_before_stands_and_is_named(people: People) -> None:
    done = carry_through(ask(people), people)
    assert done.state == "executed"
    told = merge(people.risk, people.maker)
    assert str(done.pk) in told["self_approved_before"]
    call_command("verify_approvals", verbosity=0)  # it was right by what was known then


def test_who_it_is_about_has_no_part_in_it(people: People) -> None:
    with pytest.raises(errors.InterestedError):
        merge(people.reviewer, people.maker, maker=people.reviewer)


def test_it_is_declared_by_request_alone_and_for_good(people: People) -> None:
    one, other = person_of(people.risk), person_of(people.operations)
    request = ApprovalRequest.objects.first()
    assert request is not None
    said = refused(
        "INSERT INTO compliance_personmerge (person_id, same_as_id, request_id, merged_at) VALUES (%s, %s, %s, now())",
        [one.pk, other.pk, request.pk],
    )
    assert "approved request" in said
    merge(people.risk, people.operations)
    for statement in ("DELETE FROM compliance_personmerge", "UPDATE compliance_personmerge SET same_as_id = person_id"):
        assert "permission denied" in refused(statement, [])
    assert PersonMerge.objects.count() == 1
