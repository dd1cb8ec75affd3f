"""A finished cohort whose agents fit a deployment, and one busy deployment over its first hours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fundops.core.models import User
from tests.worlds import Finished
from trading.models.cohort import Cohort
from treasury.models import Fund


@pytest.fixture
def fund(desk_world: Finished) -> Fund:
    return desk_world.fund


@pytest.fixture
def manager(desk_world: Finished) -> User:
    return desk_world.manager


@pytest.fixture
def cohort(desk_world: Finished) -> Cohort:
    """Twelve random agents of 500 each over one day, with ceilings that never bind."""
    return desk_world.cohort


@pytest.fixture(autouse=True)
def whole_turns() -> Iterator[None]:
    """A desk's turn ends with its bars, not after a second: how far it gets is not the machine's matter here."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trading.desk.drive.TURN_S", 600.0)
        yield
