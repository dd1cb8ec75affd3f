"""A finished cohort whose agents fit a deployment, and one busy deployment over its first hours."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.trading.desk.support import UNCOUPLED, finished
from trading.models.cohort import Cohort


@pytest.fixture
def cohort(launched: Callable[..., Cohort]) -> Cohort:
    """Twelve random agents of 500 each over one day, with ceilings that never bind."""
    return finished(launched(days=1, agent_count=12, bankroll=Decimal(6000), **UNCOUPLED))
