"""What trading tells the kill switch: that desks and forward cohorts work, how late market data is, what went wrong.

A heartbeat is missed by a desk or a cohort that has a bar to work and does not; one that waits for its next bar misses
nothing. Data is late from the moment the next bar should have been delivered, and of a series that never came from the
moment somebody began to follow it. Both are written by a task of trading itself, so that they fall silent with it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
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
from trading.models.cohort import Cohort, CohortMode, CohortRun, CohortStatus
from trading.models.deployments import WORKED_STATUSES, Deployment, Order
from trading.models.marketdata import CandleSet
from treasury.models import Book

logger = logging.getLogger(__name__)

CANDLES = "candles"
GATEWAY = "gateway"
COHORTS = "cohorts"
_DESK = "desk "
_COHORT = "cohort "
#: Watched at once when something fails, without waiting for beat.
_OF_FAILURES = (StopCause.RECONCILIATION, StopCause.ERROR_BURST)


def tell_signals(*, due: Iterable[int], due_cohorts: Iterable[int] = (), at: datetime | None = None) -> None:
    """Writes the heartbeats of all desks and forward cohorts and the age of all followed market data; withdraws those
    of what has ended.

    `due` are the deployments that have something to do now, `due_cohorts` the forward cohorts.
    """
    moment = at or clock.now()
    _tell_desks(set(due), moment)
    _tell_cohorts(set(due_cohorts), moment)
    _tell_candles(moment)


def _tell_desks(due: set[int], at: datetime) -> None:
    worked = Deployment.objects.filter(status__in=WORKED_STATUSES).select_related("run", "book")
    told = set()
    for deployment in worked:
        beat = deployment.run.heartbeat_at or deployment.opened_at
        source = f"{_DESK}{deployment.pk}"
        report_heartbeat(source=source, book=deployment.book, at=beat if deployment.pk in due else at)
        told.add(source)
    _withdraw_others(_DESK, told, (SignalKind.HEARTBEAT, SignalKind.RECONCILIATION))


def _tell_cohorts(due: set[int], at: datetime) -> None:
    """A forward cohort lives bar by bar as a desk does; a replay has no clock to miss."""
    running = CohortRun.objects.filter(
        cohort__mode=CohortMode.FORWARD, cohort__status=CohortStatus.RUNNING, cohort__book__isnull=False
    )
    told = set()
    for run in running.select_related("cohort__book").defer("engine_state", "provenance"):
        source = f"{_COHORT}{run.cohort_id}"
        report_heartbeat(source=source, book=run.cohort.book, at=run.updated_at if run.cohort_id in due else at)
        told.add(source)
    _withdraw_others(_COHORT, told, (SignalKind.HEARTBEAT,))


def _withdraw_others(prefix: str, told: set[str], kinds: Sequence[SignalKind]) -> None:
    for signal in RiskSignal.objects.filter(kind__in=kinds, source__startswith=prefix).select_related("book"):
        if signal.source not in told:
            kind = SignalKind(signal.kind)
            withdraw_signal(kind=kind, source=signal.source, book=signal.book, venue=signal.venue)


def _tell_candles(at: datetime) -> None:
    """By venue, of the series that is latest of all that a cohort or a desk follows at the market's own speed."""
    wanted: dict[tuple[str, str, int], datetime] = {}
    following = Cohort.objects.filter(mode=CohortMode.FORWARD, speed=1.0, status=CohortStatus.RUNNING)
    desks = Deployment.objects.filter(speed=1.0, status__in=WORKED_STATUSES)
    for follower in [*following, *desks]:
        if follower.venue != SYNTHETIC_VENUE:
            since = _followed_since(follower)
            for key in ((follower.venue, symbol, follower.interval_ms) for symbol in follower.symbols):
                wanted[key] = min(since, wanted.get(key, since))
    stored = {
        (s.venue, s.symbol, s.interval_ms): s.last_at
        for s in CandleSet.objects.filter(venue__in={v for v, _, _ in wanted}, kind=str(Kind.TRADE))
    }
    expected: dict[str, datetime] = {}
    for key, since in wanted.items():
        last, step = stored.get(key), timedelta(milliseconds=key[2])
        # The bar after the last one closes two intervals after that one opened; nothing is late before it is followed.
        # Without any bar, the first one that opens while somebody follows is due when it has closed.
        due = since + step if last is None else max(since, last + 2 * step)
        expected[key[0]] = min(due, expected.get(key[0], due))
    for venue, due in expected.items():
        report_market_data(source=CANDLES, venue=venue, at=min(due, at))
    for signal in RiskSignal.objects.filter(kind=SignalKind.MARKET_DATA, source=CANDLES):
        if signal.venue not in expected:
            withdraw_signal(kind=SignalKind.MARKET_DATA, source=CANDLES, venue=signal.venue)


def _followed_since(follower: Cohort | Deployment) -> datetime:
    return follower.launched_at if isinstance(follower, Cohort) else follower.running_since or follower.opened_at


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


def orders_rejected(deployment: Deployment, orders: Sequence[Order]) -> None:
    """The venue refused orders that were sound here: errors of the gateway, one for each."""
    report_errors(
        source=GATEWAY,
        count=len(orders),
        book=deployment.book,
        venue=deployment.venue,
        detail="Rejected: " + "; ".join(f"{order.client_order_id}: {order.status_reason}" for order in orders),
    )
    watch_triggers(causes=_OF_FAILURES)


def cohort_failed(cohort: Cohort, failure: str) -> None:
    """A cohort ended in failure: an error of its own Book. Of one that has none yet the log and its event tell: it has
    traded nothing."""
    logger.error("Cohort %s failed: %s", cohort.pk, failure)
    book = Book.objects.filter(cohort=cohort.pk).first()
    if book is not None:
        report_errors(source=COHORTS, book=book, detail=f"{cohort}: {failure}")
        watch_triggers(causes=_OF_FAILURES)
