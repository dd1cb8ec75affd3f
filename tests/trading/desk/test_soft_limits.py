"""A soft level of an order lets it pass and alerts: one event, for who watches risk and who watches the deployment."""

from __future__ import annotations

from decimal import Decimal

import pytest

from compliance.models import AuditEvent
from risk.actions.breaches import evaluate_limits
from risk.models import HardAction, LimitBreach
from risk.quant.metrics import Metric
from risk.quant.pretrade import TradingMode
from risk.selectors import trading_mode
from tests.risk.gated import put_limit
from tests.trading.desk.support import by_family, replay_of
from trading.desk.drive import run_desks
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, Order, OrderStatus

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

#: Levels that an order of 500 at 0.3 % from the close passes.
SOFT = {
    Metric.ORDER_NOTIONAL: "100",
    Metric.ORDER_NOTIONAL_FRAC: "0.2",
    Metric.PARTICIPATION_FRAC: "0.0000001",
    Metric.PRICE_COLLAR_FRAC: "0.001",
    Metric.ORDER_RATE: "0",
}


def test_each_soft_level_of_an_order_alerts_once_for_the_order(cohort: Cohort) -> None:
    deployment = replay_of(by_family(cohort, "buy_and_hold"), hours=1, market_orders=False)
    set_here = {m: put_limit(book=deployment.book, metric=m, soft=Decimal(level)) for m, level in SOFT.items()}
    put_limit(book=deployment.book, metric=Metric.LEVERAGE, soft=Decimal("0.1"))
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms)
    run_desks()
    order = Order.objects.get(deployment=deployment)
    assert order.status == OrderStatus.WORKING
    event = AuditEvent.objects.get(kind="trading.order.soft_limit_passed")
    assert event.payload["order"] == order.client_order_id
    assert {x["metric"]: x["limit"] for x in event.payload["limits"]} == {
        metric.value: f"limit {limit.pk}" for metric, limit in set_here.items()
    }, "leverage is a state of the Book: its alert is the breach"
    assert "would pass the soft limit" in event.payload["words"]
    assert {"risk", f"deployment:{deployment.pk}"} <= set(event.topics)
    on_orders = LimitBreach.objects.filter(book=deployment.book, metric__in=set(SOFT) - {Metric.ORDER_RATE})
    assert {(b.limit_id, b.level, b.status) for b in on_orders} == {
        (limit.pk, "soft", "open") for metric, limit in set_here.items() if metric is not Metric.ORDER_RATE
    }, "the rate is a state of the Book: the evaluation sees it"
    notional = on_orders.get(metric=Metric.ORDER_NOTIONAL)
    told = next(x for x in event.payload["limits"] if x["metric"] == Metric.ORDER_NOTIONAL)
    assert notional.first_value == notional.worst_value == notional.last_value == told["value"]
    evaluate_limits(actor=None)
    assert on_orders.filter(status="open").count() == 4, "no state closes them; quiet does"


def test_an_order_that_a_hard_level_cuts_or_denies_makes_the_breach_hard_and_halts_nothing(cohort: Cohort) -> None:
    deployment = replay_of(by_family(cohort, "buy_and_hold"), hours=1, market_orders=False)
    cut = put_limit(
        book=deployment.book, metric=Metric.ORDER_NOTIONAL, soft=Decimal(100), hard=Decimal(200),
        action=HardAction.HALT,
    )  # fmt: skip
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms)
    run_desks()
    breach = LimitBreach.objects.get(limit=cut)
    assert (breach.level, breach.status, breach.actions) == ("hard", "open", ["alert"])
    assert (breach.first_value or 0) > 200
    assert trading_mode(deployment.book) is TradingMode.ACTIVE
    assert not AuditEvent.objects.filter(kind="trading.order.soft_limit_passed").exists()
    opened = AuditEvent.objects.get(kind="risk.breach.opened", object_id=str(breach.pk))
    assert (opened.payload["level"], opened.payload["threshold"]) == ("hard", 200.0)


def test_an_order_within_its_soft_levels_alerts_nobody(cohort: Cohort) -> None:
    deployment = replay_of(by_family(cohort, "buy_and_hold"), hours=1, market_orders=False)
    put_limit(book=deployment.book, metric=Metric.ORDER_NOTIONAL, soft=Decimal(5000))
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms)
    run_desks()
    assert Order.objects.get(deployment=deployment).status == OrderStatus.WORKING
    assert not AuditEvent.objects.filter(kind="trading.order.soft_limit_passed").exists()
