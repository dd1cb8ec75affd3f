"""The paper venue's own books: accounts, orders and the stream of reports. It survives crashes because it is here.

A venue of its own: the desk reads these rows through the gateway alone, as it would ask an exchange.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models

UNIT: dict[str, Any] = {"max_digits": 38, "decimal_places": 18}


class PaperAccount(models.Model):
    """One account at the paper venue: its rules, fixed at its opening, and the engine's state after the last bar."""

    machine_state = "a simulated venue's account, rewritten bar by bar; its reports are append-only"

    key = models.CharField(max_length=64)
    rules = models.JSONField(help_text="Market, instruments, costs, protection and leverage.")
    state = models.BinaryField()
    last_bar_ms = models.BigIntegerField(help_text="Opening time of the last bar that was traded, epoch ms.")
    reports = models.PositiveBigIntegerField(default=0, help_text="Reports made so far.")
    equity = models.DecimalField(**UNIT, default=Decimal(0))

    class Meta:
        constraints = (models.UniqueConstraint(fields=["key"], name="paper_account_key_unique"),)

    def __str__(self) -> str:
        return self.key


class PaperOrderState(models.TextChoices):
    WORKING = "working", "Working"
    FILLED = "filled", "Filled"
    CANCELLED = "cancelled", "Cancelled"
    REJECTED = "rejected", "Rejected"


class PaperOrder(models.Model):
    """An order as the venue knows it. The client's id is unique: a second submission is answered with the first."""

    machine_state = "a simulated venue's order book; its reports are append-only"

    account = models.ForeignKey(PaperAccount, on_delete=models.PROTECT, related_name="orders", db_index=False)
    client_order_id = models.CharField(max_length=64)
    symbol = models.CharField(max_length=32)
    side = models.SmallIntegerField(help_text="1 buys, -1 sells.")
    quantity = models.DecimalField(**UNIT)
    filled = models.DecimalField(**UNIT, default=Decimal(0))
    limit_price = models.DecimalField(**UNIT, null=True)
    reduce_only = models.BooleanField(default=False)
    tag = models.CharField(max_length=24)
    protective = models.BooleanField(default=False, help_text="Made by the venue from the account's protection.")
    state = models.CharField(max_length=10, choices=PaperOrderState, default=PaperOrderState.WORKING)
    reason = models.CharField(max_length=200, blank=True)
    accepted_ms = models.BigIntegerField()
    noted = models.BooleanField(default=False, help_text="A shortage of volume has been reported.")

    class Meta:
        ordering = ("account", "pk")
        constraints = (
            models.UniqueConstraint(fields=["account", "client_order_id"], name="paper_order_client_id_unique"),
        )
        indexes = (
            models.Index(
                name="paper_order_working", fields=["account"], condition=models.Q(state=PaperOrderState.WORKING)
            ),
        )

    def __str__(self) -> str:
        return self.client_order_id


class PaperReport(models.Model):
    """One line of an account's stream: an order's change, a fill, a funding payment. Numbered without gaps."""

    append_only = True

    account = models.ForeignKey(PaperAccount, on_delete=models.PROTECT, related_name="stream", db_index=False)
    number = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=8, choices=[("order", "Order"), ("fill", "Fill"), ("funding", "Funding")])
    at_ms = models.BigIntegerField()
    content = models.JSONField()

    class Meta:
        ordering = ("account", "number")
        constraints = (models.UniqueConstraint(fields=["account", "number"], name="paper_report_number_unique"),)

    def __str__(self) -> str:
        return f"report {self.number} of {self.account_id}"
