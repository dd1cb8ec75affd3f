"""Deployments at the same moment: the pool is never committed twice, whoever comes first."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from uuid import UUID

import pytest
from django.db import connections

from compliance.actions.approval_execution import execute_request, release_request
from compliance.models import ApprovalExecution, RequestState
from fundops.core.roles import Role
from tests.compliance.approvals.support import staff, vote
from tests.gate import by_gate, ensure_policy, gate_people
from tests.trading.promotion.own_ground import finished as finished
from tests.trading.promotion.own_ground import fund as fund
from tests.trading.promotion.own_ground import manager as manager
from trading.actions.promotion import ask_for_promotion, carry_review, review_cohort
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment
from treasury.models import BankrollPool, BankrollSlice, Fund
from treasury.selectors import free_cash, trial_balance

CANDIDATES = 4


@pytest.mark.django_db(transaction=True)
def test_parallel_deployments_never_over_commit_the_pool(finished: Callable[..., Cohort], fund: Fund) -> None:
    """Four candidates ask for 50 of a pool of 100 each, and are executed at the same instant: two get it."""
    terms = {"capacity": "100", "source_cap_frac": "1", "market_cap_frac": "1"}
    cohorts = [finished(seed=seed, days=3) for seed in range(5, 5 + CANDIDATES)]
    by_gate("treasury.set_pool", {"fund": fund.code, "asset": "USDT", **terms})
    ensure_policy("trading.promote")
    pm, people = staff("petra", Role.PORTFOLIO_MANAGER), gate_people()
    asked: list[UUID] = []
    for cohort in cohorts:
        review = review_cohort(cohort=cohort, actor=None)
        carry_review(review=review)
        made = ask_for_promotion(review=review, actor=pm, override_reason="A race.", speed=Decimal(0))
        assert made.request is not None
        vote(made.request, people.risk, Role.RISK_OFFICER)
        vote(made.request, people.operations, Role.OPERATIONS)
        release_request(request_id=made.request.pk, actor=people.releaser)
        asked.append(made.request.pk)
    start = Barrier(CANDIDATES)

    def execute(request_id: UUID) -> None:
        try:
            start.wait(timeout=30)
            execute_request(request_id=request_id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(CANDIDATES) as pool:
        list(pool.map(execute, asked))
    outcomes = sorted(ApprovalExecution.objects.values_list("outcome", flat=True).filter(request__in=asked))
    assert outcomes.count(RequestState.EXECUTED) <= 2
    assert len(outcomes) == CANDIDATES
    refused = ApprovalExecution.objects.filter(request__in=asked, outcome=RequestState.FAILED)
    assert all("The pool has" in r.error or "Slices may hold" in r.error for r in refused)
    held = sum((s.amount for s in BankrollSlice.objects.filter(released_at=None)), Decimal(0))
    assert held == 50 * Deployment.objects.count() <= 100
    bank = BankrollPool.objects.get()
    assert free_cash(bank.book, bank.asset) == 100 - held
    assert trial_balance(fund=fund).is_balanced
