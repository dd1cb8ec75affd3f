"""Downloading against a scripted venue: paging, pacing, retries, resumption, backfill. Time is simulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.marketdata.helpers import MAY_4, MemoryStorage, assert_same_bars, make_bars
from trading.marketdata.bars import FIELDS, Bars, Reason, SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.download import (
    DownloadReport,
    Pacer,
    RetryPolicy,
    Row,
    TransientSourceError,
    backfill_gaps,
    download_series,
)
from trading.marketdata.errors import DownloadError
from trading.marketdata.intervals import DAY_MS, MINUTE_MS

KEY = SeriesKey("venue", "BTCUSDT", MINUTE_MS)
BARS = make_bars(1000)
END_MS = MAY_4 + 1000 * MINUTE_MS


@dataclass
class Clock:
    now: int = MAY_4 + DAY_MS
    slept: list[float] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * 1000)


@dataclass
class Venue:
    """Serves its bars; fails as told, one entry a call (None is success)."""

    bars: Bars = BARS
    failures: list[Exception | None] = field(default_factory=list)
    venue: str = "venue"
    page_limit: int = 100
    min_pause_ms: int = 50
    calls: list[tuple[int, int]] = field(default_factory=list)
    edit: Callable[[list[Row]], list[Row]] = list

    def resolve(self, symbol: str) -> str:
        return symbol

    def fetch(self, symbol: str, interval_ms: int, since_ms: int, until_ms: int) -> list[Row]:
        self.calls.append((since_ms, until_ms))
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        page = self.bars.between(since_ms, 10**15).take(slice(0, self.page_limit))
        return self.edit(rows_of(page))


def rows_of(bars: Bars) -> list[Row]:
    return [[int(bars.ts_ms[i]), *(float(getattr(bars, name)[i]) for name in FIELDS)] for i in range(len(bars))]


def run(venue: Venue, catalog: Catalog, clock: Clock, since_ms: int = MAY_4, until_ms: int = END_MS) -> DownloadReport:
    pacer = Pacer(venue.min_pause_ms, clock.now_ms, clock.sleep)
    report = download_series(venue, catalog, KEY, since_ms, until_ms, pacer=pacer)
    assert report.reconciles
    return report


def test_pages_until_the_end_and_keeps_the_pace(catalog: Catalog) -> None:
    venue, clock = Venue(), Clock()
    report = run(venue, catalog, clock)
    assert (report.pages, report.accepted) == (10, 1000)
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), BARS)
    assert clock.slept == [0.05] * 9
    assert [since for since, _ in venue.calls] == [MAY_4 + i * 100 * MINUTE_MS for i in range(10)]


def test_transient_failures_are_retried_with_growing_pauses(catalog: Catalog) -> None:
    busy = TransientSourceError("busy")
    venue, clock = Venue(failures=[None, busy, busy, TransientSourceError("slow down", 17.0), None]), Clock()
    report = run(venue, catalog, clock)
    assert (report.retries, report.accepted) == (3, 1000)
    assert [s for s in clock.slept if s >= 1] == [1.0, 2.0, 17.0]


def test_giving_up_keeps_what_came_and_the_next_run_goes_on_there(catalog: Catalog) -> None:
    venue, clock = Venue(failures=[None, None, *[TransientSourceError("down")] * 6]), Clock()
    with pytest.raises(DownloadError, match="run the same command again"):
        run(venue, catalog, clock)
    assert len(catalog.read_bars(KEY, 0, 10**14)) == 200
    venue.calls.clear()
    report = run(venue, catalog, clock)
    assert report.resumed_at_ms == MAY_4 + 200 * MINUTE_MS
    assert venue.calls[0][0] == MAY_4 + 200 * MINUTE_MS
    assert (report.accepted, report.unchanged) == (800, 0)
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), BARS)


def test_earlier_start_fetches_the_head_only(catalog: Catalog) -> None:
    clock = Clock()
    run(Venue(), catalog, clock, since_ms=MAY_4 + 500 * MINUTE_MS)
    venue = Venue()
    report = run(venue, catalog, clock)
    assert report.accepted == 500
    assert {since < MAY_4 + 500 * MINUTE_MS for since, _ in venue.calls} == {True}
    again = Venue()
    assert run(again, catalog, clock).pages == 0
    assert again.calls == []


def test_unfinished_bar_is_dropped_and_fetched_when_it_has_closed(catalog: Catalog) -> None:
    clock = Clock(now=END_MS - 30_000)
    venue = Venue()
    report = run(venue, catalog, clock, until_ms=END_MS + DAY_MS)
    assert (report.accepted, report.unfinished, report.quarantined) == (999, 1, [])
    clock.now = END_MS + 1
    assert run(venue, catalog, clock, until_ms=END_MS + DAY_MS).accepted == 1
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), BARS)


def test_quiet_stretch_longer_than_a_page_is_walked_over(catalog: Catalog) -> None:
    holes = BARS.take(np.r_[0:50, 450:1000])
    venue = Venue(bars=holes)
    venue.edit = lambda rows: [row for row in rows if int(row[0] or 0) < venue.calls[-1][1]]
    report = run(venue, catalog, Clock())
    assert report.accepted == 600
    assert [gap.bars for gap in catalog.gaps(KEY)] == [400]


def test_short_pages_newest_first_and_strays_do_no_harm(catalog: Catalog) -> None:
    venue = Venue()
    stray: list[Row] = [[MAY_4 - DAY_MS, 1, 1, 1, 1, 1]]
    venue.edit = lambda rows: rows[:70][::-1] + stray
    report = run(venue, catalog, Clock())
    assert (report.accepted, report.outside) == (1000, report.pages)
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), BARS)


def test_bad_bar_of_a_venue_goes_to_quarantine(catalog: Catalog) -> None:
    venue = Venue()

    def spoil(rows: list[Row]) -> list[Row]:
        return [[row[0], row[1], 0.0, *row[3:]] if row[0] == MAY_4 + 42 * MINUTE_MS else row for row in rows]

    venue.edit = spoil
    report = run(venue, catalog, Clock())
    assert [(row.reason, row.ts_ms) for row in report.quarantined] == [
        (Reason.NON_POSITIVE_PRICE, MAY_4 + 42 * MINUTE_MS)
    ]
    assert report.accepted == 999


def test_venue_with_nothing_at_all_ends_with_advice(catalog: Catalog) -> None:
    venue = Venue(bars=Bars.empty(), page_limit=1)
    with pytest.raises(DownloadError, match="later --since"):
        run(venue, catalog, Clock())


def test_backfill_asks_for_the_gaps_only_and_joins_neighbours(catalog: Catalog) -> None:
    catalog.merge(KEY, BARS.take(np.r_[0:100, 101:110, 112:700, 760:1000]), source="file")
    venue, clock = Venue(), Clock()
    gaps = catalog.gaps(KEY)
    venue.edit = lambda rows: [row for row in rows if int(row[0] or 0) < venue.calls[-1][1]]
    report = backfill_gaps(venue, catalog, KEY, gaps, pacer=Pacer(50, clock.now_ms, clock.sleep))
    minutes = [((a - MAY_4) // MINUTE_MS, (b - MAY_4) // MINUTE_MS) for a, b in venue.calls]
    assert minutes == [(100, 112), (700, 760)]
    assert (report.accepted, report.unchanged) == (63, 9)
    assert catalog.gaps(KEY) == []
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), BARS)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), max_size=40), st.integers(1, 300), st.integers(0, 999), st.integers(1, 1000))
def test_whatever_fails_running_again_ends_with_every_bar(
    failing: list[bool], page: int, since: int, length: int
) -> None:
    catalog, clock = Catalog(MemoryStorage()), Clock()
    venue = Venue(page_limit=page, failures=[TransientSourceError("x") if bad else None for bad in failing])
    start, end = MAY_4 + since * MINUTE_MS, min(MAY_4 + (since + length) * MINUTE_MS, END_MS)
    for _ in range(50):
        pacer = Pacer(1, clock.now_ms, clock.sleep, RetryPolicy(attempts=2))
        try:
            report = download_series(venue, catalog, KEY, start, end, pacer=pacer)
        except DownloadError:
            continue
        assert report.reconciles
        break
    assert_same_bars(catalog.read_bars(KEY, 0, 10**14), BARS.between(start, end))
