"""The risk tables in the admin, to read: limits are set and breaches acknowledged by the actions alone."""

from __future__ import annotations

from django.contrib import admin

from fundops.core.admin import ReadOnlyAdmin
from risk.models import (
    CapitalBudget,
    LimitBreach,
    RiskLimit,
    RiskSnapshot,
    StressResult,
    StressScenario,
)


@admin.register(RiskLimit)
class RiskLimitAdmin(ReadOnlyAdmin):
    list_display = (
        "book",
        "metric",
        "symbol",
        "venue",
        "soft",
        "hard",
        "action",
        "effective_from",
        "effective_to",
    )
    list_filter = ("metric", "action", "template")
    search_fields = ("book__path",)
    list_select_related = ("book",)
    date_hierarchy = "effective_from"


@admin.register(LimitBreach)
class LimitBreachAdmin(ReadOnlyAdmin):
    list_display = ("book", "metric", "level", "status", "opened_at", "closed_at", "last_value")
    list_filter = ("status", "level", "metric")
    search_fields = ("book__path",)
    list_select_related = ("book",)
    date_hierarchy = "opened_at"


@admin.register(StressScenario)
class StressScenarioAdmin(ReadOnlyAdmin):
    list_display = ("code", "name", "kind", "max_loss_frac", "is_active")
    list_filter = ("kind", "is_active")
    search_fields = ("code", "name")


@admin.register(StressResult)
class StressResultAdmin(ReadOnlyAdmin):
    list_display = ("scenario", "book", "at", "loss", "loss_frac", "breached")
    list_filter = ("breached", "scenario")
    list_select_related = ("scenario", "book")
    date_hierarchy = "at"


@admin.register(RiskSnapshot)
class RiskSnapshotAdmin(ReadOnlyAdmin):
    list_display = ("book", "at", "equity", "leverage", "var", "es", "method")
    list_filter = ("method",)
    search_fields = ("book__path",)
    list_select_related = ("book",)
    date_hierarchy = "at"


@admin.register(CapitalBudget)
class CapitalBudgetAdmin(ReadOnlyAdmin):
    list_display = ("book", "capital", "risk_share_frac", "effective_from", "effective_to")
    search_fields = ("book__path",)
    list_select_related = ("book",)
