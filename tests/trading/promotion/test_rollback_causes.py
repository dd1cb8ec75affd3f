"""Every cause of a rollback, from what sets it off to the money at home and the post-mortem."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F

from compliance.models import AuditEvent
from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.leverage import lower_leverage
from risk.actions.switches import trip_switch
from risk.models import KillSwitch, StopCause
from risk.quant.pretrade import TradingMode
from risk.switch_gate import RESTORE, restore_payload
from tests.factories import user_with
from tests.gate import by_gate
from tests.trading.promotion.support import deployed, deployment_of, drive_hours, drive_until_it_holds, go_on
from tests.trading.promotion.watched_ground import pm as pm
from tests.trading.promotion.watched_ground import pool as pool
from tests.trading.promotion.watched_ground import reviewed as reviewed
from trading.actions.deployments import stop_deployment
from trading.actions.promotion import roll_back, watch_review
from trading.actions.promotion_tick import tick_reviews
from trading.desk.drive import run_desks
from trading.models.deployments import Deployment, DeploymentStatus, DeskRun, Fill, FundingPayment, TradingCycle
from trading.models.promotion import LiveRecord, PromotionReview, ReviewState
from trading.promotion.weights import GENOME_LEFT, weights_of
from treasury.models import BankrollPool, BankrollSlice
from treasury.selectors import free_cash, trial_balance

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def desk(deployment: Deployment, **figures: Any) -> None:
    DeskRun.objects.filter(deployment=deployment).update(**figures)


def drawdown(review: PromotionReview, deployment: Deployment) -> None:
    desk(deployment, max_drawdown_frac=0.0501)


def distribution(review: PromotionReview, deployment: Deployment) -> None:
    """Every hour so far has lost 3 %."""
    run = deployment.run
    for hour in range(1, 9):
        at = deployment.start_ms + hour * 3_600_000 - deployment.interval_ms
        fallen = deployment.bankroll * Decimal("0.97") ** hour
        cycle = TradingCycle.objects.filter(deployment=deployment, bar_ms=at)
        assert cycle.update(equity=fallen.quantize(Decimal("0.00000001")), token=run.token) == 1


def costs(review: PromotionReview, deployment: Deployment) -> None:
    """A turnover of a thousand has cost fifty."""
    desk(deployment, fills=F("fills") + 20, turnover=Decimal(1000), fees=Decimal(50))


def leverage(review: PromotionReview, deployment: Deployment) -> None:
    lower_leverage(book=deployment.book, reason="Too wild.", actor=user_with(Role.RISK_OFFICER), to=Decimal(1))


def heartbeat(review: PromotionReview, deployment: Deployment) -> None:
    """Its desk has been silent for ten minutes, and the watch has looked all the while."""
    long_ago = clock.now() - timedelta(minutes=10)
    desk(deployment, heartbeat_at=long_ago)
    PromotionReview.objects.filter(pk=review.pk).update(watched_since=long_ago)


def timer(review: PromotionReview, deployment: Deployment) -> None:
    """The watch is over, with a loss."""
    PromotionReview.objects.filter(pk=review.pk).update(watch_until_ms=deployment.run.next_bar_ms)
    desk(deployment, equity=deployment.bankroll - 1)


def kill_switch(review: PromotionReview, deployment: Deployment) -> None:
    trip_switch(book=deployment.book, venue=None, cause=StopCause.STALE_DATA, detail="Prices stood still.")


def stopped(review: PromotionReview, deployment: Deployment) -> None:
    stop_deployment(deployment=deployment, reason="I do not like it.", flatten=False, actor=user_with(Role.OPERATIONS))


def person(review: PromotionReview, deployment: Deployment) -> None:
    roll_back(review=review, cause="person", words="Enough seen.", actor=user_with(Role.RISK_OFFICER))


CAUSES: list[Callable[[PromotionReview, Deployment], None]] = [
    drawdown, distribution, costs, leverage, heartbeat, timer, kill_switch, stopped, person,
]  # fmt: skip


@pytest.mark.parametrize("happens", CAUSES, ids=lambda cause: cause.__name__)
def test_each_cause_brings_the_candidate_home(
    reviewed: PromotionReview,
    pm: User,
    pool: BankrollPool,
    happens: Callable[[PromotionReview, Deployment], None],
) -> None:
    if happens is leverage:
        by_gate("risk.set_leverage_policy", {"start": "2", "floor": "1"})
    cause = happens.__name__
    review = deployed(reviewed, pm)
    if happens is distribution:
        drive_hours(deployment_of(review), 8)
    deployment = drive_until_it_holds(deployment_of(review))
    tick_reviews()
    review.refresh_from_db()
    assert review.state == ReviewState.MONITORING, review.end_words
    happens(review, deployment)
    tick_reviews()
    review.refresh_from_db()
    assert (review.state, review.end_cause) == (ReviewState.ROLLED_BACK, cause)
    if happens is timer:
        assert "to graduate takes more than +0.00% and at least 5 fills" in review.end_words
    assert deployment_of(review).status == DeploymentStatus.STOPPING
    if happens is kill_switch:
        switch = KillSwitch.objects.get(book=deployment.book)
        by_gate(RESTORE, restore_payload(switch, TradingMode.REDUCING))
    go_on()
    _is_home(review, pool, cause)


def _is_home(review: PromotionReview, pool: BankrollPool, cause: str) -> None:
    review.refresh_from_db()
    deployment = deployment_of(review)
    assert deployment.status == DeploymentStatus.ROLLED_BACK
    assert review.settled_at is not None
    assert not deployment.positions.exclude(quantity=0).exists()
    assert BankrollSlice.objects.get().released_at is not None
    assert free_cash(deployment.book, pool.asset) == 0
    earned = sum((f.realised - f.fee for f in Fill.objects.filter(deployment=deployment)), Decimal(0))
    earned += sum((f.amount for f in FundingPayment.objects.filter(deployment=deployment)), Decimal(0))
    assert abs(free_cash(pool.book, pool.asset) - (pool.capacity + earned)) < Decimal("0.000001")
    assert trial_balance(fund=deployment.fund).is_balanced
    record = LiveRecord.objects.get(outcome="rolled_back")
    assert (record.deployment, record.cause, record.weight) == (deployment, cause, GENOME_LEFT)
    assert weights_of([(record.genome_hash, record.family)])[record.genome_hash] == GENOME_LEFT
    assert f"**Cause:** {review.end_words}" in review.post_mortem
    assert f"- Result: {deployment.run.equity - deployment.bankroll:+.2f} USDT" in review.post_mortem
    assert f"{deployment.run.fills:,} fills" in review.post_mortem
    told = AuditEvent.objects.get(kind="trading.review.rolled_back").payload
    assert (told["cause"], told["words"], told["looks"]) == (cause, review.end_words, "trading.roll_back")
    settled = AuditEvent.objects.get(kind="trading.review.settled").payload
    assert (settled["cause"], settled["looks"]) == (cause, "trading.write_post_mortem")


def _graduated(reviewed: PromotionReview, pm: User) -> PromotionReview:
    review = deployed(reviewed, pm)
    deployment = drive_until_it_holds(deployment_of(review))
    tick_reviews()
    PromotionReview.objects.filter(pk=review.pk).update(watch_until_ms=deployment.run.next_bar_ms)
    desk(deployment, equity=deployment.bankroll + 1, fills=F("fills") + 5)
    tick_reviews()
    review.refresh_from_db()
    return review


def test_watch_that_ends_well_graduates_and_goes_on(reviewed: PromotionReview, pm: User, pool: BankrollPool) -> None:
    review = _graduated(reviewed, pm)
    assert (review.state, review.end_cause, review.settled_at) == (ReviewState.GRADUATED, "timer", None)
    assert deployment_of(review).status == DeploymentStatus.RUNNING
    assert BankrollSlice.objects.get().released_at is None
    record = LiveRecord.objects.get()
    assert (record.outcome, record.weight) == ("graduated", 1.0)
    meters = {meter.cause: meter for meter in watch_review(review=review)}
    assert not meters["timer"].fired
    review.refresh_from_db()
    assert review.state == ReviewState.GRADUATED


@pytest.mark.parametrize("happens", [drawdown, heartbeat, kill_switch, costs], ids=lambda cause: cause.__name__)
def test_graduated_candidate_is_rolled_back_without_anyone_noticing(
    reviewed: PromotionReview,
    pm: User,
    pool: BankrollPool,
    happens: Callable[[PromotionReview, Deployment], None],
) -> None:
    review = _graduated(reviewed, pm)
    happens(review, deployment_of(review))
    tick_reviews()
    review.refresh_from_db()
    assert (review.state, review.end_cause) == (ReviewState.ROLLED_BACK, happens.__name__)
    if happens is kill_switch:
        by_gate(RESTORE, restore_payload(KillSwitch.objects.get(), TradingMode.REDUCING))
    go_on()
    _is_home(review, pool, happens.__name__)
    assert set(LiveRecord.objects.values_list("outcome", flat=True)) == {"graduated", "rolled_back"}


def test_graduated_candidate_that_is_stopped_gives_its_slice_back(
    reviewed: PromotionReview, pm: User, pool: BankrollPool
) -> None:
    """It ends without blame, and the pool's growth goes past its Book."""
    review = _graduated(reviewed, pm)
    deployment = deployment_of(review)
    stop_deployment(deployment=deployment, reason="It did its part.", flatten=True, actor=user_with(Role.OPERATIONS))
    tick_reviews()
    by_gate("treasury.set_pool", {"fund": pool.fund.code, "asset": "USDT", "capacity": "60000"})
    assert BankrollSlice.objects.get().amount == 2000, "what is ending gets nothing more"
    go_on()
    review.refresh_from_db()
    assert (review.state, deployment_of(review).status) == (ReviewState.GRADUATED, DeploymentStatus.STOPPED)
    assert review.settled_at is not None
    assert "It did its part." in review.post_mortem
    assert BankrollSlice.objects.get().released_at is not None
    by_gate("treasury.set_pool", {"fund": pool.fund.code, "asset": "USDT", "capacity": "80000"})
    assert free_cash(deployment.book, pool.asset) == 0
    assert LiveRecord.objects.get().outcome == "graduated"
    roll_backs = pytest.raises(Exception, match="nothing to roll back")
    with roll_backs:
        roll_back(review=review, cause="person", words="Too late.", actor=user_with(Role.RISK_OFFICER))


def test_graduated_candidate_that_stops_holding_something_is_rolled_back(
    reviewed: PromotionReview, pm: User, pool: BankrollPool
) -> None:
    review = _graduated(reviewed, pm)
    stop_deployment(
        deployment=deployment_of(review), reason="Its desk failed.", flatten=False, actor=user_with(Role.OPERATIONS)
    )
    go_on(10)
    _is_home(review, pool, "stopped")


def test_slice_closes_with_its_deployment_whatever_the_review_does(
    reviewed: PromotionReview, pm: User, pool: BankrollPool
) -> None:
    review = deployed(reviewed, pm)
    deployment = drive_hours(deployment_of(review))
    stop_deployment(deployment=deployment, reason="Enough.", flatten=True, actor=user_with(Role.OPERATIONS))
    while run_desks():
        pass
    assert deployment_of(review).status == DeploymentStatus.STOPPED
    assert BankrollSlice.objects.get().released_at is not None
    assert free_cash(deployment.book, pool.asset) == 0


def test_downtime_of_everything_rolls_nobody_back(reviewed: PromotionReview, pm: User, pool: BankrollPool) -> None:
    """All was down for an hour. The desk has its full time again from when the watch is back, and no more than that."""
    review = deployed(reviewed, pm)
    drive_hours(deployment_of(review))
    tick_reviews()
    back = clock.now() + timedelta(hours=1)
    for seconds in (0, 40, 80, 119):
        with clock.frozen(back + timedelta(seconds=seconds)):
            meter = next(m for m in watch_review(review=review) if m.cause == "heartbeat")
        assert (meter.reading, meter.fired) == (seconds, False)
    with clock.frozen(back + timedelta(seconds=121)):
        tick_reviews()
    review.refresh_from_db()
    assert (review.state, review.end_cause) == (ReviewState.ROLLED_BACK, "heartbeat")
