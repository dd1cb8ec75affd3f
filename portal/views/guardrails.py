"""Guardrails: whether trading stands still, who stopped it and why; stopping it; what stops it by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from compliance.actions.approvals import PROPOSE
from compliance.models import ApprovalRequest
from compliance.selectors import live_seq
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from portal.book_tree import with_book
from risk.actions.switches import scope_label, stop_trading, switch_label
from risk.models import BreachStatus, LimitBreach
from risk.quant.pretrade import TradingMode
from risk.selectors import breach_list
from risk.switch_gate import RESTORE, SET_TRIGGER, restore_payload
from risk.switch_selectors import VIEW_SWITCHES, ScopeStanding, change_list, standings
from risk.switch_triggers import readings
from trading.models.cohort import LIVE_STATUSES, Cohort
from trading.models.deployments import ENDED_STATUSES, WORKED_STATUSES, Deployment
from treasury.models import Book, BookKind

STOP = "risk.stop_trading"
ACKNOWLEDGE = "risk.acknowledge_breach"
BREACHES_SHOWN = 50
CHANGES_A_PAGE = 20
#: The states in which a request to restore still waits for somebody.
WAITING = ("draft", "submitted", "partially_approved", "approved", "executing")


@dataclass(frozen=True, slots=True)
class Line:
    """A place of the table with what its reader may do there."""

    standing: ScopeStanding
    stop_url: str
    restore_url: str
    asked: ApprovalRequest | None
    detail_url: str

    @property
    def indent(self) -> str:
        return f"indent-{min(self.standing.depth, 5)}"


@require_GET
@permission_required(VIEW_SWITCHES)
def guardrails_page(request: HttpRequest) -> HttpResponse:
    """`/risk/guardrails/`. Its fragment is the board."""
    fragment = request.headers.get("HX-Target") == "guardrails-board"
    context = {"crumbs": [("Risk", ""), ("Guardrails", "")], "fragment": fragment, "live_after": live_seq()}
    context |= _board(request)
    return render(request, "risk/_guardrails_board.html" if fragment else "risk/guardrails.html", context)


def _board(request: HttpRequest) -> dict[str, Any]:
    user = _user(request)
    books = _books_that_trade(user)
    found = standings(books.order_by("path"), _venues())
    asked = _waiting_requests(found)
    found_readings = readings()
    breaches = breach_list(user).exclude(status=BreachStatus.CLOSED).select_related("book__fund__base_asset")
    shown = list(breaches.order_by("level", "opened_at")[: BREACHES_SHOWN + 1])
    changes = Paginator(change_list(user), CHANGES_A_PAGE).get_page(request.GET.get("page"))
    return {
        "everything": _line(user, found[0], asked),
        "lines": [_line(user, s, asked) for s in found[1:]],
        "stopped": [s for s in found if not s.is_active],
        "worst": max((s.mode for s in found), key=_severity),
        "readings": found_readings,
        "firing": [r for r in found_readings if r.fires],
        "breaches": [_live(b) for b in shown[:BREACHES_SHOWN]],
        "breaches_more": len(shown) > BREACHES_SHOWN,
        "changes": changes,
        "may_stop": may(user, STOP),
        "may_see_breaches": may(user, "risk.view_limitbreach"),
        "may_acknowledge": may(user, ACKNOWLEDGE),
        "set_trigger": SET_TRIGGER if may(user, PROPOSE) and may(user, "risk.set_trigger_policy") else "",
        "modes": [
            (TradingMode.HALTED, "Halt: no orders at all"),
            (TradingMode.REDUCING, "Reduce: only closing orders"),
        ],
    }


def _books_that_trade(user: User) -> QuerySet[Book]:
    """Open Books but agents', without those of cohorts and deployments that have ended."""
    books = Book.objects.for_user(user).filter(closed_at=None).exclude(kind=BookKind.AGENT)
    over = Q(cohort__isnull=False) & ~Q(cohort__status__in=LIVE_STATUSES)
    return books.exclude(over).exclude(deployment__status__in=ENDED_STATUSES)


def _severity(mode: TradingMode) -> int:
    return (TradingMode.ACTIVE, TradingMode.REDUCING, TradingMode.HALTED).index(mode)


def _venues() -> set[str]:
    """Where something trades now."""
    cohorts = Cohort.objects.filter(status__in=LIVE_STATUSES).order_by().values_list("venue", flat=True).distinct()
    desks = Deployment.objects.filter(status__in=WORKED_STATUSES).order_by().values_list("venue", flat=True).distinct()
    return {*cohorts, *desks}


def _waiting_requests(found: list[ScopeStanding]) -> dict[tuple[int, int], ApprovalRequest]:
    """Requests to restore that wait, by the switch and the stop they answer."""
    keys = [str(s.own.pk) for s in found if s.own is not None and s.own_mode is not TradingMode.ACTIVE]
    rows = ApprovalRequest.objects.filter(kind=RESTORE, object_id__in=keys, state__in=WAITING).order_by("created_at")
    return {(int(r.payload["switch"]), int(r.payload["version"])): r for r in rows}


def _line(user: User, standing: ScopeStanding, asked: dict[tuple[int, int], ApprovalRequest]) -> Line:
    own = standing.own
    waiting = restore = None
    if own is not None and standing.own_mode is not TradingMode.ACTIVE:
        waiting = asked.get((own.pk, own.version))
        if waiting is None and may(user, "risk.propose_restore") and may(user, PROPOSE):
            restore = f"{reverse('portal:approval-new', args=[RESTORE])}?{urlencode(restore_payload(own))}"
    stop = ""
    if may(user, STOP) and standing.own_mode is not TradingMode.HALTED:
        stop = f"{reverse('portal:guardrails-stop')}?{urlencode(_place(standing.book, standing.venue))}"
    detail = "" if standing.book is None else with_book("portal:risk", standing.book)
    return Line(standing, stop, restore or "", waiting, detail if may(user, "risk.view_risklimit") else "")


def _place(book: Book | None, venue: str) -> dict[str, str]:
    return ({"book": book.path} if book else {}) | ({"venue": venue} if venue else {})


@dataclass(frozen=True, slots=True)
class LiveBreach:
    """A breach, with what it holds down and where its Book is looked at."""

    breach: LimitBreach
    href: str


def _live(breach: LimitBreach) -> LiveBreach:
    return LiveBreach(breach, with_book("portal:risk", breach.book))


# --- Stopping --------------------------------------------------------------------------------------------------
@permission_required(STOP)
def guardrails_stop(request: HttpRequest) -> HttpResponse:
    """The stop of one place: POST stops, GET is the same question on a page of its own."""
    place = request.POST if request.method == "POST" else request.GET
    book, venue = _book(request, place.get("book", "")), place.get("venue", "")[:40]
    reason = request.POST.get("reason", "")
    refused = ""
    if request.method == "POST":
        mode = TradingMode.REDUCING if place.get("mode") == TradingMode.REDUCING else TradingMode.HALTED
        try:
            switch = stop_trading(reason=reason, actor=_user(request), book=book, venue=venue, mode=mode)
        except FundopsError as error:
            refused = error.message
        else:
            messages.success(request, f"{switch_label(switch)} is {switch.mode.lower()} now.")
            return redirect("portal:guardrails")
    context = {
        "crumbs": [("Risk", ""), ("Guardrails", reverse("portal:guardrails")), ("Stop", "")],
        "label": scope_label(book, venue),
        "book": book.path if book else "",
        "venue": venue,
        "reason": reason,
        "refused": refused,
    }
    return render(request, "risk/guardrails_stop.html", context, status=422 if refused else 200)


def _book(request: HttpRequest, path: str) -> Book | None:
    if not path:
        return None
    found = Book.objects.for_user(request.user).filter(path=path[:400]).first()
    if found is None:
        raise Http404("There is no such book.")
    return found


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission has seen to it
    return request.user
