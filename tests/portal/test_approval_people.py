"""Who is who: linking accounts, delegations, and that only a compliance officer says so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from compliance.actions.people import delegate_duties
from compliance.models import Delegation, PersonAccount
from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.support import staff
from tests.factories import user_with

pytestmark = pytest.mark.django_db


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.fixture
def officer() -> User:
    return staff("carl", Role.COMPLIANCE_OFFICER)


def test_accounts_of_nobody_are_listed_and_linked_for_good(officer: User) -> None:
    account = user_with(Role.OPERATIONS, username="olga")
    client = client_of(officer)
    assert "Accounts of nobody" in client.get(reverse("portal:approval-people")).content.decode()
    answers = {"account": account.pk, "reference": "staff-7", "full_name": "Olga Petrova"}
    assert client.post(reverse("portal:approval-people-link"), answers).status_code == 302
    link = PersonAccount.objects.get(account=account)
    assert (link.person.full_name, link.linked_by) == ("Olga Petrova", officer)
    html = client.get(reverse("portal:approval-people")).content.decode()
    assert "Accounts of nobody" not in html
    assert "Olga Petrova" in html
    again = client.post(reverse("portal:approval-people-link"), answers)
    assert again.status_code == 422
    assert "Select a valid choice" in again.content.decode()


def test_nobody_links_their_own_account() -> None:
    officer = user_with(Role.COMPLIANCE_OFFICER)
    answers = {"account": officer.pk, "reference": "x", "full_name": "Me"}
    assert client_of(officer).post(reverse("portal:approval-people-link"), answers).status_code == 422
    assert not PersonAccount.objects.exists()


def test_delegations_are_granted_shown_and_ended(officer: User) -> None:
    maria, otto = (staff(name, Role.PORTFOLIO_MANAGER).person_link.person for name in ("maria", "otto"))
    client = client_of(officer)
    path = reverse("portal:approval-people-delegate")
    start = clock.now() - timedelta(hours=1)
    answers = {"principal": maria.pk, "delegate": otto.pk, "starts_at": f"{start:%Y-%m-%dT%H:%M}", "ends_at": ""}
    assert client.post(path, answers).status_code == 302
    assert "in force" in client.get(reverse("portal:approval-people")).content.decode()
    own = client.post(path, answers | {"delegate": maria.pk})
    assert own.status_code >= 400
    assert "Nobody is their own delegate" in own.content.decode()
    made = Delegation.objects.get()
    end = reverse("portal:approval-people-end", args=[made.pk])
    assert client.post(end).status_code == 302
    again = client.post(end)
    assert "This delegation ended" in again.content.decode()


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.COMPLIANCE_OFFICER}))
def test_nobody_else_says_who_is_who(role: Role) -> None:
    maria, otto = (staff(name, Role.PORTFOLIO_MANAGER).person_link.person for name in ("maria", "otto"))
    made = delegate_duties(principal=maria, delegate=otto, starts_at=clock.now(), ends_at=None, actor=None)
    account = user_with(Role.OPERATIONS)
    client = client_of(user_with(role, username="reader"))
    link = {"account": account.pk, "reference": "staff-7", "full_name": "X"}
    assert client.post(reverse("portal:approval-people-link"), link).status_code == 403
    delegation = {"principal": otto.pk, "delegate": maria.pk, "starts_at": "2026-01-01T00:00"}
    assert client.post(reverse("portal:approval-people-delegate"), delegation).status_code == 403
    assert client.post(reverse("portal:approval-people-end", args=[made.pk])).status_code == 403
    assert Delegation.objects.count() == 1
    assert not PersonAccount.objects.filter(account=account).exists()
