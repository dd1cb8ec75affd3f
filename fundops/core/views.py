"""Pages for when something is refused, missing, too much or broken; programs get the same as problem+json."""

from __future__ import annotations

from typing import Any

from axes.helpers import get_cool_off, get_failure_limit
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from fundops.core.errors import FundopsError
from fundops.core.problems import PROBLEM_JSON, problem, wants_problem


def _answer(
    request: HttpRequest,
    *,
    status: int,
    title: str,
    code: str,
    detail: str,
    template: str = "errors/error.html",
) -> HttpResponse:
    if wants_problem(request):
        body = problem(status=status, title=title, code=code, detail=detail, path=request.path)
        return JsonResponse(body, status=status, content_type=PROBLEM_JSON)
    context = {"status": status, "error_title": title, "detail": detail}
    return render(request, template, context, status=status)


def refused(request: HttpRequest, error: FundopsError) -> HttpResponse:
    """The page of a FundopsError."""
    return _answer(request, status=error.status, title=error.title, code=error.code, detail=error.message)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(
        request,
        status=403,
        title="Not allowed",
        code="forbidden",
        detail="Your roles do not open this page. Ask an administrator if you need it.",
    )


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _answer(
        request,
        status=403,
        title="The form was too old",
        code="csrf_failed",
        detail="The form's token did not match. Go back, reload the page and send it again.",
    )


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(
        request,
        status=404,
        title="Not found",
        code="not_found",
        detail="Nothing is at this address, or it is not yours to see.",
    )


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(
        request,
        status=400,
        title="Bad request",
        code="bad_request",
        detail="The request could not be understood. Go back and try again.",
    )


def too_many(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _answer(
        request,
        status=429,
        title="Too many requests",
        code="too_many_requests",
        detail="There were too many tries from here in a short time. Wait a minute and try again.",
    )


@login_not_required
def not_offered(request: HttpRequest, **_: Any) -> HttpResponse:
    """What the account library would do and we do not: sign-up, and changes that rest on e-mail alone."""
    raise Http404


def server_error(request: HttpRequest) -> HttpResponse:
    """Leans on nothing that may be what broke: no database, no session, no context processors."""
    detail = "Something went wrong on our side; it has been recorded. Try again in a moment."
    if wants_problem(request):
        body = problem(status=500, title="Server error", code="server_error", detail=detail, path=request.path)
        return JsonResponse(body, status=500, content_type=PROBLEM_JSON)
    return HttpResponse(render_to_string("errors/500.html", {"detail": detail}), status=500)


def locked_out(
    request: HttpRequest, original: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """After too many failed sign-ins: says for how long, and who can lift it."""
    # Axes calls this on its way out, after the sign-in view has answered; a success is never replaced.
    if isinstance(original, HttpResponseRedirect):
        return original
    cool_off = get_cool_off(request)
    minutes = round(cool_off.total_seconds() / 60) if cool_off else 0
    tries = get_failure_limit(request, credentials)
    detail = (
        f"{tries} sign-ins for this account failed, so it is locked for {minutes} minutes. "
        "Wait, or ask an administrator to lift the lock."
    )
    response = _answer(
        request,
        status=429,
        title="Account locked",
        code="locked_out",
        detail=detail,
        template="errors/lockout.html",
    )
    response["Retry-After"] = str(minutes * 60)
    return response
