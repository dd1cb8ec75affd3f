"""Errors as application/problem+json (RFC 9457): one shape, made in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, JsonResponse

from fundops.core.errors import FundopsError

PROBLEM_JSON = "application/problem+json"
_RESERVED = frozenset({"type", "title", "status", "code", "detail", "instance"})


def problem(
    *, status: int, title: str, code: str, detail: str, path: str, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The members of a problem; ``extra`` cannot replace the standard ones."""
    members: dict[str, Any] = {
        "type": f"urn:fundops:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "instance": path,
    }
    return members | {key: value for key, value in (extra or {}).items() if key not in _RESERVED}


def problem_of(error: FundopsError, *, path: str) -> dict[str, Any]:
    return problem(
        status=error.status,
        title=error.title,
        code=error.code,
        detail=error.message,
        path=path,
        extra=error.extra,
    )


def problem_response(error: FundopsError, *, path: str) -> JsonResponse:
    return JsonResponse(problem_of(error, path=path), status=error.status, content_type=PROBLEM_JSON)


def wants_problem(request: HttpRequest) -> bool:
    """True where a program reads the answer: the API's paths, or a request that asks for JSON."""
    return request.path.startswith("/api/") or (
        "json" in request.headers.get("Accept", "") and not request.accepts("text/html")
    )
