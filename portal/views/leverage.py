"""`/risk/leverage/`: each Book's tier, the next step with what it wants, what lowers it, and why it was decided so."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_POST

from compliance.approvals.registry import action_for
from compliance.selectors import live_seq
from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from portal.charts import leverage as charts
from portal.leverage_board import at_risk, leverage_rows
from portal.policy_figures import lines_of
from portal.tables import TablePage
from portal.tables_leverage import DecisionFilter, DecisionTable
from risk.actions.leverage import SET_LEVERAGE_POLICY, lower_leverage
from risk.leverage import levered_books, policy_in_force
from risk.models import LeverageDecision, LeveragePolicy
from risk.overrides import overrides_in_force
from treasury.models import Book

READ = "risk.view_leveragedecision"
LOWER = "risk.lower_leverage"


class LeveragePage(TablePage):
    """The board of Books (a fragment of its own), the picture over time, the policy, the log."""

    permission = READ
    table_class, filterset_class = DecisionTable, DecisionFilter
    template_name = "risk/leverage.html"
    paginate_by = 20

    def get_template_names(self) -> list[str]:
        if self.request.headers.get("HX-Target") == "leverage-board":
            return ["risk/_leverage_board.html"]
        return [self.template_name]

    def get_queryset(self) -> QuerySet[LeverageDecision]:
        rows: QuerySet[LeverageDecision] = LeverageDecision.objects.for_user(self.request.user)
        return rows.select_related("book", "policy", "actor")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        assert isinstance(user, User)  # noqa: S101 - the permission has seen to it
        policy = policy_in_force()
        rows = [] if policy is None else leverage_rows(user)
        return super().get_context_data(**kwargs) | {
            "rows": rows,
            "at_risk": at_risk(rows),
            "highest": max((r.in_force for r in rows), default=None),
            "lowered": sum(r.rollback is not None and bool(r.rollback.recovering) for r in rows),
            "overridden": overrides_in_force(),
            "policy": None if policy is None else policy[0],
            "rules": None if policy is None else policy[1],
            "policy_lines": [] if policy is None else lines_of(policy[1]),
            "versions": LeveragePolicy.objects.select_related("request").order_by("-version")[:10],
            "may_lower": may(user, LOWER),
            "propose": SET_LEVERAGE_POLICY if may(user, action_for(SET_LEVERAGE_POLICY).maker_permission) else "",
            "crumbs": [("Risk", ""), ("Leverage", "")],
            "live_after": live_seq(),
        }

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().get(request, *args, **kwargs)
        if request.headers.get("HX-Target") == "leverage-board":
            response["HX-Trigger"] = "leverage-moved"
        return response


@require_GET
@permission_required(READ)
def leverage_chart(request: HttpRequest) -> HttpResponse:
    """Leverage over time."""
    seen = set(Book.objects.for_user(request.user).values_list("pk", flat=True))
    policy = policy_in_force()
    books = [b for b in levered_books() if b.pk in seen]
    return JsonResponse(charts.over_time(books, None if policy is None else policy[1], clock.now()))


@require_POST
@permission_required(LOWER)
def leverage_lower(request: HttpRequest) -> HttpResponse:
    """Somebody on duty lowers a Book at once."""
    book = get_object_or_404(Book.objects.for_user(request.user), path=request.POST.get("book", ""))
    assert isinstance(request.user, User)  # noqa: S101 - the permission has seen to it
    try:
        asked = request.POST.get("to", "").strip()
        row = lower_leverage(
            book=book,
            to=Decimal(asked) if asked else None,
            reason=request.POST.get("reason", ""),
            actor=request.user,
        )
    except InvalidOperation:
        messages.error(request, "Give a leverage as a number, or leave it out for the floor.")
    except FundopsError as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, f"{book.path} is at {row.to_leverage.normalize():f}x.")
    return redirect("portal:leverage")
