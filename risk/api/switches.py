"""`/api/risk/switches/`: what stands still, stopping at once, asking for it back; and what the triggers read."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from compliance.api.proposing import ProposedSerializer, ReasonField, propose_answer
from fundops.core.api_lists import ListMixin
from fundops.core.models import User
from risk.actions.switches import scope_label, stop_trading
from risk.api.serializers import BookField
from risk.models import KillSwitch, SwitchChange
from risk.quant.pretrade import TradingMode
from risk.switch_gate import RESTORE, restore_payload
from risk.switch_selectors import VIEW_SWITCHES, change_list, switch_list
from risk.switch_triggers import Reading, readings

STOPS = [TradingMode.HALTED.value, TradingMode.REDUCING.value]
LOOSER = [TradingMode.ACTIVE.value, TradingMode.REDUCING.value]


class SwitchSerializer(serializers.ModelSerializer[KillSwitch]):
    """A switch; a place without one is ACTIVE."""

    book = serializers.CharField(source="book.path", allow_null=True, default=None)
    scope = serializers.SerializerMethodField()
    changed_by = serializers.CharField(source="changed_by.username", allow_null=True, default=None)

    class Meta:
        model = KillSwitch
        fields = (
            "id",
            "scope",
            "book",
            "venue",
            "mode",
            "cause",
            "reason",
            "detail",
            "changed_by",
            "changed_at",
            "version",
            "request",
        )
        read_only_fields = fields

    def get_scope(self, switch: KillSwitch) -> str:
        return scope_label(switch.book, switch.venue)


class SwitchChangeSerializer(serializers.ModelSerializer[SwitchChange]):
    changed_by = serializers.CharField(source="changed_by.username", allow_null=True, default=None)

    class Meta:
        model = SwitchChange
        fields = (
            "id",
            "switch",
            "version",
            "mode_before",
            "mode",
            "cause",
            "reason",
            "detail",
            "changed_by",
            "changed_at",
            "request",
        )
        read_only_fields = fields


class StopTradingSerializer(serializers.Serializer[Any]):
    """Neither book nor venue stops everything."""

    book = BookField(required=False, allow_null=True, default=None)
    venue = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    mode = serializers.ChoiceField(choices=STOPS, default=TradingMode.HALTED.value)
    reason = serializers.CharField(max_length=400)


class RestoreTradingSerializer(serializers.Serializer[Any]):
    """`version` is the stop one has seen; a newer one is not answered by this."""

    mode = serializers.ChoiceField(choices=LOOSER, default=TradingMode.ACTIVE.value)
    version = serializers.IntegerField(min_value=1, required=False)
    reason = ReasonField()


class ReadingSerializer(serializers.Serializer[Any]):
    """What one trigger reads now; `headroom` is the share of the threshold that is free."""

    cause = serializers.CharField(source="rule.cause")
    place = serializers.CharField()
    reporter = serializers.CharField(source="source")
    value = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(source="rule.threshold")
    window_s = serializers.IntegerField(source="rule.window_s", allow_null=True)
    headroom = serializers.FloatField(allow_null=True)
    mode = serializers.CharField(source="rule.mode")
    enabled = serializers.BooleanField(source="rule.enabled")
    version = serializers.IntegerField(source="rule.version")
    fires = serializers.BooleanField()
    silenced = serializers.SerializerMethodField()

    def get_silenced(self, reading: Reading) -> bool:
        return reading.silenced_by is not None


def _person(request: Request) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission class has seen to it
    return request.user


class SwitchViewSet(ListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[KillSwitch]):
    """Switches that were ever turned, with the mode of each now."""

    serializer_class = SwitchSerializer
    filterset_fields = ("mode", "cause", "venue")
    ordering_fields = ("changed_at",)
    permission = {
        "list": VIEW_SWITCHES,
        "retrieve": VIEW_SWITCHES,
        "changes": VIEW_SWITCHES,
        "stop": "risk.stop_trading",
        "restore": "risk.propose_restore",
        "OPTIONS": VIEW_SWITCHES,
    }

    def get_queryset(self) -> QuerySet[KillSwitch]:
        return switch_list(self.request.user).order_by("pk")

    @extend_schema(request=StopTradingSerializer, responses={201: SwitchSerializer}, filters=False)
    @action(detail=False, methods=["post"], pagination_class=None)
    def stop(self, request: Request) -> Response:
        """Stops a Book with all below it, a venue, a Book at a venue, or everything; at once, and only ever tighter."""
        asked = StopTradingSerializer(data=request.data, context={"request": request})
        asked.is_valid(raise_exception=True)
        held = dict(asked.validated_data)
        switch = stop_trading(**held | {"mode": TradingMode(held["mode"])}, actor=_person(request))
        return Response(SwitchSerializer(switch).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=RestoreTradingSerializer, responses={202: ProposedSerializer})
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str | None = None) -> Response:
        """Asks for trading to be restored: others sign, a third person releases."""
        asked = RestoreTradingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        held, switch = asked.validated_data, self.get_object()
        payload = restore_payload(switch, TradingMode(held["mode"]))
        payload["version"] = held.get("version", switch.version)
        return propose_answer(request, kind=RESTORE, payload=payload, reason=held["reason"])

    @extend_schema(responses=SwitchChangeSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def changes(self, request: Request, pk: str | None = None) -> HttpResponseBase:
        """Every turn of one switch, newest first."""
        rows: QuerySet[Any] = change_list(request.user).filter(switch=self.get_object())
        return self.listed(rows, SwitchChangeSerializer)


class TriggerReadingsView(APIView):
    """What every trigger of the kill switch reads now, those that fire first."""

    permission = "risk.view_triggerpolicy"

    @extend_schema(responses=ReadingSerializer(many=True))
    def get(self, request: Request) -> Response:
        return Response(ReadingSerializer(readings(), many=True).data)
