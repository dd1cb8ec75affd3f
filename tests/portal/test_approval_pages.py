"""The gate's pages: who may open which, what they say, and what their buttons do."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import AuditEvent
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.conftest import people, world  # noqa: F401 - fixtures of the gate
from tests.compliance.approvals.support import KIND, People, ask
from tests.factories import user_with

READERS = {
    Role.PORTFOLIO_MANAGER,
    Role.RISK_OFFICER,
    Role.OPERATIONS,
    Role.COMPLIANCE_OFFICER,
    Role.AUDITOR,
}
#: Administrators ask for access, and follow what becomes of it; rules and votes are none of theirs.
FOLLOWERS = READERS | {Role.ADMINISTRATOR}
MAKERS = FOLLOWERS - {Role.AUDITOR}
LISTENERS = {Role.RISK_OFFICER, Role.COMPLIANCE_OFFICER, Role.AUDITOR}


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def page(user: User, name: str, *args: Any, **query: str) -> str:
    response = client_of(user).get(reverse(f"portal:{name}", args=args), query)
    assert response.status_code == 200, response.content[:500]
    return str(response.content.decode())


@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_every_page(people: People, role: Role) -> None:  # noqa: F811
    request = ask(people)
    event = AuditEvent.objects.first()
    assert event is not None
    client = client_of(user_with(role, username="reader"))
    pages = [
        *((FOLLOWERS, name, ()) for name in ("approvals", "approval-badge", "approval-history")),
        (FOLLOWERS, "approval", (request.pk,)),
        (READERS, "approval-policies", ()),
        (READERS, "approval-policy", (KIND,)),
        (MAKERS, "approval-kinds", ()),
        (MAKERS, "approval-new", (KIND,)),
        (MAKERS, "approval-new", ("compliance.set_policy",)),
        (LISTENERS, "approval-people", ()),
        (LISTENERS, "audit", ()),
        (LISTENERS, "audit-chart", ()),
        (LISTENERS, "audit-event", (event.pk,)),
    ]
    for allowed, name, args in pages:
        path = reverse(f"portal:{name}", args=args)
        assert client.get(path).status_code == (200 if role in allowed else 403), (role, path)
        assert Client().get(path).status_code in {302, 401, 403}
