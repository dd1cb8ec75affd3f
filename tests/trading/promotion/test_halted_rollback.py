"""A rollback under a halt keeps its position and says so; when the halt ends it closes by itself, and the post-mortem
tells how long it waited."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.switches import stop_trading
from risk.models import KillSwitch
from risk.quant.pretrade import TradingMode
from risk.switch_gate import RESTORE, restore_payload
from tests.factories import user_with
from tests.gate import by_gate, ensure_policy
from tests.trading.promotion.support import deployed
from trading.actions.promotion import review_cohort, watch_review
from trading.actions.promotion_tick import tick_reviews
from trading.desk.drive import run_desks
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeploymentStatus, Order
from trading.models.promotion import PromotionReview, ReviewState
from treasury.models import Fund
from treasury.selectors import trial_balance


@pytest.fixture
def live(finished: Callable[..., Cohort], pm: User, fund: Fund) -> PromotionReview:
    """A promoted candidate that holds something."""
    by_gate("treasury.set_pool", {"fund": fund.code, "asset": "USDT", "capacity": "200000"})
    ensure_policy("trading.promote")
    review = deployed(review_cohort(cohort=finished(), actor=None), pm)
    assert review.deployment is not None
    for hour in range(1, 13):
        work_until(review.deployment, hour * 60)
        if review.deployment.positions.exclude(quantity=0).exists():
            return review
    raise AssertionError("The candidate never held anything.")


def work_until(deployment: Deployment, minute: int) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=deployment.start_ms + minute * 60_000)
    while run_desks():
        pass


def further(deployment: Deployment, minutes: int) -> None:
    deployment.refresh_from_db()
    assert deployment.end_ms is not None
    work_until(deployment, (deployment.end_ms - deployment.start_ms) // 60_000 + minutes)


def test_it_waits_says_so_and_closes_when_the_halt_ends(live: PromotionReview) -> None:
    deployment = live.deployment
    assert deployment is not None
    officer = user_with(Role.RISK_OFFICER)
    stop_trading(book=deployment.book, mode=TradingMode.HALTED, reason="The venue's data is wrong.", actor=officer)
    watch_review(review=live)
    live.refresh_from_db()
    assert (live.state, live.end_cause) == (ReviewState.ROLLED_BACK, "kill_switch")
    tick_reviews()
    live.refresh_from_db()
    assert live.waits_for.startswith("Trading of its Book is HALTED")
    further(deployment, 5)
    tick_reviews()
    live.refresh_from_db()
    first = Order.objects.filter(deployment=deployment, reason="flatten").earliest("created_at")
    since = f"{first.created_at:%Y-%m-%d %H:%M:%S} UTC"
    assert f"It has waited since {since}." in live.waits_for
    assert live.settled_at is None
    assert deployment.positions.exclude(quantity=0).exists()
    switch = KillSwitch.objects.get(book=deployment.book)
    by_gate(RESTORE, restore_payload(switch, mode=TradingMode.REDUCING))
    tick_reviews()
    live.refresh_from_db()
    assert live.waits_for == ""
    further(deployment, 30)
    tick_reviews()
    settled = PromotionReview.objects.get(pk=live.pk)
    assert settled.settled_at is not None
    assert f"Closing waited: 5 orders to close were denied from {since}" in settled.post_mortem
    assert "HALTED" in settled.post_mortem
    deployment.refresh_from_db()
    assert deployment.status == DeploymentStatus.ROLLED_BACK
    assert not deployment.positions.exclude(quantity=0).exists()
    assert trial_balance(fund=deployment.fund).is_balanced
