"""The base of the REST API, so that every app's part is alike: problem+json errors, the schema's view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as ModelValidationError
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import resolve
from django.utils.encoding import force_str
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularAPIView
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, set_rollback

from fundops.core.api_classes import CSVRenderer, Page, ProblemRenderer, SessionLogin, to_csv
from fundops.core.api_schema import Schema
from fundops.core.errors import FundopsError
from fundops.core.permissions import SIGNED_IN
from fundops.core.problems import PROBLEM_JSON, problem, problem_of


class ProblemResponse(Response):
    """A problem keeps its own media type, whatever the client asked the data to be in."""

    def __init__(self, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(body, status=body["status"], headers=headers, content_type=PROBLEM_JSON)


def handle_exception(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler: every refusal as problem+json; None (a bug) goes on to the 500 page."""
    request: Request = context["request"]
    body, headers = _as_problem(error, path=request.path)
    if body is None:
        return None
    set_rollback()
    # Errors are JSON also where the data would have been CSV.
    request.accepted_renderer = ProblemRenderer()
    request.accepted_media_type = PROBLEM_JSON
    return ProblemResponse(body, headers=headers)


def _as_problem(error: Exception, *, path: str) -> tuple[dict[str, Any] | None, dict[str, str]]:
    if isinstance(error, FundopsError):
        return problem_of(error, path=path), {}
    if isinstance(error, Http404):
        error = exceptions.NotFound("Nothing is at this address, or it is not yours to see.")
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, ModelValidationError):
        error = exceptions.ValidationError(
            error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
        )
    if not isinstance(error, exceptions.APIException):
        return None, {}
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = f"{wait:.0f}"
    if isinstance(error, exceptions.ValidationError):
        return problem(
            status=400,
            title="Invalid input",
            code="invalid",
            detail="Some of what was sent is not valid; 'errors' says which, field by field.",
            path=path,
            extra={"errors": error.detail},
        ), headers
    return problem(
        status=error.status_code,
        title=str(error.default_code).replace("_", " ").capitalize(),
        code=str(getattr(error.detail, "code", error.default_code)),
        detail=force_str(error.detail if not isinstance(error.detail, dict) else error.default_detail),
        path=path,
    ), headers


class SchemaView(SpectacularAPIView):
    """The OpenAPI document, as YAML or JSON."""

    permission = SIGNED_IN


class UnknownPath(APIView):
    """An address under /api/ where nothing is answers as the API does."""

    permission = SIGNED_IN
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Http404


_unknown = UnknownPath.as_view()


@csrf_exempt  # the views behind it check the token themselves, for sessions
@login_not_required  # and say 401 themselves
def any_other_path(request: HttpRequest) -> HttpResponseBase:
    """The API's last address: a path without its final slash is served as if it had one, body and all."""
    if not request.path_info.endswith("/"):
        match = resolve(f"{request.path_info}/")
        if match.func is not any_other_path:
            request.resolver_match = match
            answer: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
            return answer
    return _unknown(request)


any_other_path.permission = SIGNED_IN  # type: ignore[attr-defined]

__all__ = [
    "CSVRenderer",
    "Page",
    "ProblemResponse",
    "Schema",
    "SchemaView",
    "SessionLogin",
    "any_other_path",
    "handle_exception",
    "to_csv",
]
