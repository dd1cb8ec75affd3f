"""The audit stream and the relay's memory; the gate and the people who pass it."""

from compliance.models.approvals import (
    ApprovalDecision,
    ApprovalExecution,
    ApprovalPolicy,
    ApprovalRequest,
    ApprovalReview,
    ApprovalStatement,
    Decision,
    RequestState,
)
from compliance.models.audit import AuditAnchor, AuditEvent, AuditSeal
from compliance.models.evidence import EvidenceFile
from compliance.models.people import Delegation, Person, PersonAccount, PersonMerge
from compliance.models.relay import EventCursor, RelayState
from compliance.models.screening import RestrictedInstrument, ScreeningFlag, ScreeningPolicy

__all__ = [
    "ApprovalDecision",
    "ApprovalExecution",
    "ApprovalPolicy",
    "ApprovalRequest",
    "ApprovalReview",
    "ApprovalStatement",
    "AuditAnchor",
    "AuditEvent",
    "AuditSeal",
    "Decision",
    "Delegation",
    "EventCursor",
    "EvidenceFile",
    "Person",
    "PersonAccount",
    "PersonMerge",
    "RelayState",
    "RequestState",
    "RestrictedInstrument",
    "ScreeningFlag",
    "ScreeningPolicy",
]
