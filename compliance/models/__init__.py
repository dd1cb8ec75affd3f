"""The audit stream and the relay's memory."""

from compliance.models.audit import AuditAnchor, AuditEvent, AuditSeal
from compliance.models.relay import EventCursor, RelayState

__all__ = ["AuditAnchor", "AuditEvent", "AuditSeal", "EventCursor", "RelayState"]
