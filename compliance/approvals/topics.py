"""The live topics of the gate: ``approvals`` (every step of every request) and ``approval:<id>``."""

from __future__ import annotations

from uuid import UUID

from compliance.models import ApprovalRequest
from fundops.core.live import register_topic
from fundops.core.models import User
from fundops.core.permissions import may

VIEW_REQUESTS = "compliance.view_approvalrequest"


def may_watch_approvals(user: User, key: str) -> bool:
    return not key and may(user, VIEW_REQUESTS)


def may_watch_request(user: User, key: str) -> bool:
    try:
        request_id = UUID(key)
    except ValueError:
        return False
    return may(user, VIEW_REQUESTS) or ApprovalRequest.objects.filter(pk=request_id, maker=user).exists()


def register_approval_topics() -> None:
    register_topic("approvals", may_watch_approvals)
    register_topic("approval", may_watch_request)
