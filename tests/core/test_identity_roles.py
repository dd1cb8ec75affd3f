"""Accounts and roles change by actions alone: who may, what excludes what, and that each is recorded."""

from __future__ import annotations

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from axes.models import AccessAttempt
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client

from compliance.models import AuditEvent
from fundops.core.actions import users as actions
from fundops.core.errors import PermissionMissingError
from fundops.core.mfa import has_second_factor
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import PASSWORD, user_with

pytestmark = pytest.mark.django_db


@pytest.fixture
def administrator() -> User:
    return user_with(Role.ADMINISTRATOR, username="ada")


def last_event() -> AuditEvent:
    event = AuditEvent.objects.order_by("id").last()
    assert event is not None
    return event


def test_grant_role_gives_it_and_records_before_and_after(administrator: User) -> None:
    user = user_with(Role.RISK_OFFICER)
    assert actions.grant_role(user=user, role=Role.OPERATIONS, actor=administrator)
    assert user.roles == {Role.RISK_OFFICER, Role.OPERATIONS}
    event = last_event()
    assert (event.kind, event.actor, event.object_id) == ("core.role.granted", administrator, str(user.pk))
    assert event.payload["before"] == ["Risk officer"]
    assert event.payload["after"] == ["Operations", "Risk officer"]


def test_grant_role_held_already_changes_and_records_nothing(administrator: User) -> None:
    user = user_with(Role.RISK_OFFICER)
    assert not actions.grant_role(user=user, role=Role.RISK_OFFICER, actor=administrator)
    assert not AuditEvent.objects.exists()


def test_revoke_role_takes_it_and_its_permissions(administrator: User) -> None:
    user = user_with(Role.PORTFOLIO_MANAGER)
    assert actions.revoke_role(user=user, role=Role.PORTFOLIO_MANAGER, actor=administrator)
    assert not User.objects.get(pk=user.pk).has_perm("trading.launch_cohort")
    assert last_event().kind == "core.role.revoked"


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.ADMINISTRATOR}))
def test_grant_role_by_anyone_but_an_administrator_is_refused(role: Role) -> None:
    with pytest.raises(PermissionMissingError):
        actions.grant_role(user=user_with(Role.INVESTOR), role=Role.AUDITOR, actor=user_with(role))


def test_nobody_changes_their_own_roles(administrator: User) -> None:
    for act in (actions.grant_role, actions.revoke_role):
        with pytest.raises(actions.OwnRoleError):
            act(user=administrator, role=Role.ADMINISTRATOR, actor=administrator)


@pytest.mark.parametrize("other", sorted(set(Role) - {Role.ADMINISTRATOR}))
def test_an_administrator_holds_no_other_role(administrator: User, other: Role) -> None:
    with pytest.raises(actions.RolesExcludeEachOtherError):
        actions.grant_role(user=user_with(Role.ADMINISTRATOR), role=other, actor=administrator)
    with pytest.raises(actions.RolesExcludeEachOtherError):
        actions.grant_role(user=user_with(other), role=Role.ADMINISTRATOR, actor=administrator)


def test_set_roles_that_cannot_be_leaves_everything_as_it_was(administrator: User) -> None:
    user = user_with(Role.AUDITOR)
    with pytest.raises(actions.RolesExcludeEachOtherError):
        actions.set_roles(user=user, roles={Role.ADMINISTRATOR, Role.OPERATIONS}, actor=administrator)
    assert user.roles == {Role.AUDITOR}
    assert not AuditEvent.objects.exists()


def test_create_user_weak_password_is_refused(administrator: User) -> None:
    for weak in ("short", "password1234", "123456789012"):
        with pytest.raises(ValidationError):
            actions.create_user(username="new", email="n@example.test", password=weak, actor=administrator)
    assert not User.objects.filter(username="new").exists()


def test_create_user_records_creation_and_roles(administrator: User) -> None:
    made = actions.create_user(
        username="new", email="n@example.test", password=PASSWORD, roles=[Role.AUDITOR], actor=administrator
    )
    assert made.check_password(PASSWORD)
    kinds = list(AuditEvent.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["core.user.created", "core.role.granted"]


def test_no_account_can_be_a_superuser() -> None:
    user = user_with(Role.AUDITOR)
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=user.pk).update(is_superuser=True)


def test_createsuperuser_makes_an_administrator_without_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", interactive=False, username="first", email="f@example.test", verbosity=0)
    first = User.objects.get(username="first")
    assert first.roles == {Role.ADMINISTRATOR}
    assert not first.is_superuser
    assert not first.is_staff


def test_a_closed_account_is_signed_out_at_once(client: Client, administrator: User) -> None:
    user = user_with(Role.AUDITOR)
    client.force_login(user)
    assert client.get("/roles/").status_code == 200
    actions.set_active(user=user, active=False, actor=administrator)
    assert client.get("/roles/").status_code == 302


def test_reset_second_factor_removes_every_authenticator(administrator: User) -> None:
    user = user_with(Role.AUDITOR)
    TOTP.activate(user, generate_totp_secret())
    assert actions.reset_second_factor(user=user, actor=administrator) == 1
    assert not has_second_factor(user)
    assert last_event().payload == {"removed": ["totp"]}


def test_the_reset_command_lifts_a_lock(client: Client) -> None:
    user_with(Role.AUDITOR, username="anna")
    for _ in range(5):
        client.post("/accounts/login/", {"login": "anna", "password": "wrong"})
    assert AccessAttempt.objects.filter(username="anna").exists()
    call_command("axes_reset_username", "anna", verbosity=0)
    assert client.post("/accounts/login/", {"login": "anna", "password": PASSWORD}).status_code == 302


# --- The administration uses these actions ----------------------------------------------------------
def _form(user: User, roles: list[Role]) -> dict[str, object]:
    return {
        "username": user.username,
        "email": user.email,
        "display_name": user.display_name,
        "time_zone": user.time_zone,
        "held_roles": [role.value for role in roles],
    }


def test_admin_change_of_roles_goes_through_the_action(client: Client, administrator: User) -> None:
    user = user_with(Role.RISK_OFFICER)
    client.force_login(administrator)
    answer = client.post(f"/admin/core/user/{user.pk}/change/", _form(user, [Role.AUDITOR]))
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    assert user.roles == {Role.AUDITOR}
    kinds = set(AuditEvent.objects.values_list("kind", flat=True))
    assert {"core.role.granted", "core.role.revoked"} <= kinds


def test_admin_own_roles_and_mixtures_are_refused_in_the_form(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    own = client.post(f"/admin/core/user/{administrator.pk}/change/", _form(administrator, [Role.PORTFOLIO_MANAGER]))
    assert "Another administrator must change your account" in own.content.decode()
    other = user_with(Role.AUDITOR)
    mixed = client.post(f"/admin/core/user/{other.pk}/change/", _form(other, [Role.ADMINISTRATOR, Role.AUDITOR]))
    assert "An administrator holds no other role" in mixed.content.decode()
    assert administrator.roles == {Role.ADMINISTRATOR}
    assert other.roles == {Role.AUDITOR}


def test_admin_adds_an_account_with_roles(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    answer = client.post(
        "/admin/core/user/add/",
        {
            "username": "newcomer",
            "email": "newcomer@example.test",
            "display_name": "New Comer",
            "password1": PASSWORD,
            "password2": PASSWORD,
            "held_roles": ["Operations"],
        },
    )
    assert answer.status_code == 302, answer.content.decode()[-2000:]
    made = User.objects.get(username="newcomer")
    assert made.roles == {Role.OPERATIONS}
    assert AuditEvent.objects.filter(kind="core.user.created", actor=administrator).exists()


def test_admin_never_deletes_accounts(client: Client, administrator: User) -> None:
    user = user_with(Role.AUDITOR)
    client.force_login(administrator)
    assert client.post(f"/admin/core/user/{user.pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=user.pk).exists()


def test_admin_pages_all_open(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    index = client.get("/admin/").content.decode()
    for path in ("core/user", "auth/group", "mfa/authenticator", "axes/accessattempt", "axes/accesslog"):
        assert f"/admin/{path}/" in index, path
        assert client.get(f"/admin/{path}/").status_code == 200, path
    for path in ("periodictask", "crontabschedule", "intervalschedule", "clockedschedule"):
        assert client.get(f"/admin/django_celery_beat/{path}/").status_code == 200, path
        assert client.get(f"/admin/django_celery_beat/{path}/add/").status_code == 200, path
