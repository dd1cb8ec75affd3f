"""Orders of one bar are judged one after the other: a Book above knows of those that passed before."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from fundops.core import clock
from risk.measuring import measure_books
from risk.order_paths import AboveBook, PassedOrder
from risk.quant.metrics import CODES, Metric
from risk.quant.pretrade import BookState, LimitSet, PositionState
from tests.risk.gated import put_limit
from tests.trading.desk.support import by_family, replay_of, start_of
from trading.desk.drive import run_desks
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, Order, OrderStatus
from treasury.models import Book

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def two_that_buy(cohort: Cohort) -> tuple[Deployment, Deployment, Book]:
    """Two desks that both buy with their first bar, the same one, and the Book above, to which they alone belong."""
    agent = by_family(cohort, "buy_and_hold")
    starts = start_of(cohort) + timedelta(minutes=30)
    first, second = (replay_of(agent, starts=starts, hours=1) for _ in range(2))
    Deployment.objects.update(end_ms=first.start_ms)
    assert first.book.parent is not None
    return first, second, first.book.parent


@pytest.mark.parametrize(
    ("metric", "said"),
    [(Metric.ORDER_RATE, "orders in the last minute would pass"), (Metric.OPEN_POSITIONS, "open positions would pass")],
)
def test_the_second_order_of_a_bar_is_judged_after_the_first(cohort: Cohort, metric: Metric, said: str) -> None:
    first, second, above = two_that_buy(cohort)
    put_limit(book=above, metric=metric, hard=Decimal(1))
    run_desks()
    assert Order.objects.get(deployment=first).status == OrderStatus.WORKING
    denied = Order.objects.get(deployment=second)
    assert denied.status == OrderStatus.DENIED
    assert said in denied.status_reason


def test_what_works_at_the_venue_is_an_exposure_of_every_book_above(cohort: Cohort) -> None:
    first, _, above = two_that_buy(cohort)
    run_desks()
    order = Order.objects.get(deployment=first)
    measured = measure_books(at=clock.now(), book_ids=[above.pk], tail=False)
    (line,) = [p for p in measured.figures[measured.row(first.book_id)].positions if p.unit_notional]
    assert (line.symbol, line.quantity, line.working_buy) == (order.symbol, 0.0, float(order.quantity))
    assert line.loss_frac == 0.0
    both = measured.measured.values[measured.row(above.pk), CODES[Metric.GROSS_EXPOSURE]]
    assert line.unit_notional is not None
    assert both == pytest.approx(2 * line.unit_notional * float(order.quantity)), "of both desks, before any fill"


def test_a_book_above_adds_what_passed_below_it_and_nothing_else() -> None:
    state = BookState(1000.0, 1000.0, 1000.0, orders_in_window=2, var=5.0, es=7.0)
    above = AboveBook(1, state, LimitSet([]))
    buy = PositionState("BTC", "kraken", 0.0, 100.0, working_buy=2.0)
    passed = [PassedOrder((1, 5), buy, 3.0, 4.0), PassedOrder((1, 6)), PassedOrder((2, 7), buy, 3.0, 4.0)]
    after = above.after(passed)
    assert (after.gross, after.net, after.open_positions) == (200.0, 200.0, 1)
    assert (after.orders_in_window, after.var, after.es) == (4, 8.0, 11.0)
    assert above.after(passed[2:]) is state
