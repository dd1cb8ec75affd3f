"""Stress on demand: who asked for which scenarios on which Book, and how far it is."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from risk.models.common import BookRowQuerySet


class StressRunState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


LIVE_RUNS = (StressRunState.QUEUED, StressRunState.RUNNING)


class StressRun(models.Model):
    """One request to run scenarios on a Book. Its results are StressResults of the same instant."""

    machine_state: ClassVar[str] = "the progress of a run; asking, cancelling and its outcome are events"

    book = models.ForeignKey("treasury.Book", on_delete=models.PROTECT, related_name="stress_runs")
    scenario = models.ForeignKey(
        "risk.StressScenario",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="runs",
        help_text="Empty: every active one.",
    )
    state = models.CharField(max_length=10, choices=StressRunState, default=StressRunState.QUEUED)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    asked_by = models.ForeignKey("core.User", on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    failure = models.CharField(max_length=400, blank=True)

    objects = BookRowQuerySet["StressRun"].as_manager()

    class Meta:
        ordering = ("-asked_at", "-pk")
        constraints = [
            models.CheckConstraint(
                name="risk_stress_run_state_known", condition=Q(state__in=[s.value for s in StressRunState])
            ),
            models.CheckConstraint(
                name="risk_stress_run_ended",
                condition=Q(state__in=[s.value for s in LIVE_RUNS], ended_at__isnull=True)
                | (~Q(state__in=[s.value for s in LIVE_RUNS]) & Q(ended_at__isnull=False)),
            ),
        ]

    def __str__(self) -> str:
        return f"stress run {self.pk}"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_RUNS
