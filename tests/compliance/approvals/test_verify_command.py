"""`verify_approvals` finds what was changed behind the product's back, and nothing else."""

from __future__ import annotations

from io import StringIO
from typing import Any

import psycopg
import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from compliance.actions.approvals import edit_request, submit_request
from compliance.models import ApprovalRequest
from fundops.core.roles import Role
from tests.compliance.approvals.support import (
    People,
    ask,
    carry_through,
    make_people,
    policy_document,
    set_policy,
    vote,
)


def verify() -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_approvals", stdout=out, stderr=err)
    except CommandError as error:
        return str(error), err.getvalue()
    return out.getvalue(), err.getvalue()


@pytest.mark.django_db
def test_everything_holds_void_votes_and_lost_roles_included(people: People) -> None:
    done = carry_through(ask(people), people)
    edited = ask(people)
    vote(edited, people.risk, Role.RISK_OFFICER)
    edit_request(request_id=edited.pk, payload={"to": "broker", "amount": "1"}, actor=people.maker)
    submit_request(request_id=edited.pk, actor=people.maker)
    people.risk.groups.clear()  # what was right then stays right
    said, findings = verify()
    assert findings == ""
    assert said.startswith("All signatures hold: 2 policies, 4 statements, 5 decisions, 2 executions"), said
    assert done.state == "executed"


@pytest.mark.django_db
def test_after_a_rotation_of_the_key_the_former_one_still_verifies(people: People, settings: LazySettings) -> None:
    carry_through(ask(people), people)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key-for-this-test-only"
    assert verify()[1] == ""
    settings.SECRET_KEY_FALLBACKS = []
    assert "seal" in verify()[1]


@pytest.mark.parametrize(
    ("tampering", "finding"),
    [
        ('UPDATE compliance_approvalrequest SET payload = \'{"to": "thief"}\' WHERE id = %s', "payload"),
        ("UPDATE compliance_approvaldecision SET role = 'Operations' WHERE request_id = %s", "statement"),
        ("DELETE FROM compliance_approvaldecision WHERE request_id = %s", "without the votes"),
        ("DELETE FROM compliance_approvalexecution WHERE request_id = %s", "do not agree"),
        ("DELETE FROM compliance_approvalstatement WHERE request_id = %s", "nothing was signed"),
        (
            "UPDATE compliance_approvalrequest SET released_person_id = maker_person_id WHERE id = %s",
            "different people",
        ),
        (
            "UPDATE compliance_approvalpolicy SET document = '{}' WHERE kind <> %s::uuid::text",
            "its hash is not",
        ),
    ],
)
def test_tampering_is_found(
    transactional_db: None, superuser: psycopg.Connection[Any], tampering: str, finding: str
) -> None:
    made = make_people()
    set_policy(made, policy_document())
    request: ApprovalRequest = carry_through(ask(made), made)
    superuser.execute("SET session_replication_role = replica")
    if "released_person" in tampering:  # a check constraint holds even then
        superuser.execute(
            "ALTER TABLE compliance_approvalrequest DROP CONSTRAINT compliance_request_releaser_not_maker"
        )
    superuser.execute(tampering, [request.pk])
    said, findings = verify()
    if "released_person" in tampering:
        superuser.execute("UPDATE compliance_approvalrequest SET released_person_id = NULL")
        superuser.execute(
            "ALTER TABLE compliance_approvalrequest ADD CONSTRAINT compliance_request_releaser_not_maker"
            " CHECK (released_person_id IS NULL OR released_person_id <> maker_person_id)"
        )
    assert finding in findings
    assert "findings in" in said
