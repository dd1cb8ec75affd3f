"""Two people, two workers, one limit: the database decides, and nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from itertools import pairwise
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from compliance.models import AuditEvent
from fundops.core import clock
from risk.actions.breaches import evaluate_limits
from risk.actions.limits import retire_limit, set_limit
from risk.errors import LimitRetiredError
from risk.models import LimitBreach, RiskLimit
from risk.quant.metrics import Metric
from tests.risk.conftest import WrittenSource, figures, position
from treasury.actions.books import ensure_asset, open_fund
from treasury.models import AssetKind, Book

WORKERS = 6


@pytest.fixture
def book(transactional_db: None) -> Book:
    usdt = ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
    fund = open_fund(code="R", name="Race", base_asset=usdt, opened_on=date(2026, 1, 1), actor=None)
    return Book.objects.get(fund=fund, parent=None)


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """Runs `work` in as many sessions at the same moment; results or exceptions."""
    start = Barrier(WORKERS)

    def one(number: int) -> Any:
        try:
            start.wait(timeout=30)
            return work(number)
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, range(WORKERS)))


def test_limits_set_at_once_follow_one_another(book: Book) -> None:
    made = at_once(lambda i: set_limit(book=book, metric=Metric.LEVERAGE, hard=Decimal(i + 1), actor=None))
    assert all(isinstance(x, RiskLimit) for x in made), made
    rows = list(RiskLimit.objects.order_by("effective_from", "pk"))
    assert len(rows) == WORKERS
    for before, after in pairwise(rows):
        assert before.effective_to == after.effective_from
    assert RiskLimit.objects.in_force(clock.now()).get() == rows[-1]


def test_a_limit_is_retired_once(book: Book) -> None:
    limit = set_limit(book=book, metric=Metric.LEVERAGE, hard=Decimal(1), actor=None)
    results = at_once(lambda _: retire_limit(limit=limit, actor=None))
    assert sum(isinstance(x, RiskLimit) for x in results) == 1
    assert sum(isinstance(x, LimitRetiredError) for x in results) == WORKERS - 1


def test_evaluations_at_once_open_one_breach(book: Book, source: WrittenSource) -> None:
    set_limit(book=book, metric=Metric.LEVERAGE, hard=Decimal(1), actor=None)
    source.books = {book.pk: figures(100.0, position("BTC", 5.0))}
    results = at_once(lambda _: evaluate_limits(actor=None))
    assert sorted(len(r.opened) for r in results) == [0] * (WORKERS - 1) + [1]
    assert LimitBreach.objects.count() == 1
    assert AuditEvent.objects.filter(kind="risk.breach.opened").count() == 1
