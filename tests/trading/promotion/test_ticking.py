"""The pipeline's clock: whatever fails, fails alone, says so once, and goes on when it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from compliance.models import AuditEvent
from fundops.core.models import User
from tests.gate import by_gate
from tests.trading.promotion.support import deployed, deployment_of
from trading.actions import promotion, promotion_tick, slices
from trading.actions.promotion import review_cohort
from trading.actions.promotion_tick import tick_reviews
from trading.models.cohort import Cohort
from trading.models.deployments import DeskRun
from trading.models.promotion import PromotionReview, ReviewState
from treasury.models import BankrollPool, BankrollSlice

pytestmark = pytest.mark.django_db


def test_review_that_fails_holds_up_nobody_and_says_so_once(
    finished: Callable[..., Cohort], pm: User, pool: BankrollPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = deployed(review_cohort(cohort=finished(agent_count=6), actor=None), pm)
    sound = deployed(review_cohort(cohort=finished(seed=6), actor=None), pm)
    for review in (broken, sound):
        DeskRun.objects.filter(deployment=review.deployment).update(max_drawdown_frac=0.06)
    real = promotion.watch_review

    def watch(*, review: PromotionReview) -> Any:
        if review.pk == broken.pk:
            raise ZeroDivisionError("a bug")
        return real(review=review)

    with monkeypatch.context() as patched:
        patched.setattr(promotion_tick, "watch_review", watch)
        for _ in range(3):
            assert tick_reviews() == 2
        sound.refresh_from_db()
        broken.refresh_from_db()
        assert (sound.state, sound.end_cause) == (ReviewState.ROLLED_BACK, "drawdown")
        assert broken.waits_for == f"{promotion_tick.FAILED}ZeroDivisionError: a bug"
        told = AuditEvent.objects.get(kind="trading.review.failed", object_id=str(broken.pk))
        assert told.payload["words"] == broken.waits_for
        assert (told.payload["cause"], told.payload["looks"]) == ("failed", "trading.roll_back")
    tick_reviews()
    broken.refresh_from_db()
    assert (broken.state, broken.end_cause, broken.waits_for) == (ReviewState.ROLLED_BACK, "drawdown", "")
    assert AuditEvent.objects.filter(kind="trading.review.goes_on").count() == 1


def test_slice_that_cannot_be_cut_holds_up_neither_reviews_nor_other_slices(
    finished: Callable[..., Cohort], pm: User, pool: BankrollPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = deployed(review_cohort(cohort=finished(agent_count=6), actor=None), pm)
    second = deployed(review_cohort(cohort=finished(seed=6), actor=None), pm)
    by_gate("treasury.set_pool", {"fund": pool.fund.code, "asset": "USDT", "capacity": "1200"})
    real = slices._cut

    def cut(held: BankrollSlice) -> bool:
        if held.book_id == deployment_of(first).book_id:
            raise ZeroDivisionError("a bug")
        return real(held)

    monkeypatch.setattr(slices, "_cut", cut)
    DeskRun.objects.filter(deployment=first.deployment).update(max_drawdown_frac=0.06)
    tick_reviews()
    first.refresh_from_db()
    assert first.state == ReviewState.ROLLED_BACK, "watching goes before cutting"
    assert BankrollSlice.objects.get(book=deployment_of(first).book).amount == 100
    assert BankrollSlice.objects.get(book=deployment_of(second).book).amount == 60
