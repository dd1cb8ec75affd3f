"""Access through the gate: who gets what by request, and that the door of the first accounts closes for good."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from guardian.shortcuts import assign_perm

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.proposing import propose
from compliance.approvals import errors
from compliance.approvals.policy import ProofKind
from compliance.founding import Signer, found_policies, missing_policies
from compliance.models import ApprovalPolicy, ApprovalRequest, AuditEvent, Decision
from fundops.core.access_door import AccessGatedError, door_is_closed
from fundops.core.actions import users as actions
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.support import fresh_code_proof, staff, vote
from tests.factories import PASSWORD, user_with
from tests.gate import by_gate, ensure_policy, executing, gate_people, released
from tests.treasury.conftest import Cast, make_cast

pytestmark = pytest.mark.django_db
GRANT = "access.grant_role"


@pytest.fixture
def administrator(db: None) -> User:
    return staff("ada", Role.ADMINISTRATOR)


@pytest.fixture
def founded(access_world: User) -> User:
    """An installation whose rules for access are in force; the administrator."""
    return access_world


def refused(statement: str, params: list[Any]) -> str:
    """Raw SQL as the application's role: the refusal's words, or a failed test."""
    with pytest.raises(DatabaseError) as refusal, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, params)
    return str(refusal.value)


# --- The way through ------------------------------------------------------------------------------------------
def test_a_role_is_given_and_taken_by_request(founded: User) -> None:
    user = actions.create_user(username="bob", email="b@example.test", password=PASSWORD, actor=founded)
    by_gate(GRANT, {"account": "bob", "role": "Portfolio manager"}, maker=founded)
    assert user.roles == {Role.PORTFOLIO_MANAGER}
    event = AuditEvent.objects.filter(kind="core.role.granted").latest("id")
    assert event.actor == gate_people().releaser
    by_gate("access.remove_role", {"account": "bob", "role": "Portfolio manager"}, maker=founded)
    assert user.roles == frozenset()


def test_what_makes_no_sense_is_refused_at_once(founded: User) -> None:
    def ask(error: type[FundopsError], **payload: Any) -> None:
        with pytest.raises(error):
            by_gate(GRANT, {"account": "gate_risk", "role": "Operations"} | payload, maker=founded)

    ask(errors.AccessError, account="nobody")
    ask(errors.AccessError, role="Risk officer")
    ask(actions.RolesExcludeEachOtherError, role="Administrator")
    ask(errors.PayloadError, role="King")


def test_a_closed_account_is_opened_by_request_and_closed_at_once(founded: User) -> None:
    user = user_of(founded)
    assert actions.set_active(user=user, active=False, actor=founded), "an emergency waits for nobody"
    with pytest.raises(AccessGatedError, match=r"access\.reopen_account"):
        actions.set_active(user=user, active=True, actor=founded)
    assert "approved request" in refused("UPDATE core_user SET is_active = true WHERE id = %s", [user.pk])
    by_gate("access.reopen_account", {"account": user.username}, maker=founded)
    user.refresh_from_db()
    assert user.is_active


def user_of(administrator: User) -> User:
    return actions.create_user(username="bob", email="b@example.test", password=PASSWORD, actor=administrator)


def test_a_second_factor_is_reset_by_request(founded: User) -> None:
    """Whoever resets it and sets a password could sign as the person."""
    victim = gate_people().reviewer
    with pytest.raises(AccessGatedError):
        actions.reset_second_factor(user=victim, actor=founded)
    by_gate("access.reset_second_factor", {"account": victim.username}, maker=founded)
    assert not Authenticator.objects.filter(user=victim).exists()


def test_one_fund_and_one_book_are_granted_by_request(administrator: User) -> None:
    cast: Cast = make_cast()
    investor = user_with(Role.INVESTOR, username="ines")
    for kind in ("access.grant_fund", "access.remove_fund"):
        ensure_policy(kind)
    asked = {"account": "ines", "what": "treasury.fund", "which": "MAIN", "permission": "view_fund"}
    by_gate("access.grant_fund", asked, maker=administrator)
    assert User.objects.get(pk=investor.pk).has_perm("treasury.view_fund", cast.fund)
    assert not User.objects.get(pk=investor.pk).has_perm("treasury.view_fund", cast.other_fund)
    with pytest.raises(errors.AccessError):
        by_gate("access.grant_fund", asked, maker=administrator)
    book = asked | {"what": "treasury.book", "which": "MAIN/c1", "permission": "view_book"}
    by_gate("access.grant_fund", book, maker=administrator)
    by_gate("access.remove_fund", asked, maker=administrator)
    found = User.objects.get(pk=investor.pk)
    assert (found.has_perm("treasury.view_fund", cast.fund), found.has_perm("treasury.view_book", cast.cohort)) == (
        False,
        True,
    )
    for bad in ({"permission": "change_fund"}, {"what": "core.user"}, {"which": "NOWHERE"}):
        with pytest.raises(errors.AccessError):
            by_gate("access.grant_fund", asked | bad, maker=administrator)
    with pytest.raises(DatabaseError, match="approved request"), transaction.atomic():
        assign_perm("treasury.view_fund", investor, cast.other_fund)
    with pytest.raises(DatabaseError, match="approved request"), transaction.atomic():
        assign_perm("treasury.view_fund", Group.objects.get(name="Investor"), cast.other_fund)


# --- Nobody for themselves ------------------------------------------------------------------------------------
def test_nobody_asks_for_decides_on_or_releases_their_own_access(founded: User) -> None:
    people = gate_people()
    officer = staff("olive", Role.COMPLIANCE_OFFICER, Role.RISK_OFFICER) if not door_is_closed() else people.reviewer
    with pytest.raises(errors.InterestedError):
        by_gate(GRANT, {"account": officer.username, "role": "Auditor"}, maker=officer)
    request = submitted(people.risk.username, founded)
    with pytest.raises(errors.InterestedError):
        vote(request, people.risk, Role.RISK_OFFICER)
    assert not request.decisions.exists()


def submitted(username: str, maker: User) -> ApprovalRequest:
    return propose(kind=GRANT, payload={"account": username, "role": "Auditor"}, reason="More", actor=maker)


def test_nor_by_a_second_account(administrator: User) -> None:
    people = gate_people()
    second = staff("gate_risk_too", Role.RISK_OFFICER, reference="staff-gate_risk")
    ensure_policy(GRANT)
    request = submitted(people.risk.username, administrator)
    with pytest.raises(errors.InterestedError):
        vote(request, second, Role.RISK_OFFICER)


def test_the_releaser_is_not_who_it_is_about(founded: User) -> None:
    people = gate_people()
    request = submitted(people.releaser.username, founded)
    vote(request, people.risk, Role.RISK_OFFICER)
    vote(request, people.operations, Role.OPERATIONS)
    with pytest.raises(errors.InterestedError):
        release_request(request_id=request.pk, actor=people.releaser)


def test_renaming_accounts_behind_what_was_signed_makes_it_stale(founded: User) -> None:
    """The number stands in what the approvers saw: another account of that name is not theirs."""
    user_of(founded)
    actions.create_user(username="mallory", email="m@example.test", password=PASSWORD, actor=founded)
    request = released(GRANT, {"account": "bob", "role": "Portfolio manager"}, maker=founded)
    User.objects.filter(username="bob").update(username="bob2")
    User.objects.filter(username="mallory").update(username="bob")
    record = execute_request(request_id=request.pk)
    assert record is not None
    assert (record.outcome, record.error_code) == ("failed", "stale_request")
    assert not User.objects.get(username="bob").roles


# --- The door -------------------------------------------------------------------------------------------------
def test_before_the_founding_the_first_accounts_are_made_freely(administrator: User) -> None:
    assert not door_is_closed()
    user = actions.create_user(
        username="first", email="f@example.test", password=PASSWORD, roles=[Role.AUDITOR], actor=administrator
    )
    assert user.roles == {Role.AUDITOR}


def test_after_it_no_way_of_the_core_gives_access(founded: User) -> None:
    user = gate_people().maker
    assert door_is_closed()
    for act in (
        lambda: actions.grant_role(user=user, role=Role.AUDITOR, actor=founded),
        lambda: actions.grant_role(user=user, role=Role.AUDITOR, actor=None),
        lambda: actions.revoke_role(user=user, role=Role.PORTFOLIO_MANAGER, actor=None),
        lambda: actions.set_roles(user=user, roles=[Role.AUDITOR], actor=founded),
        lambda: actions.create_user(username="x", email="x@example.test", roles=[Role.AUDITOR], actor=None),
        lambda: User.objects.create_superuser("root", "r@example.test", PASSWORD),
        lambda: call_command("createsuperuser", interactive=False, username="r", email="r@example.test"),
    ):
        with pytest.raises((AccessGatedError, FundopsError)), transaction.atomic():
            act()
    with pytest.raises(DatabaseError, match="approved request"), transaction.atomic():
        actions.place_role(user=user, role=Role.AUDITOR, actor=None)
    assert not User.objects.filter(username__in=["x", "root", "r"]).exists()


def test_nor_does_the_database_whatever_is_tried(founded: User) -> None:
    user = gate_people().maker
    auditor, investor = Group.objects.get(name="Auditor"), Group.objects.get(name="Investor")
    right = Permission.objects.get(codename="decide_request")
    grants: list[tuple[str, list[Any]]] = [
        ("INSERT INTO core_user_groups (user_id, group_id) VALUES (%s, %s)", [user.pk, auditor.pk]),
        ("UPDATE core_user_groups SET group_id = %s WHERE user_id = %s", [auditor.pk, user.pk]),
        ("DELETE FROM core_user_groups WHERE user_id = %s", [user.pk]),
        ("INSERT INTO core_user_user_permissions (user_id, permission_id) VALUES (%s, %s)", [user.pk, right.pk]),
        ("INSERT INTO auth_group_permissions (group_id, permission_id) VALUES (%s, %s)", [investor.pk, right.pk]),
        ("UPDATE auth_group SET name = 'Nobody' WHERE id = %s", [auditor.pk]),
        ("UPDATE auth_permission SET codename = 'x' WHERE id = %s", [right.pk]),
        ("UPDATE django_content_type SET model = 'x' WHERE id = %s", [right.content_type_id]),
    ]
    for statement, params in grants:
        assert "approved request" in refused(statement, params), statement


REOPENINGS = [
    "DELETE FROM compliance_approvalpolicy",
    "UPDATE compliance_approvalpolicy SET kind = 'x' WHERE starts_with(kind, 'access.')",
    "TRUNCATE compliance_approvalpolicy CASCADE",
    "ALTER TABLE core_user_groups DISABLE TRIGGER gate_guard",
    "DROP TRIGGER gate_guard ON core_user_groups",
    "DROP FUNCTION compliance_access_founded() CASCADE",
    "CREATE OR REPLACE FUNCTION compliance_access_founded() RETURNS boolean LANGUAGE sql AS 'SELECT false'",
    "SET LOCAL session_replication_role = replica",
    "SET ROLE fundops_owner",
]


@pytest.mark.parametrize("attempt", REOPENINGS)
def test_the_door_is_not_opened_again(founded: User, attempt: str) -> None:
    said = refused(attempt, [])
    assert "permission denied" in said or "must be owner" in said or "refused" in said or "append" in said, said
    assert door_is_closed()


def test_a_table_of_the_same_name_stands_in_for_nothing(founded: User) -> None:
    """A session's temporary tables come first on its search path; the guards do not look there."""
    user, auditor = gate_people().maker, Group.objects.get(name="Auditor")
    request = released(GRANT, {"account": user.username, "role": "Auditor"}, maker=founded)
    shadows = (
        ["CREATE TEMP TABLE compliance_approvalpolicy (kind text)"],
        [
            "CREATE TEMP TABLE compliance_approvalrequest AS SELECT * FROM public.compliance_approvalrequest",
            "UPDATE pg_temp.compliance_approvalrequest SET executing_xid = pg_current_xact_id()::text::bigint",
        ],
    )
    grant = "INSERT INTO core_user_groups (user_id, group_id) VALUES (%s, %s)"
    for shadow in shadows:
        with (
            pytest.raises(DatabaseError, match="approved request"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            for statement in shadow:
                cursor.execute(statement)
            cursor.execute("SET LOCAL search_path = pg_temp, public")
            cursor.execute(grant, [user.pk, auditor.pk])
    assert ApprovalRequest.objects.get(pk=request.pk).state == "executing"


def test_a_request_for_one_role_gives_no_other(founded: User) -> None:
    user, other = gate_people().maker, gate_people().reviewer
    auditor, operations = (Group.objects.get(name=name) for name in ("Auditor", "Operations"))
    for account, group in ((user, operations), (other, auditor)):
        with (
            pytest.raises(DatabaseError, match="approved request"),
            transaction.atomic(),
            executing(GRANT, {"account": user.username, "role": "Auditor"}),
        ):
            account.groups.add(group)


# --- The administration ---------------------------------------------------------------------------------------
def test_the_administration_shows_roles_and_where_to_propose_them(founded: User, client: Client) -> None:
    client.force_login(founded)
    user = gate_people().maker
    page = client.get(f"/admin/core/user/{user.pk}/change/")
    assert page.status_code == 200
    text = page.content.decode()
    assert "Portfolio manager" in text
    assert f"/approvals/new/access.grant_role/?account={user.username}" in text
    assert 'name="held_roles"' not in text
    assert 'name="held_roles"' not in client.get("/admin/core/user/add/").content.decode()
    body = {"username": user.username, "email": user.email, "display_name": "New name", "time_zone": "UTC"}
    done = client.post(f"/admin/core/user/{user.pk}/change/", body | {"held_roles": ["Auditor"]})
    assert done.status_code == 302
    user.refresh_from_db()
    assert user.display_name == "New name"
    assert user.roles == {Role.PORTFOLIO_MANAGER}


# --- The founding ---------------------------------------------------------------------------------------------
def test_the_shipped_rules_come_into_force_by_one_signed_request(administrator: User) -> None:
    people = gate_people()
    signers = [
        Signer(user, role, lambda _shown, user=user: (ProofKind.TOTP, fresh_code_proof(user)))  # type: ignore[misc]
        for user, role in ((people.risk, Role.RISK_OFFICER), (people.operations, Role.OPERATIONS))
    ]
    wanted = missing_policies()
    record = found_policies(maker=people.maker, signers=signers, releaser=people.reviewer)
    assert record is not None
    assert record.outcome == "executed", record.error
    assert set(ApprovalPolicy.objects.values_list("kind", flat=True)) == {
        "compliance.set_policy",
        *(document["kind"] for document in wanted),
    }
    assert record.request.decisions.filter(decision=Decision.APPROVE).count() == 2
    assert door_is_closed()
    assert found_policies(maker=people.maker, signers=signers, releaser=people.reviewer) is None
    call_command("verify_approvals", verbosity=0)
