"""`/api/approvals/evidence/`: giving files that support a request, and reading those of requests one may read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compliance.actions.evidence import PROPOSE, store_evidence
from compliance.approvals.errors import EvidenceRefusedError
from compliance.approvals.evidence import file_of
from compliance.models import EvidenceFile
from compliance.models.evidence import MAX_BYTES
from compliance.selectors_approvals import VIEW_REQUESTS, approval_request_list
from fundops.core.models import User


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    return request.user


class UploadSerializer(serializers.Serializer[Any]):
    file = serializers.FileField()


class StoredSerializer(serializers.ModelSerializer[EvidenceFile]):
    """Give ``sha256`` with a name of your choice as evidence of a request."""

    class Meta:
        model = EvidenceFile
        fields = ("sha256", "size", "media_type")
        read_only_fields = fields


class EvidenceView(APIView):
    """Takes a PDF, a PNG or JPEG picture, or plain text in UTF-8, of up to 10 MiB."""

    permission = PROPOSE
    parser_classes = (MultiPartParser,)

    @extend_schema(request={"multipart/form-data": UploadSerializer}, responses={201: StoredSerializer})
    def post(self, request: Request) -> Response:
        asked = UploadSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        upload = asked.validated_data["file"]
        if upload.size > MAX_BYTES:
            raise EvidenceRefusedError(f"A file of evidence has at most {MAX_BYTES // 2**20} MiB.")
        file = store_evidence(content=upload.read(), actor=_person(request))
        return Response(StoredSerializer(file).data, status=status.HTTP_201_CREATED)


class RequestEvidenceView(APIView):
    """One file of a request's evidence, as an attachment."""

    permission = VIEW_REQUESTS

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: UUID, sha256: str) -> HttpResponse:
        held = get_object_or_404(approval_request_list(user=_person(request)), pk=pk)
        found = file_of(held, sha256)
        if found is None:
            raise NotFound("There is no such file with this request.")
        name, file = found
        return HttpResponse(
            bytes(file.content),
            content_type=file.media_type,
            headers={
                "Content-Disposition": _attachment(name),
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "sandbox; default-src 'none'",
                "Cache-Control": "private, no-store",
            },
        )


def _attachment(name: str) -> str:
    """A file name that no header and no file system can misread."""
    safe = "".join(letter if letter.isalnum() or letter in " ._-" else "_" for letter in name)[:120].strip(" .")
    ascii_name = safe.encode("ascii", "replace").decode().replace("?", "_") or "evidence"
    return f'attachment; filename="{ascii_name}"'
