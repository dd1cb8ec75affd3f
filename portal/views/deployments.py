"""Deployments: the board, and one deployment as its desk works."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from django_tables2 import RequestConfig
from django_tables2.export import TableExport

from compliance.actions.approvals import PROPOSE
from compliance.selectors import live_seq
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from portal.charts import deployments as charts
from portal.tables import TablePage
from portal.tables_deployments import CycleTable, DeploymentListFilter, DeploymentTable, DeskFillTable, OrderTable
from trading.actions.council import WEIGH_COUNCIL
from trading.actions.deployments import stop_deployment
from trading.models.deployments import Deployment, Fill, Order, TradingCycle
from trading.selectors.deployments import deployment_list, entry_of, expected, profit

READ = "trading.view_deployment"
STOP = "trading.stop_deployment"


class DeploymentListPage(TablePage):
    """All deployments the reader may see, and how each stands."""

    permission = READ
    table_class, filterset_class = DeploymentTable, DeploymentListFilter
    template_name = "deployments/list.html"

    def get_queryset(self) -> QuerySet[Deployment]:
        return deployment_list(self.request.user)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"crumbs": [("Deployments", "")], "live_after": live_seq()}


@require_GET
@permission_required(READ)
def deployment_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One deployment: its equity in the band that was expected, orders, fills, cycles and what the agents said."""
    deployment = _deployment(request, pk)
    orders = OrderTable(Order.objects.filter(deployment=deployment).select_related("cycle"), prefix="o-")
    fills = DeskFillTable(
        Fill.objects.filter(deployment=deployment).order_by("-number").select_related("order"), prefix="f-"
    )
    cycles = CycleTable(TradingCycle.objects.filter(deployment=deployment), prefix="c-")
    tables = {"orders": orders, "fills": fills, "cycles": cycles}
    if (form := request.GET.get("_export")) in ("csv", "json"):
        asked = request.GET.get("table", "fills")
        if asked not in tables:
            raise Http404("There is no such table.")
        response: HttpResponse = TableExport(form, tables[asked]).response(f"deployment-{pk}-{asked}.{form}")
        return response
    for table in tables.values():
        RequestConfig(request, paginate={"per_page": 15}).configure(table)
    run = deployment.run
    context = {
        "deployment": deployment,
        "run": run,
        "profit": profit(deployment),
        "return_frac": profit(deployment) / deployment.bankroll,
        "leverage_now": float(run.gross / run.equity) if run.equity > 0 else None,
        "band": expected(deployment),
        "positions": deployment.positions.exclude(quantity=0).order_by("symbol"),
        "voices": deployment.voices.order_by("number").select_related("agent__cohort"),
        "cycle": _cycle(request, deployment),
        "symbols": _markets(deployment),
        "symbol": _symbol(request, deployment),
        "may_weigh": deployment.is_worked
        and may(request.user, WEIGH_COUNCIL, deployment)
        and may(request.user, PROPOSE),
        "weigh_council": WEIGH_COUNCIL,
        "may_stop": may(request.user, STOP, deployment) and deployment.is_worked,
        "live_after": live_seq(),
        "crumbs": [("Deployments", reverse("portal:deployments")), (str(deployment), "")],
        **tables,
    }
    return render(request, "deployments/detail.html", context)


@require_GET
@permission_required(READ)
def deployment_chart(request: HttpRequest, pk: int, name: str) -> JsonResponse:
    """The payload of one picture: equity, or candles (`?symbol=`)."""
    deployment = _deployment(request, pk)
    if name == "equity":
        return JsonResponse(charts.equity(deployment))
    symbol = request.GET.get("symbol", "")
    if name != "candles" or symbol not in _markets(deployment):
        raise Http404("There is no such picture of a deployment.")
    return JsonResponse(charts.candles(deployment, symbol))


@require_GET
@permission_required(READ)
def deployment_fill(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """One fill, down to the journal entry that books it."""
    deployment = _deployment(request, pk)
    fill = get_object_or_404(
        Fill.objects.select_related("order__cycle", "deployment"), deployment=deployment, number=number
    )
    entry = entry_of(fill)
    context = {
        "deployment": deployment,
        "fill": fill,
        "entry": entry,
        "lines": entry.lines.select_related("account__book", "asset") if entry else [],
        "slippage": (fill.price - fill.reference_price) * (1 if fill.side == "buy" else -1),
        "reason": fill.reason.replace("_", " "),
        "crumbs": [
            ("Deployments", reverse("portal:deployments")),
            (str(deployment), reverse("portal:deployment", args=[pk])),
            (f"Fill {number}", ""),
        ],
    }
    return render(request, "deployments/fill.html", context)


@require_POST
@permission_required(STOP)
def deployment_stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks the desk to stop; the reason goes into the audit stream."""
    deployment = _deployment(request, pk)
    reason = request.POST.get("reason", "").strip()
    if not reason:
        messages.error(request, "Say why: the reason goes into the audit stream.")
        return redirect("portal:deployment", pk)
    flatten = request.POST.get("flatten") == "on"
    try:
        stop_deployment(deployment=deployment, reason=reason[:400], flatten=flatten, actor=_user(request))
        what = "closes what it holds and hands its bankroll back" if flatten else "sends no more orders"
        messages.success(request, f"{deployment} {what} from the next bar on.")
    except FundopsError as refused:
        messages.error(request, refused.message)
    return redirect("portal:deployment", pk)


def _deployment(request: HttpRequest, pk: int) -> Deployment:
    return get_object_or_404(deployment_list(request.user), pk=pk)


def _markets(deployment: Deployment) -> list[str]:
    market = deployment.genome.get("symbol")
    return list(deployment.symbols) if market is None else [market]


def _symbol(request: HttpRequest, deployment: Deployment) -> str:
    markets = _markets(deployment)
    asked = request.GET.get("symbol", "")
    if asked in markets:
        return asked
    last = Fill.objects.filter(deployment=deployment).order_by("-number").values_list("symbol", flat=True).first()
    return last or markets[0]


def _cycle(request: HttpRequest, deployment: Deployment) -> TradingCycle | None:
    """The cycle asked for, else the last that decided something, else the last."""
    cycles = TradingCycle.objects.filter(deployment=deployment).order_by("-bar_ms")
    asked = request.GET.get("cycle", "")
    if asked.isdecimal():
        found = cycles.filter(number=int(asked)).prefetch_related("orders").first()
        if found is None:
            raise Http404("There is no such cycle.")
        return found
    return cycles.exclude(decision="hold").prefetch_related("orders").first() or cycles.first()


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the decorators let nobody else in
    return request.user
