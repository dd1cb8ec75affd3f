"""The bankroll pool: what a fund sets aside for experiments with real orders, and the slices handed out of it."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from simple_history.models import HistoricalRecords

from fundops.core import clock
from treasury.models.assets import Asset
from treasury.models.books import Book
from treasury.models.funds import Fund


def _money(help_text: str = "", default: Decimal | None = None) -> models.DecimalField[Decimal, Decimal]:
    return models.DecimalField(
        max_digits=20,
        decimal_places=2,
        help_text=help_text,
        default=models.NOT_PROVIDED if default is None else default,
    )


def _share(default: str, help_text: str) -> models.DecimalField[Decimal, Decimal]:
    return models.DecimalField(
        max_digits=6,
        decimal_places=4,
        default=Decimal(default),
        validators=[MinValueValidator(Decimal("0.0001")), MaxValueValidator(Decimal(1))],
        help_text=help_text,
    )


class BankrollPool(models.Model):
    """One fund's pool in one asset. Its Book holds what is not handed out; only the gate writes it."""

    fund = models.ForeignKey(Fund, on_delete=models.PROTECT, related_name="pools")
    book = models.OneToOneField(Book, on_delete=models.PROTECT, related_name="pool")
    asset = models.ForeignKey(Asset, on_delete=models.PROTECT, related_name="+")
    capacity = _money("What the pool is, handed out or not.")
    slice_frac = _share("0.05", "A slice, of the pool's capacity.")
    slice_minimum = _money("No slice is smaller.", Decimal(50))
    source_cap_frac = _share("0.25", "All slices of one source (a cohort) together, of the capacity.")
    market_cap_frac = _share("0.50", "Exposure in one market over all slices, of the capacity.")
    created_at = models.DateTimeField(default=clock.now)

    history = HistoricalRecords()

    class Meta:
        permissions = [("set_pool", "Can ask for bankroll pools to be set up and resized")]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["fund", "asset"], name="treasury_one_pool"),
            models.CheckConstraint(condition=Q(capacity__gte=0), name="treasury_pool_not_negative"),
            models.CheckConstraint(condition=Q(slice_minimum__gt=0), name="treasury_slice_minimum_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.fund.code} pool of {self.asset.code}"

    @property
    def source_cap(self) -> Decimal:
        return self.capacity * self.source_cap_frac

    @property
    def market_cap(self) -> Decimal:
        return self.capacity * self.market_cap_frac


class BankrollSlice(models.Model):
    """What one experiment was handed. `amount` is drawn, `target` what it shall be: less, and its desk hands the
    difference back as soon as it has it in cash."""

    pool = models.ForeignKey(BankrollPool, on_delete=models.PROTECT, related_name="slices")
    book = models.OneToOneField(Book, on_delete=models.PROTECT, related_name="slice")
    source = models.CharField(max_length=80, help_text="What it came out of, for the cap: cohort:12.")
    amount = _money()
    target = _money()
    leverage = models.DecimalField(max_digits=6, decimal_places=3, help_text="Exposure is amount times this.")
    markets = models.JSONField(help_text="Symbols it may hold; each counts with the whole exposure.")
    most_frac = models.DecimalField(
        max_digits=7,
        decimal_places=6,
        default=Decimal(1),
        validators=[MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(1))],
        help_text="It grows to no more than this share of the pool, whatever its rule says.",
    )
    taken_at = models.DateTimeField(default=clock.now)
    released_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, target__gte=0, leverage__gt=0), name="treasury_slice_positive"
            ),
            models.CheckConstraint(
                condition=Q(released_at=None) | Q(released_at__gte=F("taken_at")), name="treasury_slice_ordered"
            ),
        ]
        indexes = [models.Index(fields=["pool"], condition=Q(released_at=None), name="treasury_slices_open")]

    def __str__(self) -> str:
        return f"slice of {self.book.path}"

    def amount_in(self, *, capacity: Decimal, usual: Decimal, minimum: Decimal) -> Decimal:
        """What this slice is in a pool of that capacity, whose slices are ``usual`` and never below ``minimum``."""
        most = (capacity * self.most_frac).quantize(Decimal("0.01"), rounding=ROUND_DOWN)
        return max(minimum, min(usual, most))

    @property
    def exposure(self) -> Decimal:
        """The most it may hold in one market, in the pool's asset."""
        return max(self.amount, self.target) * self.leverage
