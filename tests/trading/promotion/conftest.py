"""Five weeks of an invented market, a cohort in its middle, and the evidence about its candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from tests.cohort_fixtures import SYMBOLS
from tests.compliance.approvals.support import staff
from tests.gate import by_gate, ensure_policy
from trading.actions.cohort import launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.actions.promotion import review_cohort
from trading.marketdata.catalog import Catalog
from trading.marketdata.synthetic import SyntheticSpec, store_synthetic, synthesise
from trading.models.cohort import Cohort, CohortStatus
from trading.models.promotion import PromotionReview
from treasury.models import BankrollPool, Fund

FIRST_DAY = date(2025, 2, 1)
DAYS = 35
#: The cohort's three days; four weeks lie before them, four days after.
START = date(2025, 3, 1)

Make = Callable[..., Cohort]


@pytest.fixture(scope="session")
def long_market_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five weeks of 1m candles from 2025-02-01, seed 12."""
    folder = tmp_path_factory.mktemp("long-market")
    start_ms = clock.to_ms(datetime(2025, 2, 1, tzinfo=UTC))
    spec = SyntheticSpec(symbols=tuple(SYMBOLS), start_ms=start_ms, minutes=DAYS * 1440, seed=12)
    store_synthetic(Catalog.open(str(folder)), synthesise(spec))
    return folder


@pytest.fixture
def finished(specification: Make, manager: User, settings: Settings, long_market_folder: Path) -> Callable[..., Cohort]:
    """Cohorts of twelve random agents over three days, driven to their end."""

    def run(parents: Sequence[Cohort] = (), **changes: Any) -> Cohort:
        settings.MARKET_DATA_URL = str(long_market_folder)
        fields: dict[str, Any] = {"start": START, "agent_count": 12, "bankroll": Decimal(2400)}
        cohort = launch_cohort(
            cohort=specification(**(fields | changes)), parents=list(parents), actor=manager, queued=False
        )
        cohort = drive_cohort(cohort_id=cohort.pk)
        assert cohort.status == CohortStatus.COMPLETED, cohort.failure
        return cohort

    return run


@pytest.fixture
def pm(db: None) -> User:
    return staff("petra", Role.PORTFOLIO_MANAGER)


@pytest.fixture
def pool(fund: Fund) -> BankrollPool:
    by_gate("treasury.set_pool", {"fund": fund.code, "asset": "USDT", "capacity": "2000"})
    ensure_policy("trading.promote")
    return BankrollPool.objects.get()


@pytest.fixture
def reviewed(finished: Callable[..., Cohort]) -> PromotionReview:
    return review_cohort(cohort=finished(), actor=None)
