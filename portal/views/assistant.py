"""The assistant's pages: one command line, a form that shows back what was understood, a guided way for newcomers."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from compliance.selectors import live_seq
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import may, permission_required
from portal.assistant.conversation import USE, begin, reply_to, say
from portal.assistant.intents import EXAMPLES, Grow, StartCohort
from portal.charts.assistant import plan_chart
from portal.forms.assistant import EasyForm, TermsForm
from portal.models import AssistantMessage
from trading.errors import CohortSpecError

SHOWN = 30
QUICK = (
    ("What should I fund tomorrow?", "wallet"),
    ("How are my cohorts doing?", "robot"),
    ("Review promotion", "rocket"),
    ("Bankroll summary", "coins"),
    ("Grow 1,000 over 3 days", "trending-up"),
)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the permission has seen to it
    return request.user


@permission_required(USE)
def assistant_page(request: HttpRequest) -> HttpResponse:
    """The command line and what was said. POST hears a line and starts nothing."""
    user = _user(request)
    context: dict[str, Any] = {"asked": ""}
    if request.method == "POST":
        asked = request.POST.get("text", "")
        reply = say(text=asked, actor=user)
        context = {"asked": asked, "reply": reply}
        if reply.plan is not None and isinstance(reply.intent, Grow | StartCohort):
            context |= _planned(reply.plan, TermsForm.of(reply.intent, reply.plan))
    history = list(AssistantMessage.objects.filter(user=user).select_related("cohort").order_by("-pk")[:SHOWN])
    context |= {
        "history": history,
        "live_after": live_seq(),
        "examples": EXAMPLES,
        "quick": QUICK,
        "may_launch": may(user, "trading.launch_cohort"),
        "crumbs": [("Assistant", "")],
    }
    return render(request, "assistant/page.html", context)


def _planned(plan: Any, form: TermsForm) -> dict[str, Any]:
    return {"plan": plan, "form": form, "chart": plan_chart(plan)}


@require_POST
@permission_required(USE)
def assistant_plan(request: HttpRequest) -> HttpResponse:
    """The plan of edited terms; nothing is started."""
    form = TermsForm(request.POST)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        reply = reply_to(form.intent(), actor=_user(request))
        context["refused"] = reply.refused
        if reply.plan is not None:
            context |= _planned(reply.plan, form)
    return render(request, "assistant/_plan.html", context)


@require_POST
@permission_required(USE)
def assistant_begin(request: HttpRequest) -> HttpResponse:
    """Starts what the form shows."""
    form = TermsForm(request.POST)
    if not form.is_valid():
        return _back(request, form)
    try:
        cohort = begin(intent=form.intent(), actor=_user(request))
    except CohortSpecError as refused:
        for texts in refused.fields.values():
            for text in texts:
                form.add_error(None, text)
        return _back(request, form)
    except FundopsError as refused:
        form.add_error(None, refused.message)
        return _back(request, form)
    messages.success(request, f"{cohort} is launched.")
    return redirect(cohort)


def _back(request: HttpRequest, form: TermsForm) -> HttpResponse:
    crumbs = [("Assistant", reverse("portal:assistant")), ("Plan", "")]
    return render(request, "assistant/plan.html", {"form": form, "crumbs": crumbs}, status=422)


@permission_required(USE)
def assistant_guide(request: HttpRequest) -> HttpResponse:
    """Three choices for newcomers, then the same plan as everybody sees."""
    form = EasyForm(request.POST or None)
    context: dict[str, Any] = {
        "easy": form,
        "may_launch": may(request.user, "trading.launch_cohort"),
        "crumbs": [("Assistant", reverse("portal:assistant")), ("Guide", "")],
    }
    if request.method == "POST" and form.is_valid():
        intent = form.intent()
        reply = reply_to(intent, actor=_user(request))
        context["refused"] = reply.refused
        if reply.plan is not None:
            context |= _planned(reply.plan, TermsForm.of(intent, reply.plan))
    return render(request, "assistant/guide.html", context)
