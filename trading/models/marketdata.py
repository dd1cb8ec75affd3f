"""What the database knows of the candle catalog: a mirror of its manifests, and every row in quarantine.

The catalog's own files are the truth; these rows are for pages, filters and the audit trail.
"""

from __future__ import annotations

from django.db import models

from trading.marketdata.bars import REASON_TEXT, Kind, Reason


class CandleSet(models.Model):
    """One series of the catalog, as its manifest stood when it was last written or read in."""

    venue = models.CharField(max_length=40)
    symbol = models.CharField(max_length=40)
    interval_ms = models.PositiveBigIntegerField()
    interval = models.CharField(max_length=8)
    kind = models.CharField(max_length=8, choices=[(str(k), str(k)) for k in Kind], default=str(Kind.TRADE))
    synthetic = models.BooleanField(default=False, help_text="Invented: these prices never traded.")
    rows = models.PositiveBigIntegerField(default=0)
    missing = models.PositiveBigIntegerField(default=0, help_text="Bars missing between the first and the last.")
    quarantined = models.PositiveBigIntegerField(default=0)
    parts = models.PositiveIntegerField(default=0)
    size_bytes = models.PositiveBigIntegerField(default=0)
    first_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(null=True)
    source = models.CharField(max_length=400, blank=True, help_text="Where the latest part came from.")
    sha256 = models.CharField(max_length=64, help_text="Of the hashes of all parts.")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ("venue", "symbol", "kind", "interval_ms")
        constraints = (
            models.UniqueConstraint(fields=["venue", "symbol", "interval_ms", "kind"], name="candle_set_series_unique"),
            models.CheckConstraint(
                name="candle_set_synthetic_by_venue",
                condition=models.Q(synthetic=True, venue="synthetic")
                | (models.Q(synthetic=False) & ~models.Q(venue="synthetic")),
            ),
        )
        indexes = (models.Index(fields=["symbol", "interval_ms"], name="candle_set_symbol"),)
        permissions = (("import_candles", "Can import, download and make candles"),)

    def __str__(self) -> str:
        what = self.kind if self.kind == Kind.FUNDING else self.interval
        return f"{self.symbol} {what} on {self.venue}"

    @property
    def complete_frac(self) -> float | None:
        """Share of the bars between the first and the last that are there; None where there are none."""
        expected = self.rows + self.missing
        return self.rows / expected if expected else None


class CandleFeed(models.Model):
    """How far a venue has been asked for a series that somebody trades live, and whether it answers."""

    machine_state = "the feed's own bookmark, moved at every question; the candles that came are events"

    venue = models.CharField(max_length=40)
    symbol = models.CharField(max_length=40)
    interval_ms = models.PositiveBigIntegerField()
    answered_until = models.DateTimeField(
        null=True, help_text="The venue was asked for every bar that opens before this and gave what it has."
    )
    asked_at = models.DateTimeField(help_text="When it was last asked, whatever came of it.")
    failing_since = models.DateTimeField(null=True, help_text="The first of the failures without an answer since.")
    failure = models.CharField(max_length=400, blank=True)

    class Meta:
        default_permissions = ("view",)
        ordering = ("venue", "symbol", "interval_ms")
        constraints = (models.UniqueConstraint(fields=["venue", "symbol", "interval_ms"], name="candle_feed_unique"),)

    def __str__(self) -> str:
        return f"{self.symbol} on {self.venue}, every {self.interval_ms // 60_000} min"


class DataQuarantine(models.Model):
    """One row that was not accepted: what it said, where it stood, and why. Never changed or deleted."""

    append_only = True

    candle_set = models.ForeignKey(CandleSet, on_delete=models.PROTECT, related_name="bad_rows")
    digest = models.CharField(max_length=64, unique=True, help_text="Of the row's content and place.")
    reason = models.CharField(max_length=24)
    detail = models.CharField(max_length=500, blank=True)
    bar_at = models.DateTimeField(null=True, help_text="The bar's time, where it could be read.")
    source = models.CharField(max_length=400)
    line = models.PositiveBigIntegerField(null=True)
    raw = models.JSONField(help_text="The row as it stood in the source.")
    found_at = models.DateTimeField()

    class Meta:
        ordering = ("-found_at", "candle_set", "source", "line", "pk")
        indexes = (models.Index(fields=["candle_set", "reason"], name="quarantine_set_reason"),)
        verbose_name_plural = "data quarantine"

    def __str__(self) -> str:
        return f"{self.source}:{self.line} {self.reason}"

    @property
    def reason_text(self) -> str:
        """The reason as a sentence's end: "the bar had not closed when it was taken"."""
        return REASON_TEXT[Reason(self.reason)]
