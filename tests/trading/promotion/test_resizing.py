"""A pool is resized, and the slices with it: desk, venue and books follow, and no figure takes it for a result."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from compliance.models import ApprovalStatement, AuditEvent
from fundops.core import clock
from fundops.core.models import User
from portal.charts.deployments import equity as equity_chart
from risk.quant.leverage import Observation
from tests.gate import by_gate
from tests.trading.promotion.support import deployed, deployment_of, drive_hours, drive_until_it_holds
from tests.trading.promotion.watched_ground import pm as pm
from tests.trading.promotion.watched_ground import pool as pool
from tests.trading.promotion.watched_ground import reviewed as reviewed
from trading.actions.promotion import watch_review
from trading.actions.promotion_tick import tick_reviews
from trading.desk.drive import run_desks
from trading.desk.growth import return_frac
from trading.gateways.installed import gateway_of
from trading.leverage_performance import OwnClockPerformance
from trading.models.deployments import Deployment, DeploymentStatus
from trading.models.promotion import PromotionReview
from trading.promotion.meters import Meter, hourly_returns
from trading.selectors.deployments import equity_path
from treasury.models import BankrollPool, BankrollSlice
from treasury.selectors import free_cash

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def resize(pool: BankrollPool, capacity: str) -> BankrollSlice:
    by_gate("treasury.set_pool", {"fund": pool.fund.code, "asset": "USDT", "capacity": capacity})
    return BankrollSlice.objects.get()


def standing(deployment: Deployment) -> list[Decimal]:
    """Bankroll, cash and equity by the desk, equity at the venue, cash in the books."""
    held = Deployment.objects.select_related("run", "book").get(pk=deployment.pk)
    venue = gateway_of(held.gateway).balances([held.account])[held.account]
    asset = BankrollPool.objects.get().asset
    return [held.bankroll, held.run.cash, held.run.equity, venue.equity, free_cash(held.book, asset)]


def moved(after: list[Decimal], before: list[Decimal]) -> set[Decimal]:
    return {a - b for a, b in zip(after, before, strict=True)}


def test_growth_is_held_to_the_budget_of_the_strategy(reviewed: PromotionReview, pm: User, pool: BankrollPool) -> None:
    """A slice of 2,000 would grow to 3,000 with its pool; the budget of 2,400 lets 400 of that through."""
    deployment = deployment_of(deployed(reviewed, pm))
    strategy = deployment.book.parent
    assert strategy is not None
    by_gate("risk.set_budget", {"book": strategy.path, "capital": "2400"})
    held = resize(pool, "60000")
    assert (held.amount, held.target) == (Decimal(2400), Decimal(2400))
    statement = ApprovalStatement.objects.filter(request__kind="treasury.set_pool").latest("created_at")
    content = json.loads(statement.canonical)
    signed = {field["label"]: field["then"] for field in content.get("fields") or content["displayed"]}
    assert (
        signed[f"Slice of {deployment.book.path}"]
        == f"3000.00, as far as the budget goes: 2,400.00 USDT for {strategy.path}"
    )
    told = AuditEvent.objects.filter(kind="treasury.pool.set").latest("at")
    assert (told.payload["slices"], told.payload["held_back"]) == ([held.pk], [held.pk])
    by_gate("risk.set_budget", {"book": strategy.path, "capital": "5000"})
    assert resize(pool, "60000").amount == Decimal(3000)
    by_gate("risk.set_budget", {"book": strategy.path, "capital": "1000"})
    held = resize(pool, "80000")
    assert (held.amount, held.target) == (Decimal(3000), Decimal(3000)), "a smaller budget cuts nothing by itself"


def test_running_candidate_follows_its_slice(reviewed: PromotionReview, pm: User, pool: BankrollPool) -> None:
    """The pool grows from 40,000 to 60,000 and its slice from 2,000 to 3,000; cut to 30,000 it hands 1,500 back."""
    review = deployed(reviewed, pm)
    deployment = drive_hours(deployment_of(review))
    before = standing(deployment)
    held = resize(pool, "60000")
    grown = standing(deployment)
    assert moved(grown, before) == {Decimal(1000)}
    assert (held.amount, held.target) == (Decimal(3000), Decimal(3000))
    held = resize(pool, "30000")
    assert (held.amount, held.target) == (Decimal(3000), Decimal(1500))
    while deployment_of(review).positions.exclude(quantity=0).exists():
        drive_hours(deployment, 1)
    flat = standing(deployment)
    tick_reviews()
    held.refresh_from_db()
    assert held.amount == Decimal(1500)
    assert moved(standing(deployment), flat) == {Decimal(-1500)}
    next_day = 24 - deployment_of(review).run.next_bar_ms % 86_400_000 // 3_600_000
    deployment = drive_hours(deployment, next_day)
    assert deployment.status == DeploymentStatus.RUNNING, deployment.stop_reason
    assert deployment.run.books_checked_on is not None, "the books of the day agree with the venue's"


@pytest.mark.parametrize("capacity", ["60000", "30000"], ids=["grown", "cut"])
def test_resize_moves_no_meter_and_no_return(
    reviewed: PromotionReview, pm: User, pool: BankrollPool, capacity: str
) -> None:
    review = deployed(reviewed, pm)
    deployment = drive_until_it_holds(drive_hours(deployment_of(review), 3))
    with clock.frozen(clock.now()):
        tick_reviews()
        before = _meters(review)
        returns, earned = hourly_returns(deployment), return_frac(deployment)
        assert returns.size >= 4
        assert deployment.run.drawdown_frac > 0
        resize(pool, capacity)
        tick_reviews()
        resized = deployment_of(review)
        assert resized.bankroll == {"60000": Decimal(3000), "30000": Decimal(1500)}[capacity]
        assert _meters(review) == before
    np.testing.assert_array_equal(hourly_returns(resized), returns)
    assert return_frac(resized) == pytest.approx(earned, abs=1e-12)
    run = resized.run
    assert 1 - run.equity / run.peak_equity == pytest.approx(Decimal(str(run.drawdown_frac)), abs=Decimal("1e-9"))


def _meters(review: PromotionReview) -> list[Meter]:
    return [
        replace(meter, reading=None if meter.reading is None else round(meter.reading, 9))
        for meter in watch_review(review=review)
    ]


def test_returns_after_a_resize_are_those_of_the_whole_account(
    reviewed: PromotionReview, pm: User, pool: BankrollPool
) -> None:
    """Growth within an hour: its return is that before times that after; the picture and the leverage policy agree."""
    review = deployed(reviewed, pm)
    deployment = drive_hours(deployment_of(review), 2)
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.run.next_bar_ms + 30 * 60_000)
    while run_desks():
        pass
    half = deployment_of(review)
    resize(pool, "60000")
    deployment = drive_hours(deployment_of(review), 1)
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.run.next_bar_ms + 30 * 60_000)
    while run_desks():
        pass
    deployment = deployment_of(review)
    path = {point.at_ms: point for point in equity_path(deployment)}
    third = deployment.start_ms + 3 * 3_600_000
    hour_before = path[third - 3_600_000]
    expected = float(half.run.equity) / hour_before.equity * path[third].equity / (float(half.run.equity) + 1000) - 1
    assert hourly_returns(deployment)[2] == pytest.approx(expected, rel=1e-12)
    assert np.abs(hourly_returns(deployment)).max() < 0.05, "a third more money is no return"
    told = OwnClockPerformance().performance(deployment.book, observation=Observation.HOURLY, window=48, at=clock.now())
    assert told is not None
    assert told.returns[:3] == pytest.approx(list(hourly_returns(deployment)[:3]))
    assert told.equity == pytest.approx(float(deployment.run.equity))
    band = {s["id"]: dict(s["data"]) for s in equity_chart(deployment)["series"]}
    first, last = min(band["band-1"]), max(band["band-1"])
    assert band["band-1"][first] == pytest.approx(2000)
    assert band["band-2"][last] / band["band-1"][last] == pytest.approx(
        band["band-2"][last - 60_000] / band["band-1"][last - 60_000], rel=0.01
    )
    assert band["band-1"][last] > 2900


def test_slice_never_outgrows_what_its_evidence_bears(reviewed: PromotionReview, pm: User, pool: BankrollPool) -> None:
    """The pool's rule doubles its share; what a false promotion may cost of the pool does not."""
    review = deployed(reviewed, pm)
    facts = review.evidence["slice"]
    by_gate(
        "treasury.set_pool",
        {"fund": pool.fund.code, "asset": "USDT", "capacity": "40000", "slice_frac": "0.9", "source_cap_frac": "1",
         "market_cap_frac": "1"},
    )  # fmt: skip
    held = BankrollSlice.objects.get()
    assert Decimal(2000) < held.amount < Decimal(36_000)
    assert float(held.amount) * facts["worst_loss_frac"] <= 0.01 * 40_000
    assert float(held.amount) * facts["worst_loss_frac"] == pytest.approx(0.01 * 40_000, rel=1e-4)
