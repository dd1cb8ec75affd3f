"""A cohort's own stop: the first bar that finds it too far below its peak is its last, in replay and forward alike."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from compliance.models import AuditEvent
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_prepare import prepare_cohort
from trading.actions.cohort_run import advance_cohort, load_cohort, market_for
from trading.actions.promotion import reviewable_cohorts
from trading.models.cohort import Cohort, CohortStatus

MINUTE_MS = 60_000


@pytest.fixture
def free(launched: Callable[..., Cohort]) -> Cohort:
    """The same cohort without a stop, driven to its end."""
    return drive_cohort(cohort_id=launched(days=1).pk)


def _stop_within(cohort: Cohort) -> Decimal:
    """A stop that the free cohort's day passes."""
    fallen = cohort.cohort_days.get().drawdown_frac
    stop = Decimal(str(fallen / 2)).quantize(Decimal("0.0001"))
    assert stop >= Decimal("0.001"), "the invented day has a drawdown worth stopping at"
    return stop


def test_cohort_ends_at_the_first_bar_that_finds_it_at_its_stop(free: Cohort, launched: Callable[..., Cohort]) -> None:
    stop = _stop_within(free)
    cohort = drive_cohort(cohort_id=launched(days=1, drawdown_stop_frac=stop).pk)
    assert cohort.status == CohortStatus.CANCELLED
    assert cohort.finished_at is not None
    assert "Stopped by its own rule" in cohort.failure
    day = cohort.cohort_days.get()
    assert day.drawdown_frac >= float(stop)
    assert not day.complete
    assert day.largest_difference is not None, "its books were held against the engine"
    kept = cohort.run
    assert kept.next_bar_ms < cohort.end_ms
    event = AuditEvent.objects.get(kind="trading.cohort.cancelled", object_id=str(cohort.pk))
    assert event.payload["failure"] == cohort.failure

    last_bar = market_for(load_cohort(free.pk), free.start_ms, free.end_ms)
    same = list(free.fills.values_list("symbol", "side", "quantity", "price", "at")[: kept.fills_done])
    assert same == list(cohort.fills.values_list("symbol", "side", "quantity", "price", "at"))
    assert kept.next_bar_ms in last_bar.ts_ms, "it ends at the close of a bar"
    assert cohort not in reviewable_cohorts()


def test_stop_is_found_at_the_same_bar_however_the_day_is_cut(free: Cohort, launched: Callable[..., Cohort]) -> None:
    stop = _stop_within(free)
    at_once = drive_cohort(cohort_id=launched(days=1, drawdown_stop_frac=stop).pk)
    piecewise = launched(days=1, drawdown_stop_frac=stop)
    prepare_cohort(cohort_id=piecewise.pk)
    loaded = load_cohort(piecewise.pk)
    position, status = loaded.cohort.start_ms, CohortStatus.RUNNING
    while status == CohortStatus.RUNNING:
        bars = market_for(loaded, position, position + 45 * MINUTE_MS)
        progress = advance_cohort(loaded=loaded, market=bars)
        position, status = progress.next_bar_ms, progress.status
    assert status == CohortStatus.CANCELLED
    assert position == at_once.run.next_bar_ms


def test_cohort_that_never_falls_so_far_trades_its_days(free: Cohort, launched: Callable[..., Cohort]) -> None:
    cohort = drive_cohort(cohort_id=launched(days=1, drawdown_stop_frac=Decimal("0.9")).pk)
    assert cohort.status == CohortStatus.COMPLETED
    assert cohort.run.fills_done == free.run.fills_done
