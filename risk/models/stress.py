"""Stress scenarios and what they cost."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from risk.models.common import BookRowQuerySet


class ScenarioKind(models.TextChoices):
    PARAMETRIC = "parametric", "Parametric shock"
    HISTORICAL = "historical", "Historical replay"
    VOLATILITY = "volatility", "Volatility spike"
    CORRELATION = "correlation", "Correlation to one"
    VENUE_LOSS = "venue_loss", "Loss of a venue"
    DEPEG = "depeg", "Stablecoin de-peg"
    REVERSE = "reverse", "Reverse stress: what loses this much"


class StressScenario(models.Model):
    """A named scenario; its parameters are checked by kind in risk.scenarios."""

    code = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=12, choices=ScenarioKind)
    parameters = models.JSONField(default=dict)
    max_loss_frac = models.FloatField(
        null=True, blank=True, help_text="A loss above this share of equity is a breach; empty never is."
    )
    is_active = models.BooleanField(default=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ("code",)
        permissions = [
            ("run_stress", "Can run stress scenarios"),
            ("save_scenario", "Can ask for stress scenarios to be added or changed"),
        ]
        constraints = [
            models.CheckConstraint(
                name="risk_scenario_kind_known", condition=Q(kind__in=[k.value for k in ScenarioKind])
            ),
            models.CheckConstraint(
                name="risk_scenario_max_loss_share",
                condition=Q(max_loss_frac__isnull=True) | Q(max_loss_frac__gt=0, max_loss_frac__lte=1),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class StressResult(models.Model):
    """One scenario on one Book at one instant. Null is not known, never zero."""

    append_only = True

    scenario = models.ForeignKey(StressScenario, on_delete=models.PROTECT, related_name="results")
    book = models.ForeignKey("treasury.Book", on_delete=models.PROTECT, related_name="stress_results")
    at = models.DateTimeField()
    parameters = models.JSONField(help_text="As they were when it ran.")
    equity = models.FloatField(null=True)
    loss = models.FloatField(null=True, help_text="Positive when money is lost, in the base asset.")
    loss_frac = models.FloatField(null=True, help_text="Of equity.")
    severity = models.FloatField(null=True, help_text="Reverse stress: the fall of everything that loses it.")
    by_symbol = models.JSONField(default=dict, help_text="P&L by symbol, gains positive.")
    missing = models.JSONField(default=list, help_text="What the scenario could not price, in words.")
    assumed = models.JSONField(default=list, help_text="What stood in for prices that are not known, in words.")
    breached = models.BooleanField(null=True, help_text="Null where the loss is not known.")

    objects = BookRowQuerySet["StressResult"].as_manager()

    class Meta:
        ordering = ("-at", "-pk")
        indexes = [models.Index(name="risk_stress_book_at", fields=["book", "-at"])]

    @property
    def is_out_of_reach(self) -> bool:
        """Reverse stress: no move of all markets alike loses so much, however far it goes."""
        return self.loss is None and self.equity is not None and self.scenario.kind == ScenarioKind.REVERSE

    def __str__(self) -> str:
        return f"result {self.pk} of scenario {self.scenario_id}"
