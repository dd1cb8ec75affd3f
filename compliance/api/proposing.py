"""For endpoints whose effect is a request: `202 Accepted`, with where to follow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from compliance.actions.proposing import propose
from compliance.models import ApprovalRequest
from fundops.core.models import User


class ProposedSerializer(serializers.ModelSerializer[ApprovalRequest]):
    """A request that was opened instead of the act."""

    url = serializers.SerializerMethodField()

    class Meta:
        model = ApprovalRequest
        fields = ("id", "url", "kind", "state", "object_label", "payload", "reason", "created_at", "expires_at")
        read_only_fields = fields

    def get_url(self, request: ApprovalRequest) -> str:
        return str(reverse("api-approval-request-detail", kwargs={"pk": request.pk}, request=self.context["request"]))


class ReasonField(serializers.CharField):
    """Why it is asked for: the approvers read it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=400, **kwargs)


def propose_answer(request: Request, *, kind: str, payload: Mapping[str, Any], reason: str) -> Response:
    """Opens the request in the name of who is signed in; nothing is done before it is signed and released."""
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    opened = propose(kind=kind, payload=payload, reason=reason, actor=request.user)
    body = ProposedSerializer(opened, context={"request": request}).data
    return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": body["url"]})
