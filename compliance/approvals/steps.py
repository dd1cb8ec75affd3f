"""What every step of a request has in common: one row lock, one move of the machine, one event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from compliance.approvals.machine import advance
from compliance.models import ApprovalRequest
from fundops.core.events import publish
from fundops.core.models import User


def locked(request_id: UUID, *, skip_locked: bool = False) -> ApprovalRequest | None:
    """The request, held until the transaction ends; None when there is none (or somebody else holds it)."""
    return (
        ApprovalRequest.objects.select_for_update(of=("self",), no_key=True, skip_locked=skip_locked)
        .select_related("maker", "maker_person", "released_by")
        .filter(pk=request_id)
        .first()
    )


def hold(request_id: UUID) -> ApprovalRequest:
    """The request, held until the transaction ends."""
    request = locked(request_id)
    if request is None:
        raise ApprovalRequest.DoesNotExist(f"There is no request {request_id}.")
    return request


def step(
    request: ApprovalRequest,
    event: str,
    *,
    said: str,
    actor: User | None,
    fields: Sequence[str] = (),
    **payload: Any,
) -> ApprovalRequest:
    """Moves, saves and tells: state and ``fields`` are written, and the event ``compliance.approval.<said>``
    recorded."""
    before = str(request.state)
    advance(request, event)
    request.save(update_fields=["state", *fields])
    tell(request, said, actor=actor, before=before, **payload)
    return request


def tell(request: ApprovalRequest, said: str, *, actor: User | None, **payload: Any) -> None:
    """Records what happened to a request; live pages hear it."""
    publish(
        f"compliance.approval.{said}",
        actor=actor,
        obj=request,
        payload={
            "action": request.kind,
            "version": request.version,
            "state": str(request.state),
            "object": [request.object_type, request.object_id, request.object_label],
            **payload,
        },
        topics=["approvals", f"approval:{request.pk}"],
    )
