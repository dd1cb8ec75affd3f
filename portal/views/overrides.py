"""Overrides of guardrails: which are in force, the log of all, ending one early, and the banners of every page."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from compliance.approvals.registry import action_for
from compliance.selectors import live_seq
from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import SIGNED_IN, may, permission_required
from portal.banners import banners_for
from portal.policy_figures import lines_of
from portal.tables import TablePage
from portal.tables_leverage import OverrideFilter, OverrideTable
from risk.actions.overrides import OVERRIDE_GUARDRAIL, SET_OVERRIDE_POLICY, end_override
from risk.models import GuardrailOverride
from risk.overrides import override_list, override_policy_in_force, standing_of

READ = "risk.view_guardrailoverride"
END = "risk.end_override"


@require_GET
@permission_required(SIGNED_IN)
def banners(request: HttpRequest) -> HttpResponse:
    """The banners alone, as every page of staff shows them."""
    user = request.user
    if not isinstance(user, User) or not user.is_fund_staff:
        raise Http404
    return render(request, "components/banners.html", {"banners": banners_for(user)})


class OverridePage(TablePage):
    """`/risk/overrides/`: what is overridden now and what will be, then the log."""

    permission = READ
    table_class, filterset_class = OverrideTable, OverrideFilter
    template_name = "risk/overrides.html"

    def get_queryset(self) -> QuerySet[GuardrailOverride]:
        return override_list(self.request.user)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        return super().get_context_data(**kwargs) | {
            "running": _running(user),
            "policy": _policy(),
            "may_end": may(user, END),
            "propose": _link(user, OVERRIDE_GUARDRAIL),
            "propose_policy": _link(user, SET_OVERRIDE_POLICY),
            "crumbs": [("Risk", ""), ("Overrides", "")],
            "live_after": live_seq(),
        }


def _running(user: Any) -> list[tuple[GuardrailOverride, str]]:
    """Those in force or planned, with their standing; the first to end first."""
    now = clock.now()
    rows = override_list(user).filter(ends_at__gt=now, end=None).order_by("ends_at", "pk")
    return [
        (row, standing_of(row, at=now)) for row in rows.select_related("book__fund__base_asset", "limit", "request")
    ]


def _policy() -> dict[str, Any] | None:
    found = override_policy_in_force()
    if found is None:
        return None
    return {"row": found[0], "lines": lines_of(found[1])}


def _link(user: Any, kind: str) -> str:
    """The kind, where this reader may ask for one; the template makes the address."""
    return kind if may(user, action_for(kind).maker_permission) else ""


@require_POST
@permission_required(END)
def override_end(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends an override now."""
    held = get_object_or_404(override_list(request.user), pk=pk)
    assert isinstance(request.user, User)  # noqa: S101 - the permission has seen to it
    try:
        end_override(override=held, actor=request.user, reason=request.POST.get("reason", ""))
    except FundopsError as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, f"Override {held.pk} is over; the guardrail holds again.")
    return redirect("portal:overrides")
