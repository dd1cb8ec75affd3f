"""That a cohort's day was looked at for prohibited tactics, and what was seen."""

from __future__ import annotations

from typing import Any

from django.db import models

from fundops.core import clock

MONEY: dict[str, Any] = {"max_digits": 38, "decimal_places": 18}


class DayScreening(models.Model):
    """One look at a closed day of a cohort, by the rules of that moment."""

    append_only = True

    cohort_day = models.OneToOneField("trading.CohortDay", on_delete=models.PROTECT, related_name="screening")
    at = models.DateTimeField(default=clock.now)
    policy_version = models.PositiveIntegerField(help_text="0: the rules as shipped.")
    notional = models.DecimalField(**MONEY, help_text="Bought and sold by agents, each netted with itself in a bar.")
    crossed_notional = models.DecimalField(**MONEY, help_text="Of it, by agents on both sides of one bar.")
    crossed_bars = models.PositiveIntegerField(help_text="Bars of a market with agents on both sides.")
    bursts = models.PositiveIntegerField(
        default=0, help_text="Bars of a market whose move the agents' own orders of one side made."
    )
    flagged = models.BooleanField()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"screening of {self.cohort_day}"
