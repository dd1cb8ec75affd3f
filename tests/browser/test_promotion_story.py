"""The whole story: a cohort is launched, reviewed, sent on, signed by two, deployed; its worker is killed and another
goes on; it disappoints, is rolled back by itself, and people read what happened."""

from __future__ import annotations

import os
import signal
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from playwright.sync_api import Page, expect
from pytest_django import Settings

from compliance.actions.approval_execution import execute_request
from compliance.models import ApprovalRequest
from fundops.core.models import User
from fundops.core.roles import Role
from tests.browser.conftest import OpenPage, Watch
from tests.compliance.approvals.support import fresh_code_proof, staff
from tests.compliance.support import wait_until
from tests.gate import by_gate, ensure_policy, gate_people
from tests.trading.cohort.test_worker import worker
from trading.actions import promotion
from trading.actions.cohort_drive import drive_cohort
from trading.actions.marketdata import sync_catalog
from trading.actions.promotion import carry_review, review_cohort
from trading.actions.promotion_tick import tick_reviews
from trading.models.cohort import Cohort, CohortStatus
from trading.models.deployments import DeskRun, Order, OrderStatus, TradingCycle
from trading.models.promotion import PromotionReview, ReviewState
from trading.promotion.rules import rules_in_force
from trading.tasks import call_desks
from treasury.models import BankrollSlice, Fund, JournalEntry

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
]


@pytest.fixture
def petra(fund: Fund) -> User:
    """The manager; the pool, the gate's rules with a watch that forgives next to nothing, and everybody's policies."""
    manager = staff("petra", Role.PORTFOLIO_MANAGER)
    by_gate("treasury.set_pool", {"fund": fund.code, "asset": "USDT", "capacity": "200000"})
    strict = rules_in_force()[1]
    strict = strict.model_copy(update={"watch": strict.watch.model_copy(update={"drawdown_frac": 0.0001})})
    by_gate("trading.set_gate_policy", {"rules": strict.as_text()})
    ensure_policy("trading.promote")
    return manager


def test_from_launch_to_post_mortem(
    open_page: OpenPage,
    watch: Watch,
    petra: User,
    settings: Settings,
    long_market_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch.allow("htmx:(afterRequest|sendAbort|sendError)")  # who leaves a page cuts off what it was fetching
    settings.MARKET_DATA_URL = str(long_market_folder)
    monkeypatch.setattr(promotion, "REPLAY_PACE", Decimal(0))  # as fast as can be
    sync_catalog(actor=None)
    manager = open_page(petra)

    cohort = launch(manager)
    drive_cohort(cohort_id=cohort.pk)
    carry_review(review=review_cohort(cohort=cohort, actor=None))

    request = override(manager, cohort)
    sign_and_release(open_page, request)
    review = PromotionReview.objects.get(cohort=cohort)
    manager.goto(review.get_absolute_url())
    expect(manager.locator("#standing")).to_contain_text("Deployed")

    trade_through_a_crash(review, long_market_folder)

    manager.goto(review.get_absolute_url())
    expect(manager.locator("#standing")).to_contain_text("Rolled back")
    expect(manager.locator("#rollback")).to_contain_text("fired")
    expect(manager.locator("#post-mortem")).to_contain_text("What happened")
    manager.get_by_text("Complete it").click()
    manager.get_by_label("Markdown").fill("# What we learned\n\nThe watch was too strict, on purpose.")
    manager.get_by_role("button", name="Keep").click()
    expect(manager.locator("#post-mortem")).to_contain_text("too strict, on purpose")
    nothing_doubled(review)


def launch(page: Page) -> Cohort:
    """A cohort of three days with days behind it, by the launch page."""
    page.goto("/cohorts/new/")
    page.locator("[name=start]").fill("2025-03-01")
    page.locator("[name=agent_count]").fill("12")
    page.locator("[name=bankroll]").fill("2400")
    page.get_by_role("button", name="Launch").click()
    page.wait_for_url("**/cohorts/*/")
    cohort = Cohort.objects.get()
    assert (cohort.status, cohort.days, cohort.agent_count) == (CohortStatus.QUEUED, 3, 12)
    return cohort


def override(page: Page, cohort: Cohort) -> ApprovalRequest:
    """The gate refuses the candidate; the manager sends it on and says why."""
    page.goto("/reviews/")
    page.get_by_role("link", name=str(cohort)).click()
    expect(page.locator(".verdict-word")).to_contain_text("No go")
    expect(page.locator(".not-known")).to_contain_text("days")
    page.get_by_label("Why against the verdict").fill("A rehearsal with paper money.")
    page.get_by_role("button", name="Override and ask").click()
    page.wait_for_url("**/approvals/*/")
    request = ApprovalRequest.objects.get(kind="trading.promote")
    expect(page.locator("body")).to_contain_text("REFUSED; overridden: A rehearsal with paper money.")
    return request


def sign_and_release(open_page: OpenPage, request: ApprovalRequest) -> None:
    """Risk and operations sign with their codes, a third person releases; the worker's part is done here."""
    people = gate_people()
    for signer in (people.risk, people.operations):
        page = open_page(signer)
        page.goto(f"/approvals/{request.pk}/")
        page.get_by_label("Code of your authenticator app").fill(fresh_code_proof(signer)["code"])
        page.get_by_role("button", name="Sign with the code").click()
        expect(page.locator("#signatures")).to_contain_text("Holds")
    page = open_page(people.releaser)
    page.goto(f"/approvals/{request.pk}/")
    page.get_by_role("button", name="Release").click()
    expect(page.locator("#verdict")).to_contain_text("A worker is about to execute it")
    record = execute_request(request_id=request.pk)
    assert record is not None
    assert record.outcome == "executed", record.error


def trade_through_a_crash(review: PromotionReview, market: Path) -> None:
    """A worker is killed in the middle, the next goes on at the exact bar; the watch brings the candidate home."""
    assert review.deployment_id is not None
    deployment = review.deployment_id
    with worker(market) as first:
        _tick_until(lambda: _bars(deployment) > 60, what="the first bars", seconds=240)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    left_at = _bars(deployment)
    with worker(market):
        _tick_until(lambda: _bars(deployment) > left_at, what="another worker to go on", seconds=120)
        _tick_until(lambda: _settled(review), what="the rollback to settle", seconds=300, watched=True)
    review.refresh_from_db()
    assert (review.state, review.end_cause) == (ReviewState.ROLLED_BACK, "drawdown")
    assert BankrollSlice.objects.get().released_at is not None


def _bars(deployment: int) -> int:
    connection.close()
    return DeskRun.objects.get(deployment=deployment).bars


def _settled(review: PromotionReview) -> bool:
    connection.close()
    return PromotionReview.objects.filter(pk=review.pk).exclude(settled_at=None).exists()


def _tick_until(condition: object, *, what: str, seconds: float, watched: bool = False) -> None:
    """Beat's part: desks are called, and, where asked, reviews are watched."""

    def held() -> bool:
        call_desks()
        if watched:
            tick_reviews()
        return bool(condition())  # type: ignore[operator]

    wait_until(held, seconds=seconds, what=what)


def nothing_doubled(review: PromotionReview) -> None:
    """One cycle a bar, one order an id, one journal entry a fill."""
    deployment = review.deployment
    cycles = TradingCycle.objects.filter(deployment=deployment)
    assert cycles.values("bar_ms").distinct().count() == cycles.count()
    sent = Order.objects.filter(deployment=deployment).exclude(status=OrderStatus.DENIED)
    assert sent.values("client_order_id").distinct().count() == sent.count()
    sources = list(JournalEntry.objects.filter(source_type="trading.desk.fill").values_list("source_id", flat=True))
    assert len(sources) == len(set(sources))
