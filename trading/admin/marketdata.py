"""Candle sets and quarantine, to be looked at."""

from __future__ import annotations

from django.contrib import admin

from fundops.core.admin import ReadOnlyAdmin
from trading.models.marketdata import CandleSet, DataQuarantine


@admin.register(CandleSet)
class CandleSetAdmin(ReadOnlyAdmin):
    list_display = (
        "venue",
        "symbol",
        "interval",
        "kind",
        "rows",
        "missing",
        "quarantined",
        "last_at",
        "synthetic",
    )
    list_filter = ("venue", "interval", "kind", "synthetic")
    search_fields = ("symbol", "source")


@admin.register(DataQuarantine)
class DataQuarantineAdmin(ReadOnlyAdmin):
    list_display = ("found_at", "candle_set", "bar_at", "reason", "source", "line")
    list_filter = ("reason", "candle_set__venue")
    list_select_related = ("candle_set",)
    search_fields = ("source", "detail")
