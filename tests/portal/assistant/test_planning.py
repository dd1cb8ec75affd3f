"""What a plan promises and what must be so: its stop, its clock, approvals and bankroll."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from compliance.actions.proposing import propose
from fundops.core import clock
from fundops.core.models import User
from portal.assistant.conversation import NotPossibleError, begin
from portal.assistant.intents import Grow, StartCohort
from portal.assistant.planning import Plan, hourly_history, plan_cohort, plan_growth
from portal.assistant.prerequisites import Prerequisite
from tests.cohort_fixtures import SYMBOLS
from tests.gate import by_gate, found_everything, maker_of
from trading.actions.cohort_drive import drive_cohort
from trading.actions.marketdata import sync_catalog
from trading.marketdata.bars import SeriesKey
from trading.marketdata.catalog import Catalog
from trading.marketdata.synthetic import SyntheticSpec, synthesise
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from treasury.models import Fund

NOW = datetime(2025, 3, 20, 12, 0, tzinfo=UTC)
MINUTE_MS = 60_000


@pytest.fixture
def market(specification: Callable[..., Cohort], fund: Fund) -> None:
    specification()
    sync_catalog(actor=None)


@pytest.fixture
def live_market(settings: Settings, tmp_path: Path, fund: Fund) -> None:
    """Ten days of candles of a venue, the last of which closed ten minutes before now."""
    settings.MARKET_DATA_URL = str(tmp_path / "live")
    catalog = Catalog.open(settings.MARKET_DATA_URL)
    end_ms = clock.to_ms(NOW - timedelta(minutes=10))
    minutes = 10 * 1440
    spec = SyntheticSpec(symbols=tuple(SYMBOLS), start_ms=end_ms - minutes * MINUTE_MS, minutes=minutes, seed=3)
    for symbol, bars in synthesise(spec).bars.items():
        catalog.merge(SeriesKey("binance", symbol, MINUTE_MS), bars, source="test")
    sync_catalog(actor=None)


def told(plan: Plan, name: str) -> Prerequisite:
    return next(p for p in plan.prerequisites if p.name == name)


# --- The stop -------------------------------------------------------------------------------------------------
def test_stop_of_a_plan_is_the_stop_of_its_cohort(market: None, manager: User) -> None:
    plan = plan_growth(Grow(Decimal(500), 2))
    cohort = begin(intent=Grow(Decimal(500), 2), actor=manager)
    assert cohort.drawdown_stop_frac == Decimal("0.05")
    assert "The machine ends it at the first bar that closes 5.0% below its peak" in " ".join(plan.words)
    assert plan.days[0].stop == 475.0


def test_tighter_limit_of_the_fund_is_the_stop(market: None, manager: User, fund: Fund) -> None:
    by_gate("risk.set_limit", {"book": fund.code, "metric": "drawdown_frac", "soft": "0.01", "hard": "0.02"})
    assert plan_growth(Grow(Decimal(500), 2)).days[0].stop == 490.0
    assert begin(intent=Grow(Decimal(500), 2), actor=manager).drawdown_stop_frac == Decimal("0.02")


def test_hours_of_stopped_cohorts_count_as_well(market: None, launched: Callable[..., Cohort]) -> None:
    """Leaving them out would make the days to come look better than such days were."""
    stopped = drive_cohort(cohort_id=launched(days=1, drawdown_stop_frac=Decimal("0.001")).pk)
    assert stopped.status == CohortStatus.CANCELLED
    hours = sum(x is not None for day in stopped.cohort_days.all() for x in day.hourly_roi)
    assert hourly_history(synthetic=True).size == hours


# --- The clock ------------------------------------------------------------------------------------------------
def test_growth_goes_forward_where_candles_are_fresh(live_market: None, manager: User) -> None:
    with clock.frozen(NOW):
        plan = plan_growth(Grow(Decimal(500), 7, "USD"))
        assert plan.terms["mode"] == "forward"
        assert plan.terms["start"] == "2025-03-20"
        assert plan.possible
        assert "as candles close" in told(plan, "Clock").words
        cohort = begin(intent=Grow(Decimal(500), 7, "USD"), actor=manager)
    assert (cohort.mode, cohort.speed, cohort.days) == (CohortMode.FORWARD, 1.0, 7)


def test_person_may_choose_the_replay_of_fresh_markets(live_market: None, manager: User) -> None:
    with clock.frozen(NOW):
        plan = plan_growth(Grow(Decimal(500), 7, mode="replay"))
        assert plan.terms["mode"] == "replay"
        assert "forward is possible too" in told(plan, "Clock").words
        assert plan_cohort(StartCohort(Decimal(500), 3)).terms["mode"] == "replay"
        page = Client()
        page.force_login(manager)
        shown = page.post("/assistant/", {"text": "grow $500 over 7 days"}).content.decode()
    assert 'value="forward"' in shown
    assert "Replay the latest days" in shown


def test_stale_candles_are_replayed_and_cannot_be_followed(market: None, manager: User) -> None:
    plan = plan_growth(Grow(Decimal(500), 2))
    assert plan.terms["mode"] == "replay"
    clock_told = told(plan, "Clock")
    assert clock_told.ok is None
    assert "takes candles of the last two hours" in clock_told.words
    with pytest.raises(NotPossibleError, match="fresh enough to follow"):
        begin(intent=Grow(Decimal(500), 2, mode="forward"), actor=manager)
    assert not Cohort.objects.exists()


# --- Approvals and bankroll -----------------------------------------------------------------------------------
def test_approvals_say_who_would_sign_and_what_is_under_way(market: None, fund: Fund) -> None:
    before = told(plan_growth(Grow(Decimal(500), 2)), "Approvals")
    assert before.ok is None
    assert "no rule says who signs" in before.words
    found_everything()
    after = told(plan_growth(Grow(Decimal(500), 2)), "Approvals")
    assert after.ok is True
    assert "takes them of operations (1), risk officer (1)." in after.words
    propose(
        kind="risk.set_limit",
        payload={"book": fund.code, "metric": "leverage", "soft": "2", "hard": "3"},
        reason="R",
        actor=maker_of("risk.set_limit"),
    )
    waiting = told(plan_growth(Grow(Decimal(500), 2)), "Approvals")
    assert waiting.ok is None
    assert "1 request under way would change what binds it" in waiting.words


def test_bankroll_says_what_a_winner_could_be_given(market: None, fund: Fund) -> None:
    none = told(plan_growth(Grow(Decimal(500), 2)), "Bankroll")
    assert none.ok is None
    assert "no bankroll pool in USDT" in none.words
    by_gate("treasury.set_pool", {"fund": fund.code, "asset": "USDT", "capacity": "1000"})
    some = told(plan_growth(Grow(Decimal(500), 2)), "Bankroll")
    assert some.ok is True
    assert "slice is 50.00 USDT" in some.words
    more = told(plan_growth(Grow(Decimal(5000), 2)), "Bankroll")
    assert more.ok is None
    assert "more than the whole pool" in more.words
