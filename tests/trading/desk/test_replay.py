"""A deployment that is worked over the days of its cohort is filled exactly as its agent was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.trading.desk.support import (
    UNCOUPLED,
    by_family,
    cohort_fills,
    desk_fills,
    finished,
    replay_of,
    start_of,
    work_off,
)
from trading.desk.drive import run_desks
from trading.models.cohort import Cohort
from trading.models.deployments import DeploymentStatus, DeskRun, Fill, TradingCycle
from treasury.models import JournalEntry
from treasury.selectors import trial_balance

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def test_agents_of_a_cohort_are_reproduced_fill_by_fill(cohort: Cohort) -> None:
    """Price, size, fee, costs, time, reason: equal to the last digit, whatever the family; three hours each."""
    hours = 3
    until = start_of(cohort) + timedelta(hours=hours)
    agents = [agent for agent in cohort.agents.order_by("number") if cohort_fills(agent, before=until)]
    deployments = [replay_of(agent, hours=hours) for agent in agents]
    while run_desks():
        pass
    compared = 0
    for agent, deployment in zip(agents, deployments, strict=True):
        deployment.refresh_from_db()
        assert deployment.status == DeploymentStatus.RUNNING, deployment.stop_reason
        assert desk_fills(deployment) == cohort_fills(agent, before=until), agent.family
        compared += len(desk_fills(deployment))
    assert len({agent.family for agent in agents}) >= 4
    assert compared > 20
    assert trial_balance(fund=cohort.fund).is_balanced


def test_a_whole_day_ends_with_three_reckonings_that_agree(launched: Callable[..., Cohort]) -> None:
    """Over a day of an agent with protective exits: the desk's equity is the engine's, the venue's and the ledger's."""
    cohort = finished(launched(days=1, agent_count=12, bankroll=Decimal(6000), **UNCOUPLED))
    agent = by_family(cohort, "tsmom_volatility")
    deployment = work_off(replay_of(agent))
    assert desk_fills(deployment) == cohort_fills(agent)
    run = DeskRun.objects.get(deployment=deployment)
    assert run.equity == agent.agent_days.get(day=1).equity
    assert run.books_checked_on == cohort.start
    assert run.bars == 1440
    # The opening cycle, before the first bar, and one for each bar.
    assert TradingCycle.objects.filter(deployment=deployment).count() == 1441


def test_every_fill_leads_to_its_journal_entry(cohort: Cohort) -> None:
    agent = by_family(cohort, "tsmom_volatility")
    deployment = work_off(replay_of(agent, hours=4))
    fills = list(Fill.objects.filter(deployment=deployment))
    assert fills
    entries = JournalEntry.objects.filter(source_type="trading.desk.fill").values_list("source_id", flat=True)
    assert sorted(entries) == sorted(row.source_id for row in fills)


def test_working_bar_by_bar_or_many_at_once_is_the_same(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memories and accounts pass through the database between any two bars without changing anything."""
    agent = by_family(cohort, "tsmom_volatility")
    at_once = work_off(replay_of(agent, hours=2))
    monkeypatch.setattr("trading.desk.drive.BARS_A_TURN", 7)
    in_pieces = work_off(replay_of(agent, hours=2))
    assert desk_fills(in_pieces) == desk_fills(at_once) != []
    first, second = (DeskRun.objects.get(deployment=d) for d in (at_once, in_pieces))
    assert bytes(first.voices_state or b"") == bytes(second.voices_state or b"") != b""
    assert (first.equity, first.bars, first.cycles) == (second.equity, second.bars, second.cycles)
