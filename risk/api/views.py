"""`/api/risk/`: limits, breaches, stress and snapshots. Writes go through the actions and need their own
right; what changes risk answers `202 Accepted` with the approval request that it opened.
"""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from compliance.api.proposing import ProposedSerializer, propose_answer
from fundops.core.api_lists import ListMixin, ReadViewSet
from fundops.core.models import User
from risk.actions.breaches import acknowledge_breach
from risk.actions.budgets import SET_BUDGET
from risk.actions.limits import APPLY_TEMPLATE, RETIRE_LIMIT, SET_LIMIT
from risk.actions.stress import SAVE_SCENARIO, run_stress
from risk.api.serializers import (
    AcknowledgeSerializer,
    ApplyTemplateSerializer,
    BreachSerializer,
    BudgetSerializer,
    EffectiveLimitSerializer,
    LimitSerializer,
    LimitStatusSerializer,
    RetireLimitSerializer,
    RunStressSerializer,
    SaveScenarioSerializer,
    ScenarioSerializer,
    SetBudgetSerializer,
    SetLimitSerializer,
    SnapshotSerializer,
    StressResultSerializer,
)
from risk.approvals import MAY_SAVE_SCENARIOS, MAY_SET_BUDGETS
from risk.models import (
    BreachStatus,
    CapitalBudget,
    LimitBreach,
    RiskLimit,
    RiskSnapshot,
    StressResult,
    StressScenario,
)
from risk.selectors import breach_list, effective_limits, limit_list, limit_status
from treasury.models import Book

BOOK = OpenApiParameter("book", str, required=True, description="The Book's path.")


def _checked(serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
    asked = serializer(data=request.data, context={"request": request})
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    return request.user


def _proposed(request: Request, kind: str, asked: dict[str, Any]) -> Response:
    """Opens the request: Books by their paths, and the reason apart."""
    payload = {key: value.path if isinstance(value, Book) else value for key, value in asked.items()}
    return propose_answer(request, kind=kind, reason=payload.pop("reason"), payload=payload)


class LimitFilter(django_filters.FilterSet):
    """`?book=` path, `?under=` a path and all below, `?metric=`, `?in_force=`."""

    book = django_filters.CharFilter(field_name="book__path")
    under = django_filters.CharFilter(method="below", label="Path of a book: it and all below it")
    in_force = django_filters.BooleanFilter(field_name="effective_to", lookup_expr="isnull")

    class Meta:
        model = RiskLimit
        fields = ("book", "under", "metric", "in_force", "template")

    def below(self, rows: QuerySet[RiskLimit], _name: str, path: str) -> QuerySet[RiskLimit]:
        return rows.filter(book__path=path) | rows.filter(book__path__startswith=f"{path}/")


class LimitViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[RiskLimit]):
    """Limits, past and present. Setting and retiring opens an approval request."""

    serializer_class = LimitSerializer
    filterset_class = LimitFilter
    ordering_fields = ("effective_from", "metric")
    permission = {
        "list": "risk.view_risklimit",
        "retrieve": "risk.view_risklimit",
        "create": "risk.set_limit",
        "retire": "risk.set_limit",
        "apply_template": "risk.set_limit",
        "OPTIONS": "risk.view_risklimit",
    }

    def get_queryset(self) -> QuerySet[RiskLimit]:
        return limit_list(self.request.user)

    @extend_schema(request=SetLimitSerializer, responses={202: ProposedSerializer})
    def create(self, request: Request) -> Response:
        """Asks for a limit in place of the one that runs."""
        return _proposed(request, SET_LIMIT, _checked(SetLimitSerializer, request))

    @extend_schema(request=RetireLimitSerializer, responses={202: ProposedSerializer})
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, pk: str | None = None) -> Response:
        """Asks for a limit to end."""
        limit = self.get_object()
        return _proposed(request, RETIRE_LIMIT, {"limit": limit.pk} | _checked(RetireLimitSerializer, request))

    @extend_schema(request=ApplyTemplateSerializer, responses={202: ProposedSerializer}, filters=False)
    @action(detail=False, methods=["post"], url_path="apply-template", pagination_class=None)
    def apply_template(self, request: Request) -> Response:
        """Asks for every limit of a template on a Book, all or none."""
        return _proposed(request, APPLY_TEMPLATE, _checked(ApplyTemplateSerializer, request))


class LimitStatusView(APIView):
    """The limits in force on a Book, each with its value and headroom; the tightest first."""

    permission = "risk.view_risklimit"

    @extend_schema(parameters=[BOOK], responses=LimitStatusSerializer(many=True))
    def get(self, request: Request) -> Response:
        found = limit_status(request.user, book=asked_book(request))
        return Response(LimitStatusSerializer(found, many=True).data)


class EffectiveLimitsView(APIView):
    """What binds a Book, own and inherited: the tightest of each metric."""

    permission = "risk.view_risklimit"

    @extend_schema(parameters=[BOOK], responses=EffectiveLimitSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(EffectiveLimitSerializer(effective_limits(asked_book(request)), many=True).data)


def asked_book(request: Request) -> Book:
    """The Book of `?book=`, its path; Http404 for one that is not there or not the caller's."""
    path = request.query_params.get("book", "").replace("\x00", "")
    books = Book.objects.for_user(request.user).select_related("fund__base_asset")
    book: Book = get_object_or_404(books, path=path)
    return book


class BreachFilter(django_filters.FilterSet):
    book = django_filters.CharFilter(field_name="book__path")
    status = django_filters.MultipleChoiceFilter(choices=BreachStatus.choices)

    class Meta:
        model = LimitBreach
        fields = ("book", "status", "level", "metric")


class BreachViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[LimitBreach]):
    """Breaches, the open ones first."""

    serializer_class = BreachSerializer
    filterset_class = BreachFilter
    ordering_fields = ("opened_at", "closed_at", "level")
    permission = {
        "list": "risk.view_limitbreach",
        "retrieve": "risk.view_limitbreach",
        "acknowledge": "risk.acknowledge_breach",
        "OPTIONS": "risk.view_limitbreach",
    }

    def get_queryset(self) -> QuerySet[LimitBreach]:
        return breach_list(self.request.user)

    @extend_schema(request=AcknowledgeSerializer, responses=BreachSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str | None = None) -> Response:
        """Says that a person has seen it, and what is done about it."""
        asked = _checked(AcknowledgeSerializer, request)
        held = acknowledge_breach(breach=self.get_object(), actor=_person(request), **asked)
        return Response(BreachSerializer(held).data)


class ScenarioViewSet(ReadViewSet[StressScenario]):
    """Stress scenarios. Adding or changing one opens an approval request: its tolerance acts."""

    serializer_class = ScenarioSerializer
    queryset = StressScenario.objects.order_by("code")
    filterset_fields = ("kind", "is_active")
    permission = {
        "list": "risk.view_stressscenario",
        "retrieve": "risk.view_stressscenario",
        "create": MAY_SAVE_SCENARIOS,
        "OPTIONS": "risk.view_stressscenario",
    }

    @extend_schema(request=SaveScenarioSerializer, responses={202: ProposedSerializer})
    def create(self, request: Request) -> Response:
        """Asks for the scenario of that code to be added or changed."""
        asked = _checked(SaveScenarioSerializer, request)
        return _proposed(request, SAVE_SCENARIO, asked | {"scenario": asked.pop("kind")})


class StressResultViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[StressResult]):
    """What scenarios cost; `POST` runs them now."""

    serializer_class = StressResultSerializer
    filterset_fields = ("book__path", "scenario__code", "breached")
    ordering_fields = ("at", "loss_frac")
    permission = {
        "list": "risk.view_stressresult",
        "retrieve": "risk.view_stressresult",
        "create": "risk.run_stress",
        "OPTIONS": "risk.view_stressresult",
    }

    def get_queryset(self) -> QuerySet[StressResult]:
        rows: QuerySet[StressResult] = StressResult.objects.for_user(self.request.user)
        return rows.select_related("book", "scenario").order_by("-at", "-pk")

    @extend_schema(request=RunStressSerializer, responses={201: StressResultSerializer(many=True)})
    def create(self, request: Request) -> Response:
        """Runs one scenario or all, on one Book or on every fund."""
        asked = _checked(RunStressSerializer, request)
        made = run_stress(
            actor=_person(request),
            books=[asked["book"]] if "book" in asked else None,
            scenarios=[asked["scenario"]] if "scenario" in asked else None,
        )
        return Response(StressResultSerializer(made, many=True).data, status=status.HTTP_201_CREATED)


class SnapshotViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[RiskSnapshot]):
    """Risk snapshots, newest first."""

    serializer_class = SnapshotSerializer
    filterset_fields = ("book__path", "method")
    ordering_fields = ("at",)
    permission = "risk.view_risksnapshot"

    def get_queryset(self) -> QuerySet[RiskSnapshot]:
        rows: QuerySet[RiskSnapshot] = RiskSnapshot.objects.for_user(self.request.user)
        return rows.select_related("book").order_by("-at", "-pk")


class BudgetViewSet(ReadViewSet[CapitalBudget]):
    """Capital budgets. Setting one opens an approval request."""

    serializer_class = BudgetSerializer
    filterset_fields = ("book__path",)
    permission = {
        "list": "risk.view_capitalbudget",
        "retrieve": "risk.view_capitalbudget",
        "create": MAY_SET_BUDGETS,
        "OPTIONS": "risk.view_capitalbudget",
    }

    @extend_schema(request=SetBudgetSerializer, responses={202: ProposedSerializer})
    def create(self, request: Request) -> Response:
        """Asks for a budget in place of the one that runs."""
        return _proposed(request, SET_BUDGET, _checked(SetBudgetSerializer, request))

    def get_queryset(self) -> QuerySet[CapitalBudget]:
        rows: QuerySet[CapitalBudget] = CapitalBudget.objects.for_user(self.request.user)
        return rows.select_related("book").order_by("book__path", "-effective_from")
