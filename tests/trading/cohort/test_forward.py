"""A forward cohort trades each bar once it has closed, and goes on at the exact bar after anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from fundops.core import clock
from trading.actions.cohort_drive import bars_known_until, drive_cohort, supplies_of
from trading.models.cohort import Cohort, CohortFill, CohortMode, CohortRun, CohortStatus

Make = Callable[..., Cohort]

LAUNCH = datetime(2025, 3, 20, 12, 0, tzinfo=UTC)
FILL_COLUMNS = ("number", "agent__number", "at", "symbol", "side", "quantity", "price", "fee", "reason")


@pytest.fixture
def forward(launched: Make) -> Cohort:
    """Sixty times as fast as the market: a bar a second."""
    with clock.frozen(LAUNCH):
        return launched(mode=CohortMode.FORWARD, speed=60.0, days=1)


def _drive_at(cohort: Cohort, seconds: float) -> Cohort:
    with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
        return drive_cohort(cohort_id=cohort.pk)


def test_forward_trades_only_closed_bars(forward: Cohort) -> None:
    _drive_at(forward, 0)
    run = CohortRun.objects.get(cohort=forward)
    assert run.next_bar_ms == forward.start_ms
    _drive_at(forward, 90.9)
    run.refresh_from_db()
    assert run.next_bar_ms == forward.start_ms + 90 * 60_000
    day = forward.cohort_days.get()
    assert not day.complete
    assert sum(value is not None for value in day.hourly_equity) == 1


def test_forward_bar_by_bar_equals_the_replay(forward: Cohort, launched: Make) -> None:
    seconds = 0.0
    while (cohort := _drive_at(forward, seconds)).status == CohortStatus.RUNNING:
        seconds += 37.0
    assert cohort.status == CohortStatus.COMPLETED, cohort.failure
    replay = drive_cohort(cohort_id=launched(days=1).pk)
    assert list(CohortFill.objects.filter(cohort=cohort).values_list(*FILL_COLUMNS)) == list(
        CohortFill.objects.filter(cohort=replay).values_list(*FILL_COLUMNS)
    )
    assert cohort.cohort_days.get().equity == replay.cohort_days.get().equity
    assert cohort.cohort_days.get().largest_difference == Decimal(0)


def test_forward_same_instant_twice_does_nothing_more(forward: Cohort) -> None:
    _drive_at(forward, 0)
    _drive_at(forward, 600)
    before = CohortFill.objects.count()
    _drive_at(forward, 600)
    assert CohortFill.objects.count() == before


def test_forward_at_market_speed_waits_for_the_bar_then_loses_patience(specification: Make) -> None:
    """The catalog ends at 2025-03-05 00:00: the clock goes on, the source does not."""
    cohort = specification(mode=CohortMode.FORWARD, speed=1.0, start=datetime(2025, 3, 4, tzinfo=UTC).date())
    end_of_candles = clock.to_ms(datetime(2025, 3, 5, tzinfo=UTC))
    position = end_of_candles - 3_600_000
    with clock.frozen(clock.from_ms(end_of_candles + 2 * 60_000)):
        assert bars_known_until(cohort, position, supplies_of(cohort)) == end_of_candles
    with clock.frozen(clock.from_ms(end_of_candles + 9 * 60_000)):
        assert bars_known_until(cohort, position, supplies_of(cohort)) == end_of_candles + 4 * 60_000
