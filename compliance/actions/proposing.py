"""Asking in one step: a request drafted and submitted at once, as pages and endpoints do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from compliance.actions.approvals import Evidence, draft_request, submit_request
from compliance.approvals.registry import ActionPayload
from compliance.models import ApprovalRequest
from fundops.core.models import User


def propose(
    *,
    kind: str,
    payload: ActionPayload | Mapping[str, Any],
    reason: str,
    actor: User,
    evidence: Sequence[Evidence] = (),
) -> ApprovalRequest:
    """A submitted request. What the gate would refuse it refuses now, and then there is no draft either."""
    with transaction.atomic():
        drafted = draft_request(kind=kind, payload=payload, reason=reason, actor=actor, evidence=evidence)
        return submit_request(request_id=drafted.pk, actor=actor)
