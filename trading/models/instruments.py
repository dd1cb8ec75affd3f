"""What can be traded where, under which rules of the venue."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from simple_history.models import HistoricalRecords


class InstrumentKind(models.TextChoices):
    SPOT = "spot", "Spot"
    PERPETUAL = "perpetual", "Perpetual"


class Instrument(models.Model):
    """One market of one venue. ``position_asset`` is what a fill puts on the position account."""

    venue = models.CharField(max_length=32)
    symbol = models.CharField(max_length=32)
    kind = models.CharField(max_length=10, choices=InstrumentKind)
    position_asset = models.ForeignKey("treasury.Asset", on_delete=models.PROTECT, related_name="+")
    quote_asset = models.ForeignKey("treasury.Asset", on_delete=models.PROTECT, related_name="+")
    tick = models.DecimalField(max_digits=20, decimal_places=10, validators=[MinValueValidator(Decimal("1e-10"))])
    lot = models.DecimalField(max_digits=20, decimal_places=10, validators=[MinValueValidator(Decimal("1e-10"))])
    min_notional = models.DecimalField(
        max_digits=20, decimal_places=8, default=Decimal(5), validators=[MinValueValidator(Decimal(0))]
    )
    max_leverage = models.DecimalField(
        max_digits=6, decimal_places=2, default=Decimal(1), validators=[MinValueValidator(Decimal(1))]
    )
    maintenance_margin_rate = models.DecimalField(
        max_digits=8, decimal_places=6, default=Decimal("0.005"), validators=[MinValueValidator(Decimal(0))]
    )
    source = models.CharField(max_length=120, help_text="Where the rules come from.")

    history = HistoricalRecords()

    class Meta:
        ordering = ("venue", "symbol")
        constraints = (
            models.UniqueConstraint(fields=["venue", "symbol"], name="instrument_unique"),
            models.CheckConstraint(name="instrument_tick_positive", condition=models.Q(tick__gt=0)),
            models.CheckConstraint(name="instrument_lot_positive", condition=models.Q(lot__gt=0)),
        )

    def __str__(self) -> str:
        return f"{self.symbol} on {self.venue}"
