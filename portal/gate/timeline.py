"""What happened to a request, in order and in words, from its audit events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from compliance.approvals.errors import ApprovalError
from compliance.approvals.statement import read_statement
from compliance.approvals.votes import check_signature
from compliance.models import ApprovalDecision, ApprovalRequest, AuditEvent
from portal.gate.policies import people_words

_PREFIX = "compliance.approval."
_TITLES = {
    "drafted": "Drafted",
    "edited": "Edited: a new version, and a draft again",
    "submitted": "Submitted",
    "voted": "Approved by one of those asked",
    "approved": "Approved: the quorum is met",
    "glass_broken": "Glass broken: approved by one alone",
    "rejected": "Rejected",
    "withdrawn": "Withdrawn",
    "superseded": "Superseded",
    "released": "Released for execution",
    "executed": "Executed",
    "failed": "Failed: nothing was done",
    "expired": "Expired",
    "reviewed": "Reviewed",
    "review_overdue": "The review is overdue",
}
_TONES = {
    "approved": "good",
    "voted": "good",
    "executed": "good",
    "released": "accent",
    "submitted": "accent",
    "glass_broken": "warn",
    "review_overdue": "warn",
    "expired": "warn",
    "rejected": "bad",
    "failed": "bad",
}


@dataclass(frozen=True)
class Moment:
    """One step: ``event`` is its place in the audit stream."""

    at: datetime
    title: str
    who: str
    text: str
    tone: str
    version: int
    event: UUID


@dataclass(frozen=True)
class Signature:
    """A vote with the answer to whether its hash, proof and seal hold now; ``void`` when of a former version."""

    vote: ApprovalDecision
    version: int
    void: bool
    trouble: str

    @property
    def proof_words(self) -> str:
        if self.vote.proof_kind == "passkey":
            return "Passkey, its challenge is the hash"
        return "Authenticator code, sealed with the hash"


def timeline_of(request: ApprovalRequest) -> list[Moment]:
    """Newest first."""
    events = AuditEvent.objects.filter(
        object_type=request._meta.label_lower, object_id=str(request.pk), kind__startswith=_PREFIX
    ).order_by("-id")
    return [_moment(event) for event in events]


def _moment(event: AuditEvent) -> Moment:
    said = event.kind.removeprefix(_PREFIX)
    payload: Mapping[str, Any] = event.payload
    return Moment(
        at=event.at,
        title=_TITLES.get(said, said.replace("_", " ").capitalize()),
        who=event.actor_label if event.actor_id else "the clock" if said == "expired" else "the machine",
        text=_text(said, payload),
        tone=_TONES.get(said, ""),
        version=int(payload.get("version", 1)),
        event=event.pk,
    )


def _text(said: str, payload: Mapping[str, Any]) -> str:
    parts = []
    if role := payload.get("role"):
        parts.append(f"as {role}, by {'passkey' if payload.get('proof') == 'passkey' else 'authenticator code'}")
    if missing := payload.get("missing"):
        parts.append(f"still missing: {people_words(missing)}")
    if void := payload.get("void_votes"):
        parts.append(f"{void} vote{'s' if void > 1 else ''} void")
    if said == "submitted":
        parts.append(f"under policy version {payload.get('policy_version')}")
    if said == "reviewed":
        parts.append("justified" if payload.get("justified") else "not justified")
    parts += [str(payload[name]) for name in ("comment", "reason", "note", "error") if payload.get(name)]
    return "; ".join(parts)


def signatures_of(request: ApprovalRequest) -> list[Signature]:
    """Every vote ever given on it, newest first, each verified again now."""
    votes = request.decisions.select_related("statement", "actor", "person").order_by("-at", "-pk")
    return [
        Signature(vote, vote.statement.version, vote.statement.version != request.version, trouble_with(vote))
        for vote in votes
    ]


def trouble_with(vote: ApprovalDecision) -> str:
    """Empty when hash, proof and seal of the vote hold."""
    try:
        check_signature(vote, read_statement(vote.statement))
    except (ApprovalError, ValueError, KeyError) as error:
        return str(error) or "The signature cannot be read."
    return ""
