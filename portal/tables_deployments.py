"""Tables of deployments and of what their desks did."""

from __future__ import annotations

from typing import Any

import django_filters
import django_tables2 as tables
from django import forms
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.tables import MoneyColumn, NumberColumn, PercentColumn, PortalTable, ShareColumn, TimeColumn
from portal.templatetags import figures
from trading.api.deployments import DeploymentFilter
from trading.models.deployments import Deployment, DeploymentStatus, Fill, Order, TradingCycle
from trading.selectors.deployments import profit

STATUS_TONES = {
    "deploying": "tag-accent",
    "running": "tag-good",
    "stopping": "tag-warn",
    "stopped": "",
    "rolled_back": "tag-bad",
}
ORDER_TONES = {
    "denied": "tag-warn",
    "rejected": "tag-bad",
    "in_flight": "tag-warn",
    "pending": "tag-accent",
    "working": "tag-accent",
    "filled": "tag-good",
    "cancelled": "",
}
NOT_BEGUN = "No bar has been worked yet."


def status_tag(deployment: Deployment) -> SafeString:
    tone = STATUS_TONES[deployment.status]
    return format_html('<span class="tag {}">{}</span>', tone, deployment.get_status_display())


class DeploymentListFilter(DeploymentFilter):
    """The API's filter in the words of the page."""

    status = django_filters.ChoiceFilter(choices=DeploymentStatus.choices, label="Status", empty_label="Any")  # type: ignore[assignment]
    family = django_filters.CharFilter(lookup_expr="icontains", label="Strategy")
    venue = django_filters.AllValuesFilter(label="Venue", empty_label="Any")  # type: ignore[assignment]

    cohort = django_filters.NumberFilter(field_name="agent__cohort", widget=forms.HiddenInput)

    class Meta(DeploymentFilter.Meta):
        fields = ["status", "family", "venue", "cohort"]


class DeploymentTable(PortalTable):
    caption = "Deployments"
    empty_hint = "One is opened from a cohort's agent, by a request that two sign and a third releases."

    name = tables.Column(linkify=lambda record: reverse("portal:deployment", args=[record.pk]))
    status = tables.Column()
    profit = tables.Column(
        accessor="run__equity", verbose_name="P&L", attrs={"th": {"class": "num"}, "td": {"class": "num"}}
    )
    roi = PercentColumn(accessor="run__equity", verbose_name="Return", orderable=False)
    drawdown = ShareColumn(accessor="run__drawdown_frac", verbose_name="Drawdown", places=2)
    gross = NumberColumn(accessor="run__gross", verbose_name="Leverage", orderable=False)
    bankroll = MoneyColumn()
    next_action = tables.Column(accessor="run__next_action", verbose_name="Next action", orderable=False)
    heartbeat = TimeColumn(accessor="run__heartbeat_at", verbose_name="Heartbeat", form="second")

    class Meta(PortalTable.Meta):
        model = Deployment
        fields = ("name", "status", "profit", "roi", "drawdown", "gross", "bankroll", "next_action", "heartbeat")
        sequence = fields
        order_by = "-opened_at"

    def render_name(self, value: str, record: Deployment) -> SafeString:
        badge = format_html(' <span class="tag tag-synthetic">{}</span>', "Synthetic") if record.synthetic else ""
        return format_html("{}{}", value, badge)

    def render_status(self, record: Deployment) -> SafeString:
        return status_tag(record)

    def value_status(self, record: Deployment) -> str:
        return str(record.status)

    def render_profit(self, record: Deployment) -> Any:
        return figures.signed(profit(record), record.quote)

    def value_profit(self, record: Deployment) -> Any:
        return profit(record)

    def render_roi(self, record: Deployment) -> Any:
        return figures.percent(profit(record) / record.bankroll)

    def value_roi(self, record: Deployment) -> Any:
        return profit(record) / record.bankroll

    def render_bankroll(self, value: Any, record: Deployment) -> Any:
        return figures.money(value, record.quote)

    def render_gross(self, record: Deployment) -> Any:
        now = float(record.run.gross / record.run.equity) if record.run.equity > 0 else None
        shown = figures.missing("No equity.") if now is None else f"{now:.2f} x"
        return format_html(
            '<span class="fig">{}</span><small class="fig">of {} x</small>',
            shown,
            f"{record.run.leverage.normalize():f}",
        )

    def value_gross(self, record: Deployment) -> Any:
        return float(record.run.gross / record.run.equity) if record.run.equity > 0 else ""


class OrderTable(PortalTable):
    caption = "Orders"
    empty_hint = "The desk has not wanted anything yet."

    created_at = TimeColumn(verbose_name="Decided", form="second")
    cycle = tables.Column(
        accessor="cycle__number",
        verbose_name="Cycle",
        linkify=lambda record: f"?cycle={record.cycle.number}#cycle",
    )
    symbol = tables.Column(verbose_name="Market")
    side = tables.Column()
    quantity = NumberColumn()
    filled = NumberColumn()
    limit_price = NumberColumn(verbose_name="Limit", reason="A market order.")
    reason = tables.Column(verbose_name="For")
    status = tables.Column()

    class Meta(PortalTable.Meta):
        model = Order
        fields = (
            "created_at", "cycle", "symbol", "side", "quantity", "filled", "limit_price", "reason", "status",
        )  # fmt: skip
        attrs = {"id": "orders"}

    def render_reason(self, value: str) -> str:
        return value.replace("_", " ")

    def render_status(self, record: Order) -> SafeString:
        tag = format_html('<span class="tag {}">{}</span>', ORDER_TONES[record.status], record.get_status_display())
        return format_html("{}<small>{}</small>", tag, record.status_reason) if record.status_reason else tag

    def value_status(self, record: Order) -> str:
        return f"{record.status} {record.status_reason}".strip()


class DeskFillTable(PortalTable):
    caption = "Fills"
    empty_hint = "Nothing has been filled yet."

    number = NumberColumn(
        verbose_name="Fill",
        linkify=lambda record: reverse("portal:deployment-fill", args=[record.deployment_id, record.number]),
    )
    at = TimeColumn(form="second")
    symbol = tables.Column(verbose_name="Market")
    side = tables.Column()
    quantity = NumberColumn()
    price = NumberColumn()
    fee = NumberColumn(places=4)
    slippage = NumberColumn(accessor="impact_cost", verbose_name="Spread, impact", places=4, orderable=False)
    realised = NumberColumn(places=4)
    reason = tables.Column(verbose_name="For")

    class Meta(PortalTable.Meta):
        model = Fill
        fields = (
            "number", "at", "symbol", "side", "quantity", "price", "fee", "slippage", "realised", "reason",
        )  # fmt: skip
        attrs = {"id": "fills"}

    def render_slippage(self, record: Fill) -> Any:
        return figures.number(record.spread_cost + record.impact_cost, 4)

    def value_slippage(self, record: Fill) -> Any:
        return record.spread_cost + record.impact_cost

    def render_reason(self, value: str) -> str:
        return value.replace("_", " ")


class CycleTable(PortalTable):
    caption = "Cycles"
    empty_hint = NOT_BEGUN

    number = NumberColumn(verbose_name="Cycle", linkify=lambda record: f"?cycle={record.number}#cycle")
    bar = TimeColumn(accessor="at", verbose_name="Bar (UTC)", order_by="bar_ms")
    decision = tables.Column()
    equity = NumberColumn(places=4)
    took = NumberColumn(accessor="timings", verbose_name="Took (ms)", orderable=False, reason="Nothing was sent.")

    class Meta(PortalTable.Meta):
        model = TradingCycle
        fields = ("number", "bar", "decision", "equity", "took")
        order_by = "-bar_ms"
        attrs = {"id": "cycles"}

    def render_decision(self, value: str, record: TradingCycle) -> SafeString:
        tone = {"order": "tag-accent", "denied": "tag-warn", "cancel": "tag-warn"}.get(value, "")
        return format_html('<span class="tag {}">{}</span>', tone, value)

    def render_took(self, record: TradingCycle) -> Any:
        return figures.number(_took(record), 1)

    def value_took(self, record: TradingCycle) -> Any:
        return _took(record)


def _took(cycle: TradingCycle) -> float:
    return float(cycle.timings.get("total") or sum(v for k, v in cycle.timings.items() if k != "total"))
