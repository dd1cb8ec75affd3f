"""The risk officer's morning: where a Book stands against its limits, what is breached, what a bad day costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from compliance.selectors import live_seq
from fundops.core.clock import to_ms
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from portal.book_tree import book_tree, chosen_book, trading_pages, with_book
from portal.charts import risk as charts
from portal.tables_risk import below_rows
from portal.views.risk_limits import may_change_limits
from risk import overview
from risk.actions.breaches import acknowledge_breach
from risk.models import BreachStatus, LimitBreach
from risk.overview import BookRisk
from risk.quant.metrics import Level, Metric
from risk.quant.rolling import VarMethod
from risk.quant.tail import minimum_observations
from risk.selectors import breach_list, latest_stress
from treasury.models import Book

READ = "risk.view_risklimit"
ACKNOWLEDGE = "risk.acknowledge_breach"
BREACHES_SHOWN = 50
DAY_S = 86_400
METHOD_NAMES = {
    VarMethod.HISTORICAL: "Historical",
    VarMethod.AGE_WEIGHTED: "Age-weighted",
    VarMethod.FILTERED: "Filtered historical (GARCH)",
    VarMethod.CORNISH_FISHER: "Cornish-Fisher",
}


@dataclass(frozen=True, slots=True)
class LiveBreach:
    """A breach with the address of the page where its Book trades."""

    breach: LimitBreach
    threshold: float | None
    href: str
    trading: str


@require_GET
@permission_required(READ)
def risk_page(request: HttpRequest) -> HttpResponse:
    """`/risk/`: the overview of one Book (the first fund by default). Its fragment is the board."""
    user = _user(request)
    book = chosen_book(request)
    context: dict[str, Any] = {"crumbs": [("Risk", "")], "live_after": live_seq()}
    if book is None:
        return render(request, "risk/overview.html", context)
    fragment = request.headers.get("HX-Target") == "risk-now"
    context |= {"book": book, "fragment": fragment, "base": book.fund.base_asset.code}
    context |= _board(user, book) if book.is_open else {"closed": True}
    if not fragment:
        context["tree"] = book_tree(user, book, url_name="portal:risk")
    response = render(request, "risk/_board.html" if fragment else "risk/overview.html", context)
    if fragment:
        response["HX-Trigger-After-Settle"] = "risk-moved"
    return response


def _board(user: User, book: Book) -> dict[str, Any]:
    risk = overview.book_risk(book)
    children = list(Book.objects.filter(parent=book, closed_at=None).order_by("path"))
    live = breach_list(user).exclude(status=BreachStatus.CLOSED).filter(book__in=Book.objects.below(book))
    breached = list(live.order_by().values_list("book__path", flat=True))
    # "hard" comes before "soft" in the alphabet as well.
    breaches = list(live.order_by("level", "opened_at", "pk")[:BREACHES_SHOWN])
    results = latest_stress(book)
    pages = trading_pages(user, [book, *children, *(b.book for b in breaches)])
    hrefs = {c.pk: with_book("portal:risk", c) for c in children}
    alpha = overview.highest_level(risk.days)
    level = alpha or overview.LEVELS[0]
    parts = overview.components(risk, children, level)
    table = overview.strategy_by_asset(risk, children)
    standing = overview.headroom(risk)
    exposed = overview.breakdown(risk, children)
    moved = overview.movement(risk)
    loss = _loss(risk)
    return {
        "risk": risk,
        "alpha": alpha,
        "level": level,
        "parts": parts,
        "loss": loss,
        "gross": risk.value(Metric.GROSS_EXPOSURE),
        "net": risk.value(Metric.NET_EXPOSURE),
        "leverage": risk.value(Metric.LEVERAGE),
        "drawdown": risk.value(Metric.DRAWDOWN_FRAC),
        "movement": moved,
        "horizon_s": None if moved.liquidity is None or moved.without_volume else moved.liquidity.horizon * DAY_S,
        "liquidity": _liquidity(risk, moved),
        "standing": [h for h in standing if not h.on_orders],
        "order_limits": [h for h in standing if h.on_orders],
        "passed": sum(h.level in (Level.SOFT, Level.HARD) for h in standing),
        "breaches": [_live(b, pages) for b in breaches],
        "breach_count": len(breached),
        "may_acknowledge": may(user, ACKNOWLEDGE),
        "may_change": may_change_limits(user),
        "may_run": may(user, "risk.run_stress"),
        "stress": results,
        "stress_at": max((r.at for r in results), default=None),
        "charts": {
            "by_asset": charts.component_bars(risk, parts.by_asset, {}, empty=parts.reason),
            "by_book": charts.component_bars(risk, parts.by_book, hrefs, empty=parts.reason),
            "exposure": charts.exposure_heatmap(
                risk, table, hrefs, empty=_empty(risk, "Nothing is held that moves with a market.")
            ),
            "correlation": charts.correlation_heatmap(
                risk,
                overview.correlations(risk),
                empty=_empty(risk, f"Correlations need 20 days of returns; there are {risk.days}."),
            ),
        },
        "exposed": exposed,
        "below": below_rows(risk, children, breached, pages, overview.child_tails(risk, children, level)),
        "trading_page": pages.get(book.pk, ""),
    }


def _empty(risk: BookRisk, otherwise: str) -> str:
    return f"Not known: {'; '.join(risk.problems)}." if risk.problems else otherwise


def _loss(risk: BookRisk) -> float | None:
    figures = risk.figures
    if figures.equity is None or figures.day_open_equity is None:
        return None
    return figures.equity - figures.day_open_equity


@dataclass(frozen=True, slots=True)
class AssetLiquidity:
    symbol: str
    exposure: float
    seconds: float | None


def _liquidity(risk: BookRisk, moved: overview.Movement) -> list[AssetLiquidity]:
    if moved.liquidity is None or not risk.symbols:
        return []
    rows = [
        AssetLiquidity(s, float(x), float(d) * DAY_S if math.isfinite(d) else None)
        for s, x, d in zip(risk.symbols, risk.exposure, moved.liquidity.days, strict=True)
    ]
    return sorted(rows, key=lambda r: (r.seconds is not None, -(r.seconds or 0.0), -abs(r.exposure)))[:12]


def _live(breach: LimitBreach, pages: dict[int, str]) -> LiveBreach:
    level = breach.limit.hard if breach.level == "hard" else breach.limit.soft
    return LiveBreach(
        breach,
        None if level is None else float(level),
        with_book("portal:risk", breach.book),
        pages.get(breach.book_id, ""),
    )


@require_GET
@permission_required(READ)
def var_fragment(request: HttpRequest) -> HttpResponse:
    """The card of VaR and ES: every method side by side, and the backtest of one (`?method=`, `?alpha=`)."""
    book = chosen_book(request)
    if book is None or not book.is_open:
        return HttpResponse(status=204)
    risk = overview.book_risk(book)
    asked = _level(request.GET.get("alpha", ""))
    alpha = asked or overview.highest_level(risk.days) or overview.LEVELS[0]
    method = next((m for m in VarMethod if m == request.GET.get("method")), VarMethod.HISTORICAL)
    tested = overview.backtest(risk, alpha, method)
    context = {
        "book": book,
        "base": risk.base,
        "risk": risk,
        "alpha": alpha,
        "alpha_text": f"{alpha:.4g}",
        "levels": [(level, f"{level:.4g}", risk.days >= minimum_observations(level)) for level in overview.LEVELS],
        "methods": [(m, METHOD_NAMES[m.method]) for m in overview.tails(risk, alpha)],
        "method": method,
        "method_names": list(METHOD_NAMES.items()),
        "method_name": METHOD_NAMES[method],
        "backtest": None if isinstance(tested, str) else tested,
        "reason": tested if isinstance(tested, str) else "",
        # Its own each time: HTMX copies the style of an element that it replaces by one of the same id.
        "chart_id": f"backtest-{to_ms(risk.at)}",
        "chart": None if isinstance(tested, str) else charts.backtest_line(risk, tested),
    }
    return render(request, "risk/_var.html", context)


def _level(text: str) -> float | None:
    return next((level for level in overview.LEVELS if text == f"{level:.4g}"), None)


@require_POST
@permission_required(ACKNOWLEDGE)
def breach_acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Says what is done about a breach; back to the page it came from."""
    user = _user(request)
    breach = get_object_or_404(breach_list(user), pk=pk)
    note = request.POST.get("note", "").strip()
    back = request.POST.get("next", "")
    if not note:
        messages.error(request, "Say what is done about it: the note goes into the audit stream.")
    else:
        try:
            acknowledge_breach(breach=breach, actor=user, note=note[:400])
            messages.success(request, "The breach is acknowledged; it stays until the figure is back.")
        except FundopsError as refused:
            messages.error(request, refused.message)
    safe = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if back and safe else with_book("portal:risk", breach.book))


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the decorator lets nobody else in
    return request.user
