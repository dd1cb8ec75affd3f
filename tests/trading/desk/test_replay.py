"""A deployment that is worked over the days of its cohort is filled exactly as its agent was."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.trading.desk.support import UNCOUPLED, cohort_fills, desk_fills, finished, replay_of, work_off
from trading.models.cohort import Cohort
from trading.models.deployments import DeploymentStatus, DeskRun, TradingCycle
from treasury.models import JournalEntry
from treasury.selectors import trial_balance

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def test_every_agent_of_a_cohort_is_reproduced_fill_by_fill(launched: Callable[..., Cohort]) -> None:
    """Price, size, fee, costs, time, reason: equal to the last digit, for every agent that fits a deployment."""
    cohort = finished(launched(days=1, agent_count=12, bankroll=Decimal(6000), **UNCOUPLED))
    compared = 0
    for agent in cohort.agents.order_by("number"):
        if not agent.fills.exists():
            continue
        deployment = work_off(replay_of(agent, bankroll=str(agent.draw), leverage="1"))
        assert deployment.status == DeploymentStatus.RUNNING, deployment.stop_reason
        assert desk_fills(deployment) == cohort_fills(agent), agent.family
        day = agent.agent_days.get(day=1)
        run = DeskRun.objects.get(deployment=deployment)
        assert run.equity == day.equity
        assert run.books_checked_on == cohort.start
        compared += agent.fills.count()
    assert compared > 100
    assert trial_balance(fund=cohort.fund).is_balanced
