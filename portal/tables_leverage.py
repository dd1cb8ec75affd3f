"""The tables of leverage: the log of decisions, and the log of overrides."""

from __future__ import annotations

from typing import Any

import django_filters
import django_tables2 as tables
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from fundops.core import clock
from portal.tables import NumberColumn, PortalTable, RatioColumn, ShareColumn, TimeColumn
from portal.templatetags.figures import breakable, missing, utc
from risk.models import GuardrailOverride, LeverageDecision
from risk.overrides import standing_of
from risk.quant.leverage import Rule
from risk.quant.metrics import Metric, describe

_TONES = {
    Rule.STEP_UP.value: "tag-good",
    Rule.STEP_DOWN.value: "tag-bad",
    Rule.CAP.value: "tag-warn",
    Rule.BY_HAND.value: "tag-warn",
    Rule.START.value: "tag-accent",
}
RIGHT = {"th": {"class": "num"}, "td": {"class": "num"}}


class TierColumn(tables.Column):  # type: ignore[misc]
    """A leverage: 3x."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("attrs", RIGHT)
        kwargs.setdefault("empty_values", ())
        super().__init__(*args, **kwargs)

    def render(self, value: Any) -> Any:
        return missing("It began here.") if value is None else format_html('<span class="fig">{}x</span>', f"{value:g}")

    def value(self, value: Any) -> Any:
        return "" if value is None else f"{value:f}"


class DecisionTable(PortalTable):
    """Every decision, the newest first."""

    caption = "Decisions on leverage"
    empty_hint = "Nothing has been decided yet. Books come under the policy when they are deployed."

    at = TimeColumn(verbose_name="At")
    book = tables.Column(accessor="book__path", verbose_name="Book", attrs={"td": {"class": "mono"}})
    rule = tables.Column(verbose_name="Rule")
    from_leverage = TierColumn(verbose_name="From")
    to_leverage = TierColumn(verbose_name="To")
    sample_size = NumberColumn(verbose_name="n", places=0)
    sharpe = RatioColumn(verbose_name="Sharpe", reason="Not known from that sample.")
    drawdown_frac = ShareColumn(verbose_name="Drawdown", places=2, reason="Not known then.")
    policy = tables.Column(accessor="policy__version", verbose_name="Policy", attrs=RIGHT)
    actor = tables.Column(accessor="actor", verbose_name="By", default="the policy", orderable=False)
    reason = tables.Column(verbose_name="Reason", orderable=False, attrs={"td": {"class": "words"}})

    class Meta(PortalTable.Meta):
        attrs = {"id": "decisions"}
        order_by = ("-at",)

    def render_book(self, value: str) -> SafeString:
        return format_html('<a href="{}?book={}">{}</a>', reverse("portal:risk"), value, breakable(value))

    def value_book(self, value: str) -> str:
        return value

    def render_rule(self, value: str, record: LeverageDecision) -> SafeString:
        return format_html('<span class="tag {}">{}</span>', _TONES.get(record.rule, ""), record.get_rule_display())

    def value_rule(self, record: LeverageDecision) -> str:
        return str(record.rule)


class DecisionFilter(django_filters.FilterSet):
    book = django_filters.CharFilter(label="Book", field_name="book__path", lookup_expr="icontains")
    rule = django_filters.ChoiceFilter(
        label="Rule", choices=LeverageDecision._meta.get_field("rule").choices, empty_label="All rules"
    )
    changed = django_filters.ChoiceFilter(
        label="Which", choices=[("true", "Changes only")], empty_label="All", method="only_changes"
    )

    class Meta:
        model = LeverageDecision
        fields: tuple[str, ...] = ()

    def only_changes(self, rows: QuerySet[LeverageDecision], _name: str, _value: str) -> QuerySet[LeverageDecision]:
        return rows.filter(changed=True)


def guardrail_words(row: GuardrailOverride) -> str:
    """The guardrail in words: the limit with its scope, or the trigger."""
    if not row.metric:
        return f"Trigger: {row.trigger_words.lower()}"
    scope = ", ".join(part for part in (row.symbol, row.venue) if part)
    return describe(Metric(row.metric)) + (f" ({scope})" if scope else "")


class OverrideTable(PortalTable):
    """Every override there was, the newest first."""

    caption = "Overrides of guardrails"
    empty_hint = "Nothing has been overridden so far."

    starts_at = TimeColumn(verbose_name="From")
    ends_at = TimeColumn(verbose_name="Until")
    book = tables.Column(accessor="book__path", verbose_name="Book", attrs={"td": {"class": "mono"}})
    guardrail = tables.Column(accessor="pk", verbose_name="Guardrail", orderable=False)
    limit = NumberColumn(accessor="limit__hard", verbose_name="Limit", reason="A trigger has no level.")
    level = NumberColumn(verbose_name="Meanwhile", reason="A trigger has no level.")
    standing = tables.Column(accessor="pk", verbose_name="State", orderable=False)
    ended = tables.Column(accessor="pk", verbose_name="Ended", orderable=False)
    reason = tables.Column(verbose_name="Why", orderable=False, attrs={"td": {"class": "words"}})
    request = tables.Column(accessor="request_id", verbose_name="Request", orderable=False)

    class Meta(PortalTable.Meta):
        attrs = {"id": "overrides"}
        order_by = ("-starts_at",)

    def render_guardrail(self, record: GuardrailOverride) -> str:
        return guardrail_words(record)

    def render_standing(self, record: GuardrailOverride) -> SafeString:
        said = standing_of(record)
        tone = {"in force": "tag-warn", "planned": "tag-accent"}.get(said, "")
        return format_html('<span class="tag {}">{}</span>', tone, said)

    def value_standing(self, record: GuardrailOverride) -> str:
        return standing_of(record)

    def render_ended(self, record: GuardrailOverride) -> Any:
        end = getattr(record, "end", None)
        if end is None:
            return missing("Not yet.") if record.ends_at > clock.now() else utc(record.ends_at)
        if end.by is None:
            return utc(record.ends_at)
        return format_html("{} by {}: {}", utc(end.at), end.by, end.reason)

    def value_ended(self, record: GuardrailOverride) -> str:
        end = getattr(record, "end", None)
        return "" if end is None else end.at.isoformat()

    def render_request(self, value: Any) -> SafeString:
        return format_html('<a class="mono" href="{}">{}</a>', reverse("portal:approval", args=[value]), str(value)[:8])

    def value_request(self, value: Any) -> str:
        return str(value)


class OverrideFilter(django_filters.FilterSet):
    book = django_filters.CharFilter(label="Book", field_name="book__path", lookup_expr="icontains")
    standing = django_filters.ChoiceFilter(
        label="State", choices=[("now", "In force or planned"), ("over", "Over")], empty_label="All", method="by_state"
    )

    class Meta:
        model = GuardrailOverride
        fields: tuple[str, ...] = ()

    def by_state(self, rows: QuerySet[GuardrailOverride], _name: str, value: str) -> QuerySet[GuardrailOverride]:
        running = Q(ends_at__gt=clock.now(), end=None)
        return rows.filter(running) if value == "now" else rows.exclude(running)
