"""Who may listen to the live news of trading."""

from __future__ import annotations

from fundops.core.live import register_topic
from fundops.core.models import User
from fundops.core.permissions import may
from trading.models.cohort import Cohort


def may_hear_cohorts(user: User, _key: str) -> bool:
    return may(user, "trading.view_cohort")


def may_hear_cohort(user: User, key: str) -> bool:
    return key.isdecimal() and Cohort.objects.for_user(user).filter(pk=int(key)).exists()


def may_hear_candles(user: User, _key: str) -> bool:
    return may(user, "trading.view_candleset")


def register() -> None:
    register_topic("cohorts", may_hear_cohorts)
    register_topic("cohort", may_hear_cohort)
    register_topic("candles", may_hear_candles)
