"""Fresh candles for the cohorts and desks that follow the market itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import InterfaceError, OperationalError, transaction
from django.utils.module_loading import import_string

from fundops.core import clock
from fundops.core.errors import FundopsError
from trading.actions.marketdata import download_candles
from trading.cohorts.catalog import open_catalog, series_or_none
from trading.marketdata.bars import SYNTHETIC_VENUE, SeriesKey
from trading.marketdata.download import CandleSource, DownloadReport, Pacer, RetryPolicy
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from trading.models.deployments import WORKED_STATUSES, Deployment
from trading.models.marketdata import CandleFeed
from trading.selectors.candle_feeds import is_stale, patience_of

logger = logging.getLogger(__name__)

#: What a new cohort may want of the past before its first bar.
HISTORY_MS = 2 * 3_600_000
#: The feed is called again in seconds anyway, and other series wait meanwhile.
POLICY = RetryPolicy(attempts=2)

SourceOf = Callable[[str], CandleSource]
_Series = tuple[str, str, int]


def venue_source(venue: str) -> CandleSource:
    """The venue through ccxt, loaded on first use: only processes that talk to venues pay for it."""
    source: CandleSource = import_string("trading.marketdata.ccxt_source.CcxtSource")(venue)
    return source


def feed_forward_cohorts(
    *, source_of: SourceOf = venue_source, sleep: Callable[[float], None] = time.sleep
) -> list[DownloadReport]:
    """Downloads what has closed since the bar that the slowest waits for, once a series; what fails is noted.

    A series' trouble is its own: the others come in, those that answered last time first.
    """
    wanted = wanted_series()
    feeds = {(feed.venue, feed.symbol, feed.interval_ms): feed for feed in CandleFeed.objects.all()}
    failing = {series for series, feed in feeds.items() if feed.failing_since is not None}
    venues = _Venues(source_of, sleep)
    reports = []
    for series in sorted(wanted, key=lambda series: (series in failing, series)):
        try:
            report = _download(series, wanted[series], feeds.get(series), venues)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.warning("No candles of %s on %s: %s", series[1], series[0], error)
            _note_failure(series, error)
        else:
            _note_answer(series, report.until_ms)
            reports.append(report)
    return reports


def wanted_series() -> dict[_Series, int]:
    """The series that a running cohort or desk follows, and from where (epoch ms) somebody may still want them."""
    wanted: dict[_Series, int] = {}
    latest = clock.now_ms() - HISTORY_MS
    cohorts = Cohort.objects.filter(mode=CohortMode.FORWARD, speed=1.0, status=CohortStatus.RUNNING)
    desks = Deployment.objects.filter(speed=1.0, status__in=WORKED_STATUSES)
    for queryset in (cohorts, desks):
        for one in queryset.exclude(venue=SYNTHETIC_VENUE).select_related("run"):
            for symbol in one.symbols:
                series = (one.venue, symbol, one.interval_ms)
                wanted[series] = min(wanted.get(series, latest), one.run.next_bar_ms)
    return wanted


@dataclass(slots=True)
class _Venues:
    """The venues of one round, each opened once, its calls kept apart."""

    source_of: SourceOf
    sleep: Callable[[float], None]
    opened: dict[str, tuple[CandleSource, Pacer]] = field(default_factory=dict)

    def open(self, venue: str) -> tuple[CandleSource, Pacer]:
        if venue not in self.opened:
            source = self.source_of(venue)
            pacer = Pacer(source.min_pause_ms, now_ms=clock.now_ms, sleep=self.sleep, policy=POLICY)
            self.opened[venue] = source, pacer
        return self.opened[venue]


def _download(series: _Series, since_ms: int, feed: CandleFeed | None, venues: _Venues) -> DownloadReport:
    venue, symbol, interval_ms = series
    source, pacer = venues.open(venue)
    hole_ms = _first_hole(series, since_ms, feed)
    return download_candles(
        source=source,
        symbol=symbol,
        interval_ms=interval_ms,
        since_ms=since_ms if hole_ms is None else hole_ms,
        until_ms=clock.now_ms(),
        actor=None,
        pacer=pacer,
        refetch=hole_ms is not None,
    )


def _first_hole(series: _Series, since_ms: int, feed: CandleFeed | None) -> int | None:
    """The first bar that is missing among the stored ones and that the venue was never asked for, epoch ms."""
    catalog = open_catalog()
    stored = series_or_none(catalog, *series)
    if stored is None or stored.last_ms is None:
        return None
    answered = clock.to_ms(feed.answered_until) if feed is not None and feed.answered_until is not None else 0
    start = max(since_ms, answered)
    if start >= stored.last_ms:
        return None
    gaps = catalog.gaps(SeriesKey(*series), start, stored.last_ms)
    return gaps[0].first_ms if gaps else None


def _note_answer(series: _Series, until_ms: int) -> None:
    with transaction.atomic():
        feed = _locked(series)
        until = clock.from_ms(until_ms)
        feed.answered_until = max(feed.answered_until or until, until)
        feed.asked_at, feed.failing_since, feed.failure = clock.now(), None, ""
        feed.save()


def _note_failure(series: _Series, error: Exception) -> None:
    with transaction.atomic():
        feed = _locked(series)
        now = clock.now()
        if feed.failing_since is None or is_stale(feed.asked_at, now, patience_of(series[2])):
            feed.failing_since = now
        feed.asked_at = now
        feed.failure = (error.message if isinstance(error, FundopsError) else f"{type(error).__name__}: {error}")[:400]
        feed.save()


def _locked(series: _Series) -> CandleFeed:
    venue, symbol, interval_ms = series
    feed, _ = CandleFeed.objects.select_for_update().get_or_create(
        venue=venue, symbol=symbol, interval_ms=interval_ms, defaults={"asked_at": clock.now()}
    )
    return feed
