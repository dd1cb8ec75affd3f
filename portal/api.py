"""`/api/assistant/` and `/api/knowledge/`: what the assistant understands, answers and starts, and what was learned."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fundops.core.api_lists import ReadViewSet
from fundops.core.models import User
from portal.assistant.answers import Answer, bankroll_summary, cohort_status, promotion_readiness
from portal.assistant.conversation import USE, Reply, ask, begin, known_symbols, say
from portal.assistant.intents import (
    LARGEST,
    MOST_AGENTS,
    MOST_DAYS,
    SMALLEST,
    FundTomorrow,
    Grow,
    ReviewPromotion,
    StartCohort,
)
from portal.models import KnowledgeEntry, KnowledgeKind
from trading.api.serializers import CohortSerializer
from trading.models.cohort import CohortMode

READ_KNOWLEDGE = "portal.view_knowledge"


class SaySerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=2000, allow_blank=True, trim_whitespace=True)


class _TermsSerializer(serializers.Serializer[Any]):
    """``confirm`` false (the default) answers with the plan and starts nothing."""

    amount = serializers.DecimalField(max_digits=20, decimal_places=2, min_value=SMALLEST, max_value=LARGEST)
    days = serializers.IntegerField(min_value=1, max_value=MOST_DAYS)
    currency = serializers.ChoiceField(choices=["USD", "USDT", "USDC", "EUR", "GBP"], required=False, allow_null=True)
    symbols = serializers.ListField(
        child=serializers.CharField(max_length=32), required=False, default=list, max_length=200
    )
    agents = serializers.IntegerField(min_value=1, max_value=MOST_AGENTS, required=False, allow_null=True)
    mode = serializers.ChoiceField(
        choices=CohortMode.choices,
        required=False,
        allow_null=True,
        help_text="replay: the latest days, at once; forward: as candles close. Left out: what the candles allow.",
    )
    confirm = serializers.BooleanField(required=False, default=False)

    def validate_symbols(self, symbols: list[str]) -> list[str]:
        if unknown := sorted(set(symbols) - set(known_symbols())):
            raise serializers.ValidationError(f"There are no candles of {', '.join(unknown)} at hand.")
        return symbols


class GrowSerializer(_TermsSerializer):
    pass


class StartCohortSerializer(_TermsSerializer):
    amount = serializers.DecimalField(
        max_digits=20, decimal_places=2, min_value=SMALLEST, max_value=LARGEST, required=False, allow_null=True
    )
    days = serializers.IntegerField(min_value=1, max_value=MOST_DAYS, required=False, allow_null=True)


class ReviewPromotionSerializer(serializers.Serializer[Any]):
    cohort = serializers.IntegerField(min_value=1, required=False, allow_null=True)


class ReplySerializer(serializers.Serializer[Any]):
    """One of question, answer and plan, or why it was refused."""

    outcome = serializers.CharField()
    intent = serializers.CharField(allow_null=True)
    terms = serializers.JSONField(allow_null=True)
    question = serializers.JSONField(allow_null=True)
    answer = serializers.JSONField(allow_null=True)
    plan = serializers.JSONField(allow_null=True)
    refused = serializers.CharField(allow_null=True)


class AnswerSerializer(serializers.Serializer[Any]):
    title = serializers.CharField()
    words = serializers.ListField(child=serializers.CharField())
    figures = serializers.JSONField()
    links = serializers.JSONField()
    recommendations = serializers.JSONField()


class KnowledgeSerializer(serializers.ModelSerializer[KnowledgeEntry]):
    class Meta:
        model = KnowledgeEntry
        fields = ("id", "at", "kind", "title", "words", "figures", "cohort", "review", "deployment")


class KnowledgeFilter(django_filters.FilterSet):
    """`?kind=`, `?cohort=`, `?review=`, `?deployment=`, `?since=`, `?until=`, `?text=`."""

    kind = django_filters.MultipleChoiceFilter(choices=KnowledgeKind.choices)
    cohort = django_filters.NumberFilter(field_name="cohort_id")
    review = django_filters.NumberFilter(field_name="review_id")
    deployment = django_filters.NumberFilter(field_name="deployment_id")
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")
    text = django_filters.CharFilter(field_name="words", lookup_expr="icontains")

    class Meta:
        model = KnowledgeEntry
        fields: tuple[str, ...] = ()


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    return request.user


def _said(reply: Reply) -> Response:
    return Response(reply.as_json(), status=status.HTTP_403_FORBIDDEN if reply.refused else status.HTTP_200_OK)


class SayView(APIView):
    """One line of plain words; nothing is started."""

    permission = USE

    @extend_schema(request=SaySerializer, responses=ReplySerializer)
    def post(self, request: Request) -> Response:
        asked = SaySerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return _said(say(text=asked.validated_data["text"], actor=_person(request)))


class _StartView(APIView):
    permission = USE
    terms: type[_TermsSerializer]

    def intent(self, fields: dict[str, Any]) -> Grow | StartCohort:
        raise NotImplementedError

    def _post(self, request: Request) -> Response:
        asked = self.terms(data=request.data)
        asked.is_valid(raise_exception=True)
        fields = dict(asked.validated_data)
        confirmed = fields.pop("confirm")
        intent = self.intent({**fields, "symbols": tuple(fields["symbols"])})
        if not confirmed:
            return _said(ask(intent=intent, actor=_person(request)))
        cohort = begin(intent=intent, actor=_person(request))
        return Response(CohortSerializer(cohort, context={"request": request}).data, status=status.HTTP_201_CREATED)


class GrowView(_StartView):
    """A plan for growing an amount; with ``confirm`` its cohort is launched."""

    terms = GrowSerializer

    def intent(self, fields: dict[str, Any]) -> Grow:
        return Grow(**fields)

    @extend_schema(request=GrowSerializer, responses={200: ReplySerializer, 201: CohortSerializer})
    def post(self, request: Request) -> Response:
        return self._post(request)


class StartCohortView(_StartView):
    """A cohort with sane answers to what was left out; with ``confirm`` it is launched."""

    terms = StartCohortSerializer

    def intent(self, fields: dict[str, Any]) -> StartCohort:
        return StartCohort(**fields)

    @extend_schema(request=StartCohortSerializer, responses={200: ReplySerializer, 201: CohortSerializer})
    def post(self, request: Request) -> Response:
        return self._post(request)


class FundTomorrowView(APIView):
    """Outcomes, recommendations with reasons, and what waits for approval."""

    permission = USE

    @extend_schema(request=None, responses=ReplySerializer)
    def post(self, request: Request) -> Response:
        return _said(ask(intent=FundTomorrow(), actor=_person(request)))


class ReviewPromotionView(APIView):
    """How ready a candidate is for capital."""

    permission = USE

    @extend_schema(request=ReviewPromotionSerializer, responses=ReplySerializer)
    def post(self, request: Request) -> Response:
        asked = ReviewPromotionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return _said(ask(intent=ReviewPromotion(asked.validated_data.get("cohort")), actor=_person(request)))


def _answered(answer: Answer) -> Response:
    return Response(answer.as_json())


class CohortStatusView(APIView):
    """How cohorts do."""

    permission = "trading.view_cohort"

    @extend_schema(responses=AnswerSerializer)
    def get(self, request: Request) -> Response:
        return _answered(cohort_status(_person(request)))


class ReadinessView(APIView):
    """How ready one cohort's candidate is for capital."""

    permission = "trading.view_promotionreview"

    @extend_schema(responses=AnswerSerializer)
    def get(self, request: Request, pk: int) -> Response:
        return _answered(promotion_readiness(_person(request), pk))


class BankrollSummaryView(APIView):
    """What the pools are, hold and have handed out."""

    permission = "treasury.view_book"

    @extend_schema(responses=AnswerSerializer)
    def get(self, request: Request) -> Response:
        return _answered(bankroll_summary(_person(request)))


class KnowledgeViewSet(ReadViewSet[KnowledgeEntry]):
    """What the fund has learned, newest first."""

    serializer_class = KnowledgeSerializer
    filterset_class = KnowledgeFilter
    permission = READ_KNOWLEDGE
    queryset = KnowledgeEntry.objects.all()
    ordering_fields = ("at", "kind")
