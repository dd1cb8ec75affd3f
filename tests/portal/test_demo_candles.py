"""The demo trades the candles that were given, also where it has been before, and something in it always lives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from fundops.core import clock
from portal import demo
from tests.trading.marketdata.helpers import as_csv, make_bars, write
from tests.trading.marketdata.venue_server import VenueServer, serve
from trading.actions.cohort import end_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.marketdata.intervals import DAY_MS, MINUTE_MS
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from treasury.models import Fund

pytestmark = pytest.mark.soak

HOUR_MS = 60 * MINUTE_MS
QUARTER_MS = 15 * MINUTE_MS
MARCH = clock.to_ms(datetime(2025, 3, 1, tzinfo=UTC))


def said(_text: str) -> None:
    """What the demo says is not asked for here."""


@pytest.fixture
def fund(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: None) -> Fund:
    """The demo's people and fund, and four days of an invented market that it has already."""
    settings.MARKET_DATA_URL = str(tmp_path / "market-data")
    monkeypatch.setattr(demo, "SAMPLE_DATA", tmp_path / "none")
    monkeypatch.setattr(demo, "SYNTHETIC_SYMBOLS", ("BTCUSDT",))
    monkeypatch.setattr(demo, "SYNTHETIC_DAYS", 4)
    monkeypatch.setattr(demo, "DOLLAR_SYMBOLS", ("BTCUSD",))
    demo.make_people()
    return demo.make_fund()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three days of one market by the hour, as a person has them on disk."""
    bars = make_bars(72, start_ms=MARCH, interval_ms=HOUR_MS, price=60_000)
    write(tmp_path / "given" / "bybit" / "BTCUSDT_1h.csv", as_csv(bars))
    return tmp_path / "given"


@pytest.fixture
def kraken() -> Iterator[VenueServer]:
    """Kraken with quarters of an hour of the last six whole days, and of today."""
    start_ms = clock.now_ms() // DAY_MS * DAY_MS - 6 * DAY_MS
    count = (clock.now_ms() - start_ms) // QUARTER_MS + 1
    bars = make_bars(count, start_ms=start_ms, interval_ms=QUARTER_MS, price=60_000)
    with serve(VenueServer(bars, clock.now_ms(), minutes=15)) as server:
        yield server


def invent(fund: Fund) -> list[Cohort]:
    assert demo.make_candles(path=None, source=None, base_url=None, say=said) is None
    return demo.make_cohorts(fund, say=said)


def test_a_folder_of_candles_is_what_the_cohorts_trade(fund: Fund, folder: Path) -> None:
    venue = demo.make_candles(path=folder, source=None, base_url=None, say=said)
    assert venue == "bybit"
    cohorts = demo.make_cohorts(fund, venue=venue, say=said)
    assert {(c.venue, c.interval, c.start.isoformat(), c.synthetic) for c in cohorts} == {
        ("bybit", "1h", "2025-03-01", False)
    }
    assert [c.status for c in cohorts[:3]] == [CohortStatus.COMPLETED] * 3


def test_on_an_existing_demo_given_candles_are_traded_anew_and_once(fund: Fund, folder: Path) -> None:
    before = {cohort.pk for cohort in invent(fund)}
    for _ in range(2):
        venue = demo.make_candles(path=folder, source=None, base_url=None, say=said)
        cohorts = demo.make_cohorts(fund, venue=venue, say=said)
        assert {c.venue for c in cohorts} == {"bybit"}
        assert not before & {c.pk for c in cohorts}
    assert Cohort.objects.count() == 8
    assert cohorts[0].name == "Profiles, bybit 01 Mar 2025"
    assert set(cohorts[2].parents.all()) == set(cohorts[:2])


def test_without_candles_given_the_demo_stays_what_it_is(fund: Fund) -> None:
    first = invent(fund)
    assert [c.pk for c in invent(fund)] == [c.pk for c in first]


def test_too_little_given_is_said_of_that_venue(fund: Fund, folder: Path, tmp_path: Path) -> None:
    invent(fund)
    few = make_bars(24, start_ms=MARCH, interval_ms=HOUR_MS)
    write(tmp_path / "few" / "okx" / "BTCUSDT_1h.csv", as_csv(few))
    venue = demo.make_candles(path=tmp_path / "few", source=None, base_url=None, say=said)
    with pytest.raises(demo.NoCandlesError, match="candles of okx"):
        demo.make_cohorts(fund, venue=venue, say=said)


def test_a_forward_cohort_is_launched_whenever_none_lives(fund: Fund) -> None:
    forward = invent(fund)[3]
    assert forward.mode == CohortMode.FORWARD
    drive_cohort(cohort_id=forward.pk)
    assert invent(fund)[3].pk == forward.pk, "it is trading"
    with clock.frozen(clock.now() + timedelta(minutes=15)):
        assert drive_cohort(cohort_id=forward.pk).status == CohortStatus.COMPLETED
    second = invent(fund)[3]
    assert (second.name, second.is_live) == ("Forward, accelerated, 2", True)
    assert second.seed != forward.seed
    end_cohort(cohort_id=second.pk, status=CohortStatus.FAILED, failure="broke")
    assert invent(fund)[3].name == "Forward, accelerated, 3"


def test_the_command_downloads_from_the_venue_and_trades_that(fund: Fund, kraken: VenueServer) -> None:
    invent(fund)
    call_command("demo", source="kraken", base_url=kraken.url, stdout=StringIO())
    of_kraken = Cohort.objects.filter(venue="kraken")
    assert {(c.interval, *c.symbols) for c in of_kraken} == {("15m", "BTCUSD")}
    assert [c.status for c in of_kraken.filter(mode=CohortMode.REPLAY)] == [CohortStatus.COMPLETED] * 3
    assert of_kraken.filter(mode=CohortMode.FORWARD).get().is_live
    assert kraken.candle_requests()
