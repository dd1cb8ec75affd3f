"""The risk layer in JSON. Levels and money are strings in plain decimals; measured figures are numbers, null
when unknown.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from compliance.api.proposing import ReasonField
from risk.models import (
    CapitalBudget,
    HardAction,
    LimitBreach,
    RiskLimit,
    RiskSnapshot,
    ScenarioKind,
    StressResult,
    StressScenario,
)
from risk.quant.metrics import Level, Metric, describe
from risk.templates_of_limits import template_names
from treasury.api.serializers import AmountField
from treasury.models import Book

METRICS = [(m.value, describe(m)) for m in Metric]


class BookField(serializers.SlugRelatedField[Book]):
    """A Book by its path, of those the caller may see."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="path", queryset=None if kwargs.get("read_only") else Book.objects.none(), **kwargs)

    def get_queryset(self) -> Any:
        request = self.context.get("request")
        return Book.objects.none() if request is None else Book.objects.for_user(request.user)


class LimitSerializer(serializers.ModelSerializer[RiskLimit]):
    book = serializers.CharField(source="book.path")
    metric = serializers.ChoiceField(choices=METRICS)
    soft = AmountField()
    hard = AmountField()
    action = serializers.ChoiceField(choices=HardAction.choices)

    class Meta:
        model = RiskLimit
        fields = (
            "id",
            "book",
            "metric",
            "symbol",
            "venue",
            "soft",
            "hard",
            "action",
            "effective_from",
            "effective_to",
            "template",
            "reason",
        )
        read_only_fields = fields


class SetLimitSerializer(serializers.Serializer[Any]):
    """A limit to ask for."""

    book = BookField()
    metric = serializers.ChoiceField(choices=METRICS)
    soft = serializers.DecimalField(max_digits=38, decimal_places=18, required=False, allow_null=True)
    hard = serializers.DecimalField(max_digits=38, decimal_places=18, required=False, allow_null=True)
    symbol = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    venue = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    action = serializers.ChoiceField(choices=HardAction.choices, default=HardAction.ALERT.value)
    effective_from = serializers.DateTimeField(required=False)
    effective_to = serializers.DateTimeField(required=False, allow_null=True)
    reason = ReasonField()


class RetireLimitSerializer(serializers.Serializer[Any]):
    reason = ReasonField()


class ApplyTemplateSerializer(serializers.Serializer[Any]):
    book = BookField()
    template = serializers.ChoiceField(choices=[(n, n) for n in template_names()])
    reason = ReasonField()


class SetBudgetSerializer(serializers.Serializer[Any]):
    """A budget to ask for."""

    book = BookField()
    capital = serializers.DecimalField(max_digits=38, decimal_places=18)
    risk_share_frac = serializers.DecimalField(max_digits=19, decimal_places=18, required=False, allow_null=True)
    reason = ReasonField()


class SaveScenarioSerializer(serializers.Serializer[Any]):
    """A stress scenario to ask for."""

    code = serializers.SlugField(max_length=60)
    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(choices=ScenarioKind.choices)
    parameters = serializers.DictField(default=dict)
    max_loss_frac = serializers.DecimalField(max_digits=19, decimal_places=18, required=False, allow_null=True)
    is_active = serializers.BooleanField(default=True)
    reason = ReasonField()


class EffectiveLimitSerializer(serializers.Serializer[Any]):
    """What binds a Book, own or inherited; null where no level is set."""

    metric = serializers.ChoiceField(choices=METRICS)
    symbol = serializers.CharField()
    venue = serializers.CharField()
    soft = serializers.FloatField(allow_null=True)
    hard = serializers.FloatField(allow_null=True)
    action = serializers.ChoiceField(choices=HardAction.choices)
    soft_limit_id = serializers.IntegerField(allow_null=True)
    hard_limit_id = serializers.IntegerField(allow_null=True)
    soft_book_id = serializers.IntegerField(allow_null=True)
    hard_book_id = serializers.IntegerField(allow_null=True)
    origin = serializers.CharField(help_text="What the level comes from, where that is not simply the limit.")
    override_id = serializers.IntegerField(allow_null=True, help_text="The override that loosens the hard level now.")
    decision_id = serializers.IntegerField(allow_null=True, help_text="The decision on leverage behind it.")


class LimitStatusSerializer(serializers.Serializer[Any]):
    """A limit with where its Book stands: the value, the share of the level that is free, and the state."""

    book_id = serializers.IntegerField()
    limit = EffectiveLimitSerializer()
    value = serializers.FloatField(allow_null=True)
    headroom = serializers.FloatField(allow_null=True)
    level = serializers.SerializerMethodField()

    def get_level(self, status: Any) -> str:
        return Level(status.level).name.lower()


class BreachSerializer(serializers.ModelSerializer[LimitBreach]):
    book = serializers.CharField(source="book.path")
    acknowledged_by = serializers.CharField(source="acknowledged_by.username", allow_null=True, default=None)

    class Meta:
        model = LimitBreach
        fields = (
            "id",
            "book",
            "limit",
            "metric",
            "symbol",
            "venue",
            "level",
            "actions",
            "status",
            "opened_at",
            "escalated_at",
            "last_seen_at",
            "closed_at",
            "first_value",
            "worst_value",
            "last_value",
            "acknowledged_by",
            "acknowledged_at",
            "note",
        )
        read_only_fields = fields


class AcknowledgeSerializer(serializers.Serializer[Any]):
    note = serializers.CharField(max_length=400)


class ScenarioSerializer(serializers.ModelSerializer[StressScenario]):
    class Meta:
        model = StressScenario
        fields = ("id", "code", "name", "kind", "parameters", "max_loss_frac", "is_active")
        read_only_fields = fields


class StressResultSerializer(serializers.ModelSerializer[StressResult]):
    book = serializers.CharField(source="book.path")
    scenario = serializers.CharField(source="scenario.code")

    class Meta:
        model = StressResult
        fields = (
            "id",
            "scenario",
            "book",
            "at",
            "parameters",
            "equity",
            "loss",
            "loss_frac",
            "severity",
            "by_symbol",
            "missing",
            "assumed",
            "breached",
        )
        read_only_fields = fields


class RunStressSerializer(serializers.Serializer[Any]):
    """Left empty: every active scenario on every fund."""

    book = BookField(required=False)
    scenario = serializers.SlugRelatedField(slug_field="code", queryset=StressScenario.objects.all(), required=False)


class SnapshotSerializer(serializers.ModelSerializer[RiskSnapshot]):
    book = serializers.CharField(source="book.path")

    class Meta:
        model = RiskSnapshot
        fields = (
            "id",
            "book",
            "at",
            "equity",
            "day_open_equity",
            "peak_equity",
            "gross_exposure",
            "net_exposure",
            "leverage",
            "drawdown_frac",
            "volatility",
            "alpha",
            "method",
            "var",
            "es",
            "sample_size",
            "contributions",
            "missing",
        )
        read_only_fields = fields


class BudgetSerializer(serializers.ModelSerializer[CapitalBudget]):
    book = serializers.CharField(source="book.path")
    capital = AmountField()

    class Meta:
        model = CapitalBudget
        fields = ("id", "book", "capital", "risk_share_frac", "effective_from", "effective_to", "reason")
        read_only_fields = fields
