"""Cohorts: the list, the launch form, the cohort as it trades, and each agent's log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from django_tables2 import RequestConfig
from django_tables2.export import TableExport

from compliance.selectors import live_seq
from fundops.core.clock import from_ms
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from portal.charts import cohort as charts
from portal.forms.cohort import CohortForm
from portal.tables import PortalTable, TablePage
from portal.tables_cohort import (
    AlertTable,
    CohortListFilter,
    CohortTable,
    FillTable,
    LeaderboardTable,
    LineTable,
    RejectionTable,
    words,
)
from trading.actions.cohort import cancel_cohort, check_cohort, launch_cohort, resume_cohort
from trading.cohorts.guard import limits_in_words
from trading.cohorts.postings import MOVEMENT_SOURCE
from trading.cohorts.refusals import with_refusals
from trading.errors import CohortSpecError
from trading.models.cohort import (
    Cohort,
    CohortAgent,
    CohortDay,
    CohortFill,
    CohortRejection,
    CohortStatus,
    fill_source_id,
)
from trading.selectors.cohort import cohort_list, has_granted_cohorts, leaderboard
from trading.topics import cohort_topics
from treasury.models import JournalEntry, JournalLine
from treasury.selectors import By, balances

READ = "trading.view_cohort"
LAUNCH = "trading.launch_cohort"
LINES_SHOWN = 25


class CohortListPage(TablePage):
    """All cohorts the reader may see."""

    permission = READ
    by_object = staticmethod(has_granted_cohorts)
    table_class, filterset_class = CohortTable, CohortListFilter
    template_name = "cohorts/list.html"

    def get_queryset(self) -> QuerySet[Cohort]:
        return cohort_list(self.request.user)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "crumbs": [("Cohorts", "")],
            "may_launch": may(self.request.user, LAUNCH),
            "live_after": live_seq(),
            "live_topics": " ".join(cohort_topics(_user(self.request))),
        }


# --- Launch ---------------------------------------------------------------------------------------------------
@permission_required(LAUNCH)
def cohort_new(request: HttpRequest) -> HttpResponse:
    """The launch form; POST launches."""
    user = _user(request)
    form = _form(request)
    if request.method == "POST" and form.is_valid():
        try:
            cohort = launch_cohort(cohort=form.cohort(), parents=list(form.cleaned_data["parents"]), actor=user)
        except CohortSpecError as refused:
            form.add_refusal(refused.fields)
        else:
            messages.success(request, f"{cohort} is launched.")
            return redirect("portal:cohort", cohort.pk)
    context = {"form": form, "crumbs": [("Cohorts", reverse("portal:cohorts")), ("Launch", "")]}
    return render(request, "cohorts/new.html", context, status=422 if form.is_bound else 200)


@require_POST
@permission_required(LAUNCH)
def cohort_check(request: HttpRequest) -> HttpResponse:
    """The form's own partial, with everything that is wrong so far; nothing is launched."""
    form = _form(request)
    if form.is_valid():
        try:
            check_cohort(form.cohort(), parents=list(form.cleaned_data["parents"]))
        except CohortSpecError as refused:
            form.add_refusal(refused.fields)
    return render(request, "cohorts/_form.html", {"form": form})


def _form(request: HttpRequest) -> CohortForm:
    return CohortForm(request.POST or None, readable=Cohort.objects.for_user(request.user))


# --- One cohort -----------------------------------------------------------------------------------------------
@require_GET
@permission_required(READ, by_object=has_granted_cohorts)
def cohort_page(request: HttpRequest, pk: int) -> HttpResponse:
    """A cohort: verdict first, then pictures, then the leaderboard of a day. Its fragment is the board."""
    cohort = _cohort(request, pk)
    day = _day(request, cohort)
    table = LeaderboardTable(leaderboard(cohort, day=day))
    if (form := request.GET.get("_export")) in ("csv", "json"):
        return _export(table, f"cohort-{cohort.pk}-day-{day}.{form}", form)
    RequestConfig(request, paginate={"per_page": 50}).configure(table)
    days = {row.day: row for row in with_refusals(cohort.cohort_days.order_by("day"))}
    context = {
        "cohort": cohort,
        "run": getattr(cohort, "run", None),
        "day": day,
        "days": [(number, days.get(number)) for number in range(1, cohort.days + 1)],
        "today": days.get(day),
        **_standing(cohort, days.get(max(days, default=0))),
        # Without a day asked for, the page follows the day that trades, and so does its heatmap.
        "heat_query": f"?day={day}" if "day" in request.GET else "",
        "heat_height": charts.heatmap_height(cohort.agent_count if day in days else 0),
        "curves_shown": charts.MOST_CURVES,
        "rows_shown": charts.MOST_ROWS,
        "table": table,
        "alerts": cohort.alerts.select_related("agent")[:20],
        "alert_count": cohort.alerts.count(),
        **_guard(cohort),
        "may_launch": may(request.user, LAUNCH),
        "may_cancel": cohort.is_live and may(request.user, "trading.cancel_cohort", cohort),
        "may_resume": cohort.status == CohortStatus.FAILED and may(request.user, "trading.resume_cohort", cohort),
        "crumbs": [("Cohorts", reverse("portal:cohorts")), (str(cohort), "")],
        "live_after": live_seq(),
    }
    fragment = request.headers.get("HX-Target") == "board"
    context["fragment"] = fragment
    response = render(request, "cohorts/_board.html" if fragment else "cohorts/detail.html", context)
    if fragment:
        response["HX-Trigger"] = "cohort-moved"
    return response


def _standing(cohort: Cohort, latest: CohortDay | None) -> dict[str, Any]:
    """Where the cohort stands: its latest day, its whole return, how far it is, what the proof of the books found."""
    run = getattr(cohort, "run", None)
    proofs = [x for x in cohort.cohort_days.values_list("largest_difference", flat=True) if x is not None]
    return {
        "latest": latest,
        "total_roi": latest.equity / cohort.bankroll - 1 if latest else None,
        "progress": (run.next_bar_ms - cohort.start_ms) / (cohort.end_ms - cohort.start_ms) if run else 0.0,
        "reached": from_ms(run.next_bar_ms) if run else None,
        "proven": max(proofs, default=None),
    }


def _guard(cohort: Cohort) -> dict[str, Any]:
    """What judges the cohort's orders now (a replay: since its launch), and how often that has changed."""
    run = getattr(cohort, "run", None)
    records = run.provenance.get("limits", []) if run else []
    last = records[-1] if records else None
    return {
        "guard": last,
        "guard_since": from_ms(last["from_ms"]) if last else None,
        "guard_limits": limits_in_words(last),
        "guard_changes": max(len(records) - 1, 0),
    }


@require_GET
@permission_required(READ, by_object=has_granted_cohorts)
def cohort_alerts(request: HttpRequest, pk: int) -> HttpResponse:
    """Every alert and breach of a cohort, as a table to sort and export."""
    cohort = _cohort(request, pk)
    table = AlertTable(cohort.alerts.select_related("agent"))
    if (form := request.GET.get("_export")) in ("csv", "json"):
        return _export(table, f"cohort-{pk}-alerts.{form}", form)
    RequestConfig(request, paginate={"per_page": 50}).configure(table)
    context = {
        "cohort": cohort,
        "table": table,
        "crumbs": [
            ("Cohorts", reverse("portal:cohorts")),
            (str(cohort), reverse("portal:cohort", args=[pk])),
            ("Alerts", ""),
        ],
    }
    return render(request, "cohorts/alerts.html", context)


@require_POST
@permission_required("trading.cancel_cohort")
def cohort_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Asks the run to stop."""
    return _act_with_reason(request, pk, cancel_cohort, done="stops after the stretch it is trading.")


@require_POST
@permission_required("trading.resume_cohort")
def cohort_resume(request: HttpRequest, pk: int) -> HttpResponse:
    """Lets a failed run go on."""
    return _act_with_reason(request, pk, resume_cohort, done="goes on where it stopped.")


def _act_with_reason(request: HttpRequest, pk: int, act: Callable[..., object], *, done: str) -> HttpResponse:
    """One action on a cohort that takes a reason, which goes into the audit stream."""
    cohort = _cohort(request, pk)
    reason = request.POST.get("reason", "").strip()
    if not reason:
        messages.error(request, "Say why: the reason goes into the audit stream.")
        return redirect("portal:cohort", pk)
    try:
        act(cohort=cohort, reason=reason[:400], actor=_user(request))
        messages.success(request, f"{cohort} {done}")
    except FundopsError as refused:
        messages.error(request, refused.message)
    return redirect("portal:cohort", pk)


@require_GET
@permission_required(READ, by_object=has_granted_cohorts)
def cohort_chart(request: HttpRequest, pk: int, name: str) -> JsonResponse:
    """The payload of one picture: equity, utilisation or heatmap (`?day=`)."""
    cohort = _cohort(request, pk)
    match name:
        case "equity":
            return JsonResponse(charts.equity(cohort))
        case "utilisation":
            return JsonResponse(charts.utilisation(cohort))
        case "heatmap":
            return JsonResponse(charts.heatmap(cohort, day=_day(request, cohort)))
    raise Http404("There is no such picture of a cohort.")


# --- One agent ------------------------------------------------------------------------------------------------
@require_GET
@permission_required(READ, by_object=has_granted_cohorts)
def agent_page(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """An agent's log: what it is, how each day went, every fill and refusal, and its lines in the books."""
    agent = _agent(request, pk, number)
    cohort = agent.cohort
    day = _day(request, cohort)
    fills = FillTable(CohortFill.objects.filter(agent=agent).select_related("cohort"), prefix="f-")
    refused = RejectionTable(
        CohortRejection.objects.filter(agent=agent).select_related("agent", "cohort__run"), prefix="r-"
    )
    booked_lines = (
        JournalLine.objects.filter(account__book_id=agent.book_id)
        .select_related("entry", "account", "asset")
        .order_by("-entry__posting_seq", "pk")
    )
    if (form := request.GET.get("_export")) in ("csv", "json"):
        offered = {"fills": fills, "refused": refused, "lines": LineTable(booked_lines)}
        what = request.GET.get("of", "fills")
        if what not in offered:
            raise Http404(f"An agent has {', '.join(offered)} to export.")
        return _export(offered[what], f"cohort-{pk}-agent-{number}-{what}.{form}", form)
    RequestConfig(request, paginate={"per_page": 25}).configure(fills)
    RequestConfig(request, paginate={"per_page": 25}).configure(refused)
    lines = Paginator(booked_lines, LINES_SHOWN).get_page(request.GET.get("lines"))
    booked = {fill_source_id(pk, fill): fill for fill in agent.fills.values_list("number", flat=True)}
    traded = _fills_by_symbol(agent, day)
    symbols = [agent.symbol] if agent.symbol else sorted(cohort.symbols, key=lambda name: -traded.get(name, 0))
    days = list(with_refusals(agent.agent_days.order_by("day")))
    context = {
        "cohort": cohort,
        "agent": agent,
        "day": day,
        "days": days,
        "today": next((row for row in days if row.day == day), None),
        "day_text": str(day),
        "symbols": [(name, traded.get(name, 0)) for name in symbols],
        "symbol": request.GET.get("symbol") if request.GET.get("symbol") in symbols else symbols[0],
        "live_topic": cohort.topic if cohort.is_live else "",
        "fills": fills,
        "rejections": refused,
        "lines": [(line, booked.get(line.entry.source_id)) for line in lines],
        "lines_page": lines,
        "balances": balances(books=agent.book, by=(By.KIND,)),
        "reasons": _exit_reasons(agent),
        "numbers": _neighbours(cohort, number),
        "crumbs": [
            ("Cohorts", reverse("portal:cohorts")),
            (str(cohort), reverse("portal:cohort", args=[pk])),
            (str(agent), ""),
        ],
        "live_after": live_seq(),
    }
    return render(request, "cohorts/agent.html", context)


@require_GET
@permission_required(READ, by_object=has_granted_cohorts)
def agent_chart(request: HttpRequest, pk: int, number: int, name: str) -> JsonResponse:
    """The payload of one picture of an agent: equity, or candles (`?symbol=&day=`)."""
    agent = _agent(request, pk, number)
    if name == "equity":
        return JsonResponse(charts.agent_equity(agent))
    symbol = request.GET.get("symbol") or agent.symbol or agent.cohort.symbols[0]
    if name != "candles" or symbol not in agent.cohort.symbols:
        raise Http404("There is no such picture of an agent.")
    return JsonResponse(charts.agent_candles(agent, symbol=symbol, day=_day(request, agent.cohort)))


@require_GET
@permission_required(READ, by_object=has_granted_cohorts)
def fill_page(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """One fill, down to the journal entry that books it."""
    cohort = _cohort(request, pk)
    fill = get_object_or_404(cohort.fills.select_related("agent"), number=number)
    entry = JournalEntry.objects.filter(source_type=MOVEMENT_SOURCE, source_id=fill.source_id).first()
    context = {
        "cohort": cohort,
        "fill": fill,
        "entry": entry,
        "lines": entry.lines.select_related("account__book", "asset") if entry else [],
        "reason": words(fill.reason),
        "day": (fill.at - from_ms(cohort.start_ms)).days + 1,
        "slippage": (fill.price - fill.reference_price) * (1 if fill.side == "buy" else -1),
        "crumbs": [
            ("Cohorts", reverse("portal:cohorts")),
            (str(cohort), reverse("portal:cohort", args=[pk])),
            (str(fill.agent), reverse("portal:cohort-agent", args=[pk, fill.agent.number])),
            (f"Fill {number}", ""),
        ],
    }
    return render(request, "cohorts/fill.html", context)


def _fills_by_symbol(agent: CohortAgent, day: int) -> dict[str, int]:
    """How often the agent traded each market on ``day``."""
    start = agent.cohort.start_ms + (day - 1) * charts.DAY_MS
    span = (from_ms(start), from_ms(start + charts.DAY_MS))
    rows = agent.fills.filter(at__gte=span[0], at__lt=span[1]).values("symbol").annotate(fills=Count("pk"))
    return {row["symbol"]: row["fills"] for row in rows}


def _exit_reasons(agent: CohortAgent) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for reason in agent.fills.values_list("reason", flat=True):
        counts[reason] = counts.get(reason, 0) + 1
    return sorted(((reason.replace("_", " "), count) for reason, count in counts.items()), key=lambda row: -row[1])


def _neighbours(cohort: Cohort, number: int) -> tuple[int | None, int | None]:
    return (number - 1 if number > 1 else None, number + 1 if number < cohort.agent_count else None)


def _export(table: PortalTable, name: str, form: str) -> HttpResponse:
    """The whole table as a file."""
    response: HttpResponse = TableExport(form, table).response(name)
    return response


def _cohort(request: HttpRequest, pk: int) -> Cohort:
    cohorts = Cohort.objects.for_user(request.user).select_related("fund", "run", "launched_by", "book")
    return get_object_or_404(cohorts, pk=pk)


def _agent(request: HttpRequest, pk: int, number: int) -> CohortAgent:
    cohort = _cohort(request, pk)
    return get_object_or_404(CohortAgent.objects.select_related("book", "cohort__run"), cohort=cohort, number=number)


def _day(request: HttpRequest, cohort: Cohort) -> int:
    """The day asked for, else the last one that has begun."""
    asked = request.GET.get("day", "")
    if asked.isdecimal() and 1 <= int(asked) <= cohort.days:
        return int(asked)
    last = cohort.cohort_days.order_by("-day").values_list("day", flat=True).first()
    return last or 1


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the decorators let nobody else in
    return request.user
