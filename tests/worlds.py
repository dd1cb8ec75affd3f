"""Worlds: what hundreds of tests start from, made once a worker by the product's own actions, and committed.

A test that asks for a world's fixture runs in a transaction on that world's own database (see `_ground` in the
conftest), so it finds the rows as they were made, whoever ran before it, and leaves them so. Tests with real commits
empty their database afterwards: they have the world made anew, on the ground of all others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection

from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from risk.switch_gate import RESTORE, SET_TRIGGER
from risk.switches import forget_everything
from tests.compliance.approvals.support import KIND, People, make_people, policy_document, set_policies, staff
from tests.gate import gate_people, maker_of
from tests.risk.conftest import NOW
from tests.risk.leverage_support import LEVERAGE, LIMIT, OVERRIDE, OVERRIDES

ACCESS = ("access.grant_role", "access.remove_role", "access.reopen_account", "access.reset_second_factor")
#: What tests put in place by requests of their own before they begin with what they test.
COMMON = (
    LIMIT,
    "risk.retire_limit",
    "risk.apply_template",
    "risk.set_budget",
    "risk.save_scenario",
    RESTORE,
    SET_TRIGGER,
    "trading.deploy",
    "trading.promote",
    "treasury.set_pool",
)


@dataclass
class World:
    """How it is made, and once it is: its database and what the making answered."""

    make: Callable[[], Any]
    database: str | None = None
    made: Any = None

    def make_in(self, database: str) -> None:
        """Makes it on the database that the connection stands on."""
        self.made = self.make()
        self.database = database

    def given(self) -> Any:
        """The test's own copy of what was made."""
        if connection.settings_dict["NAME"] != self.database:
            return self.make()
        cache.clear()  # wrong codes and used ones of another test's, by the same accounts
        forget_everything()  # and what another test stopped
        return copy.deepcopy(self.made)


def _gate() -> People:
    people = make_people()
    set_policies(people, policy_document(KIND))
    return people


def _leverage() -> People:
    with clock.frozen(NOW):
        people = make_people()
        set_policies(people, *(policy_document(kind) for kind in (LEVERAGE, OVERRIDES, OVERRIDE, LIMIT)))
        return People(**(vars(people) | {"maker": staff("rosa", Role.RISK_OFFICER)}))


def _access() -> User:
    administrator = staff("ada", Role.ADMINISTRATOR)
    set_policies(gate_people(), *(policy_document(kind) for kind in ACCESS))
    return administrator


def _ruled() -> None:
    with clock.frozen(datetime(2025, 1, 1, tzinfo=UTC)):  # before whatever the tests' clocks show
        set_policies(gate_people(), *(policy_document(kind) for kind in COMMON))
        for kind in COMMON:
            maker_of(kind)


#: By the names of their fixtures.
WORLDS = {
    "gate_world": World(_gate),
    "leverage_world": World(_leverage),
    "access_world": World(_access),
    "ruled_world": World(_ruled),
}


@pytest.fixture
def gate_world(db: None) -> People:
    """The gate's cast, with a policy in force for the tests' action, made through the gate."""
    people: People = WORLDS["gate_world"].given()
    return people


@pytest.fixture
def leverage_world(db: None) -> People:
    """The gate's cast, asked by a risk officer, with its rules for leverage, limits and overrides; at the risk
    tests' time."""
    people: People = WORLDS["leverage_world"].given()
    return people


@pytest.fixture
def access_world(db: None) -> User:
    """An installation whose rules for access are in force; its administrator."""
    administrator: User = WORLDS["access_world"].given()
    return administrator


@pytest.fixture
def ruled_world(db: None) -> None:
    """The people of `tests.gate`, with rules in force for what tests put in place by it."""
    WORLDS["ruled_world"].given()
