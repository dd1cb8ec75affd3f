"""The live topic of this layer: ``risk`` carries limits, breaches, stress and snapshots of every fund."""

from __future__ import annotations

from fundops.core.models import User


def may_watch_risk(user: User, key: str) -> bool:
    return not key and user.has_perm("risk.view_limitbreach")
