"""Driving a cohort to where it should be: to its end in replay, to the clock in forward. What the workers call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import redis
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from fundops.core import clock
from fundops.core.errors import FundopsError
from trading.actions.cohort import end_cohort, note_waiting
from trading.actions.cohort_prepare import prepare_cohort
from trading.actions.cohort_run import Progress, advance_cohort, load_cohort, market_for
from trading.cohorts.setup import DAY_MS
from trading.marketdata.errors import CatalogError, SyntheticMixError
from trading.models.cohort import Cohort, CohortMode, CohortRun, CohortStatus
from trading.quant.engine.market import HOUR_MS
from trading.risk_signals import cohort_failed
from trading.selectors.candle_feeds import Supply, supply_of

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

    Storage that does not answer is waited for, and the cohort's page says so; a lost database is raised, to be retried
    as well. Whatever the domain refuses, and whatever breaks, fails the cohort with the reason on its page.
    """
    with sole_driver(cohort_id) as alone:
        cohort = Cohort.objects.get(pk=cohort_id)
        if not alone or not cohort.is_live:
            return cohort
        try:
            _drive(cohort_id, report)
        except (OperationalError, InterfaceError) as lost:
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()
            with suppress(DatabaseError, InterfaceError):
                note_waiting(cohort_id=cohort_id, words=f"The database did not answer: {lost}")
            raise
        except SyntheticMixError as refused:
            end_cohort(cohort_id=cohort_id, status=CohortStatus.FAILED, failure=refused.message)
        except CatalogError as away:
            note_waiting(cohort_id=cohort_id, words=f"Its candles cannot be read: {away.message}")
        except OSError as away:
            note_waiting(cohort_id=cohort_id, words=f"A file cannot be read: {away}")
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as away:
            note_waiting(cohort_id=cohort_id, words=f"Redis did not answer: {away}")
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
        if bars_known_until(run.cohort, run.next_bar_ms, supplies_of(run.cohort)) > run.next_bar_ms
    ]


def _drive(cohort_id: int, report: Report | None) -> None:
    if Cohort.objects.get(pk=cohort_id).status == CohortStatus.CANCELLING:
        end_cohort(cohort_id=cohort_id, status=CohortStatus.CANCELLED)
        return
    prepare_cohort(cohort_id=cohort_id)
    loaded = load_cohort(cohort_id)
    cohort = loaded.cohort
    position = cohort.run.next_bar_ms
    supplies = supplies_of(cohort)
    until = bars_known_until(cohort, position, supplies)
    if position >= until:
        _say(cohort, _late_bar(cohort, supplies, until) if position < cohort.end_ms else "")
    while position < until:
        market = market_for(loaded, position, min(until, stretch_end_ms(cohort, position)))
        progress = advance_cohort(loaded=loaded, market=market)
        _say(cohort, "")
        if report is not None:
            report(cohort, progress)
        if progress.status == CohortStatus.CANCELLING:
            end_cohort(cohort_id=cohort_id, status=CohortStatus.CANCELLED)
        if progress.status != CohortStatus.RUNNING or progress.next_bar_ms == position:
            return
        position = progress.next_bar_ms
    if position >= cohort.end_ms:
        end_cohort(cohort_id=cohort_id, status=CohortStatus.COMPLETED)


def stretch_end_ms(cohort: Cohort, position_ms: int) -> int:
    """Up to where one stretch may go: the end of the day, and for a forward cohort that is behind the next hour, so
    that what it is judged by is taken anew after so many bars at the latest, and computing one again costs little."""
    span = DAY_MS if cohort.mode == CohortMode.REPLAY else max(HOUR_MS, cohort.interval_ms)
    since_start = position_ms - cohort.start_ms
    return cohort.start_ms + min((since_start // span + 1) * span, (since_start // DAY_MS + 1) * DAY_MS)


def _say(cohort: Cohort, words: str) -> None:
    if words != cohort.waiting_for:
        note_waiting(cohort_id=cohort.pk, words=words)
        cohort.waiting_for = words


def supplies_of(cohort: Cohort) -> list[Supply]:
    """The series that a cohort at the market's own speed waits for; others have all their bars from the start."""
    if cohort.mode == CohortMode.REPLAY or cohort.speed != 1.0:
        return []
    return [supply_of(cohort.venue, symbol, cohort.interval_ms) for symbol in cohort.symbols]


def bars_known_until(cohort: Cohort, position_ms: int, supplies: Sequence[Supply]) -> int:
    """Opening time of the first bar that this cohort may not trade yet, epoch ms."""
    if cohort.mode == CohortMode.REPLAY:
        return cohort.end_ms
    simulated = simulated_now_ms(cohort)
    closed = simulated - simulated % cohort.interval_ms
    if cohort.speed != 1.0:
        return min(closed, cohort.end_ms)
    given = min(supply.tradable_until(position_ms, simulated) for supply in supplies)
    return max(position_ms, min(closed, given, cohort.end_ms))


def _late_bar(cohort: Cohort, supplies: Sequence[Supply], until_ms: int) -> str:
    """What a cohort that could go on waits for, in words; empty when the bar has only just closed."""
    now_ms = clock.now_ms()
    if not supplies or now_ms - until_ms < 2 * cohort.interval_ms:
        return ""
    late = [supply for supply in supplies if supply.tradable_until(until_ms, now_ms) <= until_ms]
    said = "".join(f" {text}" for text in sorted({s.feed.failure for s in late if s.feed and s.feed.failure}))
    names = ", ".join(supply.key.symbol for supply in late)
    return f"Waits for {cohort.venue}'s candles of {names} from {clock.from_ms(until_ms):%Y-%m-%d %H:%M} UTC on.{said}"


def simulated_now_ms(cohort: Cohort) -> int:
    """The instant a forward cohort lives in: the wall's at its market's own speed, else its window's, accelerated."""
    if cohort.speed == 1.0:
        return clock.now_ms()
    started = CohortRun.objects.values_list("clock_started_at", flat=True).get(cohort=cohort)
    elapsed = clock.now_ms() - clock.to_ms(started) if started else 0
    return cohort.start_ms + int(elapsed * cohort.speed)
