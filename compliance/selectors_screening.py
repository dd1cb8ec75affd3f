"""Reading the restricted list, the rules against prohibited tactics, and the flags."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from django.db.models import QuerySet

from compliance.models.screening import FlagState, RestrictedInstrument, ScreeningFlag
from compliance.screening.policy import ScreeningRules
from fundops.core import clock
from fundops.core.bulk import run

_SHIPPED = ScreeningRules()


def restrictions_in_force(*, at: datetime | None = None) -> list[RestrictedInstrument]:
    """What is on the list at that moment (now by default), by symbol."""
    return list(RestrictedInstrument.objects.in_force(at or clock.now()).order_by("symbol", "venue", "pk"))


def restriction_list() -> QuerySet[RestrictedInstrument]:
    """Every entry there ever was, those in force first."""
    return RestrictedInstrument.objects.select_related("restricted_by").order_by("-lifted_at", "symbol", "pk")


def rules_in_force() -> tuple[int, ScreeningRules]:
    """The version and the rules; version 0 are those the product comes with."""
    found = run("SELECT version, document::text FROM compliance_screeningpolicy ORDER BY version DESC LIMIT 1")
    return (found[0][0], _rules(found[0][1])) if found else (0, _SHIPPED)


@lru_cache(maxsize=8)
def _rules(document: str) -> ScreeningRules:
    """Cached: the same text is asked for at every bar close."""
    return ScreeningRules.model_validate_json(document)


def flag_list() -> QuerySet[ScreeningFlag]:
    """Every flag, newest first."""
    return ScreeningFlag.objects.select_related("decided_by").order_by("-opened_at", "-pk")


def open_flag_count() -> int:
    """What waits for a compliance officer."""
    return ScreeningFlag.objects.filter(state=FlagState.OPEN).count()
