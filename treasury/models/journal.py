"""The journal: balanced, immutable entries and their lines. Its rules live in the database (treasury/sql)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Func, Q

from fundops.core.money import LEDGER_PLACES
from treasury.models.assets import Asset
from treasury.models.books import Book, LedgerAccount
from treasury.models.funds import Fund

if TYPE_CHECKING:
    from fundops.core.models import User


class EntryKind(models.TextChoices):
    CONTRIBUTION = "contribution", "Capital contributed"
    WITHDRAWAL = "withdrawal", "Capital withdrawn"
    DRAW = "draw", "Drawn from the parent's bankroll"
    RELEASE = "release", "Released to the parent's bankroll"
    FILL = "fill", "Fill"
    FEE = "fee", "Fee"
    FUNDING = "funding", "Funding"
    LIQUIDATION = "liquidation", "Liquidation"
    ADJUSTMENT = "adjustment", "Adjustment"
    REVERSAL = "reversal", "Reversal"


class CurrentTransactionId(Func):
    """The id of the running transaction as a bigint: what seals an entry."""

    template = "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"
    output_field = models.BigIntegerField()


class JournalEntryQuerySet(models.QuerySet["JournalEntry"]):
    def for_user(self, user: User | AnonymousUser) -> JournalEntryQuerySet:
        """Entries that touch a book this user may see, for those who may read the journal."""
        if not user.is_authenticated or not user.has_perm("treasury.view_journalentry"):
            return self.none()
        if user.has_perm("treasury.view_book"):
            return self
        lines = JournalLine.objects.filter(account__book__in=Book.objects.for_user(user))
        return self.filter(pk__in=lines.values("entry_id"))


class JournalEntry(models.Model):
    """One movement of value. Its lines sum to zero in every asset, and neither it nor they ever change.

    ``value_date`` is when it counts, ``booked_at`` when the books learned of it; ``posting_seq`` numbers
    the entries of a fund without a gap in the order they were committed. ``created_xid`` and
    ``recorded_at`` name the transaction that made it: lines are accepted from no other.
    """

    append_only = True

    # References are checked set-wise by statement triggers, not row by row by foreign keys, and their
    # targets cannot be deleted (treasury/sql): that is the difference between a bulk posting and a slow
    # one.
    fund = models.ForeignKey(
        Fund, on_delete=models.PROTECT, related_name="entries", db_constraint=False, db_index=False
    )
    posting_seq = models.BigIntegerField()
    value_date = models.DateField()
    booked_at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=EntryKind)
    memo = models.CharField(max_length=240, blank=True, default="", db_default="")
    source_type = models.CharField(max_length=40, blank=True, default="", db_default="")
    source_id = models.CharField(max_length=80, blank=True, default="", db_default="")
    idempotency_key = models.CharField(max_length=120, null=True, blank=True)  # noqa: DJ001 - NULL is "no key"
    reverses = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="reversals",
        db_constraint=False,
        db_index=False,
    )
    recorded_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    created_xid = models.BigIntegerField(db_default=CurrentTransactionId(), editable=False)

    objects = JournalEntryQuerySet.as_manager()

    class Meta:
        ordering = ("fund", "posting_seq")
        verbose_name_plural = "journal entries"
        permissions = [("propose_entry", "Can ask for entries to be posted and reversed by hand")]
        constraints = [
            models.UniqueConstraint(name="treasury_entry_seq_once", fields=["fund", "posting_seq"]),
            models.UniqueConstraint(
                name="treasury_entry_key_once",
                fields=["fund", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
            ),
            models.UniqueConstraint(
                name="treasury_entry_reversed_once",
                fields=["reverses"],
                condition=Q(reverses__isnull=False),
            ),
            models.CheckConstraint(
                name="treasury_entry_kind_known", condition=Q(kind__in=[k.value for k in EntryKind])
            ),
            models.CheckConstraint(
                name="treasury_entry_reversal_kind",
                condition=Q(kind="reversal", reverses__isnull=False) | (~Q(kind="reversal") & Q(reverses__isnull=True)),
            ),
        ]
        indexes = [
            models.Index(
                name="treasury_entry_source",
                fields=["source_type", "source_id"],
                condition=~Q(source_id=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.posting_seq} of {self.value_date}"


class JournalLineQuerySet(models.QuerySet["JournalLine"]):
    def for_user(self, user: User | AnonymousUser) -> JournalLineQuerySet:
        """Lines on the books this user may see, for those who may read the journal."""
        if not user.is_authenticated or not user.has_perm("treasury.view_journalline"):
            return self.none()
        if user.has_perm("treasury.view_book"):
            return self
        return self.filter(account__book__in=Book.objects.for_user(user))


class JournalLine(models.Model):
    """A signed amount of one asset on one account."""

    append_only = True

    entry = models.ForeignKey(JournalEntry, on_delete=models.PROTECT, related_name="lines", db_constraint=False)
    account = models.ForeignKey(
        LedgerAccount, on_delete=models.PROTECT, related_name="lines", db_constraint=False, db_index=False
    )
    asset = models.ForeignKey(
        Asset, on_delete=models.PROTECT, related_name="lines", db_constraint=False, db_index=False
    )
    amount = models.DecimalField(max_digits=38, decimal_places=LEDGER_PLACES)

    objects = JournalLineQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = [
            models.CheckConstraint(name="treasury_line_not_zero", condition=~Q(amount=0)),
        ]
        indexes = [models.Index(name="treasury_line_balance", fields=["account", "asset"])]

    def __str__(self) -> str:
        return f"{self.amount} of asset {self.asset_id} on account {self.account_id}"


class PostingBatch(models.Model):
    """A bulk posting: which entries came together, and the digest by which a replay is recognised."""

    append_only = True

    fund = models.ForeignKey(Fund, on_delete=models.PROTECT, related_name="batches")
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    entry_count = models.PositiveIntegerField()
    line_count = models.PositiveIntegerField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the batch in its canonical form.")
    booked_at = models.DateTimeField()
    idempotency_key = models.CharField(max_length=120)

    class Meta:
        ordering = ("fund", "first_seq")
        verbose_name_plural = "posting batches"
        constraints = [
            models.UniqueConstraint(name="treasury_batch_key_once", fields=["fund", "idempotency_key"]),
        ]

    def __str__(self) -> str:
        return f"batch {self.first_seq} to {self.last_seq}"


class PostingCheck(models.Model):
    """Entries to be checked when their transaction commits; written by triggers, gone when checked."""

    append_only = True

    fund = models.ForeignKey(Fund, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    balance = models.BooleanField()

    def __str__(self) -> str:
        return f"check of {self.first_seq} to {self.last_seq}"
