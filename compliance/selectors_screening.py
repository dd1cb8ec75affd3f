"""Reading the restricted list, the rules against prohibited tactics, and the flags."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from compliance.models.screening import FlagState, RestrictedInstrument, ScreeningFlag, ScreeningPolicy
from compliance.screening.policy import ScreeningRules
from fundops.core import clock


def restrictions_in_force(*, at: datetime | None = None) -> list[RestrictedInstrument]:
    """What is on the list at that moment (now by default), by symbol."""
    return list(RestrictedInstrument.objects.in_force(at or clock.now()).order_by("symbol", "venue", "pk"))


def restriction_list() -> QuerySet[RestrictedInstrument]:
    """Every entry there ever was, those in force first."""
    return RestrictedInstrument.objects.select_related("restricted_by").order_by("-lifted_at", "symbol", "pk")


def rules_in_force() -> tuple[int, ScreeningRules]:
    """The version and the rules; version 0 are those the product comes with."""
    policy = ScreeningPolicy.objects.order_by("-version").first()
    if policy is None:
        return 0, ScreeningRules()
    return policy.version, ScreeningRules.model_validate(policy.document)


def flag_list() -> QuerySet[ScreeningFlag]:
    """Every flag, newest first."""
    return ScreeningFlag.objects.select_related("decided_by").order_by("-opened_at", "-pk")


def open_flag_count() -> int:
    """What waits for a compliance officer."""
    return ScreeningFlag.objects.filter(state=FlagState.OPEN).count()
