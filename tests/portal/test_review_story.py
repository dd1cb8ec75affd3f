"""A review on its way: what comes next with its countdowns, and what the first page asks attention for."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client

from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from portal.attention import attention_for
from portal.review_timers import timers_of, watch_ends
from tests.factories import user_with
from tests.gate import carry
from tests.worlds import Candidate
from trading.actions.promotion import ask_for_promotion, roll_back, write_post_mortem
from trading.actions.promotion_tick import tick_reviews
from trading.desk.drive import run_desks
from trading.models.deployments import Deployment
from trading.models.promotion import PromotionReview, ReviewState
from trading.promotion.rules import rules_of


@pytest.fixture
def review(offered_world: Candidate) -> PromotionReview:
    assert offered_world.review is not None
    return offered_world.review


@pytest.fixture
def pm(offered_world: Candidate) -> User:
    return offered_world.pm


def asked_for(user: User) -> list[tuple[str, str]]:
    return [(item.title, item.tone) for item in attention_for(user) if "candidate" in item.title]


def read_page(review: PromotionReview, user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.get(f"/reviews/{review.pk}/").content.decode()


def test_request_counts_down_with_its_time_in_text(review: PromotionReview, pm: User) -> None:
    page = read_page(review, pm)
    assert "data-countdown" not in page
    assert "Nothing, unless somebody who may sends it on" in page
    ask_for_promotion(review=review, actor=pm, override_reason="A rehearsal.")
    review.refresh_from_db()
    assert review.request is not None
    expires = review.request.expires_at
    assert expires is not None
    page = read_page(review, pm)
    assert f'data-countdown="{expires:%Y-%m-%dT%H:%M:%S}' in page
    assert f'title="{expires:%Y-%m-%d %H:%M:%S} UTC"' in page
    assert "until its request expires unsigned" in page
    assert f"{expires:%Y-%m-%d %H:%M} UTC" in page
    assert "Risk and operations sign" in page


def test_end_of_the_watch_follows_the_pace_of_the_desk(review: PromotionReview, pm: User) -> None:
    ask_for_promotion(review=review, actor=pm, override_reason="A rehearsal.", speed=Decimal(600))
    review.refresh_from_db()
    assert review.request is not None
    carry(review.request)
    review.refresh_from_db()
    rules = rules_of(review.policy_version)
    assert watch_ends(review) is None, "its clock has not started"
    since = clock.now()
    Deployment.objects.filter(review=review).update(running_since=since)
    review = PromotionReview.objects.select_related("deployment", "request").get(pk=review.pk)
    (timer,) = timers_of(review, rules)
    assert timer.until == "its watch ends"
    assert timer.at - since == timedelta(days=rules.watch.days) / 600
    assert "of market time" in read_page(review, pm)


@pytest.mark.django_db(transaction=True)
def test_rollback_asks_for_attention_until_its_post_mortem_is_written(review: PromotionReview, pm: User) -> None:
    assert asked_for(pm) == []
    ask_for_promotion(review=review, actor=pm, override_reason="A rehearsal.", speed=Decimal(0))
    review.refresh_from_db()
    assert review.request is not None
    carry(review.request)
    run_desks()
    tick_reviews()
    name = str(review.cohort)
    review.refresh_from_db()
    if review.state != ReviewState.ROLLED_BACK:
        roll_back(review=review, cause="person", words="Enough seen.", actor=pm)
    review.refresh_from_db()
    if review.settled_at is None:
        assert asked_for(pm) == [(f"The rollback of {name}'s candidate is not settled", "bad")]
    for _ in range(4):
        run_desks()
        tick_reviews()
    assert asked_for(pm) == [(f"{name}'s candidate was rolled back; its post-mortem is still a draft", "bad")]
    assert asked_for(user_with(Role.CLIENT_RELATIONS)) == []
    PromotionReview.objects.filter(pk=review.pk).update(ended_at=clock.now() - timedelta(days=8))
    assert asked_for(pm) == [(f"{name}'s candidate was rolled back; its post-mortem is still a draft", "warn")]
    review.refresh_from_db()
    write_post_mortem(review=review, text="The market turned.", actor=pm)
    assert asked_for(pm) == []
    PromotionReview.objects.filter(pk=review.pk).update(ended_at=clock.now())
    assert asked_for(pm) == [(f"{name}'s candidate was rolled back", "info")]


def test_review_that_waits_for_somebody_says_for_what(review: PromotionReview, pm: User) -> None:
    ask_for_promotion(review=review, actor=pm, override_reason="A rehearsal.")
    assert not [item for item in attention_for(pm) if "waits" in item.title]
    PromotionReview.objects.filter(pk=review.pk).update(waits_for="The pool has no cash.")
    waiting = [item for item in attention_for(pm) if "waits" in item.title]
    assert [(item.title, item.text, item.tone) for item in waiting] == [
        (f"The review of {review.cohort} waits", "The pool has no cash.", "warn")
    ]
