"""The audit stream: what happened, the chain that proves its order, and the anchors that prove its length.

All three tables are append-only twice over: triggers refuse UPDATE, DELETE and TRUNCATE to everyone, and the
application's database role holds no such privilege in the first place.
"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from fundops.core.models import User


class UuidV7(models.Func):
    """PostgreSQL's time-ordered identifier; within one session it only ever grows."""

    function = "uuidv7"
    arity = 0
    output_field = models.UUIDField()


class CurrentTransaction(models.Func):
    """The 64-bit id of the running transaction, which never wraps."""

    template = "(pg_current_xact_id()::text::bigint)"
    arity = 0
    output_field = models.BigIntegerField()


class AuditEvent(models.Model):
    """One act of a person or of the machine, written by the transaction that performed it."""

    append_only: ClassVar[bool] = True

    id = models.UUIDField(primary_key=True, db_default=UuidV7(), editable=False)
    at = models.DateTimeField(help_text="When the act happened, by the product's clock, in UTC.")
    kind = models.CharField(max_length=120, help_text="app.subject.verb_past")
    actor = models.ForeignKey(
        User,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,  # audit_event_actor_at serves it
        help_text="Empty: the system itself.",
    )
    actor_label = models.CharField(max_length=200, help_text="Who it was, as they were called at that moment.")
    object_type = models.CharField(max_length=100, blank=True)
    object_id = models.CharField(max_length=100, blank=True)
    object_label = models.CharField(max_length=200, blank=True)
    payload = models.JSONField(default=dict)
    topics = ArrayField(models.CharField(max_length=120), default=list, blank=True)
    created_xid = models.BigIntegerField(
        db_default=CurrentTransaction(),
        editable=False,
        help_text="The transaction that wrote the event; set by the database.",
    )

    class Meta:
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["created_xid"], name="audit_event_xid"),
            models.Index(fields=["kind", "-at"], name="audit_event_kind_at"),
            models.Index(fields=["actor", "-at"], name="audit_event_actor_at", condition=models.Q(actor__isnull=False)),
            models.Index(fields=["object_type", "object_id", "-at"], name="audit_event_object_at"),
            models.Index(fields=["-at"], name="audit_event_at"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.actor_label}"


class AuditSeal(models.Model):
    """The place of one event in the gapless, hash-chained order."""

    append_only: ClassVar[bool] = True

    seq = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(AuditEvent, on_delete=models.PROTECT, related_name="seal")
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        default_permissions = ("view",)
        constraints = [models.CheckConstraint(condition=models.Q(seq__gte=1), name="audit_seal_seq_from_one")]

    def __str__(self) -> str:
        return f"{self.seq} {self.hash[:12]}"


class AuditAnchor(models.Model):
    """The head of the chain at one moment, authenticated with the application's key: who cuts the tail
    shows."""

    append_only: ClassVar[bool] = True

    seq = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=64)
    at = models.DateTimeField()
    mac = models.CharField(max_length=64, help_text="HMAC-SHA256 under a key derived from SECRET_KEY.")

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.seq} {self.hash[:12]}"
