"""Why an order was cut or denied, in the room that its row has; and when an order has ended."""

from __future__ import annotations

from decimal import Decimal
from importlib import import_module

import pytest
from django.db import IntegrityError, connection, transaction

from fundops.core import clock
from risk.quant.metrics import Metric
from tests.risk.gated import put_limit
from tests.trading.desk.support import by_family, replay_of
from trading.desk.drive import run_desks
from trading.desk.judging import _in_short
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, Order, OrderStatus


@pytest.mark.parametrize("length", [10, 95, 130, 200])
def test_whole_sentences_are_kept_and_the_rest_counted(length: int) -> None:
    sentences = [f"{number}{'x' * length}." for number in range(6)]
    text = _in_short("Risk:", sentences)
    assert len(text) <= 400
    kept = [sentence for sentence in sentences if sentence in text]
    assert kept == sentences[: len(kept)] and kept
    rest = f" And {6 - len(kept)} more: the cycle has them all." if len(kept) < 6 else ""
    assert text == "Risk: " + " ".join(kept) + rest


def test_a_last_sentence_takes_the_room_that_is_left() -> None:
    first, last = "a" * 200 + ".", "b" * 191 + "."
    assert _in_short("Risk:", [first, last]) == f"Risk: {first} {last}"


def test_a_cut_order_says_what_cut_it_and_no_more(cohort: Cohort) -> None:
    """The soft level that was passed as well, and the tail that nobody knows, are the cycle's to tell."""
    deployment = replay_of(by_family(cohort, "buy_and_hold"), hours=1, market_orders=False)
    put_limit(book=deployment.book, metric=Metric.ORDER_NOTIONAL, hard=Decimal(200))
    put_limit(book=deployment.book, metric=Metric.LEVERAGE, soft=Decimal("0.05"))
    put_limit(book=deployment.book, metric=Metric.VAR_FRAC, soft=Decimal("0.05"))
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms)
    run_desks()
    order = Order.objects.get(deployment=deployment)
    assert order.status == OrderStatus.WORKING
    assert order.status_reason.startswith("Cut by risk: limit ")
    assert order.status_reason.count("limit") == 2 and "the hard limit" in order.status_reason
    (said,) = [m["reasons"] for m in order.cycle.messages if m["agent"] == "risk"]
    assert len(said) == len(set(said)) == 3


@pytest.mark.parametrize(
    ("status", "ended"), [(OrderStatus.WORKING, True), (OrderStatus.FILLED, False), (OrderStatus.DENIED, False)]
)
def test_an_order_ends_when_it_works_no_more(cohort: Cohort, status: OrderStatus, ended: bool) -> None:
    deployment = replay_of(by_family(cohort, "buy_and_hold"), hours=1)
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms)
    run_desks()
    orders = Order.objects.filter(deployment=deployment)
    with pytest.raises(IntegrityError, match="order_ended_unless_live"), transaction.atomic():
        orders.update(status=status, ended_at=clock.now() if ended else None)


@pytest.mark.django_db
def test_rows_of_before_are_made_to_fit_and_others_left() -> None:
    """What the migration does first, on a table of the same name that this session alone sees."""
    ends = import_module("trading.migrations.0011_rows_that_change_often").ENDS
    kept = [(1, "working", None, None), (2, "filled", 5, 9)]
    mended = [(3, "rejected", 7, None), (4, "denied", None, None), (5, "pending", None, 9)]
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TABLE trading_order (id int, status text, created_at int DEFAULT 3, submitted_at int,"
            " acknowledged_at int, ended_at int) ON COMMIT DROP"
        )
        cursor.executemany(
            "INSERT INTO trading_order (id, status, acknowledged_at, ended_at) VALUES (%s, %s, %s, %s)", kept + mended
        )
        cursor.execute(ends)
        cursor.execute("SELECT id, ended_at FROM trading_order ORDER BY id")
        assert cursor.fetchall() == [(1, None), (2, 9), (3, 7), (4, 3), (5, None)]
        cursor.execute("DROP TABLE pg_temp.trading_order")
