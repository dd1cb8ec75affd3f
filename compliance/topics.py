"""The live topics this layer owns: ``audit`` (every event of the stream) and ``system`` (the machine's own
state)."""

from __future__ import annotations

from fundops.core.live import register_topic
from fundops.core.models import User

VIEW_EVENTS = "compliance.view_auditevent"


def may_watch_audit(user: User, key: str) -> bool:
    return not key and user.has_perm(VIEW_EVENTS)


def may_watch_system(user: User, key: str) -> bool:
    return not key and user.is_fund_staff


def register_topics() -> None:
    register_topic("audit", may_watch_audit)
    register_topic("system", may_watch_system)
