"""Screening: the restricted list, the rules against prohibited tactics, and the flags that both raise."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from fundops.core.models import User


class RestrictionLevel(models.TextChoices):
    NO_TRADING = "no_trading", "No trading at all"
    CLOSE_ONLY = "close_only", "Positions may only be closed"
    WATCH = "watch", "Allowed, and reported"


class RestrictedInstrumentQuerySet(models.QuerySet["RestrictedInstrument"]):
    def in_force(self, at: datetime) -> RestrictedInstrumentQuerySet:
        return self.filter(Q(lifted_at=None) | Q(lifted_at__gt=at), effective_from__lte=at)


class RestrictedInstrument(models.Model):
    """One entry of the restricted list. Putting one on takes one person; taking it off takes a signed request."""

    symbol = models.CharField(max_length=40, help_text="As the books and candles name it, for example BTC/USDT.")
    venue = models.CharField(max_length=40, blank=True, default="", help_text="Empty: at every venue.")
    level = models.CharField(max_length=12, choices=RestrictionLevel)
    reason = models.CharField(max_length=400)
    reference = models.CharField(max_length=120, blank=True, default="", help_text="Order, list or file it rests on.")
    effective_from = models.DateTimeField()
    restricted_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    lifted_at = models.DateTimeField(null=True, blank=True)
    lifted_by_request = models.ForeignKey(
        "compliance.ApprovalRequest", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    history = HistoricalRecords()
    objects = RestrictedInstrumentQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("restrict_instrument", "Can put an instrument on the restricted list"),
            ("lift_restriction", "Can ask for an instrument to be taken off the restricted list"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(symbol="") & ~Q(reason=""), name="compliance_restriction_said"),
            models.CheckConstraint(
                condition=~Q(level=RestrictionLevel.CLOSE_ONLY) | Q(venue=""),
                name="compliance_close_only_everywhere",
            ),
            models.CheckConstraint(
                condition=Q(lifted_at=None, lifted_by_request=None)
                | Q(lifted_at__isnull=False, lifted_by_request__isnull=False),
                name="compliance_lifted_by_request",
            ),
            models.UniqueConstraint(
                fields=["symbol", "venue", "level"],
                condition=Q(lifted_at=None),
                name="compliance_one_restriction",
                violation_error_message="This instrument is on the list at this level already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.get_level_display()}"


class ScreeningPolicy(models.Model):
    """A version of the rules against prohibited tactics; the highest is in force, and only the gate makes one."""

    append_only: ClassVar[bool] = True

    version = models.PositiveIntegerField(unique=True)
    document = models.JSONField()
    request = models.OneToOneField("compliance.ApprovalRequest", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        permissions = [("propose_screening_policy", "Can ask for other rules against prohibited tactics")]

    def __str__(self) -> str:
        return f"screening policy {self.version}"


class ScreeningRule(models.TextChoices):
    RESTRICTED = "restricted", "Restricted instrument"
    SELF_CROSSING = "self_crossing", "Crossing the fund's own orders"
    LAYERING = "layering", "Layering or spoofing"
    MOMENTUM_IGNITION = "momentum_ignition", "Momentum ignition"


class FlagSeverity(models.TextChoices):
    NOTE = "note", "Noted"
    DENIED = "denied", "Order denied"


class FlagState(models.TextChoices):
    OPEN = "open", "Open"
    CLEARED = "cleared", "Cleared"
    ESCALATED = "escalated", "Escalated"


class ScreeningFlag(models.Model):
    """What a rule found, with its evidence, and what a compliance officer made of it."""

    key = models.CharField(max_length=160, unique=True, help_text="What it is about; the same finding is kept once.")
    rule = models.CharField(max_length=20, choices=ScreeningRule)
    severity = models.CharField(max_length=8, choices=FlagSeverity)
    subject = models.CharField(max_length=200, help_text="Whose doing, in words.")
    book_path = models.CharField(max_length=400, blank=True, default="")
    symbol = models.CharField(max_length=40, blank=True, default="")
    venue = models.CharField(max_length=40, blank=True, default="")
    finding = models.CharField(max_length=400)
    evidence = models.JSONField()
    opened_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=FlagState, default=FlagState.OPEN)
    decided_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=1000, blank=True, default="")

    history = HistoricalRecords()

    class Meta:
        default_permissions = ("view",)
        permissions = [("decide_flag", "Can clear or escalate what screening found")]
        indexes = [models.Index(fields=["state", "-opened_at"], name="compliance_flags_open")]
        constraints = [
            models.CheckConstraint(
                condition=Q(state=FlagState.OPEN, decided_by=None, decided_at=None)
                | (~Q(state=FlagState.OPEN) & Q(decided_at__gte=F("opened_at")) & ~Q(note="")),
                name="compliance_flag_decided_with_note",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_rule_display()}: {self.subject}"
