"""Cohorts on a real Celery worker over a real broker: queued, killed with -9, taken up again, several at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from tests.compliance.support import ROOT, process_env, wait_until
from trading.actions.cohort import cancel_cohort, launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.models.cohort import Cohort, CohortFill, CohortRun, CohortStatus
from trading.tasks import drive_live_cohorts
from treasury.models import JournalEntry
from treasury.selectors import trial_balance

pytestmark = [
    pytest.mark.soak,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
]

Make = Callable[..., Cohort]
FILL_COLUMNS = ("number", "agent__number", "at", "symbol", "side", "quantity", "price", "fee", "reason")


@contextmanager
def worker(candles: Path, *, concurrency: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """A prefork worker of the trading queue in its own process group; killed whole at the end if it still lives."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--queues", "trading"),
            *(
                "--concurrency",
                str(concurrency),
                "--without-gossip",
                "--without-mingle",
                "--loglevel",
                "WARNING",
            ),
        ],
        cwd=ROOT,
        env=process_env() | {"MARKET_DATA_URL": str(candles)},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def status_of(cohort: Cohort) -> str:
    connection.close()
    return Cohort.objects.get(pk=cohort.pk).status


def test_launched_cohorts_are_finished_by_the_worker(specification: Make, manager: object, candles: Path) -> None:
    cohorts = [launch_cohort(cohort=specification(seed=n, days=2), actor=manager) for n in (1, 2)]  # type: ignore[arg-type]
    with worker(candles, concurrency=2):
        wait_until(
            lambda: {status_of(c) for c in cohorts} == {CohortStatus.COMPLETED},
            seconds=300,
            what="both cohorts",
        )
    for cohort in cohorts:
        assert cohort.cohort_days.count() == 2
        assert all(day.largest_difference == 0 for day in cohort.cohort_days.all())


def test_killed_worker_is_replaced_and_nothing_is_lost_or_doubled(
    specification: Make, manager: object, candles: Path
) -> None:
    """The whole worker dies in mid-run; the next one goes on when beat's tick comes."""
    cohort = launch_cohort(cohort=specification(days=3, agent_count=40), actor=manager)  # type: ignore[arg-type]
    with worker(candles) as first:
        wait_until(lambda: _bars_done(cohort) > 0, seconds=300, what="a first stretch")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert status_of(cohort) in {CohortStatus.RUNNING, CohortStatus.COMPLETED}
    with worker(candles):
        drive_live_cohorts()
        wait_until(lambda: status_of(cohort) == CohortStatus.COMPLETED, seconds=300, what="the resumed cohort")
    undisturbed = launch_cohort(cohort=specification(days=3, agent_count=40), actor=manager, queued=False)  # type: ignore[arg-type]
    drive_cohort(cohort_id=undisturbed.pk)
    assert list(CohortFill.objects.filter(cohort=cohort).values_list(*FILL_COLUMNS)) == list(
        CohortFill.objects.filter(cohort=undisturbed).values_list(*FILL_COLUMNS)
    )
    sources = list(JournalEntry.objects.exclude(source_id="").values_list("source_type", "source_id"))
    assert len(sources) == len(set(sources))
    assert trial_balance(fund=cohort.fund).is_balanced


def test_cancel_reaches_a_queued_cohort(specification: Make, manager: object, candles: Path) -> None:
    cohort = launch_cohort(cohort=specification(), actor=manager)  # type: ignore[arg-type]
    cancel_cohort(cohort=cohort, reason="changed my mind", actor=manager)  # type: ignore[arg-type]
    with worker(candles):
        wait_until(lambda: status_of(cohort) == CohortStatus.CANCELLED, seconds=120, what="the cancelled cohort")
    assert not CohortFill.objects.filter(cohort=cohort).exists()


def _bars_done(cohort: Cohort) -> int:
    connection.close()
    run = CohortRun.objects.filter(cohort=cohort).first()
    return 0 if run is None else run.next_bar_ms - cohort.start_ms
