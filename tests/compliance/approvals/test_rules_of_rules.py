"""The policy for policies: founded by the code, changed by itself, and not weakened below two votes."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from compliance.actions.approvals import draft_request, submit_request
from compliance.approvals.errors import PolicyError, TamperedError, UnknownKindError
from compliance.approvals.policy import SET_POLICY
from compliance.models import ApprovalPolicy, RequestState
from compliance.selectors_approvals import policy_in_force
from tests.compliance.approvals.support import People, make_people, policy_document, set_policy

pytestmark = pytest.mark.django_db


def propose(people: People, document: object) -> None:
    request = draft_request(kind=SET_POLICY, payload={"document": document}, reason="Rules", actor=people.maker)
    submit_request(request_id=request.pk, actor=people.maker)


def test_the_rules_for_rules_change_by_their_own_rules(people: People) -> None:
    request = set_policy(people, policy_document(SET_POLICY, expires_h=48))
    assert request.state == RequestState.EXECUTED, request.closing_note
    policy, document = policy_in_force(SET_POLICY)
    assert (policy.version, policy.request_id) == (2, request.pk)
    assert document.bands[0].expires_h == 48


def test_they_are_not_weakened_to_one_vote(people: People) -> None:
    with pytest.raises(PolicyError, match="two votes"):
        propose(people, policy_document(SET_POLICY, quorum={"Risk officer": 1}))


def test_rules_for_nothing_and_rules_that_change_nothing_are_refused(people: People) -> None:
    with pytest.raises(UnknownKindError):
        propose(people, policy_document("no.such_action"))
    with pytest.raises(PolicyError, match="in force already"):
        propose(people, policy_document())


def test_a_founding_policy_planted_in_an_empty_database_is_not_obeyed() -> None:
    people = make_people()
    planted = policy_document(SET_POLICY, quorum={"Operations": 1})
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO compliance_approvalpolicy (kind, version, document, sha256, created_at)"
            " VALUES (%s, 1, %s, '', now())",
            [SET_POLICY, json.dumps(planted)],
        )
    with pytest.raises(TamperedError, match="came from nowhere"):
        propose(people, policy_document())
    assert ApprovalPolicy.objects.count() == 1
