"""Driving a cohort to where it should be: to its end in replay, to the clock in forward. What the workers call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import OperationalError, connection

from fundops.core import clock
from fundops.core.errors import FundopsError
from trading.actions.cohort import end_cohort
from trading.actions.cohort_prepare import prepare_cohort
from trading.actions.cohort_run import Progress, advance_cohort, load_cohort, market_for
from trading.cohorts.catalog import open_catalog, series_or_none
from trading.cohorts.setup import DAY_MS
from trading.models.cohort import Cohort, CohortMode, CohortRun, CohortStatus
from trading.risk_signals import cohort_failed

#: How long a forward cohort waits for a bar that its source has not delivered, in bars; then it trades without it.
PATIENCE_BARS = 5
_LOCK_SPACE = 7_301

Report = Callable[[Cohort, Progress], None]


@contextmanager
def sole_driver(cohort_id: int) -> Iterator[bool]:
    """True inside when this session alone drives the cohort; the lock dies with the session, so a kill frees it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [_LOCK_SPACE, cohort_id])
        held = bool(cursor.fetchone()[0])
    try:
        yield held
    finally:
        if held and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [_LOCK_SPACE, cohort_id])


def drive_cohort(*, cohort_id: int, report: Report | None = None) -> Cohort:
    """Takes a cohort as far as it can go now; safe to call at any time, any number of times, from anywhere.

    Whatever the domain refuses fails the cohort, with the reason on its page; a lost database is raised, to be retried.
    """
    with sole_driver(cohort_id) as alone:
        cohort = Cohort.objects.get(pk=cohort_id)
        if not alone or not cohort.is_live:
            return cohort
        try:
            _drive(cohort_id, report)
        except OperationalError:
            raise
        except FundopsError as refused:
            _fail(cohort, refused.message)
        except Exception as broken:
            _fail(cohort, f"{type(broken).__name__}: {broken}")
            raise
    return Cohort.objects.get(pk=cohort_id)


def _fail(cohort: Cohort, failure: str) -> None:
    end_cohort(cohort_id=cohort.pk, status=CohortStatus.FAILED, failure=failure)
    cohort_failed(cohort, failure)


def due_cohorts() -> list[int]:
    """Forward cohorts that have a bar to trade now."""
    running = CohortRun.objects.filter(cohort__mode=CohortMode.FORWARD, cohort__status=CohortStatus.RUNNING)
    return [
        run.cohort_id
        for run in running.select_related("cohort").defer("engine_state", "provenance")
        if bars_known_until(run.cohort, run.next_bar_ms) > run.next_bar_ms
    ]


def _drive(cohort_id: int, report: Report | None) -> None:
    if Cohort.objects.get(pk=cohort_id).status == CohortStatus.CANCELLING:
        end_cohort(cohort_id=cohort_id, status=CohortStatus.CANCELLED)
        return
    prepare_cohort(cohort_id=cohort_id)
    loaded = load_cohort(cohort_id)
    cohort = loaded.cohort
    position = cohort.run.next_bar_ms
    until = bars_known_until(cohort, position)
    while position < until:
        day_end = cohort.start_ms + ((position - cohort.start_ms) // DAY_MS + 1) * DAY_MS
        market = market_for(loaded, position, min(until, day_end))
        progress = advance_cohort(loaded=loaded, market=market)
        if report is not None:
            report(cohort, progress)
        if progress.status == CohortStatus.CANCELLING:
            end_cohort(cohort_id=cohort_id, status=CohortStatus.CANCELLED)
        if progress.status != CohortStatus.RUNNING or progress.next_bar_ms == position:
            return
        position = progress.next_bar_ms
    if position >= cohort.end_ms:
        end_cohort(cohort_id=cohort_id, status=CohortStatus.COMPLETED)


def bars_known_until(cohort: Cohort, position_ms: int) -> int:
    """Opening time of the first bar that this cohort may not trade yet, epoch ms."""
    if cohort.mode == CohortMode.REPLAY:
        return cohort.end_ms
    simulated = simulated_now_ms(cohort)
    closed = simulated - simulated % cohort.interval_ms
    if cohort.speed != 1.0:
        return min(closed, cohort.end_ms)
    catalog = open_catalog()
    delivered = min(
        (series.last_ms or 0) + cohort.interval_ms if series else 0
        for symbol in cohort.symbols
        for series in [series_or_none(catalog, cohort.venue, symbol, cohort.interval_ms)]
    )
    overdue = closed - PATIENCE_BARS * cohort.interval_ms
    return max(position_ms, min(closed, max(delivered, overdue), cohort.end_ms))


def simulated_now_ms(cohort: Cohort) -> int:
    """The instant a forward cohort lives in: the wall's at its market's own speed, else its window's, accelerated."""
    if cohort.speed == 1.0:
        return clock.now_ms()
    started = CohortRun.objects.values_list("clock_started_at", flat=True).get(cohort=cohort)
    elapsed = clock.now_ms() - clock.to_ms(started) if started else 0
    return cohort.start_ms + int(elapsed * cohort.speed)
