"""What was tried outside of cohorts: backtests and sweeps, as long as the product ran them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from fundops.core import clock

#: Bytes of a genome's SHA-256 that are kept of each trial.
GENOME_BYTES = 16


class TrialKind(models.TextChoices):
    BACKTEST = "backtest", "Backtest"
    SWEEP = "sweep", "Sweep"


class TrialSet(models.Model):
    """Genomes tried together on one window, and how their Sharpe ratios came out; the same run again is no new one."""

    append_only: ClassVar[bool] = True

    content_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of all that decides the run.")
    kind = models.CharField(max_length=8, choices=TrialKind)
    family = models.CharField(max_length=80, help_text="The strategy, name@version.")
    profile = models.CharField(max_length=64, blank=True)
    venue = models.CharField(max_length=40)
    symbols = ArrayField(models.CharField(max_length=40), help_text="The markets it traded.")
    interval = models.CharField(max_length=8)
    start = models.DateTimeField(help_text="Opening of the first bar.")
    end = models.DateTimeField(help_text="Close of the last bar.")
    sets = models.PositiveIntegerField(help_text="Distinct genomes: each is a trial.")
    genomes = models.BinaryField(help_text="The first 16 bytes of each genome's SHA-256, sorted.")
    costs = models.CharField(max_length=64, help_text="Cost profile.")
    leverage = models.FloatField()
    synthetic = models.BooleanField()
    data_sha256 = models.CharField(max_length=64)
    measured = models.PositiveIntegerField(help_text="Trials that moved long enough for a Sharpe ratio.")
    hours = models.FloatField(help_text="Length of the returns behind each ratio.")
    sharpe_best = models.FloatField(null=True, help_text="Sharpe ratios are per hour, after costs.")
    sharpe_mean = models.FloatField(null=True)
    sharpe_variance = models.FloatField(null=True, help_text="Across the trials, ddof 1.")
    run_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ("-at", "-pk")
        default_permissions = ("view",)
        permissions = (("run_trials", "Can run backtests and sweeps"),)
        constraints = (
            models.CheckConstraint(name="trial_set_kind_known", condition=Q(kind__in=TrialKind.values)),
            models.CheckConstraint(name="trial_set_has_a_trial", condition=Q(sets__gte=1)),
            models.CheckConstraint(name="trial_set_has_a_market", condition=Q(symbols__len__gte=1)),
            models.CheckConstraint(name="trial_set_has_a_window", condition=Q(end__gt=F("start"))),
            models.CheckConstraint(name="trial_set_measured_of_them", condition=Q(measured__lte=F("sets"))),
        )
        indexes = (models.Index(fields=["venue", "start", "end"]),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.family} on {', '.join(self.symbols)}"

    @property
    def trials(self) -> set[bytes]:
        """The genomes, each by the bytes that are kept of its hash."""
        kept: Any = bytes(self.genomes)
        return {kept[k : k + GENOME_BYTES] for k in range(0, len(kept), GENOME_BYTES)}
