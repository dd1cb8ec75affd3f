"""Limits, restricted instruments, switches and stops on the way of an order: what is said, and what is sent."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from compliance.actions.screening import restrict_instrument
from compliance.approvals.errors import NotApprovedError
from compliance.approvals.registry import Warrant
from compliance.models.screening import RestrictionLevel
from fundops.core.errors import PermissionMissingError
from fundops.core.roles import Role
from risk.actions.switches import stop_trading
from risk.models import RiskLimit
from risk.quant.pretrade import TradingMode
from tests.factories import user_with
from tests.trading.desk.support import by_family, deploy, replay_of, stances, start_of, work_off
from trading.actions.council import weigh_down
from trading.actions.deployments import open_deployment, stop_deployment
from trading.desk import cycle as desk_cycle
from trading.desk.drive import run_desks
from trading.desk.errors import DeploymentEndedError, DeploymentSpecError
from trading.models.cohort import Cohort
from trading.models.deployments import (
    Deployment,
    DeploymentStatus,
    DeskRun,
    Fill,
    Order,
    OrderStatus,
    Position,
    TradingCycle,
)
from trading.models.paper import PaperOrder
from treasury.models import AccountKind
from treasury.selectors import By, balances, trial_balance

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(900)]


def cash_of(deployment: Deployment) -> Decimal:
    rows = balances(books=[deployment.book_id], by=(By.KIND,))
    return sum((b.amount for b in rows if b.kind == AccountKind.CASH), Decimal(0))


@pytest.fixture
def agent(cohort: Cohort) -> object:
    return by_family(cohort, "tsmom_volatility")


def test_only_an_executed_request_opens_a_deployment(cohort: Cohort) -> None:
    agent = by_family(cohort, "tsmom_volatility")
    person = user_with(Role.PORTFOLIO_MANAGER)
    forged = Warrant(request_id="00000000-0000-0000-0000-000000000000", actor=person)  # type: ignore[arg-type]
    with pytest.raises(NotApprovedError), transaction.atomic():
        open_deployment(agent=agent, bankroll=Decimal(100), warrant=forged)
    opened = deploy(agent, bankroll="100")
    # Nor does anybody write one straight into the table, or change what was approved.
    row = Deployment.objects.get(pk=opened.pk)
    row.pk = None
    with pytest.raises(DatabaseError, match="approved request"), transaction.atomic():
        row.save(force_insert=True)
    with pytest.raises(DatabaseError, match="does not change"), transaction.atomic():
        Deployment.objects.filter(pk=opened.pk).update(genome={})
    with pytest.raises(DatabaseError, match="not deleted"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM trading_deployment")


def test_opening_draws_the_bankroll_and_sets_the_limits(cohort: Cohort) -> None:
    deployment = deploy(by_family(cohort, "tsmom_volatility"), bankroll="250.50")
    assert deployment.book.path == f"TEST/strategy-tsmom_volatility/deployment-{deployment.pk}"
    assert cash_of(deployment) == Decimal("250.50")
    limits = RiskLimit.objects.filter(book=deployment.book)
    assert {limit.template for limit in limits} == {"micro-live"}
    assert limits.count() >= 10
    assert trial_balance(fund=deployment.fund).is_balanced


def test_terms_that_cannot_be_are_refused_before_anybody_signs(cohort: Cohort) -> None:
    agent = by_family(cohort, "tsmom_volatility")
    for wrong in ({"bankroll": "49.99"}, {"limits_template": "none-such"}, {"gateway": "moon"}):
        with pytest.raises(Exception, match=r"at least 50|no template|no gateway"):
            deploy(agent, **wrong)
    assert not Deployment.objects.exists()


def test_limits_cut_orders_and_say_which(cohort: Cohort) -> None:
    """Under the micro-live template an order of the whole bankroll is cut to a tenth, with the limit named."""
    agent = by_family(cohort, "buy_and_hold")
    deployment = work_off(replay_of(agent, hours=1, limits_template="micro-live", market_orders=False, bankroll="5000"))
    order = Order.objects.filter(deployment=deployment).earliest("pk")
    assert order.status in (OrderStatus.FILLED, OrderStatus.CANCELLED), order.status_reason
    assert "limit" in order.status_reason
    assert order.limit_price is not None
    notional = order.quantity * order.limit_price
    assert Decimal(400) < notional <= Decimal(505), "a tenth of 5,000"
    cycle = order.cycle
    assert stances(cycle.messages, "risk") == ["reduce"]
    assert stances(cycle.messages, "compliance") == ["allow"]
    run = DeskRun.objects.get(deployment=deployment)
    assert run.sent_notional < run.wanted_notional


def test_a_restricted_instrument_is_denied_here_and_never_sent(cohort: Cohort) -> None:
    agent = by_family(cohort, "tsmom_volatility")
    restrict_instrument(
        symbol=agent.symbol,
        level=RestrictionLevel.NO_TRADING,
        reason="Sanctioned.",
        actor=user_with(Role.COMPLIANCE_OFFICER),
    )
    deployment = work_off(replay_of(agent, hours=2))
    orders = Order.objects.filter(deployment=deployment)
    assert orders.exists()
    assert {order.status for order in orders} == {OrderStatus.DENIED}
    assert all("restricted list" in order.status_reason for order in orders)
    assert not PaperOrder.objects.exists()
    assert not Fill.objects.exists()


def test_a_halted_fund_sends_nothing(cohort: Cohort) -> None:
    agent = by_family(cohort, "tsmom_volatility")
    deployment = replay_of(agent, hours=2)
    stop_trading(book=deployment.book, mode=TradingMode.HALTED, reason="A drill.", actor=user_with(Role.RISK_OFFICER))
    work_off(deployment)
    orders = Order.objects.filter(deployment=deployment)
    assert orders.exists()
    assert {order.status for order in orders} == {OrderStatus.DENIED}
    assert all("HALTED" in order.status_reason for order in orders)


def test_stopping_flat_closes_hands_back_and_ends(cohort: Cohort) -> None:
    agent = by_family(cohort, "buy_and_hold")
    deployment = replay_of(agent, hours=1)
    start = start_of(cohort)
    by_hand = Deployment.objects.filter(pk=deployment.pk)
    by_hand.update(end_ms=deployment.start_ms + 30 * 60_000)
    work_off(deployment)
    assert Position.objects.get(deployment=deployment).quantity > 0
    by_hand.update(end_ms=deployment.start_ms + 60 * 60_000)
    deployment.refresh_from_db()
    stop_deployment(deployment=deployment, reason="Enough.", flatten=True, actor=user_with(Role.OPERATIONS))
    work_off(deployment)
    assert deployment.status == DeploymentStatus.STOPPED
    assert Position.objects.get(deployment=deployment).quantity == 0
    last = Fill.objects.filter(deployment=deployment).latest("number")
    assert (last.side, last.at > start) == ("sell", True)
    assert cash_of(deployment) == 0
    assert trial_balance(fund=deployment.fund).is_balanced
    source = balances(books=[deployment.source_book_id], by=(By.KIND,))
    cash = sum((b.amount for b in source if b.kind == AccountKind.CASH), Decimal(0))
    assert cash == DeskRun.objects.get(deployment=deployment).equity, "what it ended with is back"
    with pytest.raises(DeploymentEndedError):
        stop_deployment(deployment=deployment, reason="Again.", flatten=True, actor=None)


def test_stopping_without_flattening_leaves_the_position_until_it_is_asked_for(cohort: Cohort) -> None:
    deployment = replay_of(by_family(cohort, "buy_and_hold"), hours=1)
    by_hand = Deployment.objects.filter(pk=deployment.pk)
    by_hand.update(end_ms=deployment.start_ms + 20 * 60_000)
    work_off(deployment)
    stop_deployment(deployment=deployment, reason="Wait.", flatten=False, actor=None)
    by_hand.update(end_ms=deployment.start_ms + 40 * 60_000)
    work_off(deployment)
    assert deployment.status == DeploymentStatus.STOPPED
    assert Position.objects.get(deployment=deployment).quantity > 0
    stop_deployment(deployment=deployment, reason="Close it.", flatten=True, actor=None)
    by_hand.update(end_ms=deployment.start_ms + 60 * 60_000)
    work_off(deployment)
    assert deployment.status == DeploymentStatus.STOPPED
    assert Position.objects.get(deployment=deployment).quantity == 0
    assert cash_of(deployment) == 0


def test_one_that_never_ran_stops_at_once(cohort: Cohort) -> None:
    deployment = deploy(by_family(cohort, "buy_and_hold"), bankroll="60")
    stop_deployment(deployment=deployment, reason="Changed my mind.", flatten=True, actor=user_with(Role.RISK_OFFICER))
    run_desks()
    deployment.refresh_from_db()
    assert deployment.status == DeploymentStatus.STOPPED
    assert cash_of(deployment) == 0


def test_who_may_not_stop_is_told_which_right_is_missing(cohort: Cohort) -> None:
    deployment = deploy(by_family(cohort, "buy_and_hold"), bankroll="60")
    with pytest.raises(PermissionMissingError, match="stop_deployment"):
        stop_deployment(deployment=deployment, reason="No.", flatten=True, actor=user_with(Role.AUDITOR))
    with pytest.raises(DeploymentSpecError, match="why"):
        stop_deployment(deployment=deployment, reason=" ", flatten=True, actor=None)


def test_a_voice_without_weight_silences_the_desk(cohort: Cohort) -> None:
    """The council of one whose voice has lost its weight has no quorum, and nothing is wanted."""
    deployment = replay_of(by_family(cohort, "tsmom_volatility"), hours=1)
    weigh_down(voice=deployment.voices.get(), left=0.0, reason="It disappointed.")
    work_off(deployment)
    assert not Order.objects.exists()
    cycle = TradingCycle.objects.filter(deployment=deployment).latest("bar_ms")
    assert stances(cycle.messages, "quant") == ["no_quorum"]


def test_a_desk_that_fails_stops_and_leaves_the_others_alone(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    """Books that do not agree stop that one desk; its neighbour of the same bar goes on."""
    good = replay_of(by_family(cohort, "buy_and_hold"), hours=1)
    bad = replay_of(by_family(cohort, "tsmom_volatility"), hours=1)
    real: Callable[..., object] = desk_cycle._deliberate

    def deliberate(seat: object, *args: object, **kwargs: object) -> object:
        if seat.desk.deployment.pk == bad.pk and seat.run.bars == 5:  # type: ignore[attr-defined]
            raise RuntimeError("a broken strategy")
        return real(seat, *args, **kwargs)

    monkeypatch.setattr("trading.desk.cycle._deliberate", deliberate)
    work_off(good)
    bad.refresh_from_db()
    assert bad.status == DeploymentStatus.STOPPING
    assert "a broken strategy" in bad.stop_reason
    assert good.status == DeploymentStatus.RUNNING
    assert DeskRun.objects.get(deployment=good).bars == 60
