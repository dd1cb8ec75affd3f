"""Dividing capital over strategies: choose a method, see before, after and why, and ask for approval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core import signing
from django.forms import BoundField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from compliance.actions.proposing import propose
from compliance.approvals.registry import action_for
from fundops.core.errors import FundopsError
from fundops.core.permissions import may, permission_required
from portal.book_tree import book_tree, chosen_book, trading_pages, with_book
from portal.charts import allocation as charts
from portal.forms.allocation import AllocationForm
from portal.views.risk import _user
from risk.actions.budgets import ALLOCATE_CAPITAL
from risk.allocation import Candidate, allocation_candidates, allocation_proposal
from risk.approvals_allocation import MAY_ALLOCATE, payload_of
from risk.models import CapitalBudget
from treasury.models import Book

READ = "risk.view_capitalbudget"
PROPOSE = "compliance.propose_request"
_SALT = "risk.allocation"
#: What was shown can be proposed for so long; then it has to be looked at again.
SHOWN_FOR_S = 3600


@require_GET
@permission_required(READ)
def allocation_page(request: HttpRequest) -> HttpResponse:
    """`/risk/allocation/`: the budgets in force, the questions, and (once asked) the proposal."""
    user = _user(request)
    book = chosen_book(request)
    context: dict[str, Any] = {
        "crumbs": [("Risk", with_book("portal:risk", book) if book else ""), ("Allocation", "")],
    }
    if book is None:
        return render(request, "risk/allocation.html", context)
    candidates = allocation_candidates(book)
    children = [candidate.book for candidate in candidates]
    asked = "objective" in request.GET
    form = AllocationForm(request.GET if asked else None, books=children, chosen=_chosen_at_first(candidates))
    context |= {
        "book": book,
        "base": book.fund.base_asset.code,
        "form": form,
        "children": children,
        "budgets": CapitalBudget.objects.for_user(user)
        .filter(book__parent=book, effective_to=None)
        .select_related("book")
        .order_by("book__path"),
        "tree": book_tree(user, book, url_name="portal:risk-allocation"),
        "budget_rows": _budget_rows(form, candidates),
        "may_propose": may(user, MAY_ALLOCATE) and may(user, PROPOSE),
    }
    if asked and form.is_valid():
        context |= _proposal(book, form)
        context["pages"] = trading_pages(user, children)
    return render(request, "risk/allocation.html", context, status=422 if form.errors else 200)


def _chosen_at_first(candidates: list[Candidate]) -> list[Book]:
    """Those that trade and whose risk is known; where that is not even two, those whose risk is known."""
    suiting = [c.book for c in candidates if c.suits]
    return suiting if len(suiting) > 1 else [c.book for c in candidates if not c.obstacle]


@dataclass(frozen=True, slots=True)
class BudgetRow:
    candidate: Candidate
    field: BoundField
    checked: bool


def _budget_rows(form: AllocationForm, candidates: list[Candidate]) -> list[BudgetRow]:
    chosen = set(form["among"].value() or [])
    return [BudgetRow(c, form[f"budget_{c.book.pk}"], str(c.book.pk) in chosen) for c in candidates]


def _proposal(book: Book, form: AllocationForm) -> dict[str, Any]:
    try:
        found = allocation_proposal(book, **form.asked())
        payload = payload_of(found)
    except FundopsError as refused:
        return {"refused": refused.message}
    return {
        "proposal": payload,
        "rows": [(line, line.after - line.before, line.before != line.after) for line in payload.lines],
        "sealed": signing.dumps(action_for(ALLOCATE_CAPITAL).write(payload), salt=_SALT, compress=True),
        "capital": charts.capital(payload, book.fund.base_asset.code),
        "risk": charts.risk_shares(payload),
    }


@require_POST
@permission_required(MAY_ALLOCATE)
def allocation_propose(request: HttpRequest) -> HttpResponse:
    """Asks for approval of exactly what was shown, with the reader's reason."""
    user = _user(request)
    back = reverse("portal:risk-allocation")
    reason = request.POST.get("reason", "").strip()
    try:
        payload = signing.loads(request.POST.get("sealed", ""), salt=_SALT, max_age=SHOWN_FOR_S)
    except signing.SignatureExpired:
        messages.error(request, "The figures are more than an hour old: look at the proposal again, then propose.")
        return redirect(back)
    except signing.BadSignature:
        messages.error(request, "This is not a proposal that was shown: look at it again, then propose.")
        return redirect(back)
    book = Book.objects.for_user(user).filter(path=payload["parent"]).first()
    back = with_book("portal:risk-allocation", book) if book is not None else back
    if not reason:
        messages.error(request, "Say why: the approvers read it.")
        return redirect(back)
    try:
        made = propose(kind=ALLOCATE_CAPITAL, payload=payload, reason=reason[:400], actor=user)
    except FundopsError as refused:
        messages.error(request, refused.message)
        return redirect(back)
    messages.success(request, "The division is proposed; it is in force once it is signed and released.")
    return redirect("portal:approval", made.pk)
