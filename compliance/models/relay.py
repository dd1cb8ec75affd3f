"""What the relay remembers between its lives. Machine state: it can be lost and is then rebuilt from the
stream."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class EventCursor(models.Model):
    """How far one consumer has read the sealed stream."""

    machine_state: ClassVar[str] = "moves with every delivery; its history is the stream itself"

    consumer = models.CharField(max_length=80, primary_key=True)
    seq = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField()
    last_error = models.TextField(blank=True, default="")

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.consumer} at {self.seq}"


class RelayState(models.Model):
    """One row: the sealing leader's heartbeat and the database snapshot up to which everything is sealed."""

    machine_state: ClassVar[str] = "the relay's heartbeat, rewritten every second"

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    holder = models.CharField(max_length=200)
    beat_at = models.DateTimeField()
    sealed_seq = models.BigIntegerField(default=0)
    sealed_hash = models.CharField(max_length=64)
    snapshot = models.TextField(help_text="pg_snapshot of the last complete sealing pass.")
    cluster = models.CharField(max_length=100, help_text="The cluster and database the snapshot belongs to.")

    class Meta:
        default_permissions = ("view",)
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="relay_state_single_row")]

    def __str__(self) -> str:
        return f"{self.holder} at {self.sealed_seq}"
