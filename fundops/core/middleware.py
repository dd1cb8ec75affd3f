"""What every request passes: the second factor, and refusals turned into answers a person can read."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import resolve

from fundops.core.errors import FundopsError
from fundops.core.mfa import SecondFactorMissingError, must_enrol
from fundops.core.problems import problem_response, wants_problem
from fundops.core.views import refused

Handler = Callable[[HttpRequest], HttpResponseBase]


#: What a person without a second factor may still do: enrol one, confirm who they are for it, and leave.
ENROLMENT_VIEWS = frozenset(
    {
        "mfa_index",
        "mfa_activate_totp",
        "mfa_add_webauthn",
        "mfa_list_webauthn",
        "mfa_view_recovery_codes",
        "mfa_generate_recovery_codes",
        "mfa_download_recovery_codes",
        "mfa_reauthenticate",
        "mfa_reauthenticate_webauthn",
        "account_reauthenticate",
        "account_change_password",
        "account_logout",
    }
)


class SecondFactorMiddleware:
    """Sends staff without a second factor to enrolment; nothing else is open to them, page or API."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        match = request.resolver_match or resolve(request.path_info)
        if match.view_name in ENROLMENT_VIEWS or not must_enrol(getattr(request, "user", None)):
            return None
        error = SecondFactorMissingError()
        if wants_problem(request):
            return problem_response(error, path=request.path)
        if request.headers.get("HX-Request"):
            response = HttpResponse(status=204)
            response["HX-Redirect"] = "/accounts/2fa/"
            return response
        messages.warning(request, error.message)
        return redirect("mfa_index")


class RefusalMiddleware:
    """A FundopsError that reaches a page becomes an error page, with the error's own status and words."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, FundopsError):
            return None
        if wants_problem(request) or request.headers.get("HX-Request"):
            return problem_response(exception, path=request.path)
        return refused(request, exception)
