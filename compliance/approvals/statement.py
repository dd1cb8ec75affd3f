"""Writing the statement that is signed, and holding it against what is in the database later."""

from __future__ import annotations

import json
import secrets
from datetime import datetime
from decimal import Decimal
from typing import Any

from compliance.approvals.canonical import canonical_text, digest, plain, sha256_of
from compliance.approvals.errors import StaleRequestError, TamperedError
from compliance.approvals.policy import Band
from compliance.approvals.registry import Action, action_for
from compliance.approvals.signing import FORMAT
from compliance.models import ApprovalPolicy, ApprovalRequest, ApprovalStatement
from compliance.selectors_approvals import policy_in_force

_TAMPERED = (
    "What was signed and what the database holds are not the same ({what}). Stop, and tell compliance: "
    "somebody has changed it outside the product."
)


def displayed_fields(action: Action[Any], request: ApprovalRequest) -> list[dict[str, str]]:
    """Every line that the approver sees, as of now."""
    return [field.as_json() for field in action.render(action.read(request.payload))]


def write_statement(
    *, request: ApprovalRequest, action: Action[Any], policy: ApprovalPolicy, band: Band, expires_at: datetime
) -> ApprovalStatement:
    """The statement of the request's present version (not saved)."""
    content = {
        **_facts(request),
        "fields": displayed_fields(action, request),
        "policy": _rules(policy, band),
        "nonce": secrets.token_hex(16),
        "expires_at": expires_at,
    }
    text = canonical_text(content)
    rules = json.loads(text)["policy"]
    return ApprovalStatement(
        request=request,
        version=request.version,
        policy=policy,
        canonical=text,
        sha256=sha256_of(text),
        quorum=rules["quorum"],
        break_glass_roles=rules["break_glass_roles"],
        releaser_roles=rules["releasers"],
        expires_at=expires_at,
    )


def read_statement(statement: ApprovalStatement) -> dict[str, Any]:
    """What the statement says."""
    content: dict[str, Any] = json.loads(statement.canonical)
    return content


def check_statement(statement: ApprovalStatement, request: ApprovalRequest) -> dict[str, Any]:
    """Recomputes every hash; raises TamperedError naming what differs, else returns what is said."""
    if sha256_of(statement.canonical) != statement.sha256:
        raise TamperedError(_TAMPERED.format(what="the statement's hash"))
    content = read_statement(statement)
    if canonical_text(content) != statement.canonical:
        raise TamperedError(_TAMPERED.format(what="the statement's form"))
    for name, value in plain(_facts(request)).items():
        if content.get(name) != value:
            raise TamperedError(_TAMPERED.format(what=name), field=name)
    if content["expires_at"] != plain(statement.expires_at):
        raise TamperedError(_TAMPERED.format(what="the expiry"))
    rules = content["policy"]
    policy = statement.policy
    if (rules["version"], rules["sha256"]) != (policy.version, digest(policy.document)):
        raise TamperedError(_TAMPERED.format(what="the policy"))
    beside = (statement.quorum, statement.releaser_roles, statement.break_glass_roles)
    if beside != (rules["quorum"], rules["releasers"], rules["break_glass_roles"]):
        raise TamperedError(_TAMPERED.format(what="the policy's rules"))
    return content


def check_fresh(statement: ApprovalStatement, content: dict[str, Any], request: ApprovalRequest) -> None:
    """Raises StaleRequestError when today's rules, today's picture or today's amount are not those of ``content``."""
    in_force, _ = policy_in_force(request.kind)
    if in_force.pk != statement.policy_id:
        raise StaleRequestError("The policy has changed since this was submitted. Its maker submits it again.")
    action: Action[Any] = action_for(request.kind)
    if content["fields"] != plain(displayed_fields(action, request)):
        raise StaleRequestError(
            "What this request shows is not so any more. Its maker looks at it and submits it again."
        )
    amount = action.amount(action.read(request.payload))
    if _normal(amount) != _normal(request.amount):
        raise StaleRequestError("The amount is not the one that was submitted. Its maker submits it again.")


def _normal(amount: Decimal | None) -> Decimal | None:
    return None if amount is None else amount.normalize()


def _facts(request: ApprovalRequest) -> dict[str, Any]:
    """All of the signed text that stands in the request itself."""
    return {
        "format": FORMAT,
        "request": request.pk,
        "action": request.kind,
        "object": {"type": request.object_type, "id": request.object_id, "label": request.object_label},
        "version": request.version,
        "payload": request.payload,
        "amount": None if request.amount is None else format(request.amount.normalize(), "f"),
        "evidence": request.evidence,
        "reason": request.reason,
        "maker": {"account": request.maker_id, "person": request.maker_person.reference},
    }


def _rules(policy: ApprovalPolicy, band: Band) -> dict[str, Any]:
    return {
        "version": policy.version,
        "sha256": digest(policy.document),
        "quorum": {role.value: number for role, number in band.quorum.items()},
        "releasers": [role.value for role in band.releasers],
        "break_glass_roles": [role.value for role in band.break_glass.roles] if band.break_glass else [],
        "review_within_h": band.break_glass.review_within_h if band.break_glass else None,
        "proofs": {
            role.value: [proof.value for proof in band.proofs_of(role)]
            for role in {*band.quorum, *(band.break_glass.roles if band.break_glass else ())}
        },
    }
