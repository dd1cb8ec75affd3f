"""Fetching candles page by page: resumable from the manifest, paced, retried, every page stored as it comes.

What talks to a venue is a ``CandleSource``; time and waiting are passed in, so tests wait for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np

from trading.marketdata.bars import FIELDS, BadRow, Kind, RawSeries, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.errors import DownloadError
from trading.marketdata.gaps import GapRange
from trading.marketdata.manifest import Manifest
from trading.marketdata.validation import ValidationRules, validate_series

Row = Sequence[float | int | None]
MAX_EMPTY_PAGES = 400
NOTABLE_BARS = 60  # a first bar later than that is remarked on


class TransientSourceError(Exception):
    """The venue is unreachable, busy or limits the rate: worth another try, after ``retry_after_s`` if it
    said so.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CandleSource(Protocol):
    """One venue. ``page_limit`` bars a call; ``min_pause_ms`` between calls; ``bounded`` keeps to [since,
    until).
    """

    @property
    def venue(self) -> str: ...
    @property
    def page_limit(self) -> int: ...
    @property
    def min_pause_ms(self) -> int: ...

    def resolve(self, symbol: str) -> str:
        """The catalog's name of a symbol as a person writes it; raises DownloadError when the venue
        lacks it.
        """

    def fetch(self, symbol: str, interval_ms: int, since_ms: int, until_ms: int) -> list[Row]:
        """Rows [ts_ms, open, high, low, close, volume] from ``since_ms`` on, in any order; more than asked is
        fine.
        """


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits 1, 2, 4, ... seconds up to ``longest_s``; gives up after ``attempts`` tries of one page."""

    attempts: int = 6
    first_s: float = 1.0
    longest_s: float = 60.0

    def pause_s(self, failures: int, asked_s: float | None) -> float:
        return float(max(asked_s or 0.0, min(self.first_s * 2.0 ** (failures - 1), self.longest_s)))


@dataclass(slots=True)
class Pacer:
    """Keeps calls to a venue apart and retries them."""

    min_pause_ms: int
    now_ms: Callable[[], int]
    sleep: Callable[[float], None]
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    retries: int = 0
    _last_ms: int | None = None

    def call(self, fetch: Callable[[], list[Row]]) -> list[Row]:
        """Raises DownloadError when the last attempt failed too."""
        failures = 0
        while True:
            self._wait()
            try:
                return fetch()
            except TransientSourceError as error:
                failures += 1
                if failures >= self.policy.attempts:
                    raise DownloadError(
                        f"{error} (tried {failures} times). What came before is stored: run the same command again."
                    ) from error
                self.retries += 1
                self.sleep(self.policy.pause_s(failures, error.retry_after_s))

    def _wait(self) -> None:
        now = self.now_ms()
        if self._last_ms is not None and now - self._last_ms < self.min_pause_ms:
            self.sleep((self.min_pause_ms - (now - self._last_ms)) / 1000)
        self._last_ms = self.now_ms()


@dataclass(slots=True)
class DownloadReport:
    """``received == accepted + unchanged + replaced + quarantined + unfinished + outside``."""

    key: SeriesKey
    since_ms: int
    until_ms: int
    manifest: Manifest | None
    pages: int = 0
    retries: int = 0
    received: int = 0
    accepted: int = 0
    unchanged: int = 0
    replaced: int = 0
    unfinished: int = 0
    outside: int = 0
    quarantined: list[BadRow] = field(default_factory=list)
    displaced: list[BadRow] = field(default_factory=list)
    resumed_at_ms: int | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def reconciles(self) -> bool:
        taken = self.accepted + self.unchanged + self.replaced + len(self.quarantined)
        return self.received == taken + self.unfinished + self.outside

    def as_json(self) -> dict[str, Any]:
        return {
            "venue": self.key.venue,
            "symbol": self.key.symbol,
            "interval": self.key.interval,
            "pages": self.pages,
            "retries": self.retries,
            "received": self.received,
            "accepted": self.accepted,
            "unchanged": self.unchanged,
            "replaced": self.replaced,
            "unfinished": self.unfinished,
            "outside": self.outside,
            "quarantined": len(self.quarantined),
            "resumed_at_ms": self.resumed_at_ms,
            "notes": self.notes,
        }


Progress = Callable[[int, int], None]


def download_series(
    source: CandleSource,
    catalog: Catalog,
    key: SeriesKey,
    since_ms: int,
    until_ms: int,
    *,
    pacer: Pacer,
    progress: Progress | None = None,
    refetch: bool = False,
) -> DownloadReport:
    """Fetches the bars opening in [since, until) that have closed, and stores every page at once.

    Starts after the last stored bar when the stored series already covers ``since`` (``refetch`` starts
    over).
    Raises DownloadError when the venue gives nothing at all or fails for good.
    """
    interval = key.interval_ms
    closed_ms = pacer.now_ms() // interval * interval
    since_ms = -(-since_ms // interval) * interval
    until_ms = min(-(-until_ms // interval) * interval, closed_ms)
    manifest = catalog.manifest(key)
    report = DownloadReport(key, since_ms, until_ms, manifest)
    if until_ms <= since_ms:
        report.notes.append("No bar of the window has closed yet.")
        return report
    for start_ms, end_ms in _ranges(manifest, since_ms, until_ms, interval, refetch=refetch, report=report):
        fetch_range(source, catalog, key, start_ms, end_ms, pacer=pacer, report=report, progress=progress)
    return report


def backfill_gaps(
    source: CandleSource, catalog: Catalog, key: SeriesKey, gaps: Sequence[GapRange], *, pacer: Pacer
) -> DownloadReport:
    """Asks the venue for missing bars only. A minute that no trade filled stays missing and is no error."""
    bounds = (gaps[0].first_ms, gaps[-1].last_ms + key.interval_ms) if gaps else (0, 0)
    report = DownloadReport(key, *bounds, catalog.manifest(key))
    for start_ms, end_ms in _joined(gaps, source.page_limit * key.interval_ms // 2, key.interval_ms):
        fetch_range(source, catalog, key, start_ms, end_ms, pacer=pacer, report=report)
    return report


def fetch_range(
    source: CandleSource,
    catalog: Catalog,
    key: SeriesKey,
    start_ms: int,
    end_ms: int,
    *,
    pacer: Pacer,
    report: DownloadReport,
    progress: Progress | None = None,
) -> None:
    """Walks [start, end) page by page; adds to ``report``."""
    interval = key.interval_ms
    window_ms = source.page_limit * interval
    cursor, empty, before, seen = start_ms, 0, pacer.retries, False
    while cursor < end_ms:
        page_end = min(cursor + window_ms, end_ms)
        rows = pacer.call(lambda at=cursor, to=page_end: source.fetch(key.symbol, interval, at, to))  # type: ignore[misc]
        report.pages += 1
        oldest, newest = _store(catalog, key, source, rows, cursor, end_ms, pacer.now_ms(), report)
        if oldest is not None and not seen:
            seen = True
            if oldest - start_ms > NOTABLE_BARS * interval:
                at = datetime.fromtimestamp(oldest / 1000, tz=UTC)
                report.notes.append(f"What {source.venue} gives of it reaches back only to {at:%Y-%m-%d %H:%M}.")
        report.retries, empty = pacer.retries - before + report.retries, empty + 1 if newest is None else 0
        before = pacer.retries
        if empty > MAX_EMPTY_PAGES:
            raise DownloadError(
                f"{source.venue} gave no {key.interval} bar of {key.symbol} over {MAX_EMPTY_PAGES} pages: "
                "choose a later --since."
            )
        cursor = page_end if newest is None else max(newest + interval, cursor + interval)
        if progress:
            progress(min(cursor, end_ms) - start_ms, end_ms - start_ms)


def _store(
    catalog: Catalog,
    key: SeriesKey,
    source: CandleSource,
    rows: list[Row],
    start_ms: int,
    end_ms: int,
    now_ms: int,
    report: DownloadReport,
) -> tuple[int | None, int | None]:
    """Validates and merges one page; returns the oldest and newest opening time in the range."""
    report.received += len(rows)
    inside: list[Row] = []
    for row in rows:
        ts_ms = int(row[0] or 0)
        if ts_ms + key.interval_ms > now_ms:
            report.unfinished += 1
        elif not start_ms <= ts_ms < end_ms:
            report.outside += 1
        else:
            inside.append(row)
    if not inside:
        return None, None
    table = np.array([[np.nan if cell is None else cell for cell in row[:6]] for row in inside], np.float64)
    stamps = np.array([int(row[0] or 0) for row in inside], np.int64)
    raw = RawSeries(
        venue=key.venue,
        symbol=key.symbol,
        kind=Kind.TRADE,
        source=f"download from {source.venue}",
        ts_us=stamps * 1000,
        values={name: table[:, 1 + i] for i, name in enumerate(FIELDS)},
        lines=np.arange(1, len(inside) + 1, dtype=np.int64),
        interval_ms=key.interval_ms,
    )
    valid = validate_series(raw, ValidationRules(now_ms=now_ms, stamp="open", zone_given=True, prefer_last=True))
    merged = catalog.merge(key, valid.bars, source=raw.source, bad=valid.bad)
    report.accepted += merged.accepted
    report.unchanged += merged.unchanged
    report.replaced += merged.replaced
    report.quarantined += [*valid.bad, *merged.refused]
    report.displaced += merged.displaced
    report.manifest = merged.manifest
    return int(stamps.min()), int(stamps.max())


def _ranges(
    manifest: Manifest | None,
    since_ms: int,
    until_ms: int,
    interval: int,
    *,
    refetch: bool,
    report: DownloadReport,
) -> list[tuple[int, int]]:
    if refetch or manifest is None or manifest.first_ms is None or manifest.last_ms is None:
        return [(since_ms, until_ms)]
    first, following = manifest.first_ms, manifest.last_ms + interval
    if following <= since_ms or first >= until_ms:
        return [(since_ms, until_ms)]
    report.resumed_at_ms = following
    wanted = [(since_ms, min(first, until_ms)), (max(following, since_ms), until_ms)]
    ranges = [(start, end) for start, end in wanted if start < end]
    if not ranges:
        report.notes.append("Everything is stored already; gaps inside are the business of check_candles --backfill.")
    return ranges


def _joined(gaps: Sequence[GapRange], reach_ms: int, interval: int) -> list[tuple[int, int]]:
    """Neighbouring gaps in one call, as far as half a page reaches."""
    joined: list[tuple[int, int]] = []
    for gap in gaps:
        end = gap.last_ms + interval
        if joined and end - joined[-1][0] <= reach_ms:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((gap.first_ms, end))
    return joined
