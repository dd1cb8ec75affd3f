"""Counting votes: each one's hash, proof and seal are checked again, and each voter's role as of now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from compliance.approvals.errors import (
    InterestedError,
    QuorumLostError,
    RoleNotAskedError,
    SamePersonError,
    TamperedError,
)
from compliance.approvals.humans import humans
from compliance.approvals.proofs import proof_holds
from compliance.approvals.registry import Action
from compliance.approvals.signing import decision_digest, decision_document, seal_holds
from compliance.models import (
    ApprovalDecision,
    ApprovalRequest,
    ApprovalStatement,
    Decision,
    PersonAccount,
    RequestState,
)


def check_signature(decision: ApprovalDecision, content: Mapping[str, Any]) -> None:
    """Raises TamperedError unless the decision's hash, proof and seal hold over the statement's content."""
    document = decision_document(
        content,
        decision=decision.decision,
        role=decision.role,
        actor=decision.actor,
        person=decision.person,
        comment=decision.comment,
    )
    if decision_digest(document) != decision.signed_sha256:
        raise TamperedError("A decision was not made on this statement. Stop, and tell compliance.")
    if not proof_holds(decision.proof_kind, digest=bytes.fromhex(decision.signed_sha256), proof=decision.proof):
        raise TamperedError("The proof of a decision does not hold. Stop, and tell compliance.")
    if not seal_holds(
        decision.signature,
        signed_sha256=decision.signed_sha256,
        proof_kind=decision.proof_kind,
        proof=decision.proof,
        at=decision.at,
    ):
        raise TamperedError("The seal on a decision is not the product's. Stop, and tell compliance.")


def check_people(
    request: ApprovalRequest, decisions: list[ApprovalDecision], *, as_known_at: datetime | None = None
) -> None:
    """Raises SamePersonError unless maker, checkers and releaser are different people with their accounts.

    Records that are of one human count as one, as known now (or at ``as_known_at``).
    """
    accounts = [(request.maker_id, request.maker_person_id)]
    accounts += [(decision.actor_id, decision.person_id) for decision in decisions]
    if request.released_by_id is not None and request.released_person_id is not None:
        accounts.append((request.released_by_id, request.released_person_id))
    known = dict(
        PersonAccount.objects.filter(account_id__in=[account for account, _ in accounts]).values_list(
            "account_id", "person_id"
        )
    )
    people = humans((person for _, person in accounts), at=as_known_at)
    if any(known.get(account) != person for account, person in accounts) or len(set(people.values())) != len(accounts):
        raise SamePersonError("Maker, checkers and releaser must be different people. Ask somebody else.")


def missing_votes(statement: ApprovalStatement, decisions: list[ApprovalDecision]) -> dict[str, int]:
    """How many people of which role are still missing, counting those alone who hold their role today."""
    missing = {str(role): int(number) for role, number in statement.quorum.items()}
    for decision in decisions:
        if decision.decision == Decision.APPROVE and _still_holds(decision):
            missing[decision.role] = missing.get(decision.role, 0) - 1
    return {role: number for role, number in missing.items() if number > 0}


def check_interest(action: Action[Any], payload: Any, people: Iterable[int | None]) -> None:
    """Raises InterestedError when any of these people is one whom the action is about."""
    about = PersonAccount.objects.filter(account__in=action.interested(payload)).values_list("person_id", flat=True)
    concerned = set(humans(about).values())
    if concerned and concerned & set(humans(people).values()):
        raise InterestedError("This is about the person who asks, decides or releases. Let somebody else.")


def check_quorum(statement: ApprovalStatement, decisions: list[ApprovalDecision]) -> None:
    """Raises QuorumLostError unless enough people of the right roles agree, or one broke the glass."""
    if any(decision.decision == Decision.REJECT for decision in decisions):
        raise QuorumLostError("Somebody rejected this request.")
    for decision in decisions:
        if (
            decision.decision == Decision.BREAK_GLASS
            and decision.role in statement.break_glass_roles
            and _still_holds(decision)
        ):
            return
    if missing := missing_votes(statement, decisions):
        wanted = ", ".join(f"{number} x {role}" for role, number in sorted(missing.items()))
        raise QuorumLostError(
            f"Votes are missing: {wanted}. A vote counts while its voter holds the role.", missing=missing
        )


def check_releaser(request: ApprovalRequest, statement: ApprovalStatement) -> None:
    """Raises RoleNotAskedError when who released it may not release any more; before a release, nothing."""
    if request.state != RequestState.EXECUTING:
        return
    releaser = request.released_by
    if not releaser.is_active or not releaser.groups.filter(name__in=statement.releaser_roles).exists():
        raise RoleNotAskedError("Who released this request holds none of the roles that may, any more.")


def _still_holds(decision: ApprovalDecision) -> bool:
    return decision.actor.is_active and decision.actor.groups.filter(name=decision.role).exists()
