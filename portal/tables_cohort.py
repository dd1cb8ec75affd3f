"""Tables of cohorts and of what they did."""

from __future__ import annotations

from typing import Any

import django_filters
import django_tables2 as tables
from django import forms
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from fundops.core.clock import to_ms
from portal.tables import MoneyColumn, NumberColumn, PercentColumn, PortalTable, ShareColumn, TimeColumn
from portal.templatetags import figures
from trading.api.filters import CohortFilter
from trading.cohorts.guard import explain_reason
from trading.cohorts.refusals import Refusal, refusal_of
from trading.models.cohort import (
    AgentDay,
    Cohort,
    CohortAlert,
    CohortFill,
    CohortMode,
    CohortRejection,
    CohortStatus,
)
from treasury.models import JournalLine

STATUS_TONES = {
    "completed": "tag-good",
    "running": "tag-accent",
    "queued": "tag-accent",
    "failed": "tag-bad",
    "cancelling": "tag-warn",
    "cancelled": "tag-warn",
}
REFUSAL_TONES = {Refusal.REJECTED: "tag-bad", Refusal.DENIED: "tag-warn", Refusal.WAITING: ""}


def status_tag(cohort: Cohort) -> SafeString:
    return format_html('<span class="tag {}">{}</span>', STATUS_TONES[cohort.status], cohort.get_status_display())


def words(code: str) -> str:
    """A machine's word as a person writes it: stop_loss -> stop loss."""
    return code.replace("_", " ")


class CohortListFilter(CohortFilter):
    """The API's filter in the words of the page; every parameter means the same in both."""

    name = django_filters.CharFilter(lookup_expr="icontains", label="Name")
    status = django_filters.ChoiceFilter(choices=CohortStatus.choices, label="Status", empty_label="Any")  # type: ignore[assignment]
    mode = django_filters.ChoiceFilter(
        choices=[(CohortMode.REPLAY, "Replay"), (CohortMode.FORWARD, "Forward")], label="Mode", empty_label="Any"
    )
    date = django_filters.DateFilter(
        method="on_day", label="Trades on (UTC)", widget=forms.DateInput(attrs={"type": "date"})
    )
    bankroll_min = django_filters.NumberFilter(field_name="bankroll", lookup_expr="gte", label="Bankroll from")
    bankroll_max = django_filters.NumberFilter(field_name="bankroll", lookup_expr="lte", label="to")
    venue = django_filters.AllValuesFilter(label="Venue", empty_label="Any")  # type: ignore[assignment]
    bankroll = django_filters.NumberFilter(widget=forms.HiddenInput)

    class Meta(CohortFilter.Meta):
        fields = ["name", "status", "mode", "date", "bankroll_min", "bankroll_max", "venue", "bankroll"]


class CohortTable(PortalTable):
    caption = "Cohorts"
    empty_hint = "Launch one: thirty agents on the latest three days are ready to go."

    name = tables.Column(linkify=lambda record: reverse("portal:cohort", args=[record.pk]))
    status = tables.Column()
    mode = tables.Column()
    market = tables.Column(accessor="venue", order_by=("venue", "symbols"))
    window = tables.Column(accessor="start", verbose_name="Window (UTC)")
    agent_count = NumberColumn(verbose_name="Agents")
    bankroll = MoneyColumn(verbose_name="Bankroll")
    latest_equity = MoneyColumn(verbose_name="Equity", reason="No bar has been traded yet.")
    roi = PercentColumn(
        accessor="latest_equity", verbose_name="Return", orderable=False, reason="No bar has been traded yet."
    )
    latest_drawdown = ShareColumn(verbose_name="Drawdown", places=2, reason="No bar has been traded yet.")
    launched_at = TimeColumn(verbose_name="Launched", form="day")

    class Meta(PortalTable.Meta):
        model = Cohort
        fields = (
            "name",
            "status",
            "roi",
            "latest_equity",
            "latest_drawdown",
            "bankroll",
            "agent_count",
            "mode",
            "market",
            "window",
        )
        sequence = (*fields, "launched_at")
        order_by = "-launched_at"

    def render_name(self, value: str, record: Cohort) -> SafeString:
        badge = format_html(' <span class="tag tag-synthetic">{}</span>', "Synthetic") if record.synthetic else ""
        return format_html("{}{}", value, badge)

    def render_status(self, record: Cohort) -> SafeString:
        return status_tag(record)

    def render_mode(self, record: Cohort) -> str:
        return "Forward" if record.mode == CohortMode.FORWARD else "Replay"

    def render_market(self, record: Cohort) -> SafeString:
        return format_html(
            '<span class="fig">{}</span><small class="fig">{} in {}, {}</small>',
            record.venue,
            len(record.symbols),
            record.quote,
            record.interval,
        )

    def value_market(self, record: Cohort) -> str:
        return f"{record.venue}: {len(record.symbols)} in {record.quote}, {record.interval}"

    def render_bankroll(self, value: Any, record: Cohort) -> Any:
        return figures.money(value, record.quote)

    def render_latest_equity(self, value: Any, record: Cohort) -> Any:
        return figures.missing("No bar has been traded yet.") if value is None else figures.money(value, record.quote)

    def render_window(self, record: Cohort) -> SafeString:
        plural = "s" if record.days > 1 else ""
        return format_html(
            '<span class="fig">{}</span><small>{} day{}</small>', record.start.isoformat(), record.days, plural
        )

    def value_window(self, record: Cohort) -> str:
        return f"{record.start:%Y-%m-%d}, {record.days} day{'s' if record.days > 1 else ''}"

    def render_roi(self, value: Any, record: Cohort) -> Any:
        return figures.percent(value / record.bankroll - 1) if value is not None else figures.missing("No bar yet.")

    def value_roi(self, value: Any, record: Cohort) -> Any:
        return value / record.bankroll - 1 if value is not None else ""


class LeaderboardTable(PortalTable):
    caption = "Leaderboard of the day"
    empty_hint = "It fills once the first bar of this day has been traded."

    rank = NumberColumn()
    agent = tables.Column(
        accessor="agent__number",
        verbose_name="Agent",
        linkify=lambda record: reverse("portal:cohort-agent", args=[record.agent.cohort_id, record.agent.number]),
    )
    profile = tables.Column(accessor="agent__profile", empty_values=())
    symbol = tables.Column(accessor="agent__symbol", verbose_name="Market", empty_values=())
    equity = NumberColumn(places=2)
    roi_frac = PercentColumn(verbose_name="Return")
    realised = NumberColumn(places=2)
    unrealised = NumberColumn(places=2)
    drawdown_frac = ShareColumn(verbose_name="Drawdown")
    parent_drawdown_frac = ShareColumn(verbose_name="DD of parent")
    utilisation_frac = ShareColumn(verbose_name="In use")
    leverage_breaches = NumberColumn(verbose_name="Breaches")
    trades = NumberColumn()
    rejected = NumberColumn(verbose_name="Rejected")
    denied = NumberColumn(verbose_name="Denied")
    fees = NumberColumn(verbose_name="Fees", places=2)
    confidence = ShareColumn(verbose_name="P(SR > 0)", reason="Needs four hourly returns that are not all equal.")
    sample_size = NumberColumn(verbose_name="Hours")

    class Meta(PortalTable.Meta):
        model = AgentDay
        fields = (
            "rank",
            "agent",
            "profile",
            "symbol",
            "equity",
            "roi_frac",
            "realised",
            "unrealised",
            "drawdown_frac",
        )
        sequence = (
            *fields,
            "parent_drawdown_frac",
            "utilisation_frac",
            "leverage_breaches",
            "trades",
            "rejected",
            "denied",
            "fees",
            "confidence",
            "sample_size",
        )
        attrs = {"id": "leaderboard"}

    def render_agent(self, value: int) -> str:
        return f"Agent {value}"

    def render_profile(self, value: str, record: AgentDay) -> str:
        return words(value or record.agent.family.partition("@")[0])

    def render_symbol(self, value: str) -> str:
        return value or "all"


class FillTable(PortalTable):
    caption = "Fills"
    empty_hint = "This agent has not traded."

    number = tables.Column(
        verbose_name="Fill",
        linkify=lambda record: reverse("portal:cohort-fill", args=[record.cohort_id, record.number]),
    )
    at = TimeColumn(verbose_name="Time (UTC)", form="second")
    symbol = tables.Column()
    side = tables.Column()
    quantity = NumberColumn()
    price = NumberColumn()
    fee = NumberColumn()
    spread_cost = NumberColumn(verbose_name="Spread")
    impact_cost = NumberColumn(verbose_name="Impact")
    realised = MoneyColumn(sign=True)
    reason = tables.Column()

    class Meta(PortalTable.Meta):
        model = CohortFill
        fields = (
            "number",
            "at",
            "symbol",
            "side",
            "quantity",
            "price",
            "fee",
            "spread_cost",
            "impact_cost",
            "realised",
            "reason",
        )
        order_by = "number"
        attrs = {"id": "fills"}

    def render_realised(self, value: Any, record: CohortFill) -> Any:
        return figures.signed(value, record.cohort.quote)

    def render_side(self, value: str) -> SafeString:
        return format_html('<span class="tag {}">{}</span>', "tag-good" if value == "Buy" else "tag-bad", value)

    def render_reason(self, value: str) -> str:
        return words(value)


class RejectionTable(PortalTable):
    caption = "Rejected, denied and cut orders"
    empty_hint = "No order of this agent was rejected, denied or cut."

    at = TimeColumn(verbose_name="Time (UTC)", form="second")
    symbol = tables.Column()
    refusal = tables.Column(accessor="reason", verbose_name="Who", orderable=False)
    reason = tables.Column()
    wanted = NumberColumn()
    permitted = NumberColumn()

    class Meta(PortalTable.Meta):
        model = CohortRejection
        fields = ("at", "symbol", "refusal", "reason", "wanted", "permitted")
        order_by = "at"
        attrs = {"id": "rejections"}

    def render_refusal(self, value: str) -> SafeString:
        who = refusal_of(value)
        return format_html('<span class="tag {}">{}</span>', REFUSAL_TONES[who], who.label)

    def value_refusal(self, value: str) -> str:
        return refusal_of(value).value

    def render_reason(self, value: str, record: CohortRejection) -> str:
        denied = explain_reason(
            record.cohort, value, at_ms=to_ms(record.at), symbol=record.symbol, number=record.agent.number
        )
        return denied or words(value)


class AlertTable(PortalTable):
    caption = "Alerts and breaches"
    empty_hint = "Drawdown, utilisation, leverage and liquidations appear here."

    at = TimeColumn(verbose_name="Time (UTC)", form="second")
    day = NumberColumn()
    kind = tables.Column()
    agent = tables.Column(
        accessor="agent__number",
        verbose_name="Agent",
        empty_values=(),
        linkify=lambda record: record.agent.get_absolute_url() if record.agent else None,
    )
    message = tables.Column()
    value = NumberColumn(places=4)
    threshold = NumberColumn(places=4, reason="This kind has no threshold.")

    class Meta(PortalTable.Meta):
        model = CohortAlert
        fields = ("at", "day", "kind", "agent", "message", "value", "threshold")
        order_by = "-at"
        attrs = {"id": "alerts-table"}

    def render_agent(self, value: int | None) -> str:
        return "the parent" if value is None else f"Agent {value}"

    def value_agent(self, value: int | None) -> int | str:
        return "" if value is None else value


class LineTable(PortalTable):
    """The ledger lines of one Book, for export; the page shows them with their fills."""

    caption = "Ledger lines"

    posting = tables.Column(accessor="entry__posting_seq")
    value_date = tables.Column(accessor="entry__value_date")
    booked_at = TimeColumn(accessor="entry__booked_at", verbose_name="Booked (UTC)")
    entry = tables.Column(accessor="entry__kind")
    memo = tables.Column(accessor="entry__memo")
    source = tables.Column(accessor="entry__source_id")
    account = tables.Column(accessor="account__kind")
    amount = tables.Column()
    asset = tables.Column(accessor="asset__code")

    class Meta(PortalTable.Meta):
        model = JournalLine
        fields = ("posting", "value_date", "booked_at", "entry", "memo", "source", "account", "amount", "asset")
        attrs = {"id": "lines"}
