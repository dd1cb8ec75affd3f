"""What a Book's risk was at one instant, as it was then known."""

from __future__ import annotations

from django.db import models

from risk.models.common import BookRowQuerySet


class RiskSnapshot(models.Model):
    """Figures of a Book with everything below it. Null is not known, never zero; money in the fund's base
    asset.
    """

    append_only = True

    book = models.ForeignKey("treasury.Book", on_delete=models.PROTECT, related_name="risk_snapshots")
    at = models.DateTimeField()
    equity = models.FloatField(null=True)
    day_open_equity = models.FloatField(null=True)
    peak_equity = models.FloatField(null=True)
    received = models.FloatField(
        null=True, help_text="What it had received from outside, less what it gave; the day and the peak are net of it."
    )
    gross_exposure = models.FloatField(null=True)
    net_exposure = models.FloatField(null=True)
    leverage = models.FloatField(null=True)
    drawdown_frac = models.FloatField(null=True)
    volatility = models.FloatField(null=True, help_text="Annualised, of today's positions, over 365 days.")
    alpha = models.FloatField(help_text="Confidence level of VaR and ES.")
    method = models.CharField(max_length=24)
    var = models.FloatField(null=True, help_text="One day, positive when it loses.")
    es = models.FloatField(null=True)
    sample_size = models.PositiveIntegerField(help_text="Days of history behind VaR, ES and volatility.")
    contributions = models.JSONField(
        default=list, help_text="By symbol: exposure, component VaR and ES, marginal VaR and ES."
    )
    missing = models.JSONField(default=list, help_text="What was not known, in words.")

    objects = BookRowQuerySet["RiskSnapshot"].as_manager()

    class Meta:
        ordering = ("-at", "-pk")
        indexes = [models.Index(name="risk_snapshot_book_at", fields=["book", "-at"])]
        permissions = [("snapshot_risk", "Can take risk snapshots")]

    def __str__(self) -> str:
        return f"risk of book {self.book_id} at {self.at:%Y-%m-%d %H:%M}"
