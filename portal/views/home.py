"""The first page: for staff what needs them and how the latest cohorts stand; an investor's is plain."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from fundops.core.models import User
from fundops.core.permissions import SIGNED_IN, may, permission_required
from portal.attention import attention_for
from trading.models.cohort import Cohort
from trading.selectors.cohort import cohort_list

COHORTS_SHOWN = 6


@dataclass(frozen=True)
class Standing:
    """A cohort and its return so far; None before its first day is scored."""

    cohort: Cohort
    equity: Decimal | None
    return_frac: Decimal | None


def latest_cohorts(user: User) -> list[Standing]:
    """The newest cohorts ``user`` may read, with the figures of their latest scored day."""
    standings = []
    for cohort in cohort_list(user)[:COHORTS_SHOWN]:
        equity: Decimal | None = cohort.latest_equity  # type: ignore[attr-defined] # annotated
        gain = None if equity is None else equity / cohort.bankroll - 1
        standings.append(Standing(cohort, equity, gain))
    return standings


@permission_required(SIGNED_IN)
def home(request: HttpRequest) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the decorator lets nobody else in
    if not user.is_fund_staff:
        return render(request, "portal/home_investor.html", {"crumbs": [("Home", "")]})
    context = {
        "attention": attention_for(user),
        "sees_cohorts": may(user, "trading.view_cohort"),
        "may_launch": may(user, "trading.launch_cohort"),
        "standings": latest_cohorts(user) if may(user, "trading.view_cohort") else [],
        "crumbs": [("Home", "")],
    }
    return render(request, "portal/home.html", context)
