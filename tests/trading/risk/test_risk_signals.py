"""What trading tells the kill switch of its desks and candles, and what the switch makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import F, Sum

from compliance.models import AuditEvent
from fundops.core import clock
from risk.models import ErrorReport, KillSwitch, RiskSignal, StopCause
from risk.quant.pretrade import TradingMode
from risk.sources import risk_source
from risk.switch_triggers import readings
from risk.switch_watch import watch_triggers
from risk.switches import trading_mode_for
from tests.trading.desk.support import UNCOUPLED, by_family, finished, replay_of, work_off
from trading.actions.cohort_drive import drive_cohort, due_cohorts
from trading.actions.cohort_prepare import prepare_cohort
from trading.actions.deployments import stop_deployment
from trading.desk.drive import run_desks
from trading.errors import BooksDisagreeError
from trading.gateways.base import GatewayError
from trading.gateways.paper import PaperGateway
from trading.models.cohort import Cohort, CohortMode, CohortRun, CohortStatus
from trading.models.deployments import Deployment, DeploymentStatus, DeskRun, Order, OrderStatus
from trading.models.marketdata import CandleSet
from trading.risk_signals import cohort_failed, desk_failed, gateway_failed, orders_rejected, tell_signals
from treasury.models import Book

pytestmark = pytest.mark.usefixtures("ruled_world")

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def deployment(launched: Callable[..., Cohort]) -> Deployment:
    """One that is deployed and has not been worked yet, made over the days of its agent's cohort."""
    cohort = finished(launched(days=1, agent_count=12, bankroll=Decimal(6000), **UNCOUPLED))
    return replay_of(by_family(cohort, "tsmom_volatility"), hours=2)


@pytest.fixture(autouse=True)
def whole_turns() -> Iterator[None]:
    """A desk's turn ends with its bars, not after a second of this machine."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trading.desk.drive.TURN_S", 600.0)
        yield


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


def test_a_followed_series_that_never_came_is_late_from_when_it_is_followed(
    specification: Callable[..., Cohort],
) -> None:
    cohort = specification(mode=CohortMode.FORWARD, venue="kraken", quote="USDT", interval="5m", symbols=["BTCUSDT"])
    cohort.status, cohort.launched_at = CohortStatus.RUNNING, NOW
    cohort.save()
    tell_signals(due=[], at=NOW + timedelta(minutes=4))
    (reading,) = readings(at=NOW + timedelta(minutes=4), causes=[StopCause.STALE_DATA])
    assert (reading.venue, reading.value) == ("kraken", 0.0), "its first bar has not closed yet"
    late = NOW + timedelta(minutes=10, seconds=1)
    tell_signals(due=[], at=late)
    watch_triggers(at=late, causes=[StopCause.STALE_DATA])
    assert trading_mode_for(book_id=cohort.fund.books.get().pk, venue="kraken") is TradingMode.REDUCING


def test_old_candles_are_not_late_before_somebody_follows_them(specification: Callable[..., Cohort]) -> None:
    cohort = specification(mode=CohortMode.FORWARD, venue="kraken", quote="USDT", interval="5m", symbols=["BTCUSDT"])
    cohort.status, cohort.launched_at = CohortStatus.RUNNING, NOW
    cohort.save()
    CandleSet.objects.create(
        venue="kraken", symbol="BTCUSDT", interval_ms=300_000, interval="5m", rows=9, first_at=NOW, sha256="0" * 64,
        last_at=NOW - timedelta(days=30), created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    tell_signals(due=[], at=NOW + timedelta(seconds=20))
    (reading,) = readings(at=NOW + timedelta(seconds=20), causes=[StopCause.STALE_DATA])
    assert reading.value == 20.0


# --- Cohorts ---------------------------------------------------------------------------------------------------
@pytest.fixture
def forward(launched: Callable[..., Cohort]) -> Cohort:
    """A forward cohort, sixty times as fast as the market, that has traded for ten of its hours."""
    with clock.frozen(NOW):
        cohort = launched(mode=CohortMode.FORWARD, speed=60.0, days=1)
        drive_cohort(cohort_id=cohort.pk)
    with clock.frozen(NOW + timedelta(seconds=600)):
        drive_cohort(cohort_id=cohort.pk)
    CohortRun.objects.filter(cohort=cohort).update(updated_at=NOW + timedelta(seconds=600))
    cohort.refresh_from_db()
    return cohort


def test_a_forward_cohort_misses_its_heartbeat_while_it_has_bars_to_trade(forward: Cohort) -> None:
    assert forward.book is not None
    caught_up, behind = NOW + timedelta(seconds=600), NOW + timedelta(seconds=700)
    with clock.frozen(caught_up):
        assert due_cohorts() == []
    with clock.frozen(behind):
        assert due_cohorts() == [forward.pk]
    tell_signals(due=[], due_cohorts=[], at=behind)
    assert watch_triggers(at=behind, causes=[StopCause.HEARTBEAT]) == [], "nobody misses what has nothing to do"
    RiskSignal.objects.all().delete()
    tell_signals(due=[], due_cohorts=[forward.pk], at=behind)
    watch_triggers(at=behind, causes=[StopCause.HEARTBEAT])
    assert mode(forward.book) is TradingMode.HALTED
    assert KillSwitch.objects.get(book=forward.book).cause == "heartbeat"


def test_a_cohort_that_has_ended_is_expected_no_more(forward: Cohort) -> None:
    tell_signals(due=[], at=NOW)
    assert RiskSignal.objects.get().source == f"cohort {forward.pk}"
    Cohort.objects.update(status=CohortStatus.COMPLETED)
    tell_signals(due=[], at=NOW)
    assert not RiskSignal.objects.exists()


def test_a_cohort_that_fails_before_it_has_a_book_is_no_error_of_the_fund(
    launched: Callable[..., Cohort], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = launched(days=1)
    monkeypatch.setattr("trading.actions.cohort_drive.prepare_cohort", _refuse)
    assert drive_cohort(cohort_id=cohort.pk).status == CohortStatus.FAILED
    assert not ErrorReport.objects.exists()
    assert "No candles of that day." in caplog.text
    told = AuditEvent.objects.get(kind="trading.cohort.failed")
    assert told.payload["failure"] == "No candles of that day."


def test_a_cohort_that_keeps_failing_halts_itself_and_neither_fund_nor_neighbour(
    launched: Callable[..., Cohort], monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort, neighbour = (prepare_cohort(cohort_id=launched(days=1, seed=seed).pk) for seed in (5, 6))
    with monkeypatch.context() as patched:
        patched.setattr("trading.actions.cohort_drive.prepare_cohort", _refuse)
        cohort = drive_cohort(cohort_id=cohort.pk)
    assert cohort.status == CohortStatus.FAILED
    assert cohort.book is not None and neighbour.book is not None
    report = ErrorReport.objects.get()
    assert (report.source, report.book) == ("cohorts", cohort.book)
    assert "No candles of that day." in report.detail
    for _ in range(9):
        cohort_failed(cohort, "Again.")
    assert mode(cohort.book) is TradingMode.ACTIVE
    cohort_failed(cohort, "Again.")
    assert mode(cohort.book) is TradingMode.HALTED
    assert mode(cohort.fund.books.get(parent=None)) is TradingMode.ACTIVE
    assert mode(neighbour.book) is TradingMode.ACTIVE


def _refuse(*, cohort_id: int) -> None:
    raise BooksDisagreeError("No candles of that day.")


# --- Gateways --------------------------------------------------------------------------------------------------
def away(*_: object, **__: object) -> None:
    raise GatewayError("The venue is away.")


def with_a_working_order(deployment: Deployment) -> Order:
    """Its first order, which the venue has taken and not traded yet; the desk stands before the bar that would."""
    step = deployment.interval_ms
    for minute in range(1, 120):
        Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms + minute * step)
        run_desks()
        order = Order.objects.filter(deployment=deployment, status=OrderStatus.WORKING, reason="signal").first()
        if order is not None:
            return order
    raise AssertionError("It never ordered.")


@pytest.mark.parametrize("call", ["query", "submit"])
def test_a_venue_that_does_not_answer_a_desks_question_halts_it(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Asked about an order that may have arrived, or sent one: each silence is an error of its gateway."""
    monkeypatch.setattr(PaperGateway, "submit", away)
    run_desks()
    assert ErrorReport.objects.count() == 1
    monkeypatch.setattr(PaperGateway, call, away)
    for _ in range(9):
        run_desks()
    assert mode(deployment.book, deployment.venue) is TradingMode.ACTIVE
    run_desks()
    assert mode(deployment.book, deployment.venue) is TradingMode.HALTED
    assert KillSwitch.objects.get(book=deployment.book).cause == "error_burst"


def test_a_cancel_that_is_not_answered_is_an_error_of_the_gateway(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = with_a_working_order(deployment)
    monkeypatch.setattr(PaperGateway, "cancel", away)
    monkeypatch.setattr(PaperGateway, "trade_bar", lambda *_: None)
    stop_deployment(deployment=deployment, reason="Enough.", flatten=False, actor=None)
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=F("end_ms") + deployment.interval_ms)
    for _ in range(11):
        run_desks()
    order.refresh_from_db()
    assert (order.status, order.cancel_asked) == (OrderStatus.WORKING, True)
    assert set(ErrorReport.objects.values_list("source", "detail")) == {("gateway", "The venue is away.")}
    assert mode(deployment.book, deployment.venue) is TradingMode.HALTED


def test_orders_that_the_venue_rejects_are_errors_of_the_gateway(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PaperGateway, "_refusal", lambda *_: "Not today.")
    work_off(deployment)
    rejected = Order.objects.filter(deployment=deployment, status=OrderStatus.REJECTED)
    assert rejected.exists()
    assert ErrorReport.objects.aggregate(n=Sum("count"))["n"] == rejected.count()
    first = rejected.earliest("pk")
    assert f"{first.client_order_id}: Not today." in ErrorReport.objects.earliest("pk").detail
    while ErrorReport.objects.aggregate(n=Sum("count"))["n"] <= 10:
        orders_rejected(deployment, [first])
    assert mode(deployment.book, deployment.venue) is TradingMode.HALTED
