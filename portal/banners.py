"""What all staff must see on every page while it lasts: trading that stands still, overridden guardrails."""

from __future__ import annotations

from fundops.core.models import User
from risk.overrides import overrides_in_force
from risk.switch_selectors import not_active


def banners_for(user: User) -> dict[str, object]:
    """By name, what the partials of `components/banners.html` show; nothing for an investor."""
    if not user.is_fund_staff:
        return {}
    return {"stopped": not_active(), "overrides": overrides_in_force()}
