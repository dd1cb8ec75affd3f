"""Prohibited tactics on a desk: the order that would complete one is DENIED, and flagged with its evidence."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from compliance.models import ScreeningFlag
from compliance.models.screening import FlagSeverity
from fundops.core import clock
from tests.gate import by_gate
from tests.trading.desk.support import by_family, replay_of, start_of, work_off
from trading.actions.deployments import stop_deployment
from trading.cohorts.catalog import open_catalog
from trading.desk.drive import run_desks
from trading.desk.judging import limit_price
from trading.marketdata.loader import load_candles
from trading.models.cohort import Cohort, CohortAgent
from trading.models.deployments import CyclePhase, Deployment, DeskRun, Fill, Order, OrderStatus, TradingCycle
from trading.models.paper import PaperOrder
from trading.tactics import own_order

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

MINUTE_MS = 60_000


def work_until(deployment: Deployment, minute: int) -> Deployment:
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms + minute * MINUTE_MS)
    return work_off(deployment)


def denied_order(deployment: Deployment) -> Order:
    order = Order.objects.filter(deployment=deployment).latest("pk")
    assert order.status == OrderStatus.DENIED, order.status_reason
    assert order.status_reason.startswith("Compliance: ")
    assert not PaperOrder.objects.filter(client_order_id=order.client_order_id).exists(), "it never left"
    return order


def flag_of(order: Order, rule: str) -> ScreeningFlag:
    flag = ScreeningFlag.objects.get(rule=rule)
    assert flag.key == f"deployment:{order.deployment_id}:{order.client_order_id}:{rule}"
    assert flag.severity == FlagSeverity.DENIED
    assert flag.book_path == order.deployment.book.path
    assert flag.evidence["order"]["order"] == order.client_order_id
    return flag


def test_a_desk_does_not_trade_against_the_funds_own_working_order(cohort: Cohort) -> None:
    """One desk has just sent a buy when another of the same fund wants to sell the same market."""
    agent = by_family(cohort, "buy_and_hold")
    seller = work_until(replay_of(agent, hours=1), 29)
    buyer = replay_of(agent, starts=start_of(cohort) + timedelta(minutes=30), hours=1)
    stop_deployment(deployment=seller, reason="Close it.", flatten=True, actor=None)
    Deployment.objects.filter(pk=buyer.pk).update(end_ms=buyer.start_ms)
    Deployment.objects.filter(pk=seller.pk).update(end_ms=seller.start_ms + 30 * MINUTE_MS)
    run_desks()
    bought = Order.objects.get(deployment=buyer)
    assert bought.status == OrderStatus.WORKING
    order = denied_order(seller)
    assert order.side == "sell"
    against = flag_of(order, "self_crossing").evidence["against"]
    assert [o["order"] for o in against] == [bought.client_order_id]
    run = DeskRun.objects.get(deployment=seller)
    assert run.next_action == "Waits to close what is held: compliance denies it."


def test_an_order_that_its_own_desk_has_not_looked_after_yet_was_taken_in_the_bar(cohort: Cohort) -> None:
    """The buy is of the bar before; its desk is a bar behind, so nobody has noted that it was filled at the open."""
    agent = by_family(cohort, "buy_and_hold")
    seller = work_until(replay_of(agent, hours=1), 30)
    buyer = replay_of(agent, starts=start_of(cohort) + timedelta(minutes=30), hours=1)
    Deployment.objects.filter(pk=buyer.pk).update(end_ms=buyer.start_ms)
    run_desks()
    assert Order.objects.get(deployment=buyer).status == OrderStatus.WORKING
    stop_deployment(deployment=seller, reason="Close it.", flatten=True, actor=None)
    work_until(seller, 31)
    order = Order.objects.filter(deployment=seller).latest("pk")
    assert (order.side, order.status) == ("sell", OrderStatus.WORKING)
    assert not ScreeningFlag.objects.exists()


def pulled_layers(deployment: Deployment, *, count: int, size: Decimal) -> None:
    """Buys of this desk's last minutes that were cancelled before anything was filled, each at its own price."""
    cycles = list(TradingCycle.objects.filter(deployment=deployment).order_by("-bar_ms")[:count])
    last = Fill.objects.filter(deployment=deployment).latest("number")
    for number, cycle in enumerate(cycles):
        Order.objects.create(
            deployment=deployment, cycle=cycle, client_order_id=f"layer-{number}", symbol=last.symbol, side="buy",
            quantity=size, limit_price=last.price - number, reduce_only=False, reason="signal",
            status=OrderStatus.CANCELLED, filled=Decimal(0), created_at=clock.now(), ended_at=clock.now(),
        )  # fmt: skip


@pytest.mark.parametrize("layers", [4, 3])
def test_a_desk_does_not_take_the_trade_its_pulled_layers_were_for(cohort: Cohort, layers: int) -> None:
    """Four buys at four prices, pulled unfilled within the policy's window, and then a sale; three are too few."""
    by_gate(
        "compliance.set_screening_policy", {"rules": {"layering": {"window_s": 3600, "min_orders": 5, "min_prices": 3}}}
    )
    deployment = work_until(replay_of(by_family(cohort, "buy_and_hold"), hours=1), 20)
    held = Fill.objects.filter(deployment=deployment).latest("number").quantity
    pulled_layers(deployment, count=layers, size=held * 10)
    # The first buy of the window was filled: with it there are one more buy orders than layers.
    stop_deployment(deployment=deployment, reason="Sell.", flatten=True, actor=None)
    work_until(deployment, 21)
    if layers == 3:
        assert Order.objects.filter(deployment=deployment).latest("pk").status == OrderStatus.WORKING
        assert not ScreeningFlag.objects.exists()
        return
    flag = flag_of(denied_order(deployment), "layering")
    assert [o["order"] for o in flag.evidence["cancelled"]] == [f"layer-{n}" for n in range(layers)]


def rising_minute(agent: CohortAgent) -> int:
    """The first minute of the cohort's first hour over which the agent's market rose."""
    start = start_of(agent.cohort)
    frame = load_candles(open_catalog(), "synthetic", [agent.symbol], "1m", start, start + timedelta(hours=1))
    return next(i for i in range(60) if frame.close[i, 0] > frame.open[i, 0])


def test_desks_do_not_join_in_a_burst_that_makes_the_move(cohort: Cohort) -> None:
    """Two desks buy at one close; the third would make it a burst, in a market that has just gone their way."""
    rule = {"min_orders": 3, "market_share_frac": "0.000001", "move_bps": "0.0001"}
    by_gate("compliance.set_screening_policy", {"rules": {"momentum_ignition": rule}})
    agent = by_family(cohort, "buy_and_hold")
    starts = start_of(cohort) + timedelta(minutes=rising_minute(agent) + 1)
    desks = [replay_of(agent, starts=starts, hours=2) for _ in range(3)]
    for desk in desks:
        Deployment.objects.filter(pk=desk.pk).update(end_ms=desk.start_ms)
    run_desks()
    first, second, _ = (Order.objects.get(deployment=desk) for desk in desks)
    assert {first.status, second.status} == {OrderStatus.WORKING}
    flag = flag_of(denied_order(desks[2]), "momentum_ignition")
    assert [o["order"] for o in flag.evidence["burst"]] == [first.client_order_id, second.client_order_id]
    assert flag.evidence["market_share_frac"] > 0
    assert flag.evidence["move_bps"] > 0


@pytest.mark.parametrize(("cap", "aggressive"), [(None, True), ("0.003", True), ("0", True), ("-0.001", False)])
def test_an_order_priced_short_of_the_market_is_told_as_resting(cap: str | None, aggressive: bool) -> None:
    price = limit_price(1, 100.0, None if cap is None else Decimal(cap), 0.01)
    order = Order(client_order_id="d1", symbol="BTCUSDT", side="buy", quantity=Decimal(1), limit_price=price)
    order.status, order.filled = OrderStatus.PENDING, Decimal(0)
    told = own_order(order, owner="F/d", venue="v", closed_at=clock.now(), market=100.0)
    assert told.aggressive is aggressive


def test_an_order_that_a_bar_left_unfilled_makes_no_burst(cohort: Cohort) -> None:
    """The same three buys, two of which have stood a bar in the market without taking anything: no burst."""
    rule = {"min_orders": 3, "market_share_frac": "0.000001", "move_bps": "0.0001", "window_s": 600}
    by_gate("compliance.set_screening_policy", {"rules": {"momentum_ignition": rule}})
    agent = by_family(cohort, "buy_and_hold")
    minute = rising_minute(agent) + 1
    resting = work_until(replay_of(agent, hours=2), 1)
    Order.objects.filter(deployment=resting).update(status=OrderStatus.REJECTED, ended_at=clock.now())
    cycle = TradingCycle.objects.filter(deployment=resting, phase=CyclePhase.DONE).latest("bar_ms")
    starts = start_of(cohort) + timedelta(minutes=max(minute, 3))
    for number in range(2):
        Order.objects.create(
            deployment=resting, cycle=cycle, client_order_id=f"rests-{number}", symbol=agent.symbol, side="buy",
            quantity=Decimal(1), limit_price=Decimal(10 + number), reduce_only=False, reason="signal",
            status=OrderStatus.CANCELLED, filled=Decimal(0), created_at=clock.now(), ended_at=clock.now(),
        )  # fmt: skip
    desk = replay_of(agent, starts=starts, hours=2)
    Deployment.objects.filter(pk=desk.pk).update(end_ms=desk.start_ms)
    run_desks()
    assert Order.objects.get(deployment=desk).status == OrderStatus.WORKING
