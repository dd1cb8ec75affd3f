"""The first page: for staff what needs them, what trades with capital and how the latest cohorts stand; an investor's
is plain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from fundops.core.models import User
from fundops.core.permissions import SIGNED_IN, may, permission_required
from portal.attention import attention_for
from portal.tables_reviews import nearest_meter
from trading.models.cohort import Cohort
from trading.models.deployments import WORKED_STATUSES, Deployment
from trading.selectors.cohort import cohort_list
from trading.selectors.deployments import deployment_list, profit

COHORTS_SHOWN = 6
DEPLOYMENTS_SHOWN = 6
#: Of a review: what is large and not asked for here.
_NOT_READ = ("review__evidence", "review__verdict", "review__post_mortem")


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


@dataclass(frozen=True)
class AtWork:
    """A deployment that trades, what it has made, and the meter that is nearest to ending it, where it is watched."""

    deployment: Deployment
    profit: Decimal
    return_frac: Decimal
    meter: Mapping[str, Any] | None


def at_work(user: User) -> list[AtWork]:
    """What trades with capital now, of what ``user`` may read, the newest first."""
    rows = deployment_list(user).filter(status__in=WORKED_STATUSES).select_related("review", "run")
    found = []
    for row in rows.defer(*_NOT_READ).order_by("-opened_at")[:DEPLOYMENTS_SHOWN]:
        review = getattr(row, "review", None)
        made = profit(row)
        found.append(AtWork(row, made, made / row.bankroll, nearest_meter(review) if review else None))
    return found


@permission_required(SIGNED_IN)
def home(request: HttpRequest) -> HttpResponse:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the decorator lets nobody else in
    if not user.is_fund_staff:
        return render(request, "portal/home_investor.html", {"crumbs": [("Home", "")]})
    context = {
        "attention": attention_for(user),
        "at_work": at_work(user),
        "sees_cohorts": may(user, "trading.view_cohort"),
        "may_launch": may(user, "trading.launch_cohort"),
        "standings": latest_cohorts(user) if may(user, "trading.view_cohort") else [],
        "crumbs": [("Home", "")],
    }
    return render(request, "portal/home.html", context)
