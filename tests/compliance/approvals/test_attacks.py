"""What somebody inside would try, one test a trick."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.approvals import decide_request, edit_request, expire_requests, prepare_decision
from compliance.actions.people import delegate_duties, link_account
from compliance.approvals import errors
from compliance.approvals.policy import ProofKind
from compliance.approvals.registry import Warrant, registered_actions
from compliance.models import (
    ApprovalDecision,
    ApprovalExecution,
    ApprovalRequest,
    AuditEvent,
    Decision,
    Person,
    PersonAccount,
    RequestState,
)
from compliance.selectors_approvals import person_of
from fundops.core import clock
from fundops.core.errors import PermissionMissingError
from fundops.core.roles import Role
from tests.compliance.approvals.support import (
    EFFECT,
    KIND,
    WORLD,
    People,
    approved,
    ask,
    code_of,
    fresh_code_proof,
    policy_document,
    set_policy,
    staff,
    vote,
)
from tests.factories import user_with

pytestmark = pytest.mark.django_db


def effects() -> int:
    return AuditEvent.objects.filter(kind=EFFECT).count()


def refused_by_database(statement: str, params: list[Any]) -> str:
    """Runs SQL as the application's role; the refusal's words, or a failed test."""
    with pytest.raises(DatabaseError) as refusal, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, params)
    return str(refusal.value)


# --- Who ----------------------------------------------------------------------------------------------------
def test_a_second_account_of_the_maker_cannot_approve(people: People) -> None:
    request = ask(people)
    second = staff("maria_risk", Role.RISK_OFFICER, reference="staff-maria")
    with pytest.raises(errors.SamePersonError):
        vote(request, second, Role.RISK_OFFICER)


def test_nor_does_the_database_take_its_vote(people: People) -> None:
    request = ask(people)
    second = staff("maria_risk", Role.RISK_OFFICER, reference="staff-maria")
    said = refused_by_database(*_raw_vote(request, second.pk, person_of(second).pk))
    assert "different people" in said


def test_nor_under_the_name_of_another_person(people: People) -> None:
    request = ask(people)
    second = staff("maria_risk", Role.RISK_OFFICER, reference="staff-maria")
    said = refused_by_database(*_raw_vote(request, second.pk, person_of(people.risk).pk))
    assert "different people" in said


def test_an_account_changes_hands_for_nobody(people: People) -> None:
    with pytest.raises(errors.AccountLinkError):
        link_account(account=people.risk, reference="somebody-else", full_name="X", actor=None)
    said = refused_by_database(
        "UPDATE compliance_personaccount SET person_id = %s WHERE account_id = %s",
        [person_of(people.maker).pk, people.risk.pk],
    )
    assert "permission denied" in said


def test_nobody_says_whose_account_their_own_is(db: None) -> None:
    officer = user_with(Role.COMPLIANCE_OFFICER, username="olive")
    with pytest.raises(errors.AccountLinkError):
        link_account(account=officer, reference="other", full_name="Other", actor=officer)
    administrator = user_with(Role.ADMINISTRATOR)
    with pytest.raises(PermissionMissingError):
        link_account(account=officer, reference="other", full_name="Other", actor=administrator)
    link = link_account(account=administrator, reference="staff-ada", full_name="Ada", actor=officer)
    assert list(PersonAccount.objects.all()) == [link]


def test_an_account_of_nobody_neither_asks_nor_votes(people: People) -> None:
    ghost = user_with(Role.RISK_OFFICER, username="ghost")
    with pytest.raises(errors.PersonUnknownError):
        vote(ask(people), ghost, Role.RISK_OFFICER)


def test_the_maker_s_delegate_does_not_count(people: People) -> None:
    request = ask(people)
    delegate_duties(
        principal=person_of(people.maker),
        delegate=person_of(people.risk),
        starts_at=clock.now() - timedelta(days=1),
        ends_at=None,
        actor=None,
    )
    with pytest.raises(errors.DelegateError):
        vote(request, people.risk, Role.RISK_OFFICER)
    assert "delegate" in refused_by_database(*_raw_vote(request, people.risk.pk, person_of(people.risk).pk))


def test_one_person_has_one_vote_even_with_two_roles_and_accounts(people: People) -> None:
    request = ask(people)
    vote(request, people.risk, Role.RISK_OFFICER)
    second = staff("rick_ops", Role.OPERATIONS, reference="staff-rick")
    with pytest.raises(errors.AlreadyDecidedError):
        vote(request, second, Role.OPERATIONS)


@pytest.mark.parametrize("who", ["maker", "risk", "operations"])
def test_whoever_had_a_part_does_not_release(people: People, who: str) -> None:
    request = approved(people)
    user = getattr(people, who)
    user.groups.add(Group.objects.get(name=Role.COMPLIANCE_OFFICER.value))
    with pytest.raises(errors.SamePersonError):
        release_request(request_id=request.pk, actor=type(user).objects.get(pk=user.pk))
    said = refused_by_database(
        "UPDATE compliance_approvalrequest SET state = 'executing', released_by_id = %s,"
        " released_person_id = %s, released_at = now() WHERE id = %s",
        [user.pk, person_of(user).pk, request.pk],
    )
    assert "different people" in said or "releaser_not_maker" in said


def test_a_vote_needs_the_permission_and_the_role(people: People) -> None:
    request = ask(people)
    with pytest.raises(PermissionMissingError):
        vote(request, staff("paul", Role.PORTFOLIO_MANAGER), Role.RISK_OFFICER)
    with pytest.raises(errors.RoleNotAskedError):
        vote(request, people.operations, Role.RISK_OFFICER)
    with pytest.raises(errors.RoleNotAskedError):
        vote(request, people.reviewer, Role.COMPLIANCE_OFFICER)


# --- What is signed -----------------------------------------------------------------------------------------
def test_a_signature_is_good_for_one_request_only(people: People) -> None:
    first, second = ask(people), ask(people)
    shown = prepare_decision(request=first, decision=Decision.APPROVE, role=Role.RISK_OFFICER.value, actor=people.risk)
    with pytest.raises(errors.StatementChangedError):
        decide_request(
            request_id=second.pk,
            decision=Decision.APPROVE,
            role=Role.RISK_OFFICER.value,
            actor=people.risk,
            signed_sha256=shown.sha256,
            proof_kind=ProofKind.TOTP,
            proof=fresh_code_proof(people.risk),
        )
    assert not ApprovalDecision.objects.filter(request=second).exists()


def test_a_rejection_is_not_turned_into_an_approval(people: People) -> None:
    request = ask(people)
    shown = prepare_decision(
        request=request,
        decision=Decision.REJECT,
        role=Role.RISK_OFFICER.value,
        actor=people.risk,
        comment="Too much.",
    )
    with pytest.raises(errors.StatementChangedError):
        decide_request(
            request_id=request.pk,
            decision=Decision.APPROVE,
            role=Role.RISK_OFFICER.value,
            actor=people.risk,
            signed_sha256=shown.sha256,
            proof_kind=ProofKind.TOTP,
            proof=fresh_code_proof(people.risk),
            comment="Too much.",
        )


def test_a_code_signs_once(people: People) -> None:
    first, second = ask(people), ask(people)
    code = fresh_code_proof(people.risk)
    for request, refusal in ((first, None), (second, errors.ProofRefusedError)):
        shown = prepare_decision(
            request=request, decision=Decision.APPROVE, role=Role.RISK_OFFICER.value, actor=people.risk
        )

        def sign(request: ApprovalRequest = request, sha256: str = shown.sha256) -> None:
            decide_request(
                request_id=request.pk,
                decision=Decision.APPROVE,
                role=Role.RISK_OFFICER.value,
                actor=people.risk,
                signed_sha256=sha256,
                proof_kind=ProofKind.TOTP,
                proof=code,
            )

        if refusal is None:
            sign()
        else:
            with pytest.raises(refusal):
                sign()


def test_codes_cannot_be_guessed_at_leisure(people: People) -> None:
    request = ask(people)
    shown = prepare_decision(
        request=request, decision=Decision.APPROVE, role=Role.RISK_OFFICER.value, actor=people.risk
    )

    def sign(code: str) -> None:
        decide_request(
            request_id=request.pk,
            decision=Decision.APPROVE,
            role=Role.RISK_OFFICER.value,
            actor=people.risk,
            signed_sha256=shown.sha256,
            proof_kind=ProofKind.TOTP,
            proof={"code": code},
        )

    for _ in range(5):
        with pytest.raises(errors.ProofRefusedError, match="wrong or used"):
            sign("nonsense")
    with pytest.raises(errors.ProofRefusedError, match="Too many"):
        sign(code_of(people.risk))


def test_a_role_that_the_policy_wants_a_passkey_of_cannot_use_a_code(people: People) -> None:
    set_policy(people, policy_document(proofs={"Operations": ["totp"]}))
    request = ask(people)
    with pytest.raises(errors.ProofNotAllowedError):
        vote(request, people.risk, Role.RISK_OFFICER)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("payload", '\'{"to": "thief", "amount": "25"}\''),
        ("amount", "1"),
        ("reason", "'Another.'"),
        ("evidence", "'[1]'"),
        ("kind", "'compliance.set_policy'"),
        ("maker_person_id", "(SELECT max(id) FROM compliance_person)"),
        ("expires_at", "now() + interval '1 year'"),
    ],
)
@pytest.mark.parametrize("target", ["partially_approved", "executing"])
def test_what_was_submitted_stands_still(people: People, target: str, column: str, value: str) -> None:
    request = approved(people) if target == "executing" else ask(people)
    released = [people.releaser.pk, person_of(people.releaser).pk, clock.now()]
    step = (
        "UPDATE compliance_approvalrequest SET state = %s, released_by_id = %s, released_person_id = %s,"
        " released_at = %s"
    )
    params = [target, *(released if target == "executing" else [None] * 3)]
    said = refused_by_database(f"{step}, {column} = {value} WHERE id = %s", [*params, request.pk])
    assert any(word in said for word in ("never changes", "new version", "stands still", "nothing to sign")), said
    with connection.cursor() as cursor:  # without the swap the same step is taken
        cursor.execute(f"{step} WHERE id = %s", [*params, request.pk])


def test_a_statement_or_a_vote_is_not_rewritten(people: People) -> None:
    approved(people)
    for table in ("statement", "decision", "policy", "execution"):
        for verb in ("UPDATE compliance_approval{} SET id = id", "DELETE FROM compliance_approval{}"):
            assert "permission denied" in refused_by_database(verb.format(table), [])
    assert "append-only" in refused_by_database("DELETE FROM compliance_approvalrequest", [])


# --- How it is executed -------------------------------------------------------------------------------------
def test_an_expired_request_is_neither_decided_nor_released(people: People) -> None:
    waiting, ready = ask(people), approved(people)
    late = clock.now() + timedelta(hours=25)
    with clock.frozen(late):
        with pytest.raises(errors.RequestExpiredError):
            vote(waiting, people.risk, Role.RISK_OFFICER)
        with pytest.raises(errors.RequestExpiredError):
            release_request(request_id=ready.pk, actor=people.releaser)
        said = refused_by_database(
            "UPDATE compliance_approvalrequest SET state = 'executing', released_by_id = %s,"
            " released_person_id = %s, released_at = %s WHERE id = %s",
            [people.releaser.pk, person_of(people.releaser).pk, late, ready.pk],
        )
        assert "before it expires" in said
        assert expire_requests() == 2
        assert expire_requests() == 0
    ready.refresh_from_db()
    assert ready.state == RequestState.EXPIRED


def test_a_request_that_expires_between_release_and_execution_fails(people: People) -> None:
    request = approved(people)
    release_request(request_id=request.pk, actor=people.releaser)
    with clock.frozen(timezone.now() + timedelta(hours=25)):
        record = execute_request(request_id=request.pk)
    assert record is not None and record.error_code == "request_expired"
    assert effects() == 0


@pytest.mark.parametrize("how", ["role", "account"])
def test_a_voter_who_lost_the_role_no_longer_counts(people: People, how: str) -> None:
    early, late = approved(people), approved(people)
    release_request(request_id=late.pk, actor=people.releaser)
    if how == "role":
        people.risk.groups.clear()
    else:
        people.risk.is_active = False
        people.risk.save(update_fields=["is_active"])
    with pytest.raises(errors.QuorumLostError):
        release_request(request_id=early.pk, actor=people.releaser)
    record = execute_request(request_id=late.pk)
    assert record is not None and record.error_code == "quorum_lost"
    assert effects() == 0
    said = refused_by_database(
        "UPDATE compliance_approvalrequest SET state = 'executing', released_by_id = %s,"
        " released_person_id = %s, released_at = now() WHERE id = %s",
        [people.releaser.pk, person_of(people.releaser).pk, early.pk],
    )
    assert "votes it needs" in said


def test_a_changed_policy_makes_what_was_signed_stale(people: People) -> None:
    request = approved(people)
    set_policy(people, policy_document(expires_h=5))
    with pytest.raises(errors.StaleRequestError):
        release_request(request_id=request.pk, actor=people.releaser)


def test_no_executor_runs_without_its_approved_request(people: People) -> None:
    """Walks the registry: without a warrant, with a made-up one, with another request's, with a changed
    payload."""
    other = approved(people)
    release_request(request_id=other.pk, actor=people.releaser)
    kinds = {action.kind for action in registered_actions()}
    assert kinds >= {KIND, "compliance.set_policy", "risk.set_limit"}
    before = AuditEvent.objects.count()
    forged = [
        None,
        object(),
        Warrant(request_id=uuid4(), actor=people.releaser),
        Warrant(request_id=other.pk, actor=people.releaser),
    ]
    for action in registered_actions():
        payload = other.payload if action.kind == KIND else {}
        for warrant in forged:
            with pytest.raises(errors.NotApprovedError), transaction.atomic():
                action(payload, warrant)  # type: ignore[arg-type]
    assert AuditEvent.objects.count() == before


def test_inside_an_execution_another_payload_kind_or_actor_is_refused(people: People) -> None:
    request = approved(people)
    release_request(request_id=request.pk, actor=people.releaser)
    actions = {action.kind: action for action in registered_actions()}
    tried: list[str] = []

    def trick() -> None:
        mine = Warrant(request_id=request.pk, actor=people.releaser)
        for kind, payload, warrant in (
            (KIND, {"to": "thief", "amount": "25"}, mine),
            ("compliance.set_policy", {"document": policy_document(expires_h=1)}, mine),
            (KIND, request.payload, Warrant(request_id=request.pk, actor=people.maker)),
        ):
            with pytest.raises(errors.NotApprovedError):
                actions[kind](payload, warrant)
            tried.append(kind)

    WORLD["on_execute"] = trick
    execute_request(request_id=request.pk)
    assert len(tried) == 3
    assert effects() == 1


def test_the_maker_s_delegate_does_not_release(people: People) -> None:
    request = approved(people)
    delegate_duties(
        principal=person_of(people.maker),
        delegate=person_of(people.releaser),
        starts_at=clock.now() - timedelta(days=1),
        ends_at=None,
        actor=None,
    )
    with pytest.raises(errors.DelegateError):
        release_request(request_id=request.pk, actor=people.releaser)
    said = refused_by_database(
        "UPDATE compliance_approvalrequest SET state = 'executing', released_by_id = %s,"
        " released_person_id = %s, released_at = %s WHERE id = %s",
        [people.releaser.pk, person_of(people.releaser).pk, clock.now(), request.pk],
    )
    assert "delegate" in said


def test_a_releaser_who_lost_the_role_meanwhile_does_not_count(people: People) -> None:
    request = approved(people)
    release_request(request_id=request.pk, actor=people.releaser)
    people.releaser.groups.clear()
    record = execute_request(request_id=request.pk)
    assert record is not None and record.error_code == "role_not_asked"
    assert effects() == 0


def test_an_executed_request_is_not_executed_again_by_hand(people: People) -> None:
    request = approved(people)
    release_request(request_id=request.pk, actor=people.releaser)
    execute_request(request_id=request.pk)
    refused_by_database("UPDATE compliance_approvalrequest SET state = 'executing' WHERE id = %s", [request.pk])
    with pytest.raises(IntegrityError), transaction.atomic():
        record = ApprovalExecution.objects.get(request=request)
        record.pk = None
        record.save(force_insert=True)
    assert effects() == 1


# --- Straight into the database -----------------------------------------------------------------------------
def test_a_request_does_not_begin_approved(people: People) -> None:
    request = ask(people)
    said = refused_by_database(
        "INSERT INTO compliance_approvalrequest (id, kind, object_type, object_id, object_label, payload,"
        " version, evidence, reason, state, maker_id, maker_person_id, created_at, break_glass, closing_note)"
        " SELECT gen_random_uuid(), kind, object_type, object_id, object_label, payload, version, evidence,"
        " reason, 'approved', maker_id, maker_person_id, created_at, false, ''"
        " FROM compliance_approvalrequest WHERE id = %s",
        [request.pk],
    )
    assert "begins as a draft" in said


def test_a_state_is_not_skipped(people: People) -> None:
    request = ask(people)
    for state in ("approved", "executing", "executed"):
        refused_by_database("UPDATE compliance_approvalrequest SET state = %s WHERE id = %s", [state, request.pk])


def test_a_policy_is_not_inserted(people: People) -> None:
    said = refused_by_database(
        "INSERT INTO compliance_approvalpolicy (kind, version, document, sha256, created_at)"
        " VALUES (%s, 9, '{}', '', now())",
        [KIND],
    )
    assert "approved request alone" in said


def test_votes_written_into_the_database_pass_its_rules_but_not_the_seal(people: People) -> None:
    """Somebody with the application's database login, and without its key."""
    request = ask(people)
    with connection.cursor() as cursor:
        cursor.execute(*_raw_vote(request, people.risk.pk, person_of(people.risk).pk))
    vote(request, people.operations, Role.OPERATIONS)
    request.refresh_from_db()
    assert request.state == RequestState.APPROVED
    with pytest.raises(errors.TamperedError):
        release_request(request_id=request.pk, actor=people.releaser)


def test_an_edit_takes_the_maker(people: People) -> None:
    request = ask(people)
    with pytest.raises(errors.SamePersonError):
        edit_request(
            request_id=request.pk,
            payload={"to": "broker", "amount": "9"},
            actor=staff("pia", Role.PORTFOLIO_MANAGER),
        )


def test_a_person_is_not_deleted(people: People) -> None:
    assert Person.objects.exists()
    assert "append-only" in refused_by_database("DELETE FROM compliance_person", [])


def _raw_vote(request: ApprovalRequest, account: int, person: int) -> tuple[str, list[Any]]:
    return (
        "INSERT INTO compliance_approvaldecision (request_id, statement_id, decision, role, actor_id,"
        " person_id, comment, at, signed_sha256, proof_kind, proof, signature)"
        " SELECT request_id, id, 'approve', 'Risk officer', %s, %s, '', created_at, repeat('a', 64), 'totp',"
        " '{\"authenticator\": 1}', repeat('b', 64) FROM compliance_approvalstatement WHERE request_id = %s",
        [account, person, request.pk],
    )
