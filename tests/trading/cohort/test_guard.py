"""A cohort trades inside the limits of its Books and under the trading mode; what bound it is kept and shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.switches import stop_trading
from risk.models import RiskLimit
from risk.quant.metrics import Metric
from risk.quant.pretrade import TradingMode
from tests.factories import user_with
from tests.risk.gated import end_limit, put_limit
from trading.actions.cohort_drive import drive_cohort
from trading.cohorts.guard import order_limits
from trading.models.cohort import Cohort, CohortFill, CohortMode, CohortRejection, CohortRun, CohortStatus
from treasury.models import Book

pytestmark = pytest.mark.usefixtures("ruled_world")

Make = Callable[..., Cohort]

LAUNCH = datetime(2025, 3, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def forward(launched: Make) -> Cohort:
    """Sixty times as fast as the market: a bar a second; it has traded for ten hours."""
    with clock.frozen(LAUNCH):
        cohort = launched(mode=CohortMode.FORWARD, speed=60.0, days=1)
    drive(cohort, 0)
    return drive(cohort, 600)


@pytest.fixture
def officer(db: None) -> User:
    return user_with(Role.RISK_OFFICER)


def drive(cohort: Cohort, seconds: float) -> Cohort:
    with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
        return drive_cohort(cohort_id=cohort.pk)


def limit_at(seconds: float, book: Book | None, metric: Metric, hard: str) -> RiskLimit:
    assert book is not None
    with clock.frozen(LAUNCH + timedelta(seconds=seconds)):
        return put_limit(book=book, metric=metric, hard=Decimal(hard))


def records(cohort: Cohort) -> list[dict[str, object]]:
    found: list[dict[str, object]] = CohortRun.objects.get(cohort=cohort).provenance["limits"]
    return found


def later(cohort: Cohort, bars: int) -> datetime:
    return clock.from_ms(cohort.start_ms + bars * 60_000)


def page(user: User, name: str, *args: int) -> str:
    client = Client()
    client.force_login(user)
    return client.get(reverse(f"portal:{name}", args=args)).content.decode()


def test_a_hard_limit_on_the_book_denies_orders_of_the_agents_and_the_page_names_it(
    forward: Cohort, manager: User
) -> None:
    assert CohortFill.objects.filter(cohort=forward).exists()
    limit = limit_at(600, forward.book, Metric.ORDER_NOTIONAL, "1")
    drive(forward, 1_200)
    fills = CohortFill.objects.filter(cohort=forward, at__gte=later(forward, 600)).exclude(reason="liquidation")
    assert all(fill.quantity * fill.reference_price <= Decimal("1.000001") for fill in fills)
    denied = CohortRejection.objects.filter(cohort=forward, reason__in=("limit_order", "own_limit_order"))
    assert denied.exists()
    assert not denied.filter(at__lt=later(forward, 600)).exists()
    first = denied.select_related("agent").first()
    assert first is not None
    html = page(manager, "cohort-agent", forward.pk, first.agent.number)
    assert f"(limit {limit.pk}: 1)" in html
    assert "denied: notional of an order" in html
    board = page(manager, "cohort", forward.pk)
    assert "Limits on its orders" in board
    assert f"limit {limit.pk}" in board


def test_a_halt_stops_new_orders_of_a_forward_cohort_at_the_next_bar(
    forward: Cohort, manager: User, officer: User
) -> None:
    stop_trading(reason="Fills look wrong.", actor=officer, book=forward.book)
    drive(forward, 1_200)
    after = CohortFill.objects.filter(cohort=forward, at__gte=later(forward, 600))
    assert set(after.values_list("reason", flat=True)) <= {"liquidation"}
    denied = CohortRejection.objects.filter(cohort=forward, reason="mode_halted")
    assert denied.exists()
    first = denied.select_related("agent").first()
    assert first is not None
    assert "denied: trading is HALTED" in page(manager, "cohort-agent", forward.pk, first.agent.number)
    assert "HALTED" in page(manager, "cohort", forward.pk)
    assert drive(forward, 1_440).status == CohortStatus.COMPLETED
    assert forward.cohort_days.get().largest_difference == Decimal(0)


def test_a_halt_of_one_agents_book_stops_that_agent_alone(forward: Cohort, officer: User) -> None:
    busiest = list(CohortFill.objects.filter(cohort=forward).values_list("agent__number", flat=True))
    agent = forward.agents.get(number=max(set(busiest), key=busiest.count))
    stop_trading(reason="This one.", actor=officer, book=agent.book)
    drive(forward, 1_440)
    after = CohortFill.objects.filter(cohort=forward, at__gte=later(forward, 600)).exclude(reason="liquidation")
    assert after.exists()
    assert not after.filter(agent=agent).exists()
    denied = CohortRejection.objects.filter(cohort=forward, reason="mode_halted")
    assert {row.agent_id for row in denied} == {agent.pk}
    assert records(forward)[-1]["agent_modes"] == {str(agent.number): "HALTED"}


def test_reducing_lets_positions_only_be_closed(forward: Cohort, officer: User) -> None:
    held = dict.fromkeys(forward.agents.values_list("pk", "symbol"), Decimal(0))
    for fill in CohortFill.objects.filter(cohort=forward).order_by("number"):
        signed = fill.quantity if fill.side == "buy" else -fill.quantity
        held[fill.agent_id, fill.symbol] = held.get((fill.agent_id, fill.symbol), Decimal(0)) + signed
    stop_trading(reason="Wind down.", actor=officer, book=forward.book, mode=TradingMode.REDUCING)
    drive(forward, 1_440)
    for fill in CohortFill.objects.filter(cohort=forward, at__gte=later(forward, 600)).order_by("number"):
        before = held[fill.agent_id, fill.symbol]
        after = before + (fill.quantity if fill.side == "buy" else -fill.quantity)
        assert abs(after) < abs(before)
        assert after * before >= 0
        held[fill.agent_id, fill.symbol] = after
    assert CohortRejection.objects.filter(cohort=forward, reason="mode_reducing").exists()


def test_what_was_in_force_is_noted_when_it_changes_and_only_then(forward: Cohort) -> None:
    assert [record["mode"] for record in records(forward)] == ["ACTIVE"]
    drive(forward, 700)
    assert len(records(forward)) == 1
    limit = limit_at(700, forward.book, Metric.LEVERAGE, "0.5")
    drive(forward, 800)
    drive(forward, 900)
    assert [record["from_ms"] for record in records(forward)] == [
        forward.start_ms,
        forward.start_ms + 700 * 60_000,
    ]
    with clock.frozen(LAUNCH + timedelta(seconds=900)):
        end_limit(limit)
    drive(forward, 1_000)
    assert [len(record["limits"]) for record in records(forward)] == [0, 1, 0]  # type: ignore[arg-type]


def test_a_limit_on_one_agents_book_binds_that_agent_alone(forward: Cohort) -> None:
    busiest = CohortFill.objects.filter(cohort=forward).values_list("agent__number", flat=True)
    number = max(set(busiest), key=list(busiest).count)
    agent = forward.agents.get(number=number)
    limit_at(600, agent.book, Metric.GROSS_EXPOSURE, "0.5")
    drive(forward, 1_440)
    denied = CohortRejection.objects.filter(cohort=forward, reason="own_limit_gross")
    assert {row.agent_id for row in denied} == {agent.pk}


def test_a_replay_lives_under_the_limits_of_its_launch(launched: Make, manager: User) -> None:
    free = drive_cohort(cohort_id=launched(days=1).pk)
    root = Book.objects.get(fund=free.fund, parent=None)
    limit = put_limit(book=root, metric=Metric.ORDER_NOTIONAL, hard=Decimal(20))
    bound = drive_cohort(cohort_id=launched(days=1).pk)
    fills = CohortFill.objects.filter(cohort=bound).exclude(reason="liquidation")
    assert fills.exists()
    assert all(fill.quantity * fill.reference_price <= Decimal("20.000001") for fill in fills)
    assert CohortFill.objects.filter(cohort=free).filter(quantity__gt=0).count() > 0
    (record,) = records(bound)
    assert [line["name"] for line in record["limits"]] == [f"limit {limit.pk}"]  # type: ignore[attr-defined]
    again = order_limits(record, bound.venue)
    assert again is not None
    assert [x.hard for x in again.cohort.limits] == [20.0]
    assert "as of its launch" in page(manager, "cohort", bound.pk)


def test_value_at_risk_is_judged_by_the_returns_before_the_bar_or_denies(forward: Cohort) -> None:
    """Four days of candles say nothing of a year's tail: what is not known adds nothing."""
    limit_at(600, forward.book, Metric.VAR_FRAC, "0.05")
    drive(forward, 1_440)
    reasons = set(CohortRejection.objects.filter(cohort=forward).values_list("reason", flat=True))
    assert reasons & {"unknown_var_frac", "own_unknown_var_frac"}
