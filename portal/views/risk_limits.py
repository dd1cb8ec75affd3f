"""Every limit there is: levels, periods, origin and headroom; and one limit's levels over time."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from compliance.actions.approvals import PROPOSE
from compliance.selectors import live_seq
from compliance.selectors_approvals import VIEW_REQUESTS
from fundops.core import clock
from fundops.core.clock import to_ms
from fundops.core.models import User
from fundops.core.permissions import AnyUser, may, permission_required
from portal.charts import risk as charts
from portal.tables import TablePage
from portal.tables_limits import (
    IN_FORCE,
    PLANNED,
    LimitFilter,
    LimitTable,
    change_address,
    retire_address,
    state_of,
)
from risk.approvals import MAY_SET_LIMITS
from risk.models import GuardrailOverride, LimitBreach, RiskLimit
from risk.quant.metrics import STATE_METRICS, Metric
from risk.selectors import LimitStatus, limit_list, limit_status
from risk.templates_of_limits import load_template, template_names
from treasury.models import Book

READ = "risk.view_risklimit"
SHOWN = 20
_REQUEST = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def may_change_limits(user: AnyUser) -> bool:
    """Whether somebody may ask for a limit to be set or retired."""
    return may(user, MAY_SET_LIMITS) and may(user, PROPOSE)


class LimitPage(TablePage):
    """`/risk/limits/`: those in force unless another state is asked for."""

    permission = READ
    table_class, filterset_class = LimitTable, LimitFilter
    template_name = "risk/limits.html"

    def get_queryset(self) -> QuerySet[RiskLimit]:
        return limit_list(self.request.user).select_related("book__fund__base_asset")

    def get_filterset_kwargs(self, filterset_class: Any) -> dict[str, Any]:
        given: dict[str, Any] = super().get_filterset_kwargs(filterset_class)
        asked = self.request.GET.copy()
        asked.setdefault("state", IN_FORCE)
        return given | {"data": asked}

    def get_table_kwargs(self) -> dict[str, Any]:
        return {
            "standing": standing_now(self.request.user),
            "about": self.filterset.about(),
            "may_change": may_change_limits(self.request.user),
        }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        book = self.filterset.about()
        return super().get_context_data(**kwargs) | {
            "about": book,
            "may_change": may_change_limits(user),
            "sets": [(name, load_template(name)) for name in template_names()],
            "funds": list(Book.objects.for_user(user).filter(parent=None, closed_at=None).order_by("path")[:SHOWN]),
            "crumbs": [("Risk", reverse("portal:risk")), ("Limits", "")],
            "live_after": live_seq(),
        }


def standing_now(user: AnyUser) -> dict[int, LimitStatus]:
    """Where the Books of the limits in force stand, by limit."""
    return {s.limit.hard_limit_id or s.limit.soft_limit_id or 0: s for s in limit_status(user)}


@require_GET
@permission_required(READ)
def limit_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One limit: where its Book stands, its levels over time, its breaches and overrides."""
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the decorator lets nobody else in
    rows = limit_list(user).select_related("book__fund__base_asset")
    limit = get_object_or_404(rows, pk=pk)
    now = clock.now()
    same = {"book": limit.book_id, "metric": limit.metric, "symbol": limit.symbol, "venue": limit.venue}
    levels = list(rows.filter(**same).order_by("-effective_from", "-pk"))
    running = next((row for row in levels if state_of(row, now) == IN_FORCE), None)
    status = None
    if running is not None and limit.book.is_open:
        found = limit_status(user, book=limit.book, at=now)
        status = next((s for s in found if running.pk in (s.limit.hard_limit_id, s.limit.soft_limit_id)), None)
    base = limit.book.fund.base_asset.code
    planned = next((row for row in levels if state_of(row, now) == PLANNED), None)
    breaches = LimitBreach.objects.for_user(user).filter(limit__in=[row.pk for row in levels])
    overrides = GuardrailOverride.objects.filter(limit__in=[row.pk for row in levels])
    asks = may_change_limits(user) and limit.book.is_open
    ends = running or planned
    context = {
        "limit": limit,
        "base": base,
        "levels": [(row, state_of(row, now), _request_of(row)) for row in levels],
        "may_open": may(user, VIEW_REQUESTS),
        "running": running,
        "status": status,
        "value": None if status is None else status.value,
        "hard": _hard_now(running, status),
        "on_orders": Metric(limit.metric) not in STATE_METRICS,
        # Its own each time: HTMX copies the style of an element that it replaces by one of the same id.
        "chart_id": f"levels-{to_ms(now)}",
        "chart": charts.level_steps(levels, base=base, at=now),
        "breaches": breaches.select_related("book", "acknowledged_by").order_by("-opened_at", "-pk")[:SHOWN],
        "overrides": (
            overrides.select_related("book").order_by("-starts_at")[:SHOWN]
            if may(user, "risk.view_guardrailoverride")
            else []
        ),
        # What is planned is retired first: nothing is set over it.
        "change_href": change_address(limit) if asks and planned is None else "",
        "retire_href": retire_address(ends) if asks and ends is not None else "",
        "crumbs": [("Risk", reverse("portal:risk")), ("Limits", reverse("portal:risk-limits")), (str(limit), "")],
        "live_after": live_seq(),
    }
    return render(request, "risk/limit.html", context)


def _request_of(limit: RiskLimit) -> str:
    """The approval request that set it, as its reason names it; empty where it names none."""
    found = _REQUEST.search(limit.reason)
    return found.group() if found else ""


def _hard_now(running: RiskLimit | None, status: LimitStatus | None) -> float | None:
    """The hard level as it binds: an override in force loosens it."""
    if status is not None:
        return status.limit.hard
    return None if running is None or running.hard is None else float(running.hard)
