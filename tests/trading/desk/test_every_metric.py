"""Every metric that can be limited binds a desk: a level that is passed denies or cuts, a loose one lets through."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from risk.quant.metrics import Metric
from risk.sources import install_source
from tests.risk.gated import put_limit
from tests.trading.desk.support import by_family, replay_of
from trading.desk.drive import run_desks
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeskRun, Order, OrderStatus, Position
from trading.risk_source import ledger_source

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

#: By metric: a level that an order of the whole bankroll of 500 passes, and one that it does not.
LEVELS: dict[Metric, tuple[str, str]] = {
    Metric.GROSS_EXPOSURE: ("100", "1000"),
    Metric.NET_EXPOSURE: ("100", "1000"),
    Metric.NET_EXPOSURE_FRAC: ("0.2", "2"),
    Metric.LEVERAGE: ("0.2", "2"),
    Metric.POSITION_NOTIONAL: ("100", "1000"),
    Metric.OPEN_POSITIONS: ("0", "1"),
    Metric.SYMBOL_CONCENTRATION_FRAC: ("0.2", "2"),
    Metric.VENUE_CONCENTRATION_FRAC: ("0.2", "2"),
    Metric.VAR: ("1", "500"),
    Metric.VAR_FRAC: ("0.002", "1"),
    Metric.ES: ("1", "500"),
    Metric.ES_FRAC: ("0.002", "1"),
    Metric.DAILY_LOSS: ("10", "400"),
    Metric.DAILY_LOSS_FRAC: ("0.01", "0.9"),
    Metric.DRAWDOWN_FRAC: ("0.01", "0.9"),
    Metric.STOP_LOSS_FRAC: ("0.1", "0.9"),
    Metric.COOLDOWN_S: ("3600", "60"),
    Metric.ORDER_NOTIONAL: ("100", "1000"),
    Metric.ORDER_NOTIONAL_FRAC: ("0.2", "2"),
    Metric.PARTICIPATION_FRAC: ("0.0000001", "100"),
    Metric.ORDER_RATE: ("0", "5"),
    Metric.PRICE_COLLAR_FRAC: ("0.001", "0.01"),
}


def swings(symbols: Sequence[str], days: int, _at: datetime) -> Any:
    """A year of days between -5 % and 5 %."""
    return np.tile(np.linspace(-0.05, 0.05, days)[:, None], (1, len(symbols)))


@pytest.fixture(autouse=True)
def known_returns() -> Iterator[None]:
    """The books themselves, with a year of daily returns behind the four days of candles."""
    before = install_source(replace(ledger_source(), returns=swings))
    yield
    install_source(before)


def lose(deployment: Deployment) -> None:
    """A desk that is below its opening and its peak, has just lost, and holds a little that cost more than it is worth:
    enough for every stop to have something to judge."""
    Position.objects.create(
        deployment=deployment, symbol=deployment.agent.symbol or deployment.symbols[0], quantity=Decimal("0.00001"),
        cost=Decimal(5), entry_bar=0,
    )  # fmt: skip
    DeskRun.objects.filter(deployment=deployment).update(
        day_open_equity=Decimal(700), peak_equity=Decimal(700), last_loss_ms=deployment.start_ms - 600_000
    )


def first_orders(*deployments: Deployment) -> list[Order]:
    """What each ordered at the close before its first bar, before anything is traded."""
    for deployment in deployments:
        Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms)
    run_desks()
    return [Order.objects.get(deployment=deployment) for deployment in deployments]


def test_every_metric_has_levels_here() -> None:
    assert set(LEVELS) == set(Metric)


@pytest.mark.parametrize("metric", list(Metric))
def test_a_level_that_binds_holds_the_order_up_and_a_loose_one_does_not(cohort: Cohort, metric: Metric) -> None:
    agent = by_family(cohort, "buy_and_hold")
    make: Callable[[], Deployment] = lambda: replay_of(agent, hours=1, market_orders=False)  # noqa: E731
    bound, loose = make(), make()
    for deployment, level in zip((bound, loose), LEVELS[metric], strict=True):
        lose(deployment)
        put_limit(book=deployment.book, metric=metric, hard=Decimal(level))
    held_up, passed = first_orders(bound, loose)
    assert passed.status == OrderStatus.WORKING, passed.status_reason
    assert passed.status_reason == ""
    assert held_up.status == OrderStatus.DENIED or held_up.quantity < passed.quantity
    assert "would pass the hard limit" in held_up.status_reason or "stays below the hard limit" in held_up.status_reason


@pytest.mark.parametrize("metric", [Metric.VAR_FRAC, Metric.ES_FRAC])
def test_an_inherited_tail_limit_binds_by_the_figures_of_the_book_above(cohort: Cohort, metric: Metric) -> None:
    agent = by_family(cohort, "buy_and_hold")
    deployment = replay_of(agent, hours=1)
    strategy = deployment.book.parent
    assert strategy is not None
    put_limit(book=strategy, metric=metric, hard=Decimal("0.01"))
    (order,) = first_orders(deployment)
    assert order.status == OrderStatus.WORKING, order.status_reason
    assert order.status_reason.startswith("Cut by risk")


def test_a_tail_that_is_not_known_denies_what_opens(cohort: Cohort) -> None:
    before = install_source(replace(ledger_source(), returns=lambda symbols, days, at: np.zeros((5, len(symbols)))))
    try:
        deployment = replay_of(by_family(cohort, "buy_and_hold"), hours=1)
        put_limit(book=deployment.book, metric=Metric.VAR_FRAC, hard=Decimal("0.5"))
        (order,) = first_orders(deployment)
    finally:
        install_source(before)
    assert order.status == OrderStatus.DENIED
    assert "value at risk over equity is not known" in order.status_reason
