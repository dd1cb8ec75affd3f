"""`/api/audit/events/` and `/api/audit/chain/`: the audit stream, to read. Nothing here writes."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compliance.api.serializers import AuditEventSerializer, ChainStatusSerializer
from compliance.models import AuditEvent
from compliance.selectors import audit_event_list, chain_status
from compliance.topics import VIEW_EVENTS
from fundops.core.api_lists import ReadViewSet
from fundops.core.models import User


class AuditEventFilter(django_filters.FilterSet):
    """`?kind=` (a beginning when it ends with a dot), `?actor=` id, `?object_type=`, `?object_id=`,
    `?since=`, `?until=`, `?after=` and `?upto=` places in the chain."""

    kind = django_filters.CharFilter(method="filter_kind", label="A kind, or its beginning with a final dot")
    actor = django_filters.NumberFilter(field_name="actor_id")
    object_type = django_filters.CharFilter()
    object_id = django_filters.CharFilter()
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")
    after = django_filters.NumberFilter(field_name="seq", lookup_expr="gt")
    upto = django_filters.NumberFilter(field_name="seq", lookup_expr="lte")

    class Meta:
        model = AuditEvent
        fields: tuple[str, ...] = ()

    def filter_kind(self, events: QuerySet[AuditEvent], name: str, kind: str) -> QuerySet[AuditEvent]:
        return events.filter(kind__startswith=kind) if kind.endswith(".") else events.filter(kind=kind)


class AuditEventViewSet(ReadViewSet[AuditEvent]):
    """The audit events, newest first, each with its place in the chain."""

    serializer_class = AuditEventSerializer
    filterset_class = AuditEventFilter
    ordering_fields = ("id", "at")
    permission = VIEW_EVENTS

    def get_queryset(self) -> QuerySet[AuditEvent]:
        if getattr(self, "swagger_fake_view", False):
            return AuditEvent.objects.none()
        user = self.request.user
        assert isinstance(user, User)  # noqa: S101 - the declared permission lets nobody else in
        return audit_event_list(user=user)


class ChainStatusView(APIView):
    """Where the chain ends and what waits; `manage.py verify_audit` proves it."""

    permission = VIEW_EVENTS

    @extend_schema(responses=ChainStatusSerializer)
    def get(self, request: Request) -> Response:
        return Response(ChainStatusSerializer(chain_status()).data)
