"""The catalog of this installation, by its settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from django.conf import settings

from trading.marketdata.bars import SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.manifest import Manifest


def open_catalog() -> Catalog:
    """The catalog at MARKET_DATA_URL."""
    return Catalog.open(settings.MARKET_DATA_URL)


def series_or_none(catalog: Catalog, venue: str, symbol: str, interval_ms: int) -> Manifest | None:
    """The manifest of one series, or None where the catalog has nothing of it."""
    return catalog.manifest(SeriesKey(venue, symbol, interval_ms))


def window_digest(
    catalog: Catalog, venue: str, symbols: Sequence[str], interval_ms: int, start_ms: int, end_ms: int
) -> str:
    """SHA-256 over the hashes of every stored part that the window touches: names the data without reading it."""
    digest = hashlib.sha256(f"{venue}|{interval_ms}|{start_ms}|{end_ms}".encode())
    for symbol in symbols:
        series = series_or_none(catalog, venue, symbol, interval_ms)
        for part in series.overlapping(start_ms, end_ms) if series else ():
            digest.update(f"{symbol}:{part.sha256}".encode())
    return digest.hexdigest()
