"""What failed with real orders is chosen later for the next cohort."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import transaction

from fundops.core.models import User
from tests.trading.desk.support import UNCOUPLED, deploy, finished
from trading.actions.cohort import launch_cohort
from trading.cohorts.installed import installed_families
from trading.cohorts.population import choose_members
from trading.models.cohort import AgentDay, Cohort, GenomeSource
from trading.models.promotion import ReviewState
from trading.promotion.records import keep_record

pytestmark = pytest.mark.usefixtures("ruled_world")


@pytest.mark.django_db
@pytest.mark.timeout(600)
def test_rollbacks_move_the_best_of_the_last_cohort_behind_the_next_best(
    launched: Callable[..., Cohort], specification: Callable[..., Cohort], manager: User
) -> None:
    parent = finished(launched(days=1, agent_count=12, bankroll=Decimal(6000), **UNCOUPLED))
    best, second = AgentDay.objects.filter(agent__cohort=parent, day=1).order_by("-roi_frac", "agent__number")[:2]
    assert best.roi_frac is not None
    assert second.roi_frac is not None
    assert best.roi_frac > second.roi_frac > 0
    child = launch_cohort(
        cohort=specification(genome_source=GenomeSource.BEST, agent_count=1), parents=[parent], actor=manager,
        queued=False,
    )  # fmt: skip

    def chosen() -> str:
        (member,) = choose_members(child, profiles={}, families=installed_families())
        return member.genome.content_hash

    assert chosen() == best.agent.genome_hash
    worth = best.roi_frac
    while worth >= second.roi_frac:  # each rollback halves what its profit counts for
        with transaction.atomic():
            keep_record(deploy(best.agent, bankroll="60"), outcome=ReviewState.ROLLED_BACK, cause="drawdown")
        worth /= 2
    assert chosen() == second.agent.genome_hash
