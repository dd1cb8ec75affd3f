"""Two people, two workers, one limit: the database decides, and nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, transaction

from compliance.actions.approval_execution import execute_request
from compliance.models import ApprovalRequest, AuditEvent
from risk.actions.breaches import evaluate_limits
from risk.models import LimitBreach, RiskLimit
from risk.order_paths import order_paths
from risk.quant.metrics import Metric
from risk.quant.pretrade import BookState, OrderIntent, Side, check_order_path
from tests.gate import released
from tests.risk.conftest import WrittenSource, figures, position
from tests.risk.gated import put_limit
from treasury.actions.books import ensure_asset, open_book, open_fund
from treasury.models import AssetKind, Book, BookKind

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


def ended(requests: list[ApprovalRequest]) -> list[tuple[str, str]]:
    """Executes them all at the same moment; how each ended."""
    at_once(lambda i: execute_request(request_id=requests[i].pk))
    found = ApprovalRequest.objects.select_related("execution").filter(pk__in=[r.pk for r in requests])
    return sorted((r.execution.outcome, r.execution.error_code) for r in found)


def test_of_limits_approved_side_by_side_one_is_set(book: Book) -> None:
    """The others were signed on a picture that is not so any more."""
    waiting = [
        released("risk.set_limit", {"book": book.path, "metric": "leverage", "hard": Decimal(i + 1)})
        for i in range(WORKERS)
    ]
    assert ended(waiting) == [("executed", ""), *[("failed", "stale_request")] * (WORKERS - 1)]
    assert RiskLimit.objects.count() == 1


def test_a_limit_is_retired_once(book: Book) -> None:
    limit = put_limit(book=book, metric=Metric.LEVERAGE, hard=Decimal(1))
    waiting = [released("risk.retire_limit", {"limit": limit.pk}) for _ in range(WORKERS)]
    assert ended(waiting) == [("executed", ""), *[("failed", "stale_request")] * (WORKERS - 1)]
    assert AuditEvent.objects.filter(kind="risk.limit.retired").count() == 1


def test_evaluations_at_once_open_one_breach(book: Book, source: WrittenSource) -> None:
    put_limit(book=book, metric=Metric.LEVERAGE, hard=Decimal(1))
    source.books = {book.pk: figures(100.0, position("BTC", 5.0))}
    results = at_once(lambda _: evaluate_limits(actor=None))
    assert sorted(len(r.opened) for r in results) == [0] * (WORKERS - 1) + [1]
    assert LimitBreach.objects.count() == 1
    assert AuditEvent.objects.filter(kind="risk.breach.opened").count() == 1


def test_orders_judged_at_once_keep_a_limit_of_the_book_above(book: Book, source: WrittenSource) -> None:
    """Each measures what those before it have written: a limit of 250 holds two orders of 100, however many ask."""
    put_limit(book=book, metric=Metric.GROSS_EXPOSURE, hard=Decimal(250))
    below = [
        open_book(parent=book, code=f"s{i}", name=f"s{i}", kind=BookKind.STRATEGY, opened_on=book.opened_on, actor=None)
        for i in range(WORKERS)
    ]
    source.books = {b.pk: figures(1_000.0) for b in (book, *below)}
    buy = OrderIntent(symbol="BTC", venue="kraken", side=Side.BUY, quantity=1.0, unit_notional=100.0, lot=1.0)

    def order(number: int) -> bool:
        mine = below[number]
        with transaction.atomic():
            path = order_paths([mine], venue="kraken")[mine.pk]
            state = BookState(1_000.0, 1_000.0, 1_000.0, mode=path.mode)
            allowed = check_order_path(path.with_own(state), buy).allowed
            if allowed:
                source.books[mine.pk] = figures(1_000.0, position("BTC", 0.0, working_buy=1.0))
        return allowed

    assert sorted(at_once(order)) == [False] * (WORKERS - 2) + [True] * 2
