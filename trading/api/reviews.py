"""`/api/reviews/`: Day-3 reviews, their evidence, and what people do with them."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from fundops.core.api_lists import ReadViewSet
from fundops.core.models import User
from trading.actions.promotion import ask_for_promotion, roll_back, write_post_mortem
from trading.api.deployments import VoiceAskedSerializer
from trading.models.promotion import LiveRecord, PromotionReview, ReviewState, ReviewStep
from trading.promotion.rules import rules_in_force
from trading.selectors.council import proposed_terms, voices_on_offer

READ = "trading.view_promotionreview"


class ReviewStepSerializer(serializers.ModelSerializer[ReviewStep]):
    actor = serializers.CharField(source="actor.username", allow_null=True, default=None)

    class Meta:
        model = ReviewStep
        fields = ("at", "before", "after", "actor", "words")


class PromotionReviewSerializer(serializers.ModelSerializer[PromotionReview]):
    """A review in a list."""

    cohort_name = serializers.CharField(source="cohort.__str__", read_only=True)
    agent_number = serializers.IntegerField(source="agent.number", allow_null=True, default=None)
    overridden_by = serializers.CharField(source="overridden_by.username", allow_null=True, default=None)

    class Meta:
        model = PromotionReview
        fields = (
            "id", "cohort", "cohort_name", "agent", "agent_number", "state", "passed", "policy_version",
            "evidence_sha256", "compiled_at", "overridden_by", "override_reason", "request", "waits_for", "deployment",
            "watch_until_ms", "end_cause", "end_words", "ended_at", "settled_at",
        )  # fmt: skip


class ReviewDetailSerializer(PromotionReviewSerializer):
    """A review with its evidence, verdict, meters and steps."""

    steps = ReviewStepSerializer(many=True)

    class Meta(PromotionReviewSerializer.Meta):
        fields = (  # type: ignore[assignment]
            *PromotionReviewSerializer.Meta.fields,
            "verdict", "evidence", "meters", "metered_at", "post_mortem", "steps",
        )  # fmt: skip


class AskSerializer(serializers.Serializer[Any]):
    """``override_reason`` is needed where the gate refused the candidate."""

    override_reason = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")
    speed = serializers.DecimalField(
        max_digits=10, decimal_places=3, min_value=0, max_value=100_000, required=False, allow_null=True, default=None
    )
    leverage = serializers.DecimalField(
        max_digits=6, decimal_places=3, required=False, help_text="The most it may carry."
    )
    voices = VoiceAskedSerializer(many=True, required=False, help_text="Further voices of its council.")
    quorum_frac = serializers.DecimalField(max_digits=4, decimal_places=3, required=False)


class SizingAdviceSerializer(serializers.Serializer[Any]):
    """Rates are annual, of one bankroll of exposure; null is not known, a null headroom no cap."""

    leverage = serializers.FloatField(allow_null=True)
    notional = serializers.FloatField(allow_null=True)
    binding = serializers.CharField()
    volatility = serializers.FloatField(allow_null=True)
    expected_return = serializers.FloatField(allow_null=True)
    kelly = serializers.FloatField(allow_null=True, help_text="The full Kelly size.")
    target_volatility = serializers.FloatField(source="policy.target_volatility")
    kelly_share = serializers.FloatField(source="policy.kelly_share")
    headroom = serializers.FloatField(allow_null=True)
    n_hours = serializers.IntegerField()
    words = serializers.CharField()


class BudgetHeadroomSerializer(serializers.Serializer[Any]):
    book = serializers.CharField()
    asset = serializers.CharField()
    capital = serializers.DecimalField(max_digits=38, decimal_places=18)
    drawn = serializers.DecimalField(max_digits=38, decimal_places=18, allow_null=True)
    left = serializers.DecimalField(max_digits=38, decimal_places=18, allow_null=True)


class VoiceOnOfferSerializer(serializers.Serializer[Any]):
    agent = serializers.IntegerField(source="agent.pk")
    number = serializers.IntegerField(source="agent.number")
    cohort = serializers.IntegerField(source="agent.cohort_id")
    family = serializers.CharField(source="agent.family")
    symbol = serializers.CharField(source="agent.symbol")
    genome_hash = serializers.CharField(source="agent.genome_hash")
    elsewhere = serializers.BooleanField()
    roi_frac = serializers.FloatField()
    sharpe_annual = serializers.FloatField(allow_null=True)
    rank = serializers.IntegerField(allow_null=True)
    left = serializers.FloatField(help_text="What live results leave of its weight.")


class ProposedTermsSerializer(serializers.Serializer[Any]):
    amount = serializers.DecimalField(
        source="terms.amount", max_digits=20, decimal_places=2, allow_null=True, default=None
    )
    leverage_maximum = serializers.DecimalField(
        source="terms.leverage.maximum", max_digits=6, decimal_places=3, default=None
    )
    leverage_at_first = serializers.DecimalField(
        source="terms.leverage.at_opening", max_digits=6, decimal_places=3, default=None
    )
    leverage_held_by = serializers.CharField(source="terms.leverage.held_by", default="")
    above_the_sizing_rule = serializers.BooleanField(source="terms.above_the_rule", allow_null=True, default=None)
    sizing = SizingAdviceSerializer(source="terms.sizing", allow_null=True, default=None)
    budget = BudgetHeadroomSerializer(source="terms.budget", allow_null=True, default=None)
    why_not = serializers.CharField(source="terms.why_not", default="")
    voices = VoiceOnOfferSerializer(many=True)


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=1000)


class PostMortemSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=100_000)


class LiveRecordSerializer(serializers.ModelSerializer[LiveRecord]):
    class Meta:
        model = LiveRecord
        fields = (
            "id", "deployment", "genome_hash", "family", "outcome", "cause", "bankroll", "profit", "roi_frac",
            "max_drawdown_frac", "fills", "hours", "mean_hourly", "sd_hourly", "weight", "at",
        )  # fmt: skip


class PromotionRulesSerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(help_text="0: as shipped.")
    rules = serializers.JSONField()
    text = serializers.CharField(help_text="The same as YAML, to propose a change from.")


class ReviewFilter(django_filters.FilterSet):
    """`?state=`, `?passed=`, `?cohort=`, `?since=`, `?until=`."""

    state = django_filters.MultipleChoiceFilter(choices=ReviewState.choices)
    passed = django_filters.BooleanFilter()
    cohort = django_filters.NumberFilter(field_name="cohort_id")
    since = django_filters.IsoDateTimeFilter(field_name="compiled_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="compiled_at", lookup_expr="lt")

    class Meta:
        model = PromotionReview
        fields: tuple[str, ...] = ()


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    return request.user


class ReviewViewSet(ReadViewSet[PromotionReview]):
    """Day-3 reviews from their evidence to what became of them."""

    serializer_class = PromotionReviewSerializer
    filterset_class = ReviewFilter
    ordering_fields = ("compiled_at", "state")
    permission = {
        "list": READ,
        "retrieve": READ,
        "terms": READ,
        "ask": "trading.promote",
        "roll_back": "trading.roll_back",
        "post_mortem": "trading.write_post_mortem",
        "OPTIONS": READ,
    }

    def get_queryset(self) -> QuerySet[PromotionReview]:
        if getattr(self, "swagger_fake_view", False):
            return PromotionReview.objects.none()
        reviews = PromotionReview.objects.for_user(self.request.user).select_related("cohort", "agent", "overridden_by")
        return reviews.defer("evidence", "meters", "post_mortem") if self.action == "list" else reviews

    @extend_schema(responses=ReviewDetailSerializer)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(ReviewDetailSerializer(self.get_object()).data)

    @extend_schema(responses=ProposedTermsSerializer)
    @action(detail=True, methods=["get"])
    def terms(self, request: Request, pk: str | None = None) -> Response:
        """What would be asked for today: slice, leverage, sizing rule, budget, and who could vote beside it."""
        review = self.get_object()
        found = {"terms": proposed_terms(review), "voices": voices_on_offer(review)}
        return Response(ProposedTermsSerializer(found).data)

    @extend_schema(request=AskSerializer, responses={202: ReviewDetailSerializer})
    @action(detail=True, methods=["post"])
    def ask(self, request: Request, pk: str | None = None) -> Response:
        """Asks for the two signatures; with a reason also where the gate refused."""
        asked = AskSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        given = dict(asked.validated_data)
        terms = {name: given.pop(name) for name in ("leverage", "voices", "quorum_frac") if name in given}
        ask_for_promotion(review=self.get_object(), actor=_person(request), terms=terms, **given)
        return Response(ReviewDetailSerializer(self.get_object()).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=ReasonSerializer, responses=ReviewDetailSerializer)
    @action(detail=True, methods=["post"], url_path="roll-back")
    def roll_back(self, request: Request, pk: str | None = None) -> Response:
        """Ends a deployed candidate: flattens it and brings its bankroll home."""
        asked = ReasonSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        words = asked.validated_data["reason"]
        roll_back(review=self.get_object(), cause="person", words=words, actor=_person(request))
        return Response(ReviewDetailSerializer(self.get_object()).data)

    @extend_schema(request=PostMortemSerializer, responses=ReviewDetailSerializer)
    @action(detail=True, methods=["post"], url_path="post-mortem")
    def post_mortem(self, request: Request, pk: str | None = None) -> Response:
        """Completes the draft."""
        asked = PostMortemSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        write_post_mortem(review=self.get_object(), text=asked.validated_data["text"], actor=_person(request))
        return Response(ReviewDetailSerializer(self.get_object()).data)


class LiveRecordViewSet(ReadViewSet[LiveRecord]):
    """What genomes did with real orders."""

    serializer_class = LiveRecordSerializer
    permission = READ
    queryset = LiveRecord.objects.all()
    filterset_fields = ("family", "genome_hash", "outcome", "deployment")
    ordering_fields = ("at", "roi_frac", "weight")


class PromotionRulesView(APIView):
    """The rules of the gate and of the watch in force; others by a request `trading.set_gate_policy`."""

    permission = READ

    @extend_schema(responses=PromotionRulesSerializer)
    def get(self, request: Request) -> Response:
        version, rules = rules_in_force()
        return Response({"version": version, "rules": rules.as_json(), "text": rules.as_text()})
