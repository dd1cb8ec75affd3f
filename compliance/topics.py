"""The live topics this layer owns: ``audit`` (every event of the stream), ``system`` (the machine's own state) and
``screening`` (the restricted list and the flags)."""

from __future__ import annotations

from fundops.core.live import register_topic
from fundops.core.models import User

VIEW_EVENTS = "compliance.view_auditevent"
VIEW_RESTRICTIONS = "compliance.view_restrictedinstrument"


def may_watch_audit(user: User, key: str) -> bool:
    return not key and user.has_perm(VIEW_EVENTS)


def may_watch_system(user: User, key: str) -> bool:
    return not key and user.is_fund_staff


def may_watch_screening(user: User, key: str) -> bool:
    return not key and user.has_perm(VIEW_RESTRICTIONS)


def register_topics() -> None:
    register_topic("audit", may_watch_audit)
    register_topic("system", may_watch_system)
    register_topic("screening", may_watch_screening)
