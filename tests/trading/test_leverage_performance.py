"""What the leverage policy is told of cohorts and deployments: their own hours, as they were booked."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from fundops.core import clock
from risk.leverage import performance_of
from risk.quant.leverage import LeverageRules, Observation, Rule, max_drawdown, next_step
from risk.quant.leverage import LeverageState as State
from tests.trading.desk.support import UNCOUPLED, busiest, finished, replay_of, start_of
from trading.actions.deployments import finish_deployment, stop_deployment
from trading.desk.drive import run_desks
from trading.leverage_performance import OwnClockPerformance
from trading.models.cohort import Cohort, CohortDay
from trading.models.deployments import DeskRun, TradingCycle
from treasury.models import Fund

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]
HOURLY = Observation.HOURLY


def test_a_cohort_and_a_deployment_by_their_own_hours(launched: Callable[..., Cohort]) -> None:
    cohort = finished(launched(days=1, agent_count=4, bankroll=Decimal(2000), **UNCOUPLED))
    assert cohort.book is not None
    start = start_of(cohort)
    told = OwnClockPerformance().performance(cohort.book, observation=HOURLY, window=48, at=clock.now())
    assert told is not None and told.n == 24
    worth_by_hour = CohortDay.objects.get(cohort=cohort).hourly_equity
    hours = [float(cohort.bankroll), *(x for x in worth_by_hour if x is not None)]
    assert len(hours) == 25
    assert told.returns == pytest.approx([after / before - 1 for before, after in itertools.pairwise(hours)])
    assert told.through == start + timedelta(days=1)
    assert told.equity == pytest.approx(hours[-1])
    assert told.drawdown_frac == pytest.approx(1 - hours[-1] / max(hours))
    daily = OwnClockPerformance().performance(cohort.book, observation=Observation.DAILY, window=30, at=clock.now())
    assert daily is not None and daily.returns == pytest.approx([hours[-1] / hours[0] - 1])
    assert told.drawdown_frac is not None
    assert max_drawdown([x or 0.0 for x in told.returns]) >= told.drawdown_frac - 1e-12

    deployment = replay_of(busiest(cohort), hours=3.5)
    before = OwnClockPerformance().performance(deployment.book, observation=HOURLY, window=48, at=clock.now())
    assert before is not None and (before.returns, before.equity) == ((), float(deployment.bankroll))
    while run_desks():
        pass
    run = DeskRun.objects.get(deployment=deployment)
    told = performance_of(deployment.book, LeverageRules(observation=HOURLY))
    closes = {
        c.bar_ms + deployment.interval_ms: float(c.equity) for c in TradingCycle.objects.filter(deployment=deployment)
    }
    worth = [float(deployment.bankroll)] + [closes[clock.to_ms(start + timedelta(hours=h))] for h in (1, 2, 3)]
    assert told.returns == pytest.approx([after / before - 1 for before, after in itertools.pairwise(worth)])
    assert told.through == start + timedelta(hours=3)
    assert told.running_return == pytest.approx(float(run.equity) / worth[-1] - 1)
    assert told.source == "the desk's cycles"
    # Its hours lie long ago by the wall's clock: nothing is raised on them.
    step = next_step(LeverageRules(observation=HOURLY, min_observations=2), State(Decimal(2), clock.now()), told)
    assert step.rule is not Rule.STEP_UP and "fresh" in {c.code for c in step.unmet}

    # What is over is decided on no more.
    books = [cohort.book.pk, deployment.book_id]
    assert OwnClockPerformance().ended(books) == {cohort.book.pk}
    stop_deployment(deployment=deployment, reason="Enough.", flatten=False, actor=None)
    deployment.refresh_from_db()
    finish_deployment(deployment=deployment, on=start.date())
    assert OwnClockPerformance().ended(books) == set(books)


def test_other_books_are_left_to_their_snapshots(fund: Fund) -> None:
    root = fund.books.get(parent=None)
    assert OwnClockPerformance().performance(root, observation=HOURLY, window=24, at=clock.now()) is None
    assert performance_of(root, LeverageRules()).source == "risk snapshots"
