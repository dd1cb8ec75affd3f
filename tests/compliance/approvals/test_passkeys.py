"""Signing with a passkey: the challenge is the hash of what is signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.core import context
from django.test import RequestFactory
from fido2.utils import websafe_decode

from compliance.actions.approvals import decide_request, prepare_decision
from compliance.approvals.errors import ProofRefusedError
from compliance.approvals.passkeys import PasskeyProof
from compliance.approvals.policy import ProofKind
from compliance.approvals.verifying import verify_approvals
from compliance.models import ApprovalDecision, ApprovalRequest, Decision
from fundops.core.roles import Role
from tests.compliance.approvals.authenticator import SoftPasskey
from tests.compliance.approvals.support import People, ask

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def web_request() -> Any:
    """allauth takes the site's name, to which passkeys are bound, from the request."""
    with context.request_context(RequestFactory().get("/", secure=True)):
        yield


def shown(people: People, request: ApprovalRequest) -> Any:
    return prepare_decision(request=request, decision=Decision.APPROVE, role=Role.RISK_OFFICER.value, actor=people.risk)


def decide(people: People, request: ApprovalRequest, sha256: str, proof: Any) -> ApprovalDecision:
    return decide_request(
        request_id=request.pk,
        decision=Decision.APPROVE,
        role=Role.RISK_OFFICER.value,
        actor=people.risk,
        signed_sha256=sha256,
        proof_kind=ProofKind.PASSKEY,
        proof=proof,
    )


def test_the_challenge_is_the_hash_and_the_assertion_proves_it_later(people: People) -> None:
    key = SoftPasskey(people.risk)
    request = ask(people)
    asked = shown(people, request)
    assert asked.passkey is not None
    challenge = websafe_decode(asked.passkey["publicKey"]["challenge"])
    assert challenge.hex() == asked.sha256
    assert asked.passkey["publicKey"]["userVerification"] == "required"
    made = decide(people, request, asked.sha256, key.sign(challenge))
    assert made.proof_kind == "passkey"
    proof = PasskeyProof()
    assert proof.holds(digest=challenge, proof=made.proof)
    assert not proof.holds(digest=bytes(32), proof=made.proof)
    assert verify_approvals()[1] == []


@pytest.mark.parametrize("trick", ["other challenge", "not verified", "other site", "other key", "nonsense"])
def test_another_assertion_is_refused(people: People, trick: str) -> None:
    key = SoftPasskey(people.risk)
    request = ask(people)
    asked = shown(people, request)
    digest = bytes.fromhex(asked.sha256)
    answers: dict[str, Callable[[], dict[str, Any]]] = {
        "other challenge": lambda: key.sign(bytes(32)),
        "not verified": lambda: key.sign(digest, verified=False),
        "other site": lambda: key.sign(digest, rp_id="evil.example"),
        "other key": lambda: SoftPasskey(people.operations, b"soft-passkey-0002").sign(digest),
        "nonsense": lambda: {"id": "x"},
    }
    with pytest.raises(ProofRefusedError):
        decide(people, request, asked.sha256, answers[trick]())
    assert not ApprovalDecision.objects.filter(request=request).exists()


def test_an_assertion_is_not_used_for_another_request(people: People) -> None:
    key = SoftPasskey(people.risk)
    first, second = ask(people), ask(people)
    signed = key.sign(bytes.fromhex(shown(people, first).sha256))
    decide(people, first, shown(people, first).sha256, signed)
    with pytest.raises(ProofRefusedError):
        decide(people, second, shown(people, second).sha256, signed)


def test_without_a_passkey_there_is_no_challenge(people: People) -> None:
    assert shown(people, ask(people)).passkey is None
