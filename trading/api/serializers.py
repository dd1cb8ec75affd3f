"""How cohorts and their results look in the API."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

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
        ]


class CancelSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=400)


class CohortDaySerializer(serializers.ModelSerializer[CohortDay]):
    class Meta:
        model = CohortDay
        fields = [*_MEASURES, "ledger_equity", "largest_difference"]


class AgentDaySerializer(serializers.ModelSerializer[AgentDay]):
    agent = serializers.IntegerField(source="agent.number", read_only=True)
    profile = serializers.CharField(source="agent.profile", read_only=True)
    family = serializers.CharField(source="agent.family", read_only=True)
    symbol = serializers.CharField(source="agent.symbol", read_only=True)

    class Meta:
        model = AgentDay
        fields = ["rank", "agent", "profile", "family", "symbol", *_MEASURES, "parent_drawdown_frac"]


class AgentSerializer(serializers.ModelSerializer[CohortAgent]):
    class Meta:
        model = CohortAgent
        fields = ["number", "book", "profile", "family", "symbol", "genome", "genome_hash", "draw"]


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

    class Meta:
        model = CohortRejection
        fields = ["number", "agent", "at", "symbol", "reason", "wanted", "permitted"]


class AlertSerializer(serializers.ModelSerializer[CohortAlert]):
    agent = serializers.IntegerField(source="agent.number", read_only=True, allow_null=True)

    class Meta:
        model = CohortAlert
        fields = ["at", "day", "kind", "agent", "value", "threshold", "message"]
