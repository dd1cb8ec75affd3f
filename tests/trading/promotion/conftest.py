"""A finished cohort in five weeks of an invented market, and what is known of its candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from fundops.core.models import User
from tests.gate import by_gate, ensure_policy
from tests.worlds import CANDIDATES, Candidate
from trading.actions.cohort import launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.actions.promotion import review_cohort
from trading.models.cohort import Cohort, CohortStatus
from trading.models.promotion import PromotionReview
from treasury.models import BankrollPool, Fund

#: The cohort's three days; four weeks lie before them, four days after.
START = CANDIDATES["start"]

Make = Callable[..., Cohort]


@pytest.fixture
def fund(candidate_world: Candidate) -> Fund:
    return candidate_world.fund


@pytest.fixture
def manager(candidate_world: Candidate) -> User:
    return candidate_world.manager


@pytest.fixture
def pm(candidate_world: Candidate) -> User:
    return candidate_world.pm


@pytest.fixture
def finished(
    specification: Make, manager: User, candidate_world: Candidate, settings: Settings, long_market_folder: Path
) -> Make:
    """Cohorts of twelve random agents over three days, driven to their end. The first that is as usual was so already:
    whoever needs one that ends within the test says something about it, like ``days=3``.
    """
    return finisher(specification, manager, settings, long_market_folder, ready=candidate_world.cohort)


def finisher(
    specification: Make, manager: User, settings: Settings, market: Path, *, ready: Cohort | None = None
) -> Make:
    """Drives cohorts to their end, or hands out the one that is ready."""
    left = [ready] if ready else []

    def run(parents: Sequence[Cohort] = (), **changes: Any) -> Cohort:
        settings.MARKET_DATA_URL = str(market)
        if left and not parents and not changes:
            return left.pop()
        cohort = launch_cohort(
            cohort=specification(**CANDIDATES | changes), parents=list(parents), actor=manager, queued=False
        )
        cohort = drive_cohort(cohort_id=cohort.pk)
        assert cohort.status == CohortStatus.COMPLETED, cohort.failure
        return cohort

    return run


@pytest.fixture
def pool(fund: Fund) -> BankrollPool:
    by_gate("treasury.set_pool", {"fund": fund.code, "asset": "USDT", "capacity": "2000"})
    ensure_policy("trading.promote")
    return BankrollPool.objects.get()


@pytest.fixture
def reviewed(finished: Make) -> PromotionReview:
    return review_cohort(cohort=finished(), actor=None)
