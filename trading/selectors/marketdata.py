"""Reads about market data, for pages and the API: the sets, their gaps, the quarantine, a stretch of bars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count, QuerySet

from trading.marketdata.bars import REASON_TEXT, Bars, Kind, Reason, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.funding import FundingFrame
from trading.marketdata.funding import load_funding as load_funding_from
from trading.marketdata.gaps import GapRange
from trading.marketdata.loader import CandleFrame
from trading.marketdata.loader import load_candles as load_candles_from
from trading.models.marketdata import CandleSet, DataQuarantine


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """How many rows are in quarantine for one reason."""

    reason: str
    text: str
    rows: int


def open_catalog() -> Catalog:
    """The catalog at MARKET_DATA_URL, for reading."""
    return Catalog.open(settings.MARKET_DATA_URL)


def candle_set_list(
    *,
    venue: str | None = None,
    symbol: str | None = None,
    interval_ms: int | None = None,
    kind: str | None = None,
    synthetic: bool | None = None,
) -> QuerySet[CandleSet]:
    """All series, narrowed by what is given."""
    wanted = {
        "venue": venue,
        "symbol": symbol,
        "interval_ms": interval_ms,
        "kind": kind,
        "synthetic": synthetic,
    }
    return CandleSet.objects.filter(**{name: value for name, value in wanted.items() if value is not None})


def candle_set_gaps(candle_set_id: int) -> list[GapRange]:
    """Missing bars of a series, first to last; empty where its bars are gone. Raises
    CandleSet.DoesNotExist.
    """
    candle_set = CandleSet.objects.get(pk=candle_set_id)
    return open_catalog().gaps(series_key(candle_set)) if candle_set.rows else []


def candle_set_bars(candle_set_id: int, *, last: int = 500) -> Bars:
    """The last bars of a series, for a chart. Raises CandleSet.DoesNotExist."""
    key = series_key(CandleSet.objects.get(pk=candle_set_id))
    catalog = open_catalog()
    manifest = catalog.manifest(key)
    if manifest is None or manifest.last_ms is None:
        return Bars.empty()
    return catalog.read_from(manifest, manifest.last_ms - (last - 1) * key.interval_ms, manifest.last_ms + 1)


def quarantine_list(
    *, candle_set_id: int | None = None, reason: str | None = None, source: str | None = None
) -> QuerySet[DataQuarantine]:
    """Rows that were refused, newest first."""
    rows = DataQuarantine.objects.select_related("candle_set")
    wanted = {"candle_set_id": candle_set_id, "reason": reason, "source": source}
    return rows.filter(**{name: value for name, value in wanted.items() if value is not None})


def quarantine_reasons(*, candle_set_id: int | None = None) -> list[ReasonCount]:
    """Refused rows by reason, the most frequent first."""
    counted = (
        quarantine_list(candle_set_id=candle_set_id)
        .order_by()
        .values_list("reason")
        .annotate(rows=Count("pk"))
        .order_by("-rows", "reason")
    )
    return [ReasonCount(reason, REASON_TEXT[Reason(reason)], rows) for reason, rows in counted]


def series_key(candle_set: CandleSet) -> SeriesKey:
    return SeriesKey(candle_set.venue, candle_set.symbol, candle_set.interval_ms, Kind(candle_set.kind))


def load_candles(
    venue: str, symbols: list[str], interval: str | int, start: datetime | int, end: datetime | int
) -> CandleFrame:
    """Candles of this installation on one grid; see ``trading.marketdata.loader.load_candles``."""
    return load_candles_from(open_catalog(), venue, symbols, interval, start, end)


def load_funding(venue: str, symbols: list[str], start: datetime | int, end: datetime | int) -> FundingFrame:
    """Funding of this installation; see ``trading.marketdata.funding.load_funding``."""
    return load_funding_from(open_catalog(), venue, symbols, start, end)
