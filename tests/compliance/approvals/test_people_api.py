"""Saying over HTTP whose account it is: compliance officers alone, once, and never about themselves."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from compliance.models import AuditEvent, PersonAccount
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.support import staff
from tests.factories import user_with

pytestmark = pytest.mark.django_db
LINK = "/api/approvals/people/link/"


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_authenticate(user)
    return api


def body(account: str = "newcomer", reference: str = "staff-7") -> dict[str, str]:
    return {"account": account, "reference": reference, "full_name": "Nora New"}


@pytest.fixture
def officer() -> User:
    return user_with(Role.COMPLIANCE_OFFICER, username="carla")


def test_an_officer_links_two_accounts_to_one_person(officer: User) -> None:
    for name in ("newcomer", "newcomer_two"):
        user_with(Role.OPERATIONS, username=name)
    assert client(officer).post(LINK, body(), format="json").status_code == 201
    made = client(officer).post(LINK, body("newcomer_two"), format="json").json()
    assert made["accounts"] == ["newcomer", "newcomer_two"]
    assert AuditEvent.objects.filter(kind="compliance.account.linked").count() == 2
    listed = client(officer).get("/api/approvals/people/", {"reference": "staff-7"}).json()
    assert listed["count"] == 1


def test_an_account_is_linked_once_and_not_by_its_holder(officer: User) -> None:
    user_with(Role.OPERATIONS, username="newcomer")
    api = client(officer)
    assert api.post(LINK, body(), format="json").status_code == 201
    again = api.post(LINK, body(reference="staff-8"), format="json")
    assert (again.status_code, again.json()["code"]) == (409, "account_link")
    assert api.post(LINK, body("carla"), format="json").json()["code"] == "account_link"
    assert api.post(LINK, body("nobody"), format="json").status_code == 400
    assert PersonAccount.objects.count() == 1


@pytest.mark.parametrize("role", sorted(set(Role) - {Role.COMPLIANCE_OFFICER}))
def test_nobody_else_links(role: Role) -> None:
    user_with(Role.OPERATIONS, username="newcomer")
    assert client(user_with(role)).post(LINK, body(), format="json").status_code == 403


def test_a_delegation_is_recorded_and_checked(officer: User) -> None:
    staff("ann", Role.PORTFOLIO_MANAGER)
    staff("ben", Role.RISK_OFFICER)
    api = client(officer)
    sent = {"principal": "staff-ann", "delegate": "staff-ben", "starts_at": "2026-01-01T00:00:00Z"}
    assert api.post("/api/approvals/delegations/", sent, format="json").status_code == 201
    for wrong in (
        {"delegate": "staff-ann"},
        {"ends_at": "2025-01-01T00:00:00Z"},
    ):
        answer = api.post("/api/approvals/delegations/", sent | wrong, format="json")
        assert (answer.status_code, answer.json()["code"]) == (409, "account_link"), answer.json()
    listed = api.get("/api/approvals/delegations/").json()
    assert listed["count"] == 1
    ended = api.post(f"/api/approvals/delegations/{listed['results'][0]['id']}/end/")
    assert ended.json()["ends_at"] is not None
