"""`/api/risk/leverage/` and `/api/risk/overrides/`: read, lower, propose and end early."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compliance.api.proposing import ProposedSerializer, ReasonField, propose_answer
from fundops.core import clock
from fundops.core.api_lists import ListMixin
from fundops.core.models import User
from risk.actions.leverage import lower_leverage
from risk.actions.overrides import OVERRIDE_GUARDRAIL, end_override
from risk.api.serializers import METRICS, BookField
from risk.leverage import leverage_in_force, planned_step, require_policy
from risk.models import GuardrailOverride, LeverageDecision
from risk.models.switches import TRIGGERS
from risk.overrides import override_list, require_override_policy, standing_of
from treasury.api.serializers import AmountField
from treasury.models import Book

BOOK = OpenApiParameter("book", str, required=True, description="The Book's path.")


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    return request.user


# --- Leverage -----------------------------------------------------------------------------------------------------
class LeverageDecisionSerializer(serializers.ModelSerializer[LeverageDecision]):
    """One decision with everything it rests on."""

    book = serializers.CharField(source="book.path")
    policy = serializers.IntegerField(source="policy.version")
    actor = serializers.CharField(source="actor.username", allow_null=True, default=None)

    class Meta:
        model = LeverageDecision
        fields = (
            "id",
            "book",
            "number",
            "at",
            "policy",
            "rule",
            "from_leverage",
            "to_leverage",
            "changed",
            "sample_size",
            "sharpe",
            "drawdown_frac",
            "through",
            "reason",
            "inputs",
            "conditions",
            "triggers",
            "actor",
        )
        read_only_fields = fields


class LeverageConditionSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    met = serializers.BooleanField()
    value = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(allow_null=True)
    text = serializers.CharField()


class LeverageTriggerSerializer(serializers.Serializer[Any]):
    rule = serializers.CharField(source="said")
    measure = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField()
    to = serializers.DecimalField(max_digits=6, decimal_places=2)
    fires = serializers.BooleanField()
    spent = serializers.BooleanField()


class PlannedStepSerializer(serializers.Serializer[Any]):
    """What the rules say now, and what a step up still wants; nothing is decided by reading it."""

    book = serializers.CharField(source="book.path")
    policy = serializers.IntegerField(source="policy.version")
    leverage = serializers.DecimalField(source="last.to_leverage", max_digits=6, decimal_places=2)
    in_force = serializers.SerializerMethodField(help_text="The least of this Book's and of those above it.")
    next_leverage = serializers.DecimalField(max_digits=6, decimal_places=2, allow_null=True)
    rule = serializers.CharField(source="step.rule")
    missing = serializers.CharField()
    sample_size = serializers.IntegerField(source="step.n")
    conditions = LeverageConditionSerializer(source="step.conditions", many=True)
    triggers = LeverageTriggerSerializer(source="step.triggers", many=True)
    evidence = serializers.CharField(source="performance.source", help_text="Where the returns come from.")

    def get_in_force(self, planned: Any) -> str:
        return f"{leverage_in_force(planned.book):.2f}"


class LeveragePolicySerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField()
    rules = serializers.JSONField()
    sha256 = serializers.CharField()
    request = serializers.UUIDField()
    created_at = serializers.DateTimeField()


class LowerLeverageSerializer(serializers.Serializer[Any]):
    """Leave `to` out for the policy's floor."""

    book = BookField()
    to = serializers.DecimalField(max_digits=6, decimal_places=2, required=False)
    reason = ReasonField()


class DecisionFilter(django_filters.FilterSet):
    """`?book=` path, `?rule=`, `?changed=`, `?since=`, `?until=`."""

    book = django_filters.CharFilter(field_name="book__path")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = LeverageDecision
        fields = ("book", "rule", "changed")


class LeverageViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[LeverageDecision]):
    """Decisions on leverage, the newest first; `lower` takes a Book down at once, nothing here raises one."""

    serializer_class = LeverageDecisionSerializer
    filterset_class = DecisionFilter
    ordering_fields = ("at", "to_leverage")
    permission = {
        "list": "risk.view_leveragedecision",
        "retrieve": "risk.view_leveragedecision",
        "planned": "risk.view_leveragedecision",
        "policy": "risk.view_leveragepolicy",
        "lower": "risk.lower_leverage",
        "OPTIONS": "risk.view_leveragedecision",
    }

    def get_queryset(self) -> QuerySet[LeverageDecision]:
        rows: QuerySet[LeverageDecision] = LeverageDecision.objects.for_user(self.request.user)
        return rows.select_related("book", "policy", "actor").order_by("-at", "-pk")

    @extend_schema(parameters=[BOOK], responses=PlannedStepSerializer, filters=False)
    @action(detail=False, methods=["get"], pagination_class=None)
    def planned(self, request: Request) -> Response:
        """The next step of a Book, what it wants in figures, and what would lower it."""
        book = get_object_or_404(Book.objects.for_user(request.user), path=request.query_params.get("book", ""))
        found = planned_step(book)
        if found is None:
            raise Http404("Nothing has been decided on this book yet.")
        return Response(PlannedStepSerializer(found).data)

    @extend_schema(responses=LeveragePolicySerializer, filters=False)
    @action(detail=False, methods=["get"], pagination_class=None)
    def policy(self, request: Request) -> Response:
        """The policy in force; another one is proposed as an approval request of `risk.set_leverage_policy`."""
        row, _ = require_policy()
        return Response(_policy(row))

    @extend_schema(request=LowerLeverageSerializer, responses={201: LeverageDecisionSerializer}, filters=False)
    @action(detail=False, methods=["post"], pagination_class=None)
    def lower(self, request: Request) -> Response:
        """Lowers a Book at once."""
        asked = LowerLeverageSerializer(data=request.data, context={"request": request})
        asked.is_valid(raise_exception=True)
        made = lower_leverage(**asked.validated_data, actor=_person(request))
        return Response(LeverageDecisionSerializer(made).data, status=status.HTTP_201_CREATED)


def _policy(row: Any) -> Any:
    fields = {"version": row.version, "rules": row.document, "sha256": row.sha256, "created_at": row.created_at}
    return LeveragePolicySerializer(fields | {"request": row.request_id}).data


# --- Overrides ----------------------------------------------------------------------------------------------------
class GuardrailOverrideSerializer(serializers.ModelSerializer[GuardrailOverride]):
    """One override with how it stands."""

    book = serializers.CharField(source="book.path")
    limit = serializers.IntegerField(source="limit_id", allow_null=True)
    limit_hard = AmountField(source="limit.hard", allow_null=True, default=None)
    level = AmountField(allow_null=True)
    request = serializers.UUIDField(source="request_id")
    standing = serializers.SerializerMethodField()
    ended_at = serializers.DateTimeField(source="end.at", allow_null=True, default=None)
    ended_by = serializers.CharField(source="end.by.username", allow_null=True, default=None)
    end_reason = serializers.CharField(source="end.reason", allow_null=True, default=None)

    class Meta:
        model = GuardrailOverride
        fields = (
            "id",
            "book",
            "metric",
            "symbol",
            "venue",
            "limit",
            "limit_hard",
            "level",
            "trigger",
            "starts_at",
            "ends_at",
            "standing",
            "reason",
            "request",
            "ended_at",
            "ended_by",
            "end_reason",
        )
        read_only_fields = fields

    def get_standing(self, override: GuardrailOverride) -> str:
        return standing_of(override)


class ProposeOverrideSerializer(serializers.Serializer[Any]):
    """One metric with its level, or one trigger; until when, and why."""

    book = BookField()
    metric = serializers.ChoiceField(choices=METRICS, required=False)
    symbol = serializers.CharField(max_length=40, required=False, allow_blank=True)
    venue = serializers.CharField(max_length=40, required=False, allow_blank=True)
    level = serializers.DecimalField(max_digits=38, decimal_places=18, required=False)
    trigger = serializers.ChoiceField(choices=[(c.value, c.label) for c in TRIGGERS], required=False)
    starts_at = serializers.DateTimeField(required=False)
    ends_at = serializers.DateTimeField()
    reason = ReasonField()


class EndOverrideSerializer(serializers.Serializer[Any]):
    reason = ReasonField()


class OverrideFilter(django_filters.FilterSet):
    """`?book=` path, `?in_force=true` those in force now."""

    book = django_filters.CharFilter(field_name="book__path")
    in_force = django_filters.BooleanFilter(method="by_time", label="In force now")

    class Meta:
        model = GuardrailOverride
        fields = ("book", "metric", "trigger")

    def by_time(
        self,
        rows: QuerySet[GuardrailOverride],
        _name: str,
        wanted: bool,  # noqa: FBT001 - django-filter's signature
    ) -> QuerySet[GuardrailOverride]:
        now = GuardrailOverride.objects.in_force(clock.now()).values("pk")
        return rows.filter(pk__in=now) if wanted else rows.exclude(pk__in=now)


class OverrideViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[GuardrailOverride]):
    """Overrides of guardrails. `POST` asks for one: it is an approval request, and in force only when executed."""

    serializer_class = GuardrailOverrideSerializer
    filterset_class = OverrideFilter
    ordering_fields = ("starts_at", "ends_at")
    permission = {
        "list": "risk.view_guardrailoverride",
        "retrieve": "risk.view_guardrailoverride",
        "create": OVERRIDE_GUARDRAIL,
        "end": "risk.end_override",
        "OPTIONS": "risk.view_guardrailoverride",
    }

    def get_queryset(self) -> QuerySet[GuardrailOverride]:
        return override_list(self.request.user).order_by("-starts_at", "-pk")

    @extend_schema(request=ProposeOverrideSerializer, responses={202: ProposedSerializer})
    def create(self, request: Request) -> Response:
        """Asks for an override; risk and operations sign the request that is returned."""
        asked = ProposeOverrideSerializer(data=request.data, context={"request": request})
        asked.is_valid(raise_exception=True)
        payload = dict(asked.validated_data)
        reason = payload.pop("reason")
        payload["book"] = payload["book"].path
        return propose_answer(request, kind=OVERRIDE_GUARDRAIL, payload=payload, reason=reason)

    @extend_schema(request=EndOverrideSerializer, responses=GuardrailOverrideSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str | None = None) -> Response:
        """Ends an override now."""
        asked = EndOverrideSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        held = self.get_object()
        end_override(override=held, actor=_person(request), **asked.validated_data)
        return Response(GuardrailOverrideSerializer(self.get_queryset().get(pk=held.pk)).data)


class OverridePolicyView(APIView):
    """What overrides may do now."""

    permission = "risk.view_overridepolicy"

    @extend_schema(responses=LeveragePolicySerializer)
    def get(self, request: Request) -> Response:
        row, _ = require_override_policy()
        return Response(_policy(row))
