"""`/api/deployments/`: ask for one, watch it, stop it, and read all its desk did. CSV and JSON by negotiation."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compliance.api.proposing import ProposedSerializer, ReasonField, propose_answer
from fundops.core.api_lists import ListMixin
from trading.actions.council import WEIGH_COUNCIL
from trading.actions.deployments import stop_deployment
from trading.models.deployments import (
    CouncilVoice,
    Deployment,
    DeploymentStatus,
    Fill,
    Order,
    OrderStatus,
    Position,
    TradingCycle,
)
from trading.selectors.deployments import deployment_list, profit

READ = "trading.view_deployment"


class DeploymentSerializer(serializers.ModelSerializer[Deployment]):
    book = serializers.CharField(source="book.path", read_only=True)
    source_book = serializers.CharField(source="source_book.path", read_only=True)
    cohort = serializers.IntegerField(source="agent.cohort_id", read_only=True)
    agent = serializers.IntegerField(source="agent.number", read_only=True)
    equity = serializers.DecimalField(source="run.equity", max_digits=38, decimal_places=18, read_only=True)
    profit = serializers.SerializerMethodField()
    drawdown_frac = serializers.FloatField(source="run.drawdown_frac", read_only=True)
    max_drawdown_frac = serializers.FloatField(source="run.max_drawdown_frac", read_only=True)
    gross = serializers.DecimalField(source="run.gross", max_digits=38, decimal_places=18, read_only=True)
    fees = serializers.DecimalField(source="run.fees", max_digits=38, decimal_places=18, read_only=True)
    slippage = serializers.DecimalField(source="run.slippage", max_digits=38, decimal_places=18, read_only=True)
    leverage_now = serializers.DecimalField(
        source="run.leverage", max_digits=6, decimal_places=3, read_only=True, help_text="What it sizes with."
    )
    cycles = serializers.IntegerField(source="run.cycles", read_only=True)
    fills = serializers.IntegerField(source="run.fills", read_only=True)
    next_bar_ms = serializers.IntegerField(source="run.next_bar_ms", read_only=True)
    next_action = serializers.CharField(source="run.next_action", read_only=True)
    heartbeat_at = serializers.DateTimeField(source="run.heartbeat_at", read_only=True, allow_null=True)
    books_checked_on = serializers.DateField(source="run.books_checked_on", read_only=True, allow_null=True)

    class Meta:
        model = Deployment
        fields = [
            "id", "name", "status", "fund", "book", "source_book", "cohort", "agent", "family", "genome", "genome_hash",
            "venue", "symbols", "interval", "quote", "synthetic", "gateway", "cost_profile", "bankroll", "leverage",
            "leverage_now", "start_leverage", "leverage_ceiling", "quorum_frac",
            "limits_template", "request", "opened_at", "running_since", "stop_reason", "stopped_at",
            "equity", "profit", "drawdown_frac", "max_drawdown_frac", "gross", "fees", "slippage", "cycles", "fills",
            "next_bar_ms", "next_action", "heartbeat_at", "books_checked_on",
        ]  # fmt: skip
        read_only_fields = fields

    def get_profit(self, deployment: Deployment) -> str:
        return str(profit(deployment))


class VoiceAskedSerializer(serializers.Serializer[Any]):
    """A further voice: a cohort's agent, and its weight beside the deployment's own voice, which has 1."""

    agent = serializers.IntegerField(help_text="The agent's key.")
    weight = serializers.DecimalField(max_digits=8, decimal_places=5, default=Decimal(1))


class ProposeDeploymentSerializer(serializers.Serializer[Any]):
    """What is asked for; see the kind `trading.deploy`."""

    agent = serializers.IntegerField(help_text="The cohort agent's key.")
    bankroll = serializers.DecimalField(max_digits=20, decimal_places=2)
    leverage = serializers.DecimalField(max_digits=6, decimal_places=3, required=False)
    limits_template = serializers.CharField(max_length=32, default="micro-live", allow_blank=True)
    source_book = serializers.CharField(max_length=400, required=False, allow_blank=True)
    starts = serializers.DateTimeField(required=False)
    ends = serializers.DateTimeField(required=False)
    speed = serializers.DecimalField(max_digits=9, decimal_places=3, required=False)
    market_orders = serializers.BooleanField(default=False)
    voices = VoiceAskedSerializer(many=True, required=False, help_text="Further voices of its council.")
    quorum_frac = serializers.DecimalField(max_digits=4, decimal_places=3, required=False)
    reason = ReasonField()


class WeighSerializer(serializers.Serializer[Any]):
    """Another weight for a voice; see the kind `trading.weigh_council`."""

    voice = serializers.IntegerField(help_text="Its number in the council.")
    weight = serializers.DecimalField(max_digits=8, decimal_places=5, help_text="At most what it was seated with.")
    reason = ReasonField()


class StopSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=400)
    flatten = serializers.BooleanField(default=True, help_text="Close what is held, then hand the bankroll back.")


class OrderSerializer(serializers.ModelSerializer[Order]):
    cycle = serializers.IntegerField(source="cycle.number", read_only=True)

    class Meta:
        model = Order
        fields = [
            "client_order_id", "venue_order_id", "cycle", "symbol", "side", "quantity", "limit_price", "reduce_only",
            "reason", "status", "status_reason", "filled", "created_at", "submitted_at", "acknowledged_at", "ended_at",
        ]  # fmt: skip


class DeskFillSerializer(serializers.ModelSerializer[Fill]):
    order = serializers.CharField(source="order.client_order_id", read_only=True)
    source_id = serializers.CharField(read_only=True, help_text="What the fill's journal entry names as its source.")

    class Meta:
        model = Fill
        fields = [
            "number", "order", "at", "symbol", "side", "quantity", "price", "reference_price", "notional", "fee",
            "spread_cost", "impact_cost", "realised", "reason", "venue_fill_id", "source_id",
        ]  # fmt: skip


class CycleSerializer(serializers.ModelSerializer[TradingCycle]):
    class Meta:
        model = TradingCycle
        fields = [
            "number", "bar_ms", "phase", "decision", "equity", "messages", "timings", "token", "decided_at", "done_at",
        ]  # fmt: skip


class PositionSerializer(serializers.ModelSerializer[Position]):
    class Meta:
        model = Position
        fields = ["symbol", "quantity", "cost", "realised"]


class VoiceSerializer(serializers.ModelSerializer[CouncilVoice]):
    class Meta:
        model = CouncilVoice
        fields = ["number", "name", "agent", "family", "genome", "genome_hash", "seated_weight", "weight"]


class DeploymentFilter(django_filters.FilterSet):
    status = django_filters.MultipleChoiceFilter(choices=DeploymentStatus.choices)
    cohort = django_filters.NumberFilter(field_name="agent__cohort")
    family = django_filters.CharFilter()
    venue = django_filters.CharFilter()

    class Meta:
        model = Deployment
        fields = ["status", "cohort", "family", "venue"]


class OrderFilter(django_filters.FilterSet):
    status = django_filters.MultipleChoiceFilter(choices=OrderStatus.choices)
    symbol = django_filters.CharFilter()
    side = django_filters.CharFilter()

    class Meta:
        model = Order
        fields = ["status", "symbol", "side"]


class DeskFillFilter(django_filters.FilterSet):
    symbol = django_filters.CharFilter()
    side = django_filters.CharFilter()
    reason = django_filters.CharFilter()

    class Meta:
        model = Fill
        fields = ["symbol", "side", "reason"]


class CycleFilter(django_filters.FilterSet):
    decision = django_filters.CharFilter()
    phase = django_filters.CharFilter()

    class Meta:
        model = TradingCycle
        fields = ["decision", "phase"]


class DeploymentViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Deployment]):
    """Deployments: `?status=`, `?cohort=`, `?family=`. To post is to ask: the answer is an approval request."""

    serializer_class = DeploymentSerializer
    filterset_class = DeploymentFilter
    ordering_fields = ["opened_at", "bankroll", "status"]
    permission = {
        "list": READ,
        "retrieve": READ,
        "create": "trading.propose_deployment",
        "stop": "trading.stop_deployment",
        "weigh": WEIGH_COUNCIL,
        "OPTIONS": READ,
    }

    def get_queryset(self) -> QuerySet[Deployment]:
        return deployment_list(self.request.user)

    @extend_schema(request=ProposeDeploymentSerializer, responses={202: ProposedSerializer})
    def create(self, request: Request) -> Response:
        """Asks for a deployment; it is opened once two have signed and a third has released."""
        asked = ProposeDeploymentSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        payload = dict(asked.validated_data)
        return propose_answer(request, kind="trading.deploy", payload=payload, reason=payload["reason"])

    @extend_schema(request=WeighSerializer, responses={202: ProposedSerializer})
    @action(detail=True, methods=["post"])
    def weigh(self, request: Request, pk: str | None = None) -> Response:
        """Asks for another weight of a voice in its council; the voice has it once two have signed."""
        asked = WeighSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        payload = {"deployment": self.get_object().pk, **asked.validated_data}
        return propose_answer(request, kind=WEIGH_COUNCIL, payload=payload, reason=payload["reason"])

    @extend_schema(request=StopSerializer, responses={202: DeploymentSerializer})
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str | None = None) -> Response:
        """Asks the desk to stop at its next bar."""
        asked = StopSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        assert request.user.is_authenticated  # noqa: S101 - the permission class has seen to it
        stop_deployment(deployment=self.get_object(), actor=request.user, **asked.validated_data)
        return Response(self.get_serializer(self.get_object()).data, status=status.HTTP_202_ACCEPTED)


class _OfDeployment(ListMixin, viewsets.GenericViewSet[Any]):
    """Rows that belong to one deployment, which the reader must be allowed to see."""

    permission = READ
    of_deployment: Any

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return self.of_deployment.objects.none()  # type: ignore[no-any-return]
        visible = Deployment.objects.for_user(self.request.user)
        deployment = get_object_or_404(visible, pk=self.kwargs["deployment_pk"])
        return self.rows(deployment)

    def rows(self, deployment: Deployment) -> QuerySet[Any]:
        return self.of_deployment.objects.filter(deployment=deployment)  # type: ignore[no-any-return]


class OrderViewSet(_OfDeployment):
    """Orders, newest first: DENIED was refused here, REJECTED by the venue."""

    serializer_class = OrderSerializer
    filterset_class = OrderFilter
    ordering_fields = ["created_at"]
    of_deployment = Order

    def rows(self, deployment: Deployment) -> QuerySet[Order]:
        return Order.objects.filter(deployment=deployment).select_related("cycle").order_by("-pk")


class DeskFillViewSet(_OfDeployment):
    """Fills in order, with the source that each journal entry names."""

    serializer_class = DeskFillSerializer
    filterset_class = DeskFillFilter
    ordering_fields = ["number", "at"]
    of_deployment = Fill

    def rows(self, deployment: Deployment) -> QuerySet[Fill]:
        return Fill.objects.filter(deployment=deployment).select_related("order").order_by("number")


class CycleViewSet(_OfDeployment):
    """Cycles, newest first, with every agent's message."""

    serializer_class = CycleSerializer
    filterset_class = CycleFilter
    ordering_fields = ["bar_ms"]
    of_deployment = TradingCycle


class PositionViewSet(_OfDeployment):
    """What is held."""

    serializer_class = PositionSerializer
    of_deployment = Position


class VoiceViewSet(_OfDeployment):
    """The council: voices and weights."""

    serializer_class = VoiceSerializer
    of_deployment = CouncilVoice
