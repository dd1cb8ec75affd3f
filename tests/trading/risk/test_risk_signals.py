"""What trading tells the kill switch of its desks and candles, and what the switch makes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fundops.core import clock
from risk.models import KillSwitch, RiskSignal, StopCause
from risk.quant.pretrade import TradingMode
from risk.sources import risk_source
from risk.switch_triggers import readings
from risk.switch_watch import watch_triggers
from risk.switches import trading_mode_for
from tests.trading.desk.support import UNCOUPLED, by_family, finished, replay_of, work_off
from trading.errors import BooksDisagreeError
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from trading.models.deployments import Deployment, DeploymentStatus, DeskRun
from trading.models.marketdata import CandleSet
from trading.risk_signals import desk_failed, gateway_failed, tell_signals
from treasury.models import Book

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def deployment(launched: Callable[..., Cohort]) -> Deployment:
    """One that is deployed and has not been worked yet, made over the days of its agent's cohort."""
    cohort = finished(launched(days=1, agent_count=12, bankroll=Decimal(6000), **UNCOUPLED))
    return replay_of(by_family(cohort, "tsmom_volatility"), hours=2)


def mode(book: Book, venue: str = "") -> TradingMode | None:
    return trading_mode_for(book_id=book.pk, venue=venue)


def test_a_desk_misses_its_heartbeat_only_while_it_has_something_to_do(deployment: Deployment) -> None:
    book = deployment.book
    DeskRun.objects.filter(deployment=deployment).update(heartbeat_at=NOW)
    tell_signals(due=[], at=NOW + timedelta(seconds=500))
    assert watch_triggers(at=NOW + timedelta(seconds=510), causes=[StopCause.HEARTBEAT]) == []
    RiskSignal.objects.all().delete()
    tell_signals(due=[deployment.pk], at=NOW + timedelta(seconds=500))
    watch_triggers(at=NOW + timedelta(seconds=510), causes=[StopCause.HEARTBEAT])
    assert mode(book) is TradingMode.HALTED
    assert KillSwitch.objects.get(book=book).cause == "heartbeat"


def test_trading_that_falls_silent_is_stopped(deployment: Deployment) -> None:
    """The worker that tells has died: nobody says that the desk has nothing to do."""
    tell_signals(due=[], at=NOW)
    watch_triggers(at=NOW + timedelta(seconds=91), causes=[StopCause.HEARTBEAT])
    assert mode(deployment.book) is TradingMode.HALTED


def test_a_desk_that_has_ended_is_expected_no_more(deployment: Deployment) -> None:
    tell_signals(due=[], at=NOW)
    assert RiskSignal.objects.count() == 1
    Deployment.objects.filter(pk=deployment.pk).update(status=DeploymentStatus.STOPPED)
    tell_signals(due=[], at=NOW)
    assert not RiskSignal.objects.exists()


def test_books_that_disagree_halt_the_desks_book_at_once(deployment: Deployment) -> None:
    desk_failed(deployment, BooksDisagreeError("The desk counts 1, the ledger says 2."))
    assert mode(deployment.book) is TradingMode.HALTED
    assert KillSwitch.objects.get().cause == "reconciliation"


def test_a_gateway_that_keeps_failing_halts_what_it_fails(deployment: Deployment) -> None:
    for _ in range(10):
        gateway_failed([deployment], "No answer.")
    assert mode(deployment.book, deployment.venue) is TradingMode.ACTIVE
    gateway_failed([deployment], "No answer.")
    assert mode(deployment.book, deployment.venue) is TradingMode.HALTED
    assert mode(deployment.book, "elsewhere") is TradingMode.ACTIVE


def test_a_desks_book_is_measured_at_its_own_clock(deployment: Deployment) -> None:
    work_off(deployment)
    run = DeskRun.objects.get(deployment=deployment)
    at = clock.now()
    found = risk_source().figures([deployment.book_id], at)[deployment.book_id]
    assert found.equity == pytest.approx(float(run.equity), abs=0.01)
    assert found.day_open_equity == pytest.approx(float(run.day_open_equity))
    assert found.peak_equity == pytest.approx(max(float(run.peak_equity), float(run.equity)), abs=0.01)
    assert all(p.venue == deployment.venue for p in found.positions)


# --- Candles ---------------------------------------------------------------------------------------------------
def test_candles_are_late_from_when_the_next_bar_should_be_there(specification: Callable[..., Cohort]) -> None:
    cohort = specification(mode=CohortMode.FORWARD, venue="kraken", quote="USDT", interval="5m", symbols=["BTCUSDT"])
    cohort.status, cohort.launched_at = CohortStatus.RUNNING, NOW - timedelta(hours=1)
    cohort.save()
    stored = CandleSet.objects.create(
        venue="kraken", symbol="BTCUSDT", interval_ms=300_000, interval="5m", rows=9, first_at=NOW, sha256="0" * 64,
        last_at=NOW - timedelta(minutes=10), created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    tell_signals(due=[], at=NOW)
    (reading,) = readings(at=NOW, causes=[StopCause.STALE_DATA])
    assert (reading.venue, reading.value) == ("kraken", 0.0), "the next bar is due now"
    tell_signals(due=[], at=NOW + timedelta(seconds=301))
    assert watch_triggers(at=NOW + timedelta(seconds=299), causes=[StopCause.STALE_DATA]) == []
    watch_triggers(at=NOW + timedelta(seconds=301), causes=[StopCause.STALE_DATA])
    assert trading_mode_for(book_id=cohort.fund.books.get().pk, venue="kraken") is TradingMode.REDUCING
    stored.last_at = NOW - timedelta(minutes=5)
    stored.save()
    tell_signals(due=[], at=NOW + timedelta(seconds=310))
    (reading,) = readings(at=NOW + timedelta(seconds=310), causes=[StopCause.STALE_DATA])
    assert reading.value == 10.0
    Cohort.objects.update(status=CohortStatus.COMPLETED)
    tell_signals(due=[], at=NOW)
    assert not RiskSignal.objects.exists()
