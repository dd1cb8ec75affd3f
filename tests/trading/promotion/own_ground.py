"""For tests that have real commits or count every cohort there is: nothing is there but what they make."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from fundops.core.models import User
from tests.cohort_fixtures import fund as fund
from tests.cohort_fixtures import manager as manager
from tests.trading.promotion.conftest import Make, finisher


@pytest.fixture
def finished(specification: Make, manager: User, settings: Settings, long_market_folder: Path) -> Make:
    return finisher(specification, manager, settings, long_market_folder)
