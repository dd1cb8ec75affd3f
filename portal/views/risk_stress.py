"""Stress: what scenarios cost a Book, run on demand with progress, their history, and what loses a share of it."""

from __future__ import annotations

import math
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from compliance.selectors import live_seq
from fundops.core.errors import FundopsError
from fundops.core.permissions import may, permission_required
from portal.book_tree import book_tree, chosen_book, with_book
from portal.charts import stress as charts
from portal.views.risk import _user
from risk.actions.stress_runs import RUN, ask_for_stress, cancel_stress_run
from risk.models import StressResult, StressRun, StressScenario
from risk.overview import book_risk
from risk.reverse import reverse_stress_of
from risk.selectors import latest_stress
from treasury.models import Book

READ = "risk.view_stressresult"
HISTORY_SHOWN = 60
RUNS_SHOWN = 10
DEFAULT_LOSS = 20.0


@require_GET
@permission_required(READ)
def stress_page(request: HttpRequest) -> HttpResponse:
    """`/risk/stress/`: the last result of each scenario, a form that runs them, and reverse stress."""
    user = _user(request)
    book = chosen_book(request)
    context: dict[str, Any] = {
        "crumbs": [("Risk", with_book("portal:risk", book) if book else ""), ("Stress", "")],
        "live_after": live_seq(),
    }
    if book is None:
        return render(request, "risk/stress.html", context)
    results = latest_stress(book)
    runs = StressRun.objects.for_user(user).filter(book=book).select_related("scenario", "asked_by", "book")
    latest_runs = list(runs[:RUNS_SHOWN])
    context |= {
        "book": book,
        "base": book.fund.base_asset.code,
        "results": results,
        "stress_at": max((r.at for r in results), default=None),
        "scenarios": list(StressScenario.objects.filter(is_active=True).order_by("kind", "name")),
        "breached": sum(bool(r.breached) for r in results),
        "unknown": sum(r.breached is None and not r.is_out_of_reach for r in results),
        "worst": next((r for r in results if r.loss is not None), None),
        "runs": latest_runs,
        "run": next((r for r in latest_runs if r.is_live), None),
        "may_run": may(user, RUN) and book.is_open,
        "default_loss": DEFAULT_LOSS,
        "tree": book_tree(user, book, url_name="portal:risk-stress"),
    }
    return render(request, "risk/stress.html", context)


@require_POST
@permission_required(RUN)
def stress_ask(request: HttpRequest) -> HttpResponse:
    """Queues a run of all active scenarios, or of `scenario`, on `book`."""
    user = _user(request)
    book = get_object_or_404(Book.objects.for_user(user), path=request.POST.get("book", ""))
    code = request.POST.get("scenario", "")
    scenario = get_object_or_404(StressScenario, code=code) if code else None
    try:
        ask_for_stress(book=book, scenario=scenario, actor=user)
    except FundopsError as refused:
        messages.error(request, refused.message)
    return redirect(with_book("portal:risk-stress", book) + "#run")


@require_GET
@permission_required(READ)
def stress_run(request: HttpRequest, pk: int) -> HttpResponse:
    """How far a run is; the page asks again until it is over, and then shows itself anew."""
    user = _user(request)
    run = get_object_or_404(StressRun.objects.for_user(user).select_related("scenario", "asked_by", "book"), pk=pk)
    response = render(request, "risk/_run.html", {"run": run, "may_run": may(user, RUN), "polled": True})
    if not run.is_live:
        response["HX-Refresh"] = "true"
    return response


@require_POST
@permission_required(RUN)
def stress_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    user = _user(request)
    run = get_object_or_404(StressRun.objects.for_user(user).select_related("book"), pk=pk)
    try:
        cancel_stress_run(run=run, actor=user)
        messages.success(request, "The run stops behind the scenario that is being priced.")
    except FundopsError as refused:
        messages.error(request, refused.message)
    return redirect(with_book("portal:risk-stress", run.book) + "#run")


@require_GET
@permission_required(READ)
def scenario_page(request: HttpRequest, code: str) -> HttpResponse:
    """One scenario on one Book: what it assumes, what it costs by position, how that has changed."""
    user = _user(request)
    scenario = get_object_or_404(StressScenario, code=code)
    book = chosen_book(request)
    context: dict[str, Any] = {
        "scenario": scenario,
        "crumbs": [
            ("Risk", with_book("portal:risk", book) if book else ""),
            ("Stress", with_book("portal:risk-stress", book) if book else ""),
            (scenario.name, ""),
        ],
    }
    if book is not None:
        rows = StressResult.objects.for_user(user).filter(scenario=scenario, book=book).order_by("-at", "-pk")
        history = list(rows.select_related("scenario")[:HISTORY_SHOWN])
        latest = history[0] if history else None
        base = book.fund.base_asset.code
        context |= {
            "book": book,
            "base": base,
            "history": history,
            "latest": latest,
            "positions": sorted(latest.by_symbol.items(), key=lambda p: p[1]) if latest else [],
            "losses": charts.loss_by_position(latest, base),
            "trend": charts.history(history, scenario.max_loss_frac),
            "may_run": may(user, RUN) and book.is_open and scenario.is_active,
        }
    return render(request, "risk/scenario.html", context)


@require_GET
@permission_required(READ)
def reverse_stress(request: HttpRequest) -> HttpResponse:
    """The answer of the form: what loses `loss_pct` percent of the Book's equity."""
    book = chosen_book(request)
    if book is None:
        return HttpResponse(status=204)
    context: dict[str, Any] = {"book": book, "base": book.fund.base_asset.code}
    try:
        share = float(request.GET.get("loss_pct", "")) / 100.0
    except ValueError:
        share = math.nan
    try:
        context["found"] = reverse_stress_of(book_risk(book), share)
    except FundopsError as refused:
        context["refused"] = refused.message
    return render(request, "risk/_reverse.html", context)
