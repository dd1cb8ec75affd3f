"""For tests that have real commits or count every cohort there is: nothing is there but what they make."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from fundops.core.models import User
from fundops.core.roles import Role
from tests.cohort_fixtures import make_fund
from tests.factories import user_with
from tests.trading.promotion.conftest import Make, finisher
from treasury.models import Fund


@pytest.fixture
def fund(db: None) -> Fund:
    return make_fund()


@pytest.fixture
def manager(db: None) -> User:
    return user_with(Role.PORTFOLIO_MANAGER)


@pytest.fixture
def finished(specification: Make, manager: User, settings: Settings, long_market_folder: Path) -> Make:
    return finisher(specification, manager, settings, long_market_folder)
