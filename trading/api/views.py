"""`/api/cohorts/`: launch, watch, cancel, and read all a cohort measured. CSV and JSON by content negotiation."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from fundops.core.api_lists import ListMixin
from trading.actions.cohort import cancel_cohort, launch_cohort, resume_cohort
from trading.api.filters import AgentDayFilter, CohortFilter, FillFilter
from trading.api.serializers import (
    AgentDaySerializer,
    AgentSerializer,
    AlertSerializer,
    CancelSerializer,
    CohortDaySerializer,
    CohortSerializer,
    FillSerializer,
    RejectionSerializer,
    ResumeSerializer,
)
from trading.cohorts.refusals import with_refusals
from trading.models.cohort import (
    AgentDay,
    Cohort,
    CohortAgent,
    CohortAlert,
    CohortDay,
    CohortFill,
    CohortRejection,
)
from trading.selectors.cohort import cohort_list, has_granted_cohorts

READ = "trading.view_cohort"


class CohortViewSet(mixins.CreateModelMixin, ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Cohort]):
    """Cohorts: `?date=` a day of the window, `?bankroll=`, `?status=`, `?mode=`, `?venue=`."""

    serializer_class = CohortSerializer
    filterset_class = CohortFilter
    ordering_fields = ["launched_at", "bankroll", "start", "latest_equity"]
    by_object = staticmethod(has_granted_cohorts)
    permission = {
        "list": READ,
        "retrieve": READ,
        "create": "trading.launch_cohort",
        "cancel": "trading.cancel_cohort",
        "resume": "trading.resume_cohort",
        "OPTIONS": READ,
    }

    def get_queryset(self) -> QuerySet[Cohort]:
        return cohort_list(self.request.user).prefetch_related("parents")

    def perform_create(self, serializer: BaseSerializer[Cohort]) -> None:
        fields = dict(serializer.validated_data)
        parents = fields.pop("parents", [])
        assert self.request.user.is_authenticated  # noqa: S101 - the permission class has seen to it
        serializer.instance = launch_cohort(cohort=Cohort(**fields), actor=self.request.user, parents=parents)

    @extend_schema(request=CancelSerializer, responses={202: CohortSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str | None = None) -> Response:
        """Asks the run to stop after the stretch it is trading."""
        asked = CancelSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        assert request.user.is_authenticated  # noqa: S101
        cohort = cancel_cohort(cohort=self.get_object(), reason=asked.validated_data["reason"], actor=request.user)
        return Response(self.get_serializer(cohort).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=ResumeSerializer, responses={202: CohortSerializer})
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str | None = None) -> Response:
        """Lets a failed cohort go on at the bar it had reached, once its cause is mended."""
        asked = ResumeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        assert request.user.is_authenticated  # noqa: S101
        cohort = resume_cohort(cohort=self.get_object(), reason=asked.validated_data["reason"], actor=request.user)
        return Response(self.get_serializer(cohort).data, status=status.HTTP_202_ACCEPTED)


class _OfCohort(ListMixin, viewsets.GenericViewSet[Any]):
    """Rows that belong to one cohort, which the reader must be allowed to see."""

    permission = READ
    by_object = staticmethod(has_granted_cohorts)
    of_cohort: Any

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return self.of_cohort.objects.none()  # type: ignore[no-any-return]
        cohort = get_object_or_404(Cohort.objects.for_user(self.request.user), pk=self.kwargs["cohort_pk"])
        return self.rows(cohort)

    def rows(self, cohort: Cohort) -> QuerySet[Any]:
        return self.of_cohort.objects.filter(cohort=cohort)  # type: ignore[no-any-return]


class CohortDayViewSet(_OfCohort):
    """What each day measured of the parent wallet, and what the proof of the books found."""

    serializer_class = CohortDaySerializer
    of_cohort = CohortDay

    def rows(self, cohort: Cohort) -> QuerySet[CohortDay]:
        return with_refusals(CohortDay.objects.filter(cohort=cohort))


class AgentViewSet(mixins.RetrieveModelMixin, _OfCohort):
    """The agents: genome, market, draw and Book of each."""

    serializer_class = AgentSerializer
    of_cohort = CohortAgent
    lookup_field = "number"


class AgentDayViewSet(_OfCohort):
    """The leaderboard: `?day=3&ordering=rank`."""

    serializer_class = AgentDaySerializer
    filterset_class = AgentDayFilter
    ordering_fields = [
        "rank",
        "roi_frac",
        "drawdown_frac",
        "trades",
        "rejected",
        "denied",
        "fees",
        "utilisation_frac",
        "confidence",
        "day",
    ]
    of_cohort = AgentDay

    def rows(self, cohort: Cohort) -> QuerySet[AgentDay]:
        return with_refusals(AgentDay.objects.filter(agent__cohort=cohort)).select_related("agent")


class FillViewSet(_OfCohort):
    """Every fill, with what it cost and the source that its journal entry names."""

    serializer_class = FillSerializer
    filterset_class = FillFilter
    ordering_fields = ["number", "at", "realised", "fee"]
    of_cohort = CohortFill

    def rows(self, cohort: Cohort) -> QuerySet[CohortFill]:
        return CohortFill.objects.filter(cohort=cohort).select_related("agent")


class RejectionViewSet(_OfCohort):
    """Orders that the venue rejected, that were denied here, or that wait for volume, and why."""

    serializer_class = RejectionSerializer
    of_cohort = CohortRejection

    def rows(self, cohort: Cohort) -> QuerySet[CohortRejection]:
        return CohortRejection.objects.filter(cohort=cohort).select_related("agent")


class AlertViewSet(_OfCohort):
    """What the run raised for a person to look at, newest first."""

    serializer_class = AlertSerializer
    of_cohort = CohortAlert

    def rows(self, cohort: Cohort) -> QuerySet[CohortAlert]:
        return CohortAlert.objects.filter(cohort=cohort).select_related("agent")
