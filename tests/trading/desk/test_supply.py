"""Desks at the market's own speed wait for their venue as cohorts do: asked first, patient afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from fundops.core import clock
from tests.trading.marketdata.helpers import MAY_4, make_bars
from trading.desk.drive import bars_known_until
from trading.marketdata.bars import SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.intervals import MINUTE_MS
from trading.models.deployments import Deployment, DeskRun
from trading.models.marketdata import CandleFeed

NOW = datetime(2025, 5, 4, 4, 0, tzinfo=UTC)
NEXT_MS = MAY_4 + 60 * MINUTE_MS


@pytest.fixture
def desk(settings: Settings, tmp_path: Path, db: None) -> Deployment:
    """Stands at 01:00, where stored candles end; it is 04:00."""
    settings.MARKET_DATA_URL = str(tmp_path)
    Catalog.open(str(tmp_path)).merge(SeriesKey("binance", "BTCUSDT", MINUTE_MS), make_bars(60), source="test")
    return Deployment(venue="binance", symbols=["BTCUSDT"], interval="1m", start_ms=MAY_4, speed=1.0)


def known(desk: Deployment) -> int:
    with clock.frozen(NOW):
        return bars_known_until(desk, DeskRun(next_bar_ms=NEXT_MS), {})


def test_a_desk_waits_until_its_venue_was_asked(desk: Deployment) -> None:
    assert known(desk) == NEXT_MS


def test_a_desk_passes_what_the_venue_was_asked_for_and_did_not_give(desk: Deployment) -> None:
    CandleFeed.objects.create(
        venue="binance", symbol="BTCUSDT", interval_ms=MINUTE_MS, answered_until=NOW, asked_at=NOW
    )
    assert known(desk) == clock.to_ms(NOW) - 5 * MINUTE_MS


def test_a_desk_gives_a_venue_up_that_kept_failing(desk: Deployment) -> None:
    feed = CandleFeed.objects.create(
        venue="binance",
        symbol="BTCUSDT",
        interval_ms=MINUTE_MS,
        asked_at=NOW,
        failing_since=NOW - timedelta(minutes=4),
        failure="away",
    )
    assert known(desk) == NEXT_MS
    feed.failing_since = NOW - timedelta(minutes=5)
    feed.save()
    assert known(desk) == clock.to_ms(NOW) - 5 * MINUTE_MS
