"""How cohorts and their results look in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from trading.cohorts.refusals import Refusal, refusal_of
from trading.models.cohort import (
    AgentDay,
    Cohort,
    CohortAgent,
    CohortAlert,
    CohortDay,
    CohortFill,
    CohortRejection,
)

_MEASURES = [
    "day",
    "date",
    "complete",
    "opening_equity",
    "equity",
    "roi_frac",
    "realised",
    "unrealised",
    "variance",
    "drawdown_frac",
    "utilisation_frac",
    "leverage_breaches",
    "trades",
    "rejections",
    "fees",
    "spread_cost",
    "impact_cost",
    "funding",
    "confidence",
    "sample_size",
    "hourly_equity",
    "hourly_roi",
    "hourly_utilisation",
]

_REFUSALS = ["rejected", "denied"]


@extend_schema_field({"type": "string", "format": "uri", "nullable": True})
class PageField(serializers.Field[CohortAgent | None, Any, str | None, Any]):
    """The address of an agent's page; read only, null where there is no agent."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def get_attribute(self, instance: Any) -> CohortAgent | None:
        return instance if isinstance(instance, CohortAgent) else instance.agent

    def to_representation(self, value: CohortAgent | None) -> str | None:
        if value is None:
            return None
        path, request = value.get_absolute_url(), self.context.get("request")
        return str(request.build_absolute_uri(path)) if request is not None else path


class CohortSerializer(serializers.ModelSerializer[Cohort]):
    """A cohort; on POST the fields of its specification, each with its default."""

    parents = serializers.PrimaryKeyRelatedField(many=True, queryset=Cohort.objects.all(), required=False)
    latest_day = serializers.IntegerField(read_only=True)
    latest_equity = serializers.DecimalField(read_only=True, max_digits=38, decimal_places=18)
    latest_drawdown_frac = serializers.FloatField(read_only=True, source="latest_drawdown")

    class Meta:
        model = Cohort
        fields = [
            "id",
            "name",
            "fund",
            "mode",
            "status",
            "agent_count",
            "bankroll",
            "quote",
            "allocation",
            "venue",
            "symbols",
            "interval",
            "start",
            "days",
            "genome_source",
            "profiles",
            "parents",
            "cost_profile",
            "gross_ceiling",
            "net_ceiling",
            "leverage_ceiling",
            "market_cap_frac",
            "drawdown_alert_frac",
            "drawdown_stop_frac",
            "utilisation_alert_frac",
            "speed",
            "seed",
            "synthetic",
            "launched_by",
            "launched_at",
            "finished_at",
            "failure",
            "waiting_for",
            "latest_day",
            "latest_equity",
            "latest_drawdown_frac",
        ]
        read_only_fields = [
            "status",
            "quote",
            "synthetic",
            "launched_by",
            "launched_at",
            "finished_at",
            "failure",
            "waiting_for",
        ]


class CancelSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=400)


class ResumeSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=400, help_text="What was mended.")


class _Refusals(serializers.Serializer[Any]):
    """Of the `rejections`: by whom. The rest waits for the market's volume."""

    rejected = serializers.IntegerField(read_only=True, help_text="By the venue: tick, lot, minimum notional, balance.")
    denied = serializers.IntegerField(read_only=True, help_text="Here: limits, rules, modes and restrictions.")


class CohortDaySerializer(_Refusals, serializers.ModelSerializer[CohortDay]):
    class Meta:
        model = CohortDay
        fields = [*_MEASURES, *_REFUSALS, "ledger_equity", "largest_difference"]


class AgentDaySerializer(_Refusals, serializers.ModelSerializer[AgentDay]):
    agent = serializers.IntegerField(source="agent.number", read_only=True)
    profile = serializers.CharField(source="agent.profile", read_only=True)
    family = serializers.CharField(source="agent.family", read_only=True)
    symbol = serializers.CharField(source="agent.symbol", read_only=True)
    page = PageField()

    class Meta:
        model = AgentDay
        fields = [
            "rank",
            "agent",
            "profile",
            "family",
            "symbol",
            *_MEASURES,
            *_REFUSALS,
            "parent_drawdown_frac",
            "page",
        ]


class AgentSerializer(serializers.ModelSerializer[CohortAgent]):
    page = PageField()

    class Meta:
        model = CohortAgent
        fields = ["number", "book", "profile", "family", "symbol", "genome", "genome_hash", "draw", "page"]


class FillSerializer(serializers.ModelSerializer[CohortFill]):
    agent = serializers.IntegerField(source="agent.number", read_only=True)
    source_id = serializers.CharField(
        read_only=True, help_text="What the journal entry of this fill names as its source."
    )

    class Meta:
        model = CohortFill
        fields = [
            "number",
            "agent",
            "at",
            "symbol",
            "side",
            "quantity",
            "price",
            "reference_price",
            "fee",
            "spread_cost",
            "impact_cost",
            "realised",
            "reason",
            "source_id",
        ]


class RejectionSerializer(serializers.ModelSerializer[CohortRejection]):
    agent = serializers.IntegerField(source="agent.number", read_only=True)
    refusal = serializers.SerializerMethodField()

    class Meta:
        model = CohortRejection
        fields = ["number", "agent", "at", "symbol", "refusal", "reason", "wanted", "permitted"]

    @extend_schema_field(serializers.ChoiceField(choices=Refusal.choices))
    def get_refusal(self, row: CohortRejection) -> str:
        return refusal_of(row.reason).value


class AlertSerializer(serializers.ModelSerializer[CohortAlert]):
    agent = serializers.IntegerField(source="agent.number", read_only=True, allow_null=True)
    page = PageField()

    class Meta:
        model = CohortAlert
        fields = ["at", "day", "kind", "agent", "value", "threshold", "message", "page"]
