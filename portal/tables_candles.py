"""Tables of market data: the series at hand, and the rows that were refused."""

from __future__ import annotations

from typing import Any

import django_filters
import django_tables2 as tables
from django import forms
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.tables import NumberColumn, PortalTable, ShareColumn, TimeColumn
from trading.marketdata.bars import REASON_TEXT
from trading.models.marketdata import CandleSet, DataQuarantine


class CandleSetFilter(django_filters.FilterSet):
    symbol = django_filters.CharFilter(lookup_expr="icontains", label="Symbol")
    venue = django_filters.AllValuesFilter(empty_label="Any")
    interval = django_filters.AllValuesFilter(empty_label="Any")
    synthetic = django_filters.BooleanFilter(
        label="Prices",
        widget=forms.Select(choices=[("", "Any"), ("true", "Synthetic"), ("false", "Traded")]),
    )

    class Meta:
        model = CandleSet
        fields = ("symbol", "venue", "interval", "synthetic")


class QuarantineFilter(django_filters.FilterSet):
    candle_set__symbol = django_filters.CharFilter(label="Symbol", lookup_expr="icontains")
    reason = django_filters.ChoiceFilter(empty_label="Any", choices=[(str(r), text) for r, text in REASON_TEXT.items()])
    source = django_filters.CharFilter(lookup_expr="icontains", label="Source")

    class Meta:
        model = DataQuarantine
        fields = ("candle_set__symbol", "reason", "source")


class CandleSetTable(PortalTable):
    caption = "Series of candles"
    empty_hint = "Import files with manage.py import_candles, or download from a venue with download_candles."

    symbol = tables.Column(linkify=lambda record: reverse("portal:candle-set", args=[record.pk]))
    venue = tables.Column()
    interval = tables.Column(order_by="interval_ms")
    kind = tables.Column()
    rows = NumberColumn()
    first_at = TimeColumn(verbose_name="From", form="day")
    last_at = TimeColumn(verbose_name="To", form="day")
    complete = ShareColumn(accessor="complete_frac", verbose_name="Complete", orderable=False)
    missing = NumberColumn(verbose_name="Missing")
    quarantined = NumberColumn(verbose_name="Refused")
    updated_at = TimeColumn(verbose_name="Updated")

    class Meta(PortalTable.Meta):
        model = CandleSet
        fields = ("symbol", "venue", "interval", "kind", "rows", "first_at", "last_at", "complete", "missing")
        sequence = (*fields, "quarantined", "updated_at")

    def render_symbol(self, value: str, record: CandleSet) -> SafeString:
        badge = format_html(' <span class="tag tag-synthetic">{}</span>', "Synthetic") if record.synthetic else ""
        return format_html("{}{}", value, badge)

    def render_quarantined(self, value: int, record: CandleSet) -> Any:
        if not value:
            return "0"
        path = f"{reverse('portal:quarantine')}?candle_set__symbol={record.symbol}"
        return format_html('<a href="{}">{}</a>', path, f"{value:,}")


class QuarantineTable(PortalTable):
    caption = "Refused rows"
    empty_hint = "Every row of every source was a possible bar."

    series = tables.Column(
        accessor="candle_set",
        verbose_name="Series",
        order_by=("candle_set__symbol",),
        linkify=lambda record: (
            reverse("portal:candle-set", args=[record.candle_set_id]) if record.candle_set_id else None
        ),
    )
    reason = tables.Column(attrs={"td": {"class": "words"}})
    raw = tables.Column(verbose_name="As it stood", orderable=False, attrs={"td": {"class": "words"}})
    detail = tables.Column()
    bar_at = TimeColumn(verbose_name="Time of the bar")
    source = tables.Column()
    line = NumberColumn(reason="The source has no lines.")
    found_at = TimeColumn(verbose_name="Found", form="day")

    class Meta(PortalTable.Meta):
        model = DataQuarantine
        fields = ("series", "reason", "detail", "raw", "bar_at", "source", "line", "found_at")
        sequence = fields

    def render_reason(self, record: DataQuarantine) -> str:
        return record.reason_text

    def render_source(self, value: str) -> str:
        return value.rpartition("/")[2]

    def value_source(self, value: str) -> str:
        return value

    def render_raw(self, value: Any) -> SafeString:
        text = ", ".join(map(str, value.values() if isinstance(value, dict) else value))
        return format_html('<span class="mono">{}</span>', text[:160])
