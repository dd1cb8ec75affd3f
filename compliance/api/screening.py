"""`/api/screening/`: the restricted list, the rules against prohibited tactics, and what they found."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compliance.actions.screening import DECIDE_FLAG, RESTRICT, decide_flag, restrict_instrument
from compliance.models import RestrictedInstrument, ScreeningFlag
from compliance.models.screening import FlagSeverity, FlagState, RestrictionLevel, ScreeningRule
from compliance.selectors_screening import flag_list, restriction_list, rules_in_force
from compliance.topics import VIEW_RESTRICTIONS
from fundops.core.api_lists import ListMixin, ReadViewSet
from fundops.core.models import User

VIEW_FLAGS = "compliance.view_screeningflag"


class RestrictionSerializer(serializers.ModelSerializer[RestrictedInstrument]):
    restricted_by = serializers.CharField(source="restricted_by.username", allow_null=True, default=None)

    class Meta:
        model = RestrictedInstrument
        fields = (
            "id", "symbol", "venue", "level", "reason", "reference", "effective_from", "restricted_by", "lifted_at",
            "lifted_by_request",
        )  # fmt: skip


class RestrictSerializer(serializers.Serializer[Any]):
    symbol = serializers.CharField(max_length=40)
    venue = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    level = serializers.ChoiceField(choices=RestrictionLevel.choices)
    reason = serializers.CharField(max_length=400)
    reference = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")
    effective_from = serializers.DateTimeField(required=False, allow_null=True, default=None)


class FlagSerializer(serializers.ModelSerializer[ScreeningFlag]):
    decided_by = serializers.CharField(source="decided_by.username", allow_null=True, default=None)

    class Meta:
        model = ScreeningFlag
        fields = (
            "id", "rule", "severity", "subject", "book_path", "symbol", "venue", "finding", "evidence", "opened_at",
            "state", "decided_by", "decided_at", "note",
        )  # fmt: skip


class DecideFlagSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=[FlagState.CLEARED.value, FlagState.ESCALATED.value])
    note = serializers.CharField(max_length=1000)


class RulesSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(help_text="0: as shipped.")
    rules = serializers.JSONField()


class RestrictionFilter(django_filters.FilterSet):
    """`?symbol=`, `?level=`, `?in_force=true`."""

    symbol = django_filters.CharFilter(lookup_expr="iexact")
    level = django_filters.ChoiceFilter(choices=RestrictionLevel.choices)
    in_force = django_filters.BooleanFilter(field_name="lifted_at", lookup_expr="isnull")

    class Meta:
        model = RestrictedInstrument
        fields: tuple[str, ...] = ()


class FlagFilter(django_filters.FilterSet):
    """`?state=`, `?rule=`, `?severity=`, `?symbol=`, `?book=` path."""

    state = django_filters.MultipleChoiceFilter(choices=FlagState.choices)
    rule = django_filters.MultipleChoiceFilter(choices=ScreeningRule.choices)
    severity = django_filters.ChoiceFilter(choices=FlagSeverity.choices)
    symbol = django_filters.CharFilter(lookup_expr="iexact")
    book = django_filters.CharFilter(field_name="book_path", lookup_expr="startswith")

    class Meta:
        model = ScreeningFlag
        fields: tuple[str, ...] = ()


def _officer(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    return request.user


class RestrictionViewSet(ReadViewSet[RestrictedInstrument]):
    """The restricted list. An entry is taken off by an approval request `compliance.lift_restriction`."""

    serializer_class = RestrictionSerializer
    filterset_class = RestrictionFilter
    ordering_fields = ("symbol", "effective_from", "lifted_at")
    permission = {
        "list": VIEW_RESTRICTIONS,
        "retrieve": VIEW_RESTRICTIONS,
        "create": RESTRICT,
        "OPTIONS": VIEW_RESTRICTIONS,
    }

    def get_queryset(self) -> QuerySet[RestrictedInstrument]:
        return restriction_list()

    @extend_schema(request=RestrictSerializer, responses={201: RestrictionSerializer})
    def create(self, request: Request) -> Response:
        """Puts an instrument on the list; every Book obeys it with its next order."""
        asked = RestrictSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        fields = {**asked.validated_data, "level": RestrictionLevel(asked.validated_data["level"])}
        made = restrict_instrument(**fields, actor=_officer(request))
        return Response(RestrictionSerializer(made).data, status=status.HTTP_201_CREATED)


class FlagViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ScreeningFlag]):
    """What screening found, with its evidence."""

    serializer_class = FlagSerializer
    filterset_class = FlagFilter
    ordering_fields = ("opened_at", "state", "rule")
    permission = {"list": VIEW_FLAGS, "retrieve": VIEW_FLAGS, "decide": DECIDE_FLAG, "OPTIONS": VIEW_FLAGS}

    def get_queryset(self) -> QuerySet[ScreeningFlag]:
        return flag_list()

    @extend_schema(request=DecideFlagSerializer, responses=FlagSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str | None = None) -> Response:
        """Clears or escalates a flag, with the reason."""
        asked = DecideFlagSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        state = FlagState(asked.validated_data["state"])
        decided = decide_flag(
            flag=self.get_object(), state=state, note=asked.validated_data["note"], actor=_officer(request)
        )
        return Response(FlagSerializer(decided).data)


class ScreeningRulesView(APIView):
    """The rules against prohibited tactics in force; others by a request `compliance.set_screening_policy`."""

    permission = VIEW_RESTRICTIONS

    @extend_schema(responses=RulesSerializer)
    def get(self, request: Request) -> Response:
        version, rules = rules_in_force()
        return Response({"version": version, "rules": rules.model_dump(mode="json")})
