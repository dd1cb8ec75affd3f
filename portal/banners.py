"""What every member of staff must see on every page while it lasts: overridden guardrails."""

from __future__ import annotations

from fundops.core.models import User
from risk.overrides import overrides_in_force


def banners_for(user: User) -> dict[str, object]:
    """By name, what the partials of `components/banners.html` show; nothing for an investor."""
    if not user.is_fund_staff:
        return {}
    return {"overrides": overrides_in_force()}
