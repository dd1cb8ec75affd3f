"""A finished cohort whose agents fit a deployment, and one busy deployment over its first hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from tests.trading.desk.support import UNCOUPLED, finished
from trading.models.cohort import Cohort


@pytest.fixture
def cohort(launched: Callable[..., Cohort]) -> Cohort:
    """Twelve random agents of 500 each over one day, with ceilings that never bind."""
    return finished(launched(days=1, agent_count=12, bankroll=Decimal(6000), **UNCOUPLED))


@pytest.fixture(autouse=True)
def whole_turns() -> Iterator[None]:
    """A desk's turn ends with its bars, not after a second: how far it gets is not the machine's matter here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trading.desk.drive.TURN_S", 600.0)
        yield
