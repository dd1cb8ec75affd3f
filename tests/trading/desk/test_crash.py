"""A desk may die at any instant: no order is lost, none is sent twice, and an old owner writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from tests.trading.desk.support import busiest, by_family, cohort_fills, desk_fills, replay_of, start_of, work_off
from trading.desk import cycle as desk_cycle
from trading.desk import lease
from trading.desk.drive import run_desks
from trading.gateways.base import GatewayError, OutcomeUnknownError
from trading.gateways.paper import PaperGateway
from trading.models.cohort import Cohort
from trading.models.deployments import CyclePhase, Deployment, DeskRun, Order, OrderStatus, TradingCycle
from trading.models.paper import PaperOrder
from treasury.models import JournalEntry

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

HOURS = 2


class DiedError(RuntimeError):
    """Stands for a process that is gone."""


@pytest.fixture
def deployment(cohort: Cohort) -> Deployment:
    """A deployment of a busy agent over the first two hours, not worked yet."""
    return replay_of(by_family(cohort, "tsmom_volatility"), hours=HOURS)


def expected(deployment: Deployment) -> list[tuple[Any, ...]]:
    """What its agent was filled in the same hours."""
    until = start_of(deployment.agent.cohort) + timedelta(hours=HOURS)
    fills = cohort_fills(deployment.agent, before=until)
    assert len(fills) >= 3
    return fills


def nothing_doubled(deployment: Deployment) -> None:
    sent = list(Order.objects.filter(deployment=deployment).exclude(status=OrderStatus.DENIED))
    assert {o.client_order_id for o in sent} >= set(
        PaperOrder.objects.filter(protective=False).values_list("client_order_id", flat=True)
    )
    sources = list(JournalEntry.objects.filter(source_type="trading.desk.fill").values_list("source_id", flat=True))
    assert len(sources) == len(set(sources)) == len(desk_fills(deployment))
    assert not TradingCycle.objects.filter(deployment=deployment, phase=CyclePhase.DECIDED).exists()


def dying(monkeypatch: pytest.MonkeyPatch, where: str, *, at: int) -> Callable[[], int]:
    """Makes the process die at the ``at``-th call of ``where`` in the desk's cycle; returns the counter."""
    real = getattr(desk_cycle, where)
    calls = {"n": 0}

    def die(*args: Any, **kwargs: Any) -> Any:
        calls["n"] += 1
        if calls["n"] == at:
            raise DiedError(where)
        return real(*args, **kwargs)

    monkeypatch.setattr(desk_cycle, where, die)
    return lambda: calls["n"]


def run_until_death(monkeypatch: pytest.MonkeyPatch) -> None:
    """Works bars like a worker that is killed: nothing of its own runs afterwards, its lease runs out."""
    monkeypatch.setattr("trading.desk.drive._trouble", _reraise)
    monkeypatch.setattr("trading.desk.drive.lease.release", lambda tokens: None)
    with pytest.raises(DiedError):
        run_desks()
    monkeypatch.undo()
    DeskRun.objects.update(leased_until=None)


def _reraise(_desk: object) -> None:
    raise


@pytest.mark.parametrize("where", ["send", "write_answers", "write_cycles", "judge"])
def test_death_at_any_step_is_made_good_by_the_next_owner(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    fills = expected(deployment)
    dying(monkeypatch, where, at=2 if where == "write_answers" else 64)
    run_until_death(monkeypatch)
    before = DeskRun.objects.get(deployment=deployment).bars
    assert before < HOURS * 60
    work_off(deployment)
    assert DeskRun.objects.get(deployment=deployment).bars == HOURS * 60
    assert desk_fills(deployment) == fills
    nothing_doubled(deployment)


def test_death_between_decision_and_sending_leaves_a_cycle_that_says_so(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window in which an order is written here and not known there; the successor sends it under the same id."""
    sent: list[str] = []
    real = PaperGateway.submit

    def submit(self: PaperGateway, orders: Any) -> Any:
        sent.extend(order.client_order_id for order in orders)
        if len(sent) == 1:
            raise DiedError("before the order left")
        return real(self, orders)

    monkeypatch.setattr(PaperGateway, "submit", submit)
    monkeypatch.setattr("trading.desk.drive._trouble", _reraise)
    monkeypatch.setattr("trading.desk.drive.lease.release", lambda tokens: None)
    with pytest.raises(DiedError):
        run_desks()
    (open_cycle,) = TradingCycle.objects.filter(phase=CyclePhase.DECIDED)
    assert open_cycle.orders.get().status == OrderStatus.PENDING
    assert not PaperOrder.objects.exists()
    DeskRun.objects.update(leased_until=None)
    monkeypatch.setattr("trading.desk.drive.lease.release", lease.release)
    work_off(deployment)
    assert sent[0] == sent[1]
    assert desk_fills(deployment) == expected(deployment)
    nothing_doubled(deployment)


@pytest.mark.parametrize("arrived", [True, False])
def test_an_answer_that_never_came_keeps_the_order_in_flight_until_the_venue_tells(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, arrived: bool
) -> None:
    """The call times out, whether the order arrived or not; the desk waits, asks, and never sends it anew blindly."""
    real_submit, real_query = PaperGateway.submit, PaperGateway.query
    state = {"timeouts": 1, "deaf": 2}

    def submit(self: PaperGateway, orders: Any) -> Any:
        if state["timeouts"]:
            state["timeouts"] -= 1
            if arrived:
                real_submit(self, orders)
            raise OutcomeUnknownError("The venue did not answer in time.")
        return real_submit(self, orders)

    def query(self: PaperGateway, account: str, ids: Any) -> Any:
        if state["deaf"]:
            state["deaf"] -= 1
            raise GatewayError("The venue is away.")
        return real_query(self, account, ids)

    monkeypatch.setattr(PaperGateway, "submit", submit)
    monkeypatch.setattr(PaperGateway, "query", query)
    run_desks()
    order = Order.objects.get()
    assert order.status == OrderStatus.IN_FLIGHT
    stuck_at = DeskRun.objects.get(deployment=deployment).bars
    run_desks()
    run_desks()
    assert DeskRun.objects.get(deployment=deployment).bars == stuck_at, "no bar is worked over an unknown order"
    work_off(deployment)
    order.refresh_from_db()
    assert order.status == OrderStatus.FILLED
    assert desk_fills(deployment) == expected(deployment)
    nothing_doubled(deployment)


def test_an_owner_whose_lease_was_lost_writes_nothing(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sleeps through its lease in the middle of a bar; the fence is checked in the transaction of the write."""
    real = lease.hold

    def overslept(tokens: Any) -> Any:
        if DeskRun.objects.get(deployment=deployment).bars == 10:
            DeskRun.objects.filter(deployment=deployment).update(leased_until=None)
            assert lease.take([deployment.pk], limit=1)
        return real(tokens)

    monkeypatch.setattr(lease, "hold", overslept)
    run_desks()
    run = DeskRun.objects.get(deployment=deployment)
    assert run.bars == 10
    assert TradingCycle.objects.filter(deployment=deployment).count() == 11
    monkeypatch.undo()
    DeskRun.objects.update(leased_until=None)
    work_off(deployment)
    assert desk_fills(deployment) == expected(deployment)


def test_the_database_itself_refuses_a_cycle_under_an_old_token(deployment: Deployment) -> None:
    run_desks()
    cycle = TradingCycle.objects.filter(deployment=deployment).latest("bar_ms")
    DeskRun.objects.filter(deployment=deployment).update(token=cycle.token + 1)
    with pytest.raises(IntegrityError, match="lease"), transaction.atomic():
        cycle.save()


def test_a_bar_has_one_cycle(deployment: Deployment) -> None:
    run_desks()
    cycle = TradingCycle.objects.filter(deployment=deployment).latest("bar_ms")
    with pytest.raises(IntegrityError, match="one_a_bar"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO trading_tradingcycle (deployment_id, bar_ms, number, phase, token, decision, messages,"
            " timings, equity, decided_at) SELECT deployment_id, bar_ms, number + 999, phase, token, decision,"
            " messages, timings, equity, decided_at FROM trading_tradingcycle WHERE id = %s",
            [cycle.pk],
        )


def test_leases_are_exclusive_rise_and_run_out(deployment: Deployment) -> None:
    first = lease.take([deployment.pk], limit=5)
    assert lease.take([deployment.pk], limit=5) == {}
    lease.release(first)
    second = lease.take([deployment.pk], limit=5, lease_s=0)
    assert second[deployment.pk] == first[deployment.pk] + 1
    third = lease.take([deployment.pk], limit=5)
    assert third[deployment.pk] == second[deployment.pk] + 1, "one that has run out is anybody's"
    lease.release(second)  # by the owner that lost it: not its to give
    assert lease.take([deployment.pk], limit=5) == {}


def test_of_desks_at_the_same_bar_a_worker_takes_first_those_it_had_last(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = [by_family(cohort, "tsmom_volatility"), busiest(cohort)]
    first, second = (replay_of(agent, hours=HOURS).pk for agent in agents)
    both = [first, second]
    runs = DeskRun.objects.filter(deployment__in=both)
    runs.update(next_bar_ms=0)

    def takes_one(worker: str) -> int:
        monkeypatch.setattr(lease, "me", lambda: worker)
        (taken,) = lease.take(both, limit=1)
        return taken

    assert takes_one("a") == first
    assert takes_one("b") == second, "the first one is held"
    runs.update(leased_until=None)
    assert takes_one("b") == second
    assert takes_one("a") == first
    runs.update(leased_until=None)
    DeskRun.objects.filter(deployment=second).update(next_bar_ms=1)
    assert takes_one("b") == first, "whoever is behind comes before one's own"
