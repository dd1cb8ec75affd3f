"""Who may listen to the live news of trading."""

from __future__ import annotations

from fundops.core.live import register_topic
from fundops.core.models import User
from fundops.core.permissions import may
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment
from trading.models.promotion import PromotionReview

#: Single cohorts that one page listens to; a connection carries a hundred topics.
MOST_HEARD = 80


def may_hear_cohorts(user: User, _key: str) -> bool:
    return may(user, "trading.view_cohort")


def cohort_topics(user: User) -> list[str]:
    """What a list of cohorts listens to: all of them, or, where single ones were granted, the newest of those. One that
    is granted or launched later is heard once the page is loaded again."""
    if may_hear_cohorts(user, ""):
        return ["cohorts"]
    return [cohort.topic for cohort in Cohort.objects.granted_to(user).order_by("-launched_at", "-pk")[:MOST_HEARD]]


def may_hear_cohort(user: User, key: str) -> bool:
    return key.isdecimal() and Cohort.objects.for_user(user).filter(pk=int(key)).exists()


def may_hear_candles(user: User, _key: str) -> bool:
    return may(user, "trading.view_candleset")


def may_hear_deployments(user: User, _key: str) -> bool:
    return may(user, "trading.view_deployment")


def may_hear_deployment(user: User, key: str) -> bool:
    return key.isdecimal() and Deployment.objects.for_user(user).filter(pk=int(key)).exists()


def may_hear_reviews(user: User, _key: str) -> bool:
    return may(user, "trading.view_promotionreview")


def may_hear_review(user: User, key: str) -> bool:
    return key.isdecimal() and PromotionReview.objects.for_user(user).filter(pk=int(key)).exists()


def register() -> None:
    register_topic("cohorts", may_hear_cohorts)
    register_topic("cohort", may_hear_cohort)
    register_topic("candles", may_hear_candles)
    register_topic("deployments", may_hear_deployments)
    register_topic("deployment", may_hear_deployment)
    register_topic("reviews", may_hear_reviews)
    register_topic("review", may_hear_review)
