"""Overrides of guardrails: how far they may go, those that were granted, and how each came to its end."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from risk.models.common import LARGEST, BookRowQuerySet, decimal_level
from risk.models.limits import METRIC_CHOICES, RiskLimit
from risk.models.switches import StopCause


class OverridePolicy(models.Model):
    """One version of what overrides may do. Rows come only from an executed request; the highest is in force."""

    append_only: ClassVar[bool] = True

    version = models.PositiveIntegerField(unique=True)
    document = models.JSONField(help_text="The rules, as risk.overrides.OverrideRules reads them.")
    sha256 = models.CharField(max_length=64)
    request = models.OneToOneField(
        "compliance.ApprovalRequest",
        on_delete=models.PROTECT,
        related_name="override_policy_made",
        help_text="The approved request that made it.",
    )
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-version",)
        permissions = [("set_override_policy", "Can propose a policy for overrides")]
        constraints = [
            models.CheckConstraint(name="risk_override_policy_from_one", condition=Q(version__gte=1)),
        ]

    def __str__(self) -> str:
        return f"override policy {self.version}"


class GuardrailOverrideQuerySet(BookRowQuerySet["GuardrailOverride"]):
    def in_force(self, at: datetime) -> GuardrailOverrideQuerySet:
        """By time and by its end: no task has to run for an override to be over."""
        return self.filter(starts_at__lte=at, ends_at__gt=at).filter(Q(end=None) | Q(end__at__gt=at))


class GuardrailOverride(models.Model):
    """For a while, one hard limit is looser, or one trigger of the kill switch is silent. It comes only from an
    executed request that a risk officer and an operations officer have signed.

    It is tied to the very limit it was granted for: when that one is replaced or retired, it loosens nothing.
    """

    append_only: ClassVar[bool] = True

    request = models.OneToOneField(
        "compliance.ApprovalRequest", on_delete=models.PROTECT, related_name="guardrail_override"
    )
    policy = models.ForeignKey(OverridePolicy, on_delete=models.PROTECT, related_name="overrides")
    book = models.ForeignKey("treasury.Book", on_delete=models.PROTECT, related_name="guardrail_overrides")
    limit = models.ForeignKey(RiskLimit, on_delete=models.PROTECT, null=True, blank=True, related_name="overrides")
    metric = models.CharField(max_length=32, choices=METRIC_CHOICES, blank=True)
    symbol = models.CharField(max_length=40, blank=True)
    venue = models.CharField(max_length=40, blank=True)
    level = decimal_level("The hard level while it is in force.")
    trigger = models.CharField(max_length=40, blank=True, help_text="The cause that trips no switch meanwhile.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="It is over at this instant, whatever else happens.")
    reason = models.CharField(max_length=400)
    created_at = models.DateTimeField()

    objects = GuardrailOverrideQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        ordering = ("-starts_at", "-pk")
        permissions = [
            ("override_guardrail", "Can ask for the override of a guardrail"),
            ("end_override", "Can end an override of a guardrail early"),
        ]
        indexes = [models.Index(name="risk_override_ends", fields=["ends_at", "starts_at"])]
        constraints = [
            models.CheckConstraint(name="risk_override_has_an_end", condition=Q(ends_at__gt=F("starts_at"))),
            models.CheckConstraint(
                name="risk_override_limit_or_trigger",
                condition=(Q(limit__isnull=False, trigger="", level__isnull=False) & ~Q(metric=""))
                | (Q(limit__isnull=True, level__isnull=True, metric="", symbol="", venue="") & ~Q(trigger="")),
            ),
            models.CheckConstraint(
                name="risk_override_level_is_a_number",
                condition=Q(level__isnull=True) | Q(level__gte=0, level__lt=LARGEST),
            ),
        ]

    def __str__(self) -> str:
        return f"override {self.pk}"

    @property
    def trigger_words(self) -> str:
        """The silenced trigger in words; empty where a limit is loosened."""
        return str(StopCause(self.trigger).label) if self.trigger else ""


class EndCause(models.TextChoices):
    EXPIRED = "expired", "Its time was over"
    ENDED = "ended", "Ended early"


class OverrideEnd(models.Model):
    """How an override came to its end: reverted by the clock, or ended early by somebody."""

    append_only: ClassVar[bool] = True

    override = models.OneToOneField(GuardrailOverride, on_delete=models.PROTECT, related_name="end")
    at = models.DateTimeField()
    cause = models.CharField(max_length=8, choices=EndCause)
    by = models.ForeignKey("core.User", on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.CharField(max_length=400, blank=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                name="risk_override_ended_by_someone",
                condition=Q(cause="expired", by__isnull=True) | Q(cause="ended", by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"end of override {self.override_id}"
