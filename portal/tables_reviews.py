"""Tables of reviews: the board, and the ranking of a review's agents."""

from __future__ import annotations

from typing import Any

import django_filters
import django_tables2 as tables
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.tables import MoneyColumn, NumberColumn, PercentColumn, PortalTable, RatioColumn, ShareColumn, TimeColumn
from portal.templatetags import figures
from trading.models.promotion import PromotionReview, ReviewState

STATE_TONES: dict[str, str] = {
    ReviewState.COMPILED: "tag-accent",
    ReviewState.SCREENED: "tag-warn",
    ReviewState.AWAITING_APPROVAL: "tag-warn",
    ReviewState.APPROVED: "tag-accent",
    ReviewState.DEPLOYED: "tag-accent",
    ReviewState.MONITORING: "tag-accent",
    ReviewState.GRADUATED: "tag-good",
    ReviewState.ROLLED_BACK: "tag-bad",
    ReviewState.REJECTED: "tag-bad",
    ReviewState.EXPIRED: "",
}


def state_tag(review: PromotionReview) -> SafeString:
    return format_html('<span class="tag {}">{}</span>', STATE_TONES[review.state], review.get_state_display())


def verdict_tag(review: PromotionReview) -> SafeString:
    if review.override_reason:
        return format_html(
            '<span class="tag tag-warn" title="{}">{}</span>', review.override_reason, "No go, overridden"
        )
    tone, words = ("tag-good", "Go") if review.passed else ("tag-bad", "No go")
    return format_html('<span class="tag {}">{}</span>', tone, words)


#: Meters that come nearer by degrees; a switch or a policy is kept or broken, and the timer runs out anyway.
GRADUAL = ("drawdown", "distribution", "costs", "heartbeat")


class ReviewFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=ReviewState.choices, label="State", empty_label="Any")
    passed = django_filters.ChoiceFilter(
        label="Verdict", empty_label="Any", choices=[("true", "Go"), ("false", "No go")], method="by_verdict"
    )
    cohort__name = django_filters.CharFilter(lookup_expr="icontains", label="Cohort")

    class Meta:
        model = PromotionReview
        fields = ("state", "passed", "cohort__name")

    def by_verdict(self, queryset: Any, _name: str, value: str) -> Any:
        return queryset.filter(passed=value == "true")


class ReviewTable(PortalTable):
    caption = "Reviews"
    empty_hint = "A cohort is reviewed when its third day has closed."

    cohort = tables.Column(linkify=lambda record: record.get_absolute_url())
    verdict = tables.Column(empty_values=(), order_by="passed")
    state = tables.Column()
    candidate = tables.Column(accessor="agent", empty_values=(), orderable=False)
    chance = ShareColumn(accessor="chance_of_best", verbose_name="By chance", orderable=False, reason="Not known.")
    slice = MoneyColumn(accessor="deployment__bankroll", verbose_name="Slice", reason="No capital.")
    profit = MoneyColumn(
        accessor="live_profit", verbose_name="Live P&L", sign=True, reason="No capital.", orderable=False
    )
    nearest = tables.Column(accessor="meters", verbose_name="Nearest rollback", empty_values=(), orderable=False)
    waits_for = tables.Column(
        verbose_name="Waits for",
        attrs={"td": {"class": lambda record: "words" if record.waits_for else ""}},
        orderable=False,
        empty_values=(),
    )
    compiled_at = TimeColumn(verbose_name="Compiled", form="day")

    class Meta(PortalTable.Meta):
        model = PromotionReview
        fields = ("cohort", "verdict", "state", "candidate", "chance", "slice", "profit", "nearest", "waits_for")
        sequence = (*fields, "compiled_at")

    def render_verdict(self, record: PromotionReview) -> SafeString:
        return verdict_tag(record)

    def value_verdict(self, record: PromotionReview) -> str:
        return "go" if record.passed else "no go"

    def render_state(self, record: PromotionReview) -> SafeString:
        return state_tag(record)

    def value_state(self, record: PromotionReview) -> str:
        return record.state

    def render_candidate(self, record: PromotionReview) -> SafeString | str:
        if record.agent is None:
            return figures.missing("Every agent was excluded.")
        return format_html('<a href="{}">#{}</a>', record.agent.get_absolute_url(), record.agent.number)

    def render_slice(self, value: Any, record: PromotionReview) -> SafeString:
        return figures.missing("No capital.") if value is None else figures.money(value, record.cohort.quote)

    def render_profit(self, value: Any, record: PromotionReview) -> SafeString:
        return figures.missing("No capital.") if value is None else figures.signed(value, record.cohort.quote)

    def render_nearest(self, record: PromotionReview) -> SafeString | str:
        meter = nearest_meter(record)
        if meter is None:
            return figures.missing("Nothing is watched.")
        return format_html("{} {}", meter["label"], figures.share(meter["share"], 0))

    def value_nearest(self, record: PromotionReview) -> str:
        meter = nearest_meter(record)
        return "" if meter is None else f"{meter['cause']} {meter['share']:.2f}"


def nearest_meter(review: PromotionReview) -> dict[str, Any] | None:
    """The meter that ended a watch, or the nearest to its limit of one that runs; what is on or off says nothing."""
    fired = [m for m in review.meters if m["fired"]]
    near = [m for m in review.meters if m["cause"] in GRADUAL and m["share"] is not None]
    if fired:
        return dict(fired[0])
    return dict(max(near, key=lambda m: m["share"])) if near else None


class RankingTable(PortalTable):
    """The evidence's own lines (dicts)."""

    caption = "All agents of the cohort, by the evidence"

    evidence_rank = NumberColumn(verbose_name="Rank", reason="Excluded.")
    number = tables.Column(verbose_name="Agent")
    strategy = tables.Column(empty_values=(), accessor="family")
    roi_frac = PercentColumn(verbose_name="Return")
    roi_rank = NumberColumn(verbose_name="by return")
    sharpe_annual = RatioColumn(verbose_name="Sharpe", reason="Too few hours.")
    sharpe_n = NumberColumn(verbose_name="n")
    score = RatioColumn(verbose_name="Score", reason="Not scored.")
    chance_of_best = ShareColumn(verbose_name="By chance", reason="Not scored.")
    replay_days = NumberColumn(verbose_name="Replay days")
    trades = NumberColumn()
    excluded = tables.Column(accessor="exclusions", verbose_name="Excluded by", orderable=False, empty_values=())

    class Meta(PortalTable.Meta):
        fields = ("evidence_rank", "number", "strategy", "roi_frac", "roi_rank", "sharpe_annual", "sharpe_n", "score")
        sequence = (*fields, "chance_of_best", "replay_days", "trades", "excluded")
        attrs = {"id": "ranking"}

    def __init__(self, *args: Any, cohort_id: int, candidate: int | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cohort_id, self.candidate = cohort_id, candidate

    def render_number(self, value: int) -> SafeString:
        href = reverse("portal:cohort-agent", args=[self.cohort_id, value])
        mark = format_html(' <span class="tag tag-accent">{}</span>', "candidate") if value == self.candidate else ""
        return format_html('<a href="{}">#{}</a>{}', href, value, mark)

    def value_number(self, value: int) -> int:
        return value

    def render_strategy(self, record: dict[str, Any]) -> str:
        return f"{record['family'].split('@')[0]} {record['symbol'] or 'all markets'}"

    def render_excluded(self, value: Any) -> SafeString | str:
        if not value:
            return ""
        words = "; ".join(x["words"] for x in value)
        return format_html('<span title="{}">{}</span>', words, ", ".join(x["screen"] for x in value))

    def value_excluded(self, value: Any) -> str:
        return "; ".join(x["words"] for x in value or ())
