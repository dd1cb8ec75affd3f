"""Worlds: what hundreds of tests start from, made once a worker by the product's own actions, and committed.

A test that asks for a world's fixture runs in a transaction on that world's own database (see `_ground` in the
conftest), so it finds the rows as they were made, whoever ran before it, and leaves them so. Tests with real commits
empty their database afterwards: they have the world made anew, on the ground of all others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import override_settings
from pytest_django import Settings

from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from risk.switch_gate import RESTORE, SET_TRIGGER
from risk.switches import forget_everything
from tests.cohort_fixtures import cohort_of, make_fund
from tests.compliance.approvals.support import KIND, People, make_people, policy_document, set_policies, staff
from tests.factories import user_with
from tests.gate import by_gate, gate_people, maker_of
from tests.risk.conftest import NOW
from tests.risk.leverage_support import LEVERAGE, LIMIT, OVERRIDE, OVERRIDES
from tests.trading.desk.support import UNCOUPLED, finished
from trading.actions.cohort import launch_cohort
from trading.actions.promotion import carry_review, review_cohort
from trading.models.cohort import Cohort
from trading.models.promotion import PromotionReview
from treasury.models import BankrollPool, Fund

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
    "trading.set_gate_policy",
    "trading.weigh_council",
    "treasury.set_pool",
    "compliance.set_screening_policy",
    LEVERAGE,
)
#: The cohort whose candidate is reviewed: four weeks of candles lie before its three days, four days after.
CANDIDATES: dict[str, Any] = {"start": date(2025, 3, 1), "agent_count": 12, "bankroll": Decimal(2400)}


@dataclass
class World:
    """How it is made, from which fixtures of the session, and once it is: its database and what the making answered."""

    make: Callable[..., Any]
    asks_for: tuple[str, ...] = ()
    database: str | None = None
    made: Any = None

    def make_in(self, database: str, request: pytest.FixtureRequest) -> None:
        """Makes it on the database that the connection stands on."""
        self.made = self._make(request)
        self.database = database

    def _make(self, request: pytest.FixtureRequest) -> Any:
        return self.make(*(request.getfixturevalue(name) for name in self.asks_for))

    def given(self, request: pytest.FixtureRequest) -> Any:
        """The test's own copy of what was made."""
        if connection.settings_dict["NAME"] != self.database:
            return self._make(request)
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


@dataclass(frozen=True)
class Finished:
    """A fund, its manager, and a cohort of theirs that has come to its end."""

    fund: Fund
    manager: User
    cohort: Cohort


@dataclass(frozen=True)
class Candidate(Finished):
    """Also who may ask for promotion and, where there are any, the pool and the review of the cohort's candidate."""

    pm: User
    pool: BankrollPool | None = None
    review: PromotionReview | None = None


def _desk(market_folder: Path) -> Finished:
    _ruled()
    return _finished(market_folder, days=1, agent_count=12, bankroll=Decimal(6000), **UNCOUPLED)


def _finished(market: Path, **terms: Any) -> Finished:
    fund, manager = make_fund(), user_with(Role.PORTFOLIO_MANAGER)
    with override_settings(MARKET_DATA_URL=str(market)):
        return Finished(
            fund, manager, finished(launch_cohort(cohort=cohort_of(fund, **terms), actor=manager, queued=False))
        )


def _candidate(long_market_folder: Path) -> Candidate:
    _ruled()
    made = _finished(long_market_folder, **CANDIDATES)
    return Candidate(**vars(made), pm=staff("petra", Role.PORTFOLIO_MANAGER))


def _watched(long_market_folder: Path) -> Candidate:
    _ruled()
    made = _finished(long_market_folder, **CANDIDATES | {"agent_count": 6})
    by_gate("treasury.set_pool", {"fund": made.fund.code, "asset": "USDT", "capacity": "40000"})
    with override_settings(MARKET_DATA_URL=str(long_market_folder)):
        review = review_cohort(cohort=made.cohort, actor=None)
    return Candidate(
        **vars(made), pm=staff("petra", Role.PORTFOLIO_MANAGER), pool=BankrollPool.objects.get(), review=review
    )


def _offered(long_market_folder: Path) -> Candidate:
    made = _candidate(long_market_folder)
    with override_settings(MARKET_DATA_URL=str(long_market_folder)):
        review = carry_review(review=review_cohort(cohort=made.cohort, actor=None))
    by_gate("treasury.set_pool", {"fund": made.fund.code, "asset": "USDT", "capacity": "2000"})
    return replace(made, pool=BankrollPool.objects.get(), review=review)


#: By the names of their fixtures.
WORLDS = {
    "gate_world": World(_gate),
    "leverage_world": World(_leverage),
    "access_world": World(_access),
    "desk_world": World(_desk, ("market_folder",)),
    "candidate_world": World(_candidate, ("long_market_folder",)),
    "watched_world": World(_watched, ("long_market_folder",)),
    "offered_world": World(_offered, ("long_market_folder",)),
    "ruled_world": World(_ruled),
}


@pytest.fixture
def gate_world(db: None, request: pytest.FixtureRequest) -> People:
    """The gate's cast, with a policy in force for the tests' action, made through the gate."""
    people: People = WORLDS["gate_world"].given(request)
    return people


@pytest.fixture
def leverage_world(db: None, request: pytest.FixtureRequest) -> People:
    """The gate's cast, asked by a risk officer, with its rules for leverage, limits and overrides; at the risk
    tests' time."""
    people: People = WORLDS["leverage_world"].given(request)
    return people


@pytest.fixture
def access_world(db: None, request: pytest.FixtureRequest) -> User:
    """An installation whose rules for access are in force; its administrator."""
    administrator: User = WORLDS["access_world"].given(request)
    return administrator


@pytest.fixture
def desk_world(db: None, candles: Path, request: pytest.FixtureRequest) -> Finished:
    """A finished cohort of twelve random agents of 500 each over one day, with ceilings that never bind; rules are in
    force as in `ruled_world`."""
    made: Finished = WORLDS["desk_world"].given(request)
    return made


@pytest.fixture
def candidate_world(
    db: None, settings: Settings, long_market_folder: Path, request: pytest.FixtureRequest
) -> Candidate:
    """A finished cohort of twelve random agents over three days in five weeks of candles; rules are in force as in
    `ruled_world`."""
    settings.MARKET_DATA_URL = str(long_market_folder)
    made: Candidate = WORLDS["candidate_world"].given(request)
    return made


@pytest.fixture
def watched_world(db: None, settings: Settings, long_market_folder: Path, request: pytest.FixtureRequest) -> Candidate:
    """The same with six agents, a pool large enough that a slice buys several lots, and the review of the candidate,
    whose evidence knows the pool."""
    settings.MARKET_DATA_URL = str(long_market_folder)
    made: Candidate = WORLDS["watched_world"].given(request)
    return made


@pytest.fixture
def offered_world(db: None, settings: Settings, long_market_folder: Path, request: pytest.FixtureRequest) -> Candidate:
    """The same as `candidate_world`, its candidate reviewed and carried on as far as the gate lets it; then a pool."""
    settings.MARKET_DATA_URL = str(long_market_folder)
    made: Candidate = WORLDS["offered_world"].given(request)
    return made


@pytest.fixture
def ruled_world(db: None, request: pytest.FixtureRequest) -> None:
    """The people of `tests.gate`, with rules in force for what tests put in place by it."""
    WORLDS["ruled_world"].given(request)
