"""A hard breach that says flatten closes what lies on its Book and below; a halt holds all until it is lifted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F

from compliance.models import AuditEvent
from fundops.core.roles import Role
from risk.actions.breaches import evaluate_limits
from risk.actions.switches import stop_trading
from risk.models import BreachStatus, HardAction, LimitBreach
from risk.quant.metrics import Metric
from risk.quant.pretrade import TradingMode
from risk.switch_gate import RESTORE, restore_payload
from risk.switches import trading_mode_for
from tests.factories import user_with
from tests.gate import by_gate
from tests.risk.gated import put_limit
from tests.trading.desk.support import by_family, replay_of, work_off
from trading.actions import flattening
from trading.actions.deployments import stop_deployment
from trading.actions.flattening import flatten_breached
from trading.desk.errors import DeploymentEndedError
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeploymentStatus, DeskRun, Order, OrderStatus, Position
from trading.selectors.deployments import waits_to_close
from treasury.models import AccountKind, Book
from treasury.selectors import By, balances, trial_balance

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def cash_of(book: Book) -> Decimal:
    rows = balances(books=[book.pk], by=(By.KIND,))
    return sum((b.amount for b in rows if b.kind == AccountKind.CASH), Decimal(0))


def worked_until(deployment: Deployment, minute: int) -> Deployment:
    """Its desk, worked to that minute of its window."""
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms + minute * 60_000)
    return work_off(deployment)


def held_by(deployment: Deployment) -> Decimal:
    return Position.objects.get(deployment=deployment).quantity


@pytest.fixture
def holding(cohort: Cohort) -> Deployment:
    """One that bought at its first bar and has held for twenty minutes."""
    deployment = worked_until(replay_of(by_family(cohort, "buy_and_hold"), hours=1), 20)
    assert held_by(deployment) > 0
    return deployment


def test_a_flatten_breach_closes_the_position_and_brings_the_cash_home(holding: Deployment) -> None:
    put_limit(book=holding.book, metric=Metric.DRAWDOWN_FRAC, hard=Decimal("0.05"), action=HardAction.FLATTEN)
    assert flatten_breached() == [], "a limit that is not passed asks for nothing"
    DeskRun.objects.filter(deployment=holding).update(peak_equity=F("equity") * 2)
    evaluate_limits(actor=None)
    breach = LimitBreach.objects.get(book=holding.book)
    assert breach.actions == ["flatten"]
    assert trading_mode_for(book_id=holding.book_id) is TradingMode.REDUCING
    assert flatten_breached() == [holding]
    assert flatten_breached() == []
    event = AuditEvent.objects.get(kind="trading.deployment.stopping")
    assert event.payload["flatten"] is True
    assert event.payload["reason"] == (
        f"Breach {breach.pk}: drawdown from the peak of {holding.book.path} is past a hard limit that flattens."
    )
    worked_until(holding, 25)
    assert holding.status == DeploymentStatus.STOPPED
    assert held_by(holding) == 0
    assert cash_of(holding.book) == 0
    assert cash_of(holding.source_book) == DeskRun.objects.get(deployment=holding).equity
    assert trial_balance(fund=holding.fund).is_balanced
    evaluate_limits(actor=None)
    breach.refresh_from_db()
    assert breach.status == BreachStatus.CLOSED, "a Book whose cash went home has lost nothing"


def test_a_breach_above_flattens_all_below_and_one_that_refuses_holds_up_no_other(
    holding: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = worked_until(replay_of(holding.agent, hours=1), 20)
    unconcerned = replay_of(by_family(holding.agent.cohort, "tsmom_volatility"), hours=1)
    strategy = holding.book.parent
    assert strategy is not None
    put_limit(book=strategy, metric=Metric.GROSS_EXPOSURE, hard=Decimal(1), action=HardAction.FLATTEN)
    evaluate_limits(actor=None)

    def stop(*, deployment: Deployment, **terms: Any) -> Deployment:
        if deployment == holding:
            raise DeploymentEndedError("It has ended meanwhile.", deployment=deployment.pk)
        return stop_deployment(deployment=deployment, **terms)

    with monkeypatch.context() as patched:
        patched.setattr(flattening, "stop_deployment", stop)
        assert flatten_breached() == [other]
    assert flatten_breached() == [holding]
    unconcerned.refresh_from_db()
    assert unconcerned.status == DeploymentStatus.DEPLOYING


def test_a_position_that_a_plain_stop_left_is_closed_too(holding: Deployment) -> None:
    stop_deployment(deployment=holding, reason="Enough.", flatten=False, actor=None)
    worked_until(holding, 22)
    assert (holding.status, held_by(holding) > 0) == (DeploymentStatus.STOPPED, True)
    put_limit(book=holding.book, metric=Metric.GROSS_EXPOSURE, hard=Decimal(1), action=HardAction.FLATTEN)
    evaluate_limits(actor=None)
    assert flatten_breached() == [holding]
    worked_until(holding, 26)
    assert holding.status == DeploymentStatus.STOPPED
    assert held_by(holding) == 0
    assert cash_of(holding.book) == 0


@pytest.mark.parametrize("to", [TradingMode.REDUCING, TradingMode.ACTIVE])
def test_a_halt_holds_what_is_to_be_closed_and_its_end_closes_it(holding: Deployment, to: TradingMode) -> None:
    officer = user_with(Role.RISK_OFFICER)
    switch = stop_trading(book=holding.book, mode=TradingMode.HALTED, reason="Wrong data.", actor=officer)
    stop_deployment(deployment=holding, reason="Close it.", flatten=True, actor=officer)
    before = held_by(holding)
    assert "It has waited since" not in waits_to_close(Deployment.objects.get(pk=holding.pk)), "nothing was refused yet"
    worked_until(holding, 25)
    assert (holding.status, held_by(holding)) == (DeploymentStatus.STOPPING, before)
    refused = Order.objects.filter(deployment=holding, reason="flatten")
    assert {o.status for o in refused} == {OrderStatus.DENIED}
    run = DeskRun.objects.get(deployment=holding)
    assert run.next_action == "Waits to close what is held: trading is HALTED."
    first = refused.earliest("created_at")
    words = waits_to_close(holding)
    assert words.startswith("Trading of its Book is HALTED: it holds its position")
    assert words.endswith(f"It has waited since {first.created_at:%Y-%m-%d %H:%M:%S} UTC.")
    by_gate(RESTORE, restore_payload(switch, mode=to))
    assert waits_to_close(holding) == ""
    worked_until(holding, 30)
    assert holding.status == DeploymentStatus.STOPPED
    assert held_by(holding) == 0
    assert cash_of(holding.book) == 0
