"""The cast of the gate's tests, an action of their own, and the short ways through."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.core.cache import cache

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.approvals import (
    decide_request,
    draft_request,
    prepare_decision,
    submit_request,
)
from compliance.actions.people import link_account
from compliance.approvals.policy import ProofKind
from compliance.approvals.registry import (
    ActionPayload,
    DisplayedField,
    Target,
    Warrant,
    register_action,
)
from compliance.models import ApprovalDecision, ApprovalRequest, Decision
from fundops.core.errors import FundopsError
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with

KIND = "test.move_money"
EFFECT = "test.money.moved"


class WorldSaysNoError(FundopsError):
    title = "The world says no"


#: What the test's world looks like; tests change it and put it back (fixture `world`).
WORLD: dict[str, Any] = {"balance": "100", "open": True, "on_execute": None}


class MoveMoney(ActionPayload):
    to: str
    amount: Decimal


def _render(payload: MoveMoney) -> Sequence[DisplayedField]:
    return [
        DisplayedField("Receiver", "", payload.to),
        DisplayedField("Balance", WORLD["balance"], f"{Decimal(WORLD['balance']) - payload.amount:f}"),
    ]


def _recheck(payload: MoveMoney) -> None:
    if not WORLD["open"]:
        raise WorldSaysNoError("The account is closed. Open it first.")


@register_action(
    kind=KIND,
    title="Move money",
    payload=MoveMoney,
    maker_permission="compliance.propose_request",
    render=_render,
    recheck=_recheck,
    amount=lambda payload: payload.amount,
    target=lambda payload: Target("test.account", payload.to, payload.to),
)
def move_money(payload: MoveMoney, warrant: Warrant) -> Mapping[str, Any]:
    """Its effect is one event, which tests count."""
    publish(EFFECT, actor=warrant.actor, payload={"to": payload.to, "request": str(warrant.request_id)})
    if WORLD["on_execute"] is not None:
        WORLD["on_execute"]()
    return {"moved": payload.amount}


@dataclass(frozen=True)
class People:
    """A maker, two checkers of two roles, somebody to release, somebody to review."""

    maker: User
    risk: User
    operations: User
    releaser: User
    reviewer: User


def staff(name: str, *roles: Role, reference: str = "") -> User:
    """An account with an authenticator app, linked to a person (of that reference, or their own)."""
    user = user_with(*roles, username=name)
    TOTP.activate(user, generate_totp_secret())
    cache.delete(f"approvals.proof.failed.{user.pk}")  # of the last run's account of that number
    link_account(account=user, reference=reference or f"staff-{name}", full_name=name.title(), actor=None)
    return user


def make_people() -> People:
    return People(
        maker=staff("maria", Role.PORTFOLIO_MANAGER),
        risk=staff("rick", Role.RISK_OFFICER),
        operations=staff("olga", Role.OPERATIONS),
        releaser=staff("rita", Role.OPERATIONS),
        reviewer=staff("carl", Role.COMPLIANCE_OFFICER),
    )


def code_of(user: User) -> str:
    """The present code of the account's app (good once)."""
    device = Authenticator.objects.get(user=user, type=Authenticator.Type.TOTP)
    secret = get_adapter().decrypt(device.data["secret"])
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def fresh_code_proof(user: User) -> dict[str, str]:
    """A code as if half a minute had passed since the last one: the mark of its use is taken off."""
    code = code_of(user)
    device = Authenticator.objects.get(user=user, type=Authenticator.Type.TOTP)
    cache.delete(device.wrap()._get_used_cache_key(code))
    return {"code": code}


def vote(
    request: ApprovalRequest,
    user: User,
    role: Role,
    decision: Decision = Decision.APPROVE,
    comment: str = "",
) -> ApprovalDecision:
    request.refresh_from_db()
    shown = prepare_decision(request=request, decision=decision, role=role.value, actor=user, comment=comment)
    return decide_request(
        request_id=request.pk,
        decision=decision,
        role=role.value,
        actor=user,
        signed_sha256=shown.sha256,
        proof_kind=ProofKind.TOTP,
        proof=fresh_code_proof(user),
        comment=comment,
    )


PASSKEY_OR_CODE = ["passkey", "totp"]


def policy_document(kind: str = KIND, **band: Any) -> dict[str, Any]:
    """One band: a risk and an operations officer, released by operations."""
    return {
        "kind": kind,
        "bands": [
            {
                "quorum": {"Risk officer": 1, "Operations": 1},
                "releasers": ["Operations", "Compliance officer"],
                "proofs": {"Risk officer": PASSKEY_OR_CODE, "Operations": PASSKEY_OR_CODE},
                "expires_h": 24,
                "break_glass": {"roles": ["Risk officer"], "review_within_h": 12},
                **band,
            }
        ],
    }


def carry_through(request: ApprovalRequest, people: People) -> ApprovalRequest:
    """Votes, releases and executes a submitted request."""
    vote(request, people.risk, Role.RISK_OFFICER)
    vote(request, people.operations, Role.OPERATIONS)
    release_request(request_id=request.pk, actor=people.releaser)
    execute_request(request_id=request.pk)
    request.refresh_from_db()
    return request


def set_policy(people: People, document: dict[str, Any]) -> ApprovalRequest:
    """The whole way of a policy through the gate."""
    return set_policies(people, document)


def set_policies(people: People, document: dict[str, Any], *also: dict[str, Any]) -> ApprovalRequest:
    """The whole way of policies of several kinds through the gate, by one request."""
    payload: dict[str, Any] = {"document": document} | ({"also": list(also)} if also else {})
    request = draft_request(kind="compliance.set_policy", payload=payload, reason="Rules", actor=people.maker)
    submit_request(request_id=request.pk, actor=people.maker)
    return carry_through(request, people)


def ask(people: People, amount: str = "25", **fields: Any) -> ApprovalRequest:
    """A submitted request to move money."""
    request = draft_request(
        kind=KIND,
        payload={"to": "broker", "amount": amount},
        reason="Margin is due.",
        actor=people.maker,
        **fields,
    )
    return submit_request(request_id=request.pk, actor=people.maker)


def approved(people: People, amount: str = "25") -> ApprovalRequest:
    request = ask(people, amount)
    vote(request, people.risk, Role.RISK_OFFICER)
    vote(request, people.operations, Role.OPERATIONS)
    request.refresh_from_db()
    return request
