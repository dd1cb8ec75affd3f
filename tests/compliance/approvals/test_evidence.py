"""Files that support a request: taken, signed by their hash, read by who reads the request, and found when changed."""

from __future__ import annotations

import hashlib
from io import BytesIO, StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from rest_framework.test import APIClient

from compliance.actions.approvals import draft_request, edit_request, submit_request
from compliance.actions.evidence import store_evidence
from compliance.approvals import errors
from compliance.approvals.evidence import Evidence
from compliance.models import ApprovalRequest, EvidenceFile
from compliance.models.evidence import MAX_BYTES
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.support import (
    KIND,
    People,
    ask,
    carry_through,
    make_people,
    policy_document,
    set_policy,
)
from tests.factories import user_with

pytestmark = pytest.mark.django_db
PDF = b"%PDF-1.7\n% the board's minutes\n"
DIGEST = hashlib.sha256(PDF).hexdigest()


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_authenticate(user)
    return api


def upload(user: User, content: bytes, name: str = "minutes.pdf") -> Any:
    file = BytesIO(content)
    file.name = name
    return client(user).post("/api/approvals/evidence/", {"file": file}, format="multipart")


def with_file(people: People) -> ApprovalRequest:
    assert upload(people.maker, PDF).status_code == 201
    return ask(people, evidence=[Evidence("Board/minutes \r\n.pdf", DIGEST)])


def test_a_file_is_given_signed_and_read(people: People) -> None:
    given = upload(people.maker, PDF)
    assert given.json() == {"sha256": DIGEST, "size": len(PDF), "media_type": "application/pdf"}
    assert upload(people.risk, PDF).json() == given.json(), "the same file is kept once"
    assert EvidenceFile.objects.count() == 1
    request = with_file(people)
    assert request.evidence == [{"name": "Board/minutes \r\n.pdf", "sha256": DIGEST, "size": len(PDF)}]
    assert f'"sha256":"{DIGEST}"' in request.statements.get().canonical
    carried = carry_through(request, people)
    assert carried.state == "executed", carried.closing_note
    answer = client(people.risk).get(f"/api/approvals/requests/{request.pk}/evidence/{DIGEST}/")
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (200, PDF, "application/pdf")
    assert answer["Content-Disposition"] == 'attachment; filename="Board_minutes __.pdf"'
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_hash_without_its_file_is_evidence_kept_elsewhere(people: People) -> None:
    request = ask(people, evidence=[Evidence("Contract in the safe", "0" * 64)])
    assert request.evidence == [{"name": "Contract in the safe", "sha256": "0" * 64}]
    assert client(people.risk).get(f"/api/approvals/requests/{request.pk}/evidence/{'0' * 64}/").status_code == 404


def test_evidence_of_a_former_version_can_still_be_read(people: People) -> None:
    request = with_file(people)
    edit_request(request_id=request.pk, payload={"to": "broker", "amount": "1"}, evidence=[], actor=people.maker)
    assert client(people.risk).get(f"/api/approvals/requests/{request.pk}/evidence/{DIGEST}/").status_code == 200


@pytest.mark.parametrize(
    "content",
    [b"", b"MZ\x90\x00\x03 a program", b"PK\x03\x04 an archive", b"\x00\x01", b"\xff\xfe not utf-8 \xff"],
)
def test_what_is_no_document_is_not_taken(people: People, content: bytes) -> None:
    assert upload(people.maker, content).status_code in (400, 422)
    assert not EvidenceFile.objects.exists()


def test_nor_is_what_is_too_large(people: People) -> None:
    assert upload(people.maker, b"a" * (MAX_BYTES + 1)).status_code == 422
    with pytest.raises(errors.EvidenceRefusedError):
        store_evidence(content=b"a" * (MAX_BYTES + 1), actor=people.maker)
    assert not EvidenceFile.objects.exists()


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"a,b\n1,2\n", "text/plain"), (b'{"a": 1}', "application/json"), (b"<script>alert(1)</script>", "text/plain")],
)
def test_the_kind_is_told_by_the_content(people: People, content: bytes, kind: str) -> None:
    """A page is plain text here, whatever its name says."""
    assert upload(people.maker, content, name="page.html").json()["media_type"] == kind


@pytest.mark.parametrize("role", list(Role))
def test_who_may_ask_may_give_and_who_reads_the_request_may_read(people: People, role: Role) -> None:
    request = with_file(people)
    user = user_with(role)
    asks = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER, Role.ADMINISTRATOR}
    assert upload(user, b"text").status_code == (201 if role in asks else 403)
    path = f"/api/approvals/requests/{request.pk}/evidence/{DIGEST}/"
    assert client(user).get(path).status_code == (200 if role in {*asks, Role.AUDITOR} else 403)


def test_a_file_of_one_request_is_not_read_through_another(people: People) -> None:
    with_file(people)
    other = ask(people)
    assert client(people.risk).get(f"/api/approvals/requests/{other.pk}/evidence/{DIGEST}/").status_code == 404


def test_one_account_gives_so_many_files_a_day(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compliance.actions.evidence.PER_DAY", 2)
    assert [upload(people.maker, f"file {n}".encode()).status_code for n in range(3)] == [201, 201, 422]


def test_the_database_keeps_a_file_as_it_came(people: People) -> None:
    upload(people.maker, PDF)
    for statement in ("UPDATE compliance_evidencefile SET size = 1", "DELETE FROM compliance_evidencefile"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    with pytest.raises(IntegrityError, match="compliance_evidence_hash"), transaction.atomic():
        EvidenceFile.objects.create(
            sha256="0" * 64,
            content=b"other",
            size=5,
            media_type="text/plain",
            uploaded_by=people.maker,
            uploaded_at="2026-01-01T00:00:00Z",
        )


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM compliance_evidencefile",
        "UPDATE compliance_evidencefile SET content = 'other', size = 5,"
        " sha256 = encode(sha256('other'::bytea), 'hex')",
    ],
)
def test_what_a_superuser_does_to_a_file_is_found(
    transactional_db: None, superuser: psycopg.Connection[Any], tampering: str
) -> None:
    people = make_people()
    set_policy(people, policy_document())
    request = carry_through(with_file(people), people)
    assert request.state == "executed"
    call_command("verify_approvals", stdout=StringIO())
    waiting = draft_request(
        kind=KIND,
        payload={"to": "broker", "amount": "1"},
        reason="Again",
        actor=people.maker,
        evidence=[Evidence("minutes.pdf", DIGEST)],
    )
    superuser.execute("SET session_replication_role = replica")
    superuser.execute(tampering)
    out = StringIO()
    with pytest.raises((CommandError, SystemExit)):
        call_command("verify_approvals", stdout=out, stderr=out)
    with pytest.raises(errors.TamperedError, match="is not the file"):
        submit_request(request_id=waiting.pk, actor=people.maker)
