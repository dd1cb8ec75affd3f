"""Bringing the shipped rules into force in a new installation: by the gate itself, with real signatures.

Nothing here signs for anybody: whoever calls it brings, for each signer, a function that answers for them (a person
at a terminal, or the demo's own cast).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.approvals import ToSign, decide_request, prepare_decision
from compliance.actions.proposing import propose
from compliance.approvals.defaults import default_policies
from compliance.approvals.errors import ApprovalError
from compliance.approvals.policy import SET_POLICY, ProofKind
from compliance.approvals.registry import registered_actions
from compliance.approvals.steps import hold
from compliance.models import ApprovalExecution, ApprovalRequest, Decision, RequestState
from compliance.models.approvals import VOTING
from compliance.selectors_approvals import policies_in_force
from fundops.core.models import User
from fundops.core.roles import Role


class NotExecutedError(ApprovalError):
    title = "The request was not executed"


@dataclass(frozen=True, slots=True)
class Signer:
    """Somebody who decides in a role; ``sign`` is shown what is signed and gives their proof of it."""

    user: User
    role: Role
    sign: Callable[[ToSign], tuple[ProofKind, Mapping[str, Any]]]


def carry_request(
    *,
    kind: str,
    payload: Mapping[str, Any],
    reason: str,
    maker: User,
    signers: Sequence[Signer],
    releaser: User,
) -> ApprovalExecution:
    """The whole way of one request, each step by its own person; raises what the gate refuses, and
    NotExecutedError with what the execution says."""
    return carry_on(
        request=propose(kind=kind, payload=payload, reason=reason, actor=maker), signers=signers, releaser=releaser
    )


def carry_on(*, request: ApprovalRequest, signers: Sequence[Signer], releaser: User) -> ApprovalExecution:
    """The rest of the way of a request that was asked for: votes as long as any is missing, release, execution."""
    for signer in signers:
        request.refresh_from_db()
        if request.state not in VOTING:
            break
        shown = prepare_decision(request=request, decision=Decision.APPROVE, role=signer.role.value, actor=signer.user)
        proof_kind, proof = signer.sign(shown)
        decide_request(
            request_id=request.pk,
            decision=Decision.APPROVE,
            role=signer.role.value,
            actor=signer.user,
            signed_sha256=shown.sha256,
            proof_kind=proof_kind,
            proof=proof,
        )
    release_request(request_id=request.pk, actor=releaser)
    return _executed(request)


def _executed(request: ApprovalRequest) -> ApprovalExecution:
    record = execute_request(request_id=request.pk)
    if record is None:  # a worker is at it: wait for its end
        with transaction.atomic():
            hold(request.pk)
        record = execute_request(request_id=request.pk)
    if record is None or record.outcome != RequestState.EXECUTED:
        raise NotExecutedError(f"{request.kind}: {record.error if record else 'it waits to be executed'}")
    return record


def missing_policies() -> list[dict[str, Any]]:
    """The shipped rules of every kind of action that has none in force, as documents, by kind."""
    known = {action.kind for action in registered_actions()}
    in_force = policies_in_force()
    shipped = default_policies()
    return [shipped[kind].as_json() for kind in sorted(shipped) if kind in known and kind not in in_force]


REASON = "The rules the product comes with, for kinds of action that have none."


def propose_missing_policies(*, maker: User, reason: str = REASON) -> ApprovalRequest | None:
    """Asks for the shipped rules of every kind that has none, by one request; None when none is missing."""
    missing = missing_policies()
    if not missing:
        return None
    return propose(kind=SET_POLICY, payload=_payload(missing), reason=reason, actor=maker)


def _payload(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"document": documents[0], "also": list(documents[1:])}


def found_policies(
    *,
    maker: User,
    signers: Sequence[Signer],
    releaser: User,
    reason: str = REASON,
) -> ApprovalExecution | None:
    """Puts the shipped rules in force for every kind that has none, by one request; None when none is missing.

    The maker proposes, the signers hold the roles that the rules for changing rules ask for (a risk and an
    operations officer in a new installation), and the releaser is somebody else again.
    """
    missing = missing_policies()
    if not missing:
        return None
    return carry_request(
        kind=SET_POLICY,
        payload=_payload(missing),
        reason=reason,
        maker=maker,
        signers=signers,
        releaser=releaser,
    )
