"""Two people, two workers, one limit: the database decides, and nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from compliance.actions.approval_execution import execute_request
from compliance.models import ApprovalRequest, AuditEvent
from risk.actions.breaches import evaluate_limits
from risk.models import LimitBreach, RiskLimit
from risk.quant.metrics import Metric
from tests.gate import released
from tests.risk.conftest import WrittenSource, figures, position
from tests.risk.gated import put_limit
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
