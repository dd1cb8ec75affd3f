"""Fresh candles for the forward cohorts that follow the market itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.utils.module_loading import import_string

from fundops.core import clock
from trading.actions.marketdata import download_candles
from trading.marketdata.bars import SYNTHETIC_VENUE
from trading.marketdata.download import CandleSource, DownloadReport, Pacer
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from trading.models.deployments import WORKED_STATUSES, Deployment

#: What a new cohort may want of the past before its first bar.
HISTORY_MS = 2 * 3_600_000

SourceOf = Callable[[str], CandleSource]


def venue_source(venue: str) -> CandleSource:
    """The venue through ccxt, loaded on first use: only processes that talk to venues pay for it."""
    source: CandleSource = import_string("trading.marketdata.ccxt_source.CcxtSource")(venue)
    return source


def feed_forward_cohorts(*, source_of: SourceOf = venue_source) -> list[DownloadReport]:
    """Downloads what has closed since the last time, once for each series that a running cohort or desk waits for."""
    waiting = Cohort.objects.filter(mode=CohortMode.FORWARD, speed=1.0, status=CohortStatus.RUNNING)
    wanted = {
        (cohort.venue, symbol, cohort.interval_ms)
        for cohort in waiting.exclude(venue=SYNTHETIC_VENUE)
        for symbol in cohort.symbols
    }
    desks = Deployment.objects.filter(speed=1.0, status__in=WORKED_STATUSES).exclude(venue=SYNTHETIC_VENUE)
    wanted |= {(desk.venue, symbol, desk.interval_ms) for desk in desks for symbol in desk.symbols}
    sources = {venue: source_of(venue) for venue in sorted({venue for venue, _, _ in wanted})}
    now_ms = clock.now_ms()
    return [
        download_candles(
            source=sources[venue],
            symbol=symbol,
            interval_ms=interval_ms,
            since_ms=now_ms - HISTORY_MS,
            until_ms=now_ms,
            actor=None,
            pacer=Pacer(sources[venue].min_pause_ms, now_ms=clock.now_ms, sleep=time.sleep),
        )
        for venue, symbol, interval_ms in sorted(wanted)
    ]
