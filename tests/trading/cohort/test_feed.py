"""A cohort at the market's own speed trades every bar its venue gives, over outages, faults and quiet minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from pytest_django import Settings

from fundops.core import clock
from fundops.core.models import User
from tests.trading.marketdata.helpers import MAY_4, make_bars
from tests.trading.marketdata.venue_server import UNAVAILABLE, VenueServer, serve
from trading.actions.cohort import launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_feed import feed_forward_cohorts
from trading.marketdata.bars import Bars, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.ccxt_source import CcxtSource
from trading.marketdata.intervals import MINUTE_MS
from trading.models.cohort import Cohort, CohortDay, CohortMode, CohortRun
from trading.models.marketdata import CandleFeed, CandleSet

Make = Callable[..., Cohort]
Feed = Callable[[], int]

BARS = make_bars(2500, price=60_000)
KEY = SeriesKey("binance", "BTCUSDT", MINUTE_MS)
LAUNCH = datetime(2025, 5, 5, 6, 0, tzinfo=UTC)
LAUNCH_MS = clock.to_ms(LAUNCH)


@pytest.fixture
def server() -> Iterator[VenueServer]:
    with serve(VenueServer(BARS, now_ms=0)) as running:
        yield running


@pytest.fixture
def catalog(settings: Settings, candles: Path, tmp_path: Path) -> Catalog:
    settings.MARKET_DATA_URL = str(tmp_path)
    return Catalog.open(str(tmp_path))


def stored(catalog: Catalog, bars: Bars, key: SeriesKey = KEY) -> None:
    catalog.merge(key, bars, source="test")


def until(at_ms: int) -> Bars:
    return BARS.between(MAY_4, at_ms)


@pytest.fixture
def cohort(catalog: Catalog, specification: Make, manager: User) -> Cohort:
    """Launched and prepared at 06:00 with every bar before it, at its first bar."""
    stored(catalog, until(LAUNCH_MS))
    return follow(specification, manager)


def follow(specification: Make, manager: User, symbols: tuple[str, ...] = ("BTCUSDT",)) -> Cohort:
    spec = specification(
        venue="binance", symbols=list(symbols), mode=CohortMode.FORWARD, speed=1.0, start=LAUNCH.date(), days=1
    )
    with clock.frozen(LAUNCH):
        made = launch_cohort(cohort=spec, actor=manager, queued=False)
        return drive_cohort(cohort_id=made.pk)


def feed(server: VenueServer) -> int:
    """One call of the feed through ccxt; returns how many series came in."""
    reports = feed_forward_cohorts(
        source_of=lambda venue: CcxtSource(venue, base_url=server.url), sleep=lambda seconds: None
    )
    return len(reports)


def position(cohort: Cohort) -> int:
    """The next bar, in minutes since the launch."""
    return (CohortRun.objects.get(cohort=cohort).next_bar_ms - LAUNCH_MS) // MINUTE_MS


def at(minutes: float) -> datetime:
    return LAUNCH + timedelta(minutes=minutes)


def test_after_an_outage_the_bars_the_venue_gives_are_awaited_and_traded(
    cohort: Cohort, server: VenueServer, catalog: Catalog
) -> None:
    with clock.frozen(at(300.2)):
        assert position(drive_cohort(cohort_id=cohort.pk)) == 0, "five hours late, and nobody has asked the venue yet"
        assert "Waits for binance's candles of BTCUSDT from 2025-05-05 06:00" in Cohort.objects.get().waiting_for
        assert feed(server) == 1
        assert position(drive_cohort(cohort_id=cohort.pk)) == 300
    assert Cohort.objects.get().waiting_for == ""
    assert catalog.gaps(KEY) == []
    assert len(catalog.read_bars(KEY, LAUNCH_MS, LAUNCH_MS + 300 * MINUTE_MS)) == 300


def test_a_hole_that_others_left_behind_is_fetched_before_it_is_traded(
    cohort: Cohort, server: VenueServer, catalog: Catalog
) -> None:
    """Somebody downloaded the latest minutes during the outage: stored bars end now, with a hole before them."""
    stored(catalog, BARS.between(LAUNCH_MS + 290 * MINUTE_MS, LAUNCH_MS + 300 * MINUTE_MS))
    with clock.frozen(at(300.2)):
        assert position(drive_cohort(cohort_id=cohort.pk)) == 0
        feed(server)
        assert catalog.gaps(KEY) == []
        assert position(drive_cohort(cohort_id=cohort.pk)) == 300


def test_bars_that_came_by_hand_are_traded_without_the_feed(cohort: Cohort, catalog: Catalog) -> None:
    stored(catalog, BARS.between(LAUNCH_MS, LAUNCH_MS + 30 * MINUTE_MS))
    with clock.frozen(at(40)):
        assert position(drive_cohort(cohort_id=cohort.pk)) == 30


def test_a_quiet_minute_is_passed_once_the_venue_was_asked_and_gave_later_ones(
    specification: Make, manager: User, catalog: Catalog
) -> None:
    stored(catalog, until(LAUNCH_MS))
    cohort = follow(specification, manager)
    quiet = BARS.take(np.flatnonzero(BARS.ts_ms != LAUNCH_MS + 3 * MINUTE_MS))
    with serve(VenueServer(quiet, now_ms=0)) as server, clock.frozen(at(10.2)):
        feed(server)
        assert position(drive_cohort(cohort_id=cohort.pk)) == 10


def test_a_market_that_went_quiet_is_waited_for_five_bars_after_the_answer(
    specification: Make, manager: User, catalog: Catalog
) -> None:
    stored(catalog, until(LAUNCH_MS))
    cohort = follow(specification, manager)
    with serve(VenueServer(until(LAUNCH_MS + 2 * MINUTE_MS), now_ms=0)) as server:
        with clock.frozen(at(4.5)):
            feed(server)
            assert position(drive_cohort(cohort_id=cohort.pk)) == 2
        with clock.frozen(at(10.5)):
            assert position(drive_cohort(cohort_id=cohort.pk)) == 4, "as far as the venue was asked, and no further"
            feed(server)
            assert position(drive_cohort(cohort_id=cohort.pk)) == 5


def test_a_venue_that_fails_is_waited_for_as_long_as_patience_lasts(cohort: Cohort, server: VenueServer) -> None:
    for minute in (100, 101, 102, 103, 104):
        server.faults = [UNAVAILABLE] * 2
        with clock.frozen(at(minute)):
            assert feed(server) == 0
            assert position(drive_cohort(cohort_id=cohort.pk)) == 0
    assert "503" in Cohort.objects.get().waiting_for
    server.faults = [UNAVAILABLE] * 2
    with clock.frozen(at(105.1)):
        feed(server)
        assert position(drive_cohort(cohort_id=cohort.pk)) == 100
    assert CandleFeed.objects.get().failing_since == at(100)


def test_failures_before_an_outage_of_our_own_count_for_nothing_after_it(cohort: Cohort, server: VenueServer) -> None:
    for minute in (1, 200):
        server.faults = [UNAVAILABLE] * 2
        with clock.frozen(at(minute)):
            feed(server)
            assert position(drive_cohort(cohort_id=cohort.pk)) == 0
    with clock.frozen(at(201.2)):
        feed(server)
        assert position(drive_cohort(cohort_id=cohort.pk)) == 201
    feed_row = CandleFeed.objects.get()
    assert (feed_row.failing_since, feed_row.failure) == (None, "")


def test_one_series_that_fails_leaves_the_others_alone(
    specification: Make, manager: User, catalog: Catalog, server: VenueServer
) -> None:
    """The venue has no ADAUSDT; of the names asked for it comes first."""
    for symbol in ("ADAUSDT", "BTCUSDT"):
        stored(catalog, until(LAUNCH_MS), SeriesKey("binance", symbol, MINUTE_MS))
    cohort = follow(specification, manager)
    follow(specification, manager, ("ADAUSDT",))
    with clock.frozen(at(60.2)):
        assert feed(server) == 1
        assert position(drive_cohort(cohort_id=cohort.pk)) == 60
    assert "has no spot market ADAUSDT" in CandleFeed.objects.get(symbol="ADAUSDT").failure
    assert CandleSet.objects.get(symbol="BTCUSDT").last_at == at(59)


def test_a_cohort_over_an_outage_measures_what_one_without_it_does(
    specification: Make, manager: User, catalog: Catalog, server: VenueServer
) -> None:
    stored(catalog, until(LAUNCH_MS))
    disturbed, steady = follow(specification, manager), follow(specification, manager)
    for minute in (30.2, 61.2, 95.2, 240.2):
        with clock.frozen(at(minute)):
            feed(server)
            drive_cohort(cohort_id=steady.pk)
            if minute in {30.2, 240.2}:
                drive_cohort(cohort_id=disturbed.pk)
    assert position(disturbed) == position(steady) == 240
    first, second = (CohortDay.objects.get(cohort=cohort) for cohort in (disturbed, steady))
    assert first.hourly_equity == second.hourly_equity
    assert first.equity == second.equity
