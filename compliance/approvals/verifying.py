"""Proving later that everything that passed the gate was signed: every hash, proof, seal and person again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compliance.approvals.canonical import digest
from compliance.approvals.errors import ApprovalError
from compliance.approvals.evidence import check_evidence
from compliance.approvals.policy import FOUNDING, read_policy
from compliance.approvals.statement import check_statement, read_statement
from compliance.approvals.votes import check_people, check_signature
from compliance.models import (
    ApprovalDecision,
    ApprovalExecution,
    ApprovalPolicy,
    ApprovalRequest,
    ApprovalStatement,
    Decision,
    RequestState,
)

_PASSED = (RequestState.APPROVED, RequestState.EXECUTING, RequestState.EXECUTED)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold."""

    subject: str
    what: str


@dataclass(frozen=True, slots=True)
class Counted:
    """How much was looked at."""

    policies: int
    statements: int
    decisions: int
    executions: int


def verify_approvals() -> tuple[Counted, list[Finding]]:
    """Looks at every policy, statement, decision and execution; no findings means that all of it holds."""
    findings = [*_policies(), *_statements(), *_requests()]
    counted = Counted(
        policies=ApprovalPolicy.objects.count(),
        statements=ApprovalStatement.objects.count(),
        decisions=ApprovalDecision.objects.count(),
        executions=ApprovalExecution.objects.count(),
    )
    return counted, findings


def _policies() -> Iterator[Finding]:
    for policy in ApprovalPolicy.objects.select_related("request").order_by("kind", "version").iterator():
        subject = f"policy {policy.kind} {policy.version}"
        if digest(policy.document) != policy.sha256:
            yield Finding(subject, "its hash is not the document's")
            continue
        if policy.request is None:
            if read_policy(policy.document) != FOUNDING:
                yield Finding(subject, "it came from no request and is not the founding policy")
        elif policy.document not in [policy.request.payload.get("document"), *policy.request.payload.get("also", [])]:
            yield Finding(subject, f"it is not what request {policy.request_id} asked for")
        elif policy.request.state != RequestState.EXECUTED:
            yield Finding(subject, f"request {policy.request_id} was not executed")


def _statements() -> Iterator[Finding]:
    """Every signature, those on void versions too."""
    statements = ApprovalStatement.objects.prefetch_related("decisions__actor", "decisions__person")
    for statement in statements.order_by("pk").iterator(chunk_size=500):
        for decision in statement.decisions.all():
            try:
                check_signature(decision, read_statement(statement))
            except (ApprovalError, ValueError, KeyError) as error:
                yield Finding(f"decision {decision.pk} on request {statement.request_id}", str(error))


def _requests() -> Iterator[Finding]:
    requests = (
        ApprovalRequest.objects.exclude(state=RequestState.DRAFT)
        .exclude(submitted_at=None)
        .select_related("maker_person", "execution")
        .prefetch_related("statements__policy", "statements__decisions")
    )
    for request in requests.order_by("created_at").iterator(chunk_size=500):
        subject = f"request {request.pk} ({request.kind})"
        statement = next((said for said in request.statements.all() if said.version == request.version), None)
        if statement is None:
            yield Finding(subject, "nothing was signed for its version")
            continue
        decisions = list(statement.decisions.all())
        try:
            content = check_statement(statement, request)
            check_evidence(content["evidence"])
            # Who was one and the same was asked with what was known when it ended.
            check_people(request, decisions, as_known_at=request.finished_at)
        except (ApprovalError, ValueError, KeyError) as error:
            yield Finding(subject, str(error))
        if request.state in _PASSED and not _agreed(statement, decisions):
            yield Finding(subject, "it passed without the votes its policy asks for")
        execution = getattr(request, "execution", None)
        ended = request.state in (RequestState.EXECUTED, RequestState.FAILED)
        if ended != (execution is not None) or (execution and execution.outcome != request.state):
            yield Finding(subject, "its state and the record of its execution do not agree")
        if ended and request.released_person_id is None:
            yield Finding(subject, "nobody released it")


def _agreed(statement: ApprovalStatement, decisions: list[ApprovalDecision]) -> bool:
    """The quorum as it was voted; roles may have changed hands since."""
    if any(decision.decision == Decision.REJECT for decision in decisions):
        return False
    if any(
        decision.decision == Decision.BREAK_GLASS and decision.role in statement.break_glass_roles
        for decision in decisions
    ):
        return True
    people: dict[str, set[int]] = {}
    for decision in decisions:
        people.setdefault(decision.role, set()).add(decision.person_id)
    return bool(statement.quorum) and all(
        len(people.get(role, ())) >= number for role, number in statement.quorum.items()
    )
