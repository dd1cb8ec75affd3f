"""What trading tells the kill switch: that its desks work, how late its market data is, what went wrong at a desk.

A heartbeat is missed by a desk that has a bar to work and does not; one that waits for its next bar misses nothing.
Data is late from the moment the next bar should have been delivered. Both are written by a task of trading itself, so
that they fall silent with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from fundops.core import clock
from risk.models import RiskSignal, SignalKind, StopCause
from risk.switch_signals import (
    report_breaks,
    report_errors,
    report_heartbeat,
    report_market_data,
    withdraw_signal,
)
from risk.switch_watch import watch_triggers
from trading.errors import BooksDisagreeError
from trading.marketdata.bars import SYNTHETIC_VENUE, Kind
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from trading.models.deployments import WORKED_STATUSES, Deployment
from trading.models.marketdata import CandleSet

CANDLES = "candles"
GATEWAY = "gateway"
_DESK = "desk "
#: Watched at once when something fails, without waiting for beat.
_OF_FAILURES = (StopCause.RECONCILIATION, StopCause.ERROR_BURST)


def tell_signals(*, due: Iterable[int], at: datetime | None = None) -> None:
    """Writes the heartbeats of all desks and the age of all followed market data; withdraws those of what has ended.

    `due` are the deployments that have something to do now.
    """
    moment = at or clock.now()
    _tell_desks(set(due), moment)
    _tell_candles(moment)


def _tell_desks(due: set[int], at: datetime) -> None:
    worked = Deployment.objects.filter(status__in=WORKED_STATUSES).select_related("run", "book")
    told = set()
    for deployment in worked:
        beat = deployment.run.heartbeat_at or deployment.opened_at
        source = f"{_DESK}{deployment.pk}"
        report_heartbeat(source=source, book=deployment.book, at=beat if deployment.pk in due else at)
        told.add(source)
    of_desks = (SignalKind.HEARTBEAT, SignalKind.RECONCILIATION)
    for signal in RiskSignal.objects.filter(kind__in=of_desks, source__startswith=_DESK).select_related("book"):
        if signal.source not in told:
            kind = SignalKind(signal.kind)
            withdraw_signal(kind=kind, source=signal.source, book=signal.book, venue=signal.venue)


def _tell_candles(at: datetime) -> None:
    """By venue, of the series that is latest of all that a cohort or a desk follows at the market's own speed."""
    wanted: dict[tuple[str, str, int], None] = {}
    following = Cohort.objects.filter(mode=CohortMode.FORWARD, speed=1.0, status=CohortStatus.RUNNING)
    desks = Deployment.objects.filter(speed=1.0, status__in=WORKED_STATUSES)
    for follower in [*following, *desks]:
        if follower.venue != SYNTHETIC_VENUE:
            wanted |= {(follower.venue, symbol, follower.interval_ms): None for symbol in follower.symbols}
    stored = {
        (s.venue, s.symbol, s.interval_ms): s.last_at
        for s in CandleSet.objects.filter(venue__in={v for v, _, _ in wanted}, kind=str(Kind.TRADE))
    }
    expected: dict[str, datetime] = {}
    for key in wanted:
        last = stored.get(key)
        if last is not None:
            # The bar after the last one closes two intervals after that one opened.
            due = last + 2 * timedelta(milliseconds=key[2])
            expected[key[0]] = min(due, expected.get(key[0], due))
    for venue, due in expected.items():
        report_market_data(source=CANDLES, venue=venue, at=min(due, at))
    for signal in RiskSignal.objects.filter(kind=SignalKind.MARKET_DATA, source=CANDLES):
        if signal.venue not in expected:
            withdraw_signal(kind=SignalKind.MARKET_DATA, source=CANDLES, venue=signal.venue)


def desk_failed(deployment: Deployment, error: BaseException | None) -> None:
    """A desk met what it cannot go on from: an error of its Book, and a break where books disagree."""
    if isinstance(error, BooksDisagreeError):
        report_breaks(source=f"{_DESK}{deployment.pk}", open_breaks=1, book=deployment.book)
    report_errors(source=f"{_DESK}{deployment.pk}", book=deployment.book, detail=str(error))
    watch_triggers(causes=_OF_FAILURES)


def gateway_failed(deployments: Iterable[Deployment], message: str) -> None:
    """A gateway did not answer for these: counted by Book and venue."""
    for deployment in deployments:
        report_errors(source=GATEWAY, book=deployment.book, venue=deployment.venue, detail=message)
    watch_triggers(causes=_OF_FAILURES)
