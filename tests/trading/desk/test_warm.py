"""Kept seats: the same rows as by a worker that reads everything anew, and nothing that is stale."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from risk.quant.metrics import Metric
from tests.risk.gated import put_limit
from tests.trading.desk.support import COLUMNS, by_family, replay_of
from trading.actions.deployments import stop_deployment
from trading.desk import cycle as desk_cycle
from trading.desk import lease, warm
from trading.desk.drive import run_desks
from trading.desk.seat import Seat
from trading.models.cohort import Cohort
from trading.models.deployments import (
    CouncilVoice,
    Deployment,
    DeskRun,
    Fill,
    Order,
    OrderStatus,
    Position,
    TradingCycle,
)
from trading.models.paper import PaperAccount

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

BARS = 5  # a turn


@pytest.fixture(autouse=True)
def short_turns() -> Iterator[None]:
    """Turns of a few bars, and a worker that has seen no desk."""
    warm.forget_all()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trading.desk.drive.BARS_A_TURN", BARS)
        yield
    warm.forget_all()


@pytest.fixture
def deployment(cohort: Cohort) -> Deployment:
    return replay_of(by_family(cohort, "tsmom_volatility"), hours=2, market_orders=False)


def written(deployment: Deployment) -> dict[str, Any]:
    """All that a desk writes, but keys and the time of day."""
    run = DeskRun.objects.values().get(deployment=deployment)
    orders = Order.objects.filter(deployment=deployment).order_by("pk")
    return {
        "run": {k: v for k, v in run.items() if k not in ("leased_until", "heartbeat_at", "owner")},
        "cycles": list(
            TradingCycle.objects.filter(deployment=deployment)
            .order_by("bar_ms")
            .values_list("bar_ms", "number", "phase", "token", "decision", "messages", "equity")
        ),
        "orders": list(
            orders.values_list(
                "client_order_id", "symbol", "side", "quantity", "limit_price", "status", "status_reason", "filled"
            )
        ),
        "fills": list(Fill.objects.filter(deployment=deployment).order_by("number").values_list(*COLUMNS)),
        "positions": list(
            Position.objects.filter(deployment=deployment)
            .order_by("symbol")
            .values_list("symbol", "quantity", "cost", "realised", "entry_bar", "cooldown_until")
        ),
        "venue": list(PaperAccount.objects.values_list("key", "state", "last_bar_ms", "reports", "equity")),
    }


def take_up(deployment: Deployment) -> list[Seat]:
    """What a worker has kept of the desk, as it leases it again."""
    tokens = lease.take([deployment.pk], limit=1)
    assert tokens
    return warm.take_up(tokens)


def test_warm_and_cold_desks_write_the_same_rows(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same two hours three times over: seats kept; kept ones of a past that was rolled back; none kept."""
    taken: list[int] = []
    real = warm.take_up

    def counted(tokens: Any) -> list[Seat]:
        found = real(tokens)
        taken.append(len(found))
        return found

    monkeypatch.setattr(warm, "take_up", counted)
    results = []
    for forget in (False, False, True):
        taken.clear()
        before = transaction.savepoint()
        while run_desks():
            if forget:
                warm.forget_all()
        results.append(written(deployment))
        kept = sum(taken)
        assert kept == 0 if forget else kept > 120 / BARS - 3, "all turns but the first"
        transaction.savepoint_rollback(before)
    assert len(results[0]["fills"]) >= 3
    assert results[0] == results[1] == results[2]


def test_a_seat_is_taken_up_only_by_the_next_token(deployment: Deployment) -> None:
    run_desks()
    (seat,) = take_up(deployment)
    assert seat.token == DeskRun.objects.get(deployment=deployment).token
    assert warm.take_up({deployment.pk: seat.token + 1}) == [], "it is gone while it is worked"
    warm.put_aside([seat])
    DeskRun.objects.update(leased_until=None)
    other = lease.take([deployment.pk], limit=1)  # by another worker, which gives it back unworked
    lease.release(other)
    assert take_up(deployment) == []


def test_a_row_that_somebody_wrote_is_read_again(deployment: Deployment) -> None:
    """As a resize does, or a hand that forgets the token."""
    run_desks()
    DeskRun.objects.filter(deployment=deployment).update(cash=Decimal(499))
    assert take_up(deployment) == []
    DeskRun.objects.update(leased_until=None)
    run_desks()
    assert DeskRun.objects.get(deployment=deployment).equity < Decimal(500)


def test_what_others_may_change_is_seen_at_the_next_bar(deployment: Deployment) -> None:
    run_desks()
    CouncilVoice.objects.filter(deployment=deployment).update(weight=Decimal("0.25"))
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms + 30 * 60_000)
    stop_deployment(deployment=deployment, reason="A test.", flatten=True, actor=None)
    (seat,) = take_up(deployment)
    assert seat.desk.voices[0].row.weight == Decimal("0.25")
    assert seat.desk.deployment.end_ms == deployment.start_ms + 30 * 60_000
    assert (seat.desk.deployment.status, seat.desk.deployment.flatten) == ("stopping", True)


def test_a_limit_set_between_two_bars_binds_the_next_order(deployment: Deployment) -> None:
    """And one that was set binds from when it is in force, though the worker knew the limits without it."""
    while not Order.objects.filter(deployment=deployment).exists():
        assert run_desks()
    put_limit(book=deployment.book, metric=Metric.ORDER_NOTIONAL, hard=Decimal("0.01"))
    orders = Order.objects.filter(deployment=deployment)
    before = set(orders.values_list("pk", flat=True))
    while run_desks():
        pass
    later = orders.exclude(pk__in=before).filter(reduce_only=False)
    assert later.exists()
    assert set(later.values_list("status", flat=True)) == {OrderStatus.DENIED}


def test_after_an_error_in_a_bar_nothing_is_kept(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    run_desks()

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bar that cannot be judged")

    monkeypatch.setattr(desk_cycle, "judge", fail)
    run_desks()
    monkeypatch.undo()
    assert Deployment.objects.get(pk=deployment.pk).status == "stopping"
    assert take_up(deployment) == []


def test_a_seat_with_an_order_in_flight_is_not_kept(deployment: Deployment) -> None:
    run_desks()
    (seat,) = take_up(deployment)
    seat.orders["x"] = Order(deployment=deployment, client_order_id="x", status=OrderStatus.IN_FLIGHT)
    warm.put_aside([seat])
    DeskRun.objects.update(leased_until=None)
    assert take_up(deployment) == []
