"""A desk sizes with what the policy engine allows of its approved leverage, bar by bar."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

import pytest

from fundops.core.roles import Role
from risk.actions.leverage import SET_LEVERAGE_POLICY, lower_leverage
from tests.factories import user_with
from tests.gate import by_gate
from tests.trading.desk.support import by_family, deploy, replay_of, work_off
from trading.desk.leverage import read_leverage
from trading.desk.loaded import load_desks
from trading.desk.records import load_seats
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeskRun, Fill, Order, Position, TradingCycle

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(900)]


@pytest.fixture
def policy(db: None) -> None:
    """The policy that ships: 2 x at the start, 1 x at least, 10 x at most."""
    by_gate(SET_LEVERAGE_POLICY, {})


def work_until(deployment: Deployment, minutes: int) -> Deployment:
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms + minutes * 60_000)
    return work_off(deployment)


def test_the_template_is_the_ceiling_whatever_the_policy_allows(cohort: Cohort, policy: None) -> None:
    agent = by_family(cohort, "buy_and_hold")
    under, free, asked = deploy(agent), deploy(agent, limits_template=""), deploy(agent, leverage="0.2")
    assert [d.leverage for d in (under, free, asked)] == [Decimal("0.5"), Decimal(10), Decimal("0.2")]
    assert {d.start_leverage for d in (under, free, asked)} == {Decimal(2)}
    assert [d.run.leverage for d in (under, free, asked)] == [Decimal("0.5"), Decimal(2), Decimal("0.2")]


def test_a_step_down_scales_what_is_held_at_the_next_bar(cohort: Cohort) -> None:
    """On spot, which nobody levers: a policy that begins at 0.8 x and goes down to 0.4 x."""
    by_gate(SET_LEVERAGE_POLICY, {"start": "0.8", "floor": "0.4"})
    deployment = replay_of(by_family(cohort, "buy_and_hold"), hours=1, leverage="3")
    work_until(deployment, 20)
    assert deployment.status == "running", deployment.stop_reason
    held = Position.objects.get(deployment=deployment)
    assert DeskRun.objects.get(deployment=deployment).leverage == Decimal("0.8"), "of the 3 x approved"
    lower_leverage(book=deployment.book, reason="A drill.", actor=user_with(Role.RISK_OFFICER))
    work_until(deployment, 21)
    run = DeskRun.objects.get(deployment=deployment)
    target, close = (Decimal(repr(figures[held.symbol])) for figures in (run.standing, run.last_closes))
    lot = Decimal("0.001")
    worth = (target * Decimal("0.4") * deployment.bankroll / close).quantize(lot, rounding=ROUND_DOWN)
    assert 0 < worth < held.quantity
    order = Order.objects.get(deployment=deployment, reason="leverage")
    assert (order.side, order.reduce_only, order.quantity) == ("sell", True, held.quantity - worth)
    assert order.cycle.bar_ms == deployment.start_ms + 20 * 60_000, "the first bar after it"
    quant = next(m for m in order.cycle.messages if m["agent"] == "quant")
    assert quant["leverage"] == "0.4"
    assert "Leverage fell from 0.8 x to 0.4 x" in " ".join(quant["reasons"])
    work_until(deployment, 60)
    assert set(Fill.objects.filter(order=order).values_list("reason", flat=True)) == {"leverage"}
    held.refresh_from_db()
    assert abs(held.quantity - worth) <= lot, "nothing more of it goes"
    assert DeskRun.objects.get(deployment=deployment).leverage == Decimal("0.4")
    assert TradingCycle.objects.filter(deployment=deployment).latest("bar_ms").decision == "hold"


def test_leverage_is_read_of_the_book_and_of_those_above_it(cohort: Cohort, policy: None) -> None:
    """Two queries, however many desks; what is above binds as well, and what rises is used by the next decision."""
    from risk.actions.leverage import start_leverage  # noqa: PLC0415

    deployment = deploy(by_family(cohort, "buy_and_hold"), limits_template="", leverage="4")
    strategy = deployment.source_book
    start_leverage(book=strategy, actor=None)
    lower_leverage(book=strategy, reason="A drill.", to=Decimal("1.5"), actor=user_with(Role.RISK_OFFICER))
    seats = load_seats(load_desks([deployment]), {deployment.pk: 0})
    read_leverage(seats)
    assert seats[0].desk.leverage == Decimal("1.5")
    assert seats[0].desk.sizing.leverage == 1.5
    assert seats[0].run.leverage == 2, "what is held was sized with more, until it is brought down"
    seats[0].run.leverage = Decimal(1)
    read_leverage(seats)
    assert seats[0].run.leverage == Decimal("1.5")
