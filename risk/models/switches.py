"""The kill switch: who may trade at all, what stops trading by itself, and the signs of life it listens to.

The rules that no program may break (a switch never loosens without its approved request, every change leaves a row) are
triggers in migrations/sql/switch_rules.sql; this file holds the shape.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from risk.quant.pretrade import TradingMode

MODES = [
    (TradingMode.ACTIVE.value, "Active"),
    (TradingMode.REDUCING.value, "Reducing: only closing orders"),
    (TradingMode.HALTED.value, "Halted: no orders"),
]
#: The tighter, the higher.
SEVERITY = {TradingMode.ACTIVE: 0, TradingMode.REDUCING: 1, TradingMode.HALTED: 2}


class StopCause(models.TextChoices):
    """Why a switch was turned: a person, the console of the machine, a trigger, or the approved way back."""

    PERSON = "person", "A person"
    CONSOLE = "console", "The machine's console"
    DRAWDOWN = "drawdown", "Drawdown"
    DAILY_LOSS = "daily_loss", "Daily loss"
    HEARTBEAT = "heartbeat", "Missed heartbeat"
    STALE_DATA = "stale_data", "Stale market data"
    RECONCILIATION = "reconciliation", "Reconciliation break"
    ERROR_BURST = "error_burst", "Error burst"
    STRESS = "stress", "Stress breach"
    RESTORED = "restored", "Restored by approval"


#: What turns a switch without a person.
TRIGGERS = (
    StopCause.DRAWDOWN,
    StopCause.DAILY_LOSS,
    StopCause.HEARTBEAT,
    StopCause.STALE_DATA,
    StopCause.RECONCILIATION,
    StopCause.ERROR_BURST,
    StopCause.STRESS,
)


def _mode() -> models.CharField[str, str]:
    return models.CharField(max_length=8, choices=MODES)


class KillSwitch(models.Model):
    """One switch: of a Book and all below it, of a venue, of a Book at a venue, or (with neither) of everything.

    A scope without a row is ACTIVE. Tightening takes a word, loosening an approved request.
    """

    machine_state: ClassVar[str] = "every change of it is a row of SwitchChange, which a trigger writes"

    book = models.ForeignKey(
        "treasury.Book", on_delete=models.PROTECT, null=True, blank=True, related_name="kill_switches"
    )
    venue = models.CharField(max_length=40, blank=True)
    mode = _mode()
    cause = models.CharField(max_length=16, choices=StopCause)
    reason = models.CharField(max_length=400)
    detail = models.JSONField(default=dict)
    changed_by = models.ForeignKey("core.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    changed_at = models.DateTimeField()
    version = models.PositiveIntegerField(default=1)
    request = models.ForeignKey(
        "compliance.ApprovalRequest",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The approved request that loosened it; empty for a stop.",
    )

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("stop_trading", "Can stop trading, and bring nothing back"),
            ("propose_restore", "Can ask for trading to be restored"),
        ]
        ordering = ("book__path", "venue")
        constraints = [
            models.UniqueConstraint(name="risk_switch_one_a_scope", fields=["book", "venue"], nulls_distinct=False),
            models.CheckConstraint(name="risk_switch_mode_known", condition=Q(mode__in=[m.value for m in TradingMode])),
            models.CheckConstraint(name="risk_switch_cause_known", condition=Q(cause__in=StopCause.values)),
            models.CheckConstraint(name="risk_switch_has_reason", condition=~Q(reason="")),
            models.CheckConstraint(
                name="risk_switch_person_named", condition=~Q(cause=StopCause.PERSON) | Q(changed_by__isnull=False)
            ),
            models.CheckConstraint(
                name="risk_switch_restored_by_request",
                condition=Q(cause=StopCause.RESTORED, request__isnull=False)
                | (~Q(cause=StopCause.RESTORED) & Q(request__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return f"kill switch {self.pk}"

    @property
    def trading_mode(self) -> TradingMode:
        return TradingMode(self.mode)


class SwitchChange(models.Model):
    """One turn of a switch, written by the database itself."""

    append_only: ClassVar[bool] = True

    switch = models.ForeignKey(KillSwitch, on_delete=models.PROTECT, related_name="changes")
    version = models.PositiveIntegerField()
    mode_before = _mode()
    mode = _mode()
    cause = models.CharField(max_length=16, choices=StopCause)
    reason = models.CharField(max_length=400)
    detail = models.JSONField(default=dict)
    changed_by = models.ForeignKey("core.User", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    changed_at = models.DateTimeField()
    request = models.ForeignKey(
        "compliance.ApprovalRequest", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        default_permissions = ("view",)
        ordering = ("-changed_at", "-pk")
        constraints = [models.UniqueConstraint(name="risk_switchchange_version_once", fields=["switch", "version"])]

    def __str__(self) -> str:
        return f"change {self.version} of switch {self.switch_id}"


class SwitchBoard(models.Model):
    """One row: a number that grows with everything that can change what may trade, in the order of the commits."""

    machine_state: ClassVar[str] = "a counter that triggers raise; what it counts is recorded elsewhere"

    id = models.SmallIntegerField(primary_key=True)
    version = models.BigIntegerField()
    changed_xid = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="risk_switchboard_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"switch board {self.version}"


class TriggerPolicy(models.Model):
    """When a trigger stops a Book (and by default each fund), and how far. The highest version of a scope is in force.

    Rows come only from an executed request of `risk.set_trigger_policy`.
    """

    append_only: ClassVar[bool] = True

    cause = models.CharField(max_length=16, choices=[(c.value, c.label) for c in TRIGGERS])
    book = models.ForeignKey(
        "treasury.Book",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="trigger_policies",
        help_text="Empty: the rule where a Book has none of its own.",
    )
    version = models.PositiveIntegerField()
    threshold = models.DecimalField(max_digits=20, decimal_places=8, help_text="In the unit of the cause.")
    window_s = models.PositiveIntegerField(null=True, blank=True, help_text="Seconds looked back, where one counts.")
    mode = _mode()
    enabled = models.BooleanField(default=True)
    request = models.ForeignKey("compliance.ApprovalRequest", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        permissions = [("set_trigger_policy", "Can ask for another trigger policy")]
        ordering = ("cause", "book__path", "-version")
        constraints = [
            models.UniqueConstraint(
                name="risk_trigger_version_once", fields=["cause", "book", "version"], nulls_distinct=False
            ),
            models.CheckConstraint(name="risk_trigger_cause_known", condition=Q(cause__in=[c.value for c in TRIGGERS])),
            models.CheckConstraint(name="risk_trigger_threshold_not_negative", condition=Q(threshold__gte=0)),
            models.CheckConstraint(name="risk_trigger_stops", condition=Q(mode__in=["REDUCING", "HALTED"])),
        ]

    def __str__(self) -> str:
        return f"{self.cause} policy {self.version}"


class SignalKind(models.TextChoices):
    HEARTBEAT = "heartbeat", "Heartbeat"
    MARKET_DATA = "market_data", "Market data"
    RECONCILIATION = "reconciliation", "Reconciliation"


class TriggerWatch(models.Model):
    """When the triggers were last read by schedule, and since when without a pause: the one row of the watch."""

    machine_state: ClassVar[str] = "when the watch looked, rewritten every few seconds; its coming back is an event"

    at = models.DateTimeField(help_text="When it looked last.")
    since = models.DateTimeField(null=True, help_text="When it came back from a pause; empty when it never paused.")

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="risk_watch_once", condition=Q(pk=1))]

    def __str__(self) -> str:
        return f"the watch, last at {self.at:%Y-%m-%d %H:%M:%S}"


class RiskSignal(models.Model):
    """The last sign of life that a part of the layers above gave: `at` of heartbeats and data, `value` of breaks.

    A row is what is expected to go on; who stops on purpose withdraws it.
    """

    machine_state: ClassVar[str] = "a sign of life, rewritten every few seconds; its beginning and end are events"

    kind = models.CharField(max_length=16, choices=SignalKind)
    source = models.CharField(max_length=80, help_text="Who speaks: a desk, a feed, a reconciliation.")
    book = models.ForeignKey(
        "treasury.Book", on_delete=models.PROTECT, null=True, blank=True, related_name="risk_signals"
    )
    venue = models.CharField(max_length=40, blank=True)
    at = models.DateTimeField(help_text="Of the heartbeat, of the newest data, of the count of breaks.")
    value = models.FloatField(null=True, blank=True, help_text="Open breaks; empty for the others.")

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                name="risk_signal_once", fields=["kind", "source", "book", "venue"], nulls_distinct=False
            ),
            models.CheckConstraint(name="risk_signal_kind_known", condition=Q(kind__in=SignalKind.values)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.source}"


class ErrorReport(models.Model):
    """Errors that a part of the layers above met at one moment; counted for minutes, then removed."""

    machine_state: ClassVar[str] = "counted within a window and removed after it; a burst is an event"

    source = models.CharField(max_length=80)
    book = models.ForeignKey("treasury.Book", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    venue = models.CharField(max_length=40, blank=True)
    at = models.DateTimeField()
    count = models.PositiveIntegerField(default=1)
    detail = models.CharField(max_length=240, blank=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(name="risk_error_at", fields=["at"])]

    def __str__(self) -> str:
        return f"{self.count} errors of {self.source}"
