"""What can be held: a currency, a coin, a contract."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from fundops.core.money import LEDGER_PLACES


class AssetKind(models.TextChoices):
    FIAT = "fiat", "Fiat currency"
    CRYPTO = "crypto", "Crypto asset"
    CONTRACT = "contract", "Derivative contract"


class Asset(models.Model):
    """A unit of account of the ledger: ``USD``, ``BTC``, or one contract of ``BTCUSDT-PERP``.

    ``places`` is how many decimals a person is shown and a split rounds to; the ledger itself keeps 18.
    """

    code = models.CharField(
        max_length=40,
        unique=True,
        validators=[RegexValidator(r"^[A-Z0-9][A-Z0-9._:-]*\Z", "Use capital letters, digits and . _ : -")],
    )
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=12, choices=AssetKind)
    places = models.PositiveSmallIntegerField(default=8, validators=[MaxValueValidator(LEDGER_PLACES)])

    history = HistoricalRecords()

    class Meta:
        ordering = ("code",)
        constraints = [
            models.CheckConstraint(
                name="treasury_asset_kind_known", condition=Q(kind__in=[k.value for k in AssetKind])
            ),
            models.CheckConstraint(name="treasury_asset_places_range", condition=Q(places__lte=LEDGER_PLACES)),
        ]

    def __str__(self) -> str:
        return self.code
