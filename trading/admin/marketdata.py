"""Candle sets and quarantine, read only."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from trading.models.marketdata import CandleSet, DataQuarantine

M = TypeVar("M", bound=Model)


class ReadOnlyAdmin(ModelAdmin, Generic[M]):  # type: ignore[misc]
    """Shows rows and lets nobody add, change or delete one."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(CandleSet)
class CandleSetAdmin(ReadOnlyAdmin[CandleSet]):
    list_display = (
        "venue", "symbol", "interval", "kind", "rows", "missing", "quarantined", "first_at", "last_at",
        "synthetic",
    )  # fmt: skip
    list_filter = ("venue", "interval", "kind", "synthetic")
    search_fields = ("symbol", "source")


@admin.register(DataQuarantine)
class DataQuarantineAdmin(ReadOnlyAdmin[DataQuarantine]):
    list_display = ("found_at", "candle_set", "bar_at", "reason", "source", "line")
    list_filter = ("reason", "candle_set__venue")
    list_select_related = ("candle_set",)
    search_fields = ("source", "detail")
