"""Desks on real Celery workers over a real broker: one owner a deployment, and another soon after a kill -9."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from tests.compliance.support import wait_until
from tests.trading.cohort.test_worker import worker
from tests.trading.desk.support import by_family, cohort_fills, desk_fills, replay_of, start_of
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeskRun, Order, OrderStatus, TradingCycle
from trading.tasks import call_desks
from treasury.models import JournalEntry

pytestmark = [
    pytest.mark.soak,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
]

HOURS = 8


def run_of(deployment: Deployment) -> DeskRun:
    connection.close()
    return DeskRun.objects.get(deployment=deployment)


def ticking(condition: object, *, seconds: float, what: str) -> None:
    """Waits as beat does: a tick every second."""
    last = [0.0]

    def held() -> bool:
        if time.monotonic() - last[0] >= 1.0:
            last[0] = time.monotonic()
            call_desks()
        return bool(condition())  # type: ignore[operator]

    wait_until(held, seconds=seconds, what=what)


def test_a_killed_worker_is_replaced_within_seconds_and_no_order_is_sent_twice(cohort: Cohort, candles: Path) -> None:
    agent = by_family(cohort, "tsmom_volatility")
    deployment = replay_of(agent, hours=HOURS)
    with worker(candles) as first, worker(candles) as second:
        ticking(lambda: run_of(deployment).bars > 60, seconds=120, what="the first bars")
        owner = int(run_of(deployment).owner.split(":")[1])
        doomed, heir = (first, second) if os.getpgid(owner) == first.pid else (second, first)
        os.killpg(doomed.pid, signal.SIGKILL)
        killed = time.monotonic()
        doomed.wait()
        left_at = run_of(deployment).bars
        ticking(lambda: run_of(deployment).bars > left_at, seconds=30, what="the takeover")
        took_s = time.monotonic() - killed
        assert heir.poll() is None
        assert run_of(deployment).owner != f"{owner}"
        assert took_s < 10, "a lease and a tick are three and a half; the rest is a machine under load"
        ticking(lambda: run_of(deployment).bars == HOURS * 60, seconds=300, what="the end")
    until = start_of(cohort) + timedelta(hours=HOURS)
    assert desk_fills(deployment) == cohort_fills(agent, before=until)
    assert TradingCycle.objects.filter(deployment=deployment).count() == HOURS * 60 + 1
    sent = Order.objects.filter(deployment=deployment).exclude(status=OrderStatus.DENIED)
    assert len(set(sent.values_list("client_order_id", flat=True))) == sent.count()
    sources = list(JournalEntry.objects.filter(source_type="trading.desk.fill").values_list("source_id", flat=True))
    assert len(sources) == len(set(sources))
