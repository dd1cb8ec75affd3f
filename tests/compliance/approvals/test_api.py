"""The gate over HTTP: the whole way, and who is let in."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from compliance.actions.approval_execution import execute_request
from compliance.models import ApprovalRequest
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.support import KIND, People, approved, ask, fresh_code_proof
from tests.factories import user_with

pytestmark = pytest.mark.django_db
ROOT = "/api/approvals/requests/"


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_authenticate(user)
    return api


def sign(user: User, request_id: str, role: Role, decision: str = "approve", comment: str = "") -> Any:
    api = client(user)
    body = {"decision": decision, "role": role.value, "comment": comment}
    shown = api.post(f"{ROOT}{request_id}/prepare/", body, format="json")
    assert shown.status_code == 200, shown.json()
    body |= {
        "signed_sha256": shown.json()["sha256"],
        "proof_kind": "totp",
        "proof": fresh_code_proof(user),  # type: ignore[dict-item]
    }
    return api.post(f"{ROOT}{request_id}/decide/", body, format="json")


def test_the_whole_way(people: People) -> None:
    maker = client(people.maker)
    made = maker.post(
        ROOT,
        {"kind": KIND, "payload": {"to": "broker", "amount": "12.50"}, "reason": "Margin"},
        format="json",
    )
    assert made.status_code == 201, made.json()
    request_id = made.json()["id"]
    assert maker.post(f"{ROOT}{request_id}/submit/").json()["state"] == "submitted"
    queue = client(people.risk).get(f"{ROOT}queue/").json()["results"]
    assert [row["id"] for row in queue] == [request_id]
    assert sign(people.risk, request_id, Role.RISK_OFFICER).json()["state"] == "partially_approved"
    assert client(people.risk).get(f"{ROOT}queue/").json()["results"] == []
    last = sign(people.operations, request_id, Role.OPERATIONS).json()
    assert last["state"] == "approved"
    assert last["statements"][0]["content"]["payload"] == {"to": "broker", "amount": "12.50"}
    releasable = client(people.releaser).get(f"{ROOT}releasable/").json()["results"]
    assert [row["id"] for row in releasable] == [request_id]
    assert client(people.releaser).post(f"{ROOT}{request_id}/release/").status_code == 202
    execute_request(request_id=ApprovalRequest.objects.get(pk=request_id).pk)
    seen = maker.get(f"{ROOT}{request_id}/").json()
    assert (seen["state"], seen["execution"]["result"]) == ("executed", {"moved": "12.50"})
    assert len(seen["decisions"]) == 2


def test_a_rejection_ends_it(people: People) -> None:
    request = ask(people)
    said = sign(people.risk, str(request.pk), Role.RISK_OFFICER, "reject", "Too much.").json()
    assert (said["state"], said["closing_note"]) == ("rejected", "Too much.")


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({"to": "broker"}, "amount"),
        ({"to": "broker", "amount": "NaN"}, "amount"),
        ({"to": "broker", "amount": "1", "more": 1}, "more"),
        ([], "payload"),
    ],
)
def test_a_bad_payload_is_explained(people: People, payload: Any, word: str) -> None:
    answer = client(people.maker).post(ROOT, {"kind": KIND, "payload": payload, "reason": "x"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "payload")
    assert word in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"quorum": {}}, "quorum"),
        ({"quorum": {"Wizard": 1}}, "quorum"),
        ({"quorum": {"Investor": 1}}, "Investor"),
        ({"quorum": {"Risk officer": 0}}, "quorum"),
        ({"releasers": []}, "releasers"),
        ({"below": "10"}, "no end"),
        ({"proofs": {"Risk officer": []}}, "proof"),
    ],
)
def test_a_policy_that_makes_no_sense_is_explained(people: People, change: Any, word: str) -> None:
    band = {"quorum": {"Risk officer": 1}, "releasers": ["Operations"]} | change
    answer = client(people.maker).post(
        ROOT,
        {
            "kind": "compliance.set_policy",
            "payload": {"document": {"kind": KIND, "bands": [band]}},
            "reason": "x",
        },
        format="json",
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "payload")
    assert word in answer.json()["detail"]


def test_investors_and_administrators_are_not_let_in(people: People) -> None:
    """An administrator follows what becomes of their proposals, and decides nothing."""
    request = approved(people)
    for role in (Role.INVESTOR, Role.ADMINISTRATOR, Role.CLIENT_RELATIONS):
        api = client(user_with(role))
        assert api.get(ROOT).status_code == (200 if role is Role.ADMINISTRATOR else 403)
        asking = () if role is Role.ADMINISTRATOR else ("edit",)
        for verb in ("release", "decide", "prepare", "withdraw", "submit", "review", *asking):
            assert api.post(f"{ROOT}{request.pk}/{verb}/", {}, format="json").status_code == 403, verb


def test_an_auditor_reads_and_no_more(people: People) -> None:
    request = approved(people)
    api = client(user_with(Role.AUDITOR))
    assert api.get(f"{ROOT}{request.pk}/").status_code == 200
    assert api.get("/api/approvals/policies/").status_code == 200
    assert {row["kind"] for row in api.get("/api/approvals/kinds/").json()} >= {KIND, "compliance.set_policy"}
    assert api.post(f"{ROOT}{request.pk}/release/").status_code == 403
    assert b"".join(api.get(ROOT, {"state": "approved", "format": "csv"})).count(b"\r\n") == 2


def test_what_is_not_there_is_not_found(people: People) -> None:
    api = client(people.risk)
    assert api.get(f"{ROOT}00000000-0000-4000-8000-000000000000/").status_code == 404
    assert api.get(f"{ROOT}nonsense/").status_code == 404
    assert (
        client(people.maker).post(ROOT, {"kind": "no.such", "payload": {}, "reason": "x"}, format="json").status_code
        == 404
    )
