"""kill -9 of the process that drives a cohort loses nothing and doubles nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compliance.support import ROOT, process_env
from trading.actions.cohort_drive import drive_cohort, sole_driver
from trading.models.cohort import Cohort, CohortFill, CohortRun, CohortStatus
from treasury.models import JournalEntry
from treasury.selectors import trial_balance

pytestmark = [pytest.mark.soak, pytest.mark.django_db(transaction=True)]

FILL_COLUMNS = ("number", "agent__number", "at", "symbol", "side", "quantity", "price", "fee", "reason")

#: Drives the cohort in a process of its own and says so after every stretch.
DRIVER = """
import os, sys, django
django.setup()
from django.conf import settings
settings.MARKET_DATA_URL = sys.argv[2]
from trading.actions.cohort_drive import drive_cohort
def report(cohort, stretch):
    print(stretch.next_bar_ms, flush=True)
    sys.stdin.readline()
drive_cohort(cohort_id=int(sys.argv[1]), report=report)
"""


def _start_driver(cohort: Cohort, candles: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(cohort.pk), str(candles)],
        env=process_env(),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_driver_killed_after_a_day_is_resumed_at_the_exact_bar(launched: Callable[..., Cohort], candles: Path) -> None:
    cohort, undisturbed = launched(), launched()
    driver = _start_driver(cohort, candles)
    assert driver.stdout is not None
    reached = int(driver.stdout.readline())
    with sole_driver(cohort.pk) as alone:
        assert not alone
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert CohortRun.objects.get(cohort=cohort).next_bar_ms == reached == cohort.start_ms + 86_400_000

    resumed = drive_cohort(cohort_id=cohort.pk)
    assert resumed.status == CohortStatus.COMPLETED, resumed.failure
    drive_cohort(cohort_id=undisturbed.pk)
    assert list(CohortFill.objects.filter(cohort=cohort).values_list(*FILL_COLUMNS)) == list(
        CohortFill.objects.filter(cohort=undisturbed).values_list(*FILL_COLUMNS)
    )
    keys = list(JournalEntry.objects.exclude(source_id="").values_list("source_type", "source_id"))
    assert len(keys) == len(set(keys))
    assert trial_balance(fund=cohort.fund).is_balanced
