"""One id and one log line a web request, and its count for the metrics."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final
from uuid import uuid4

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponseBase

from fundops.core.logging import get_logger, install_user_lookup, log_context
from fundops.core.metrics import count_request

HEADER: Final = "X-Request-ID"
#: What a proxy in front may hand down; anything else could forge log lines, so it gets an id of our own.
_ACCEPTABLE: Final = re.compile(r"[A-Za-z0-9._\-]{8,64}", re.ASCII)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = get_logger("fundops.web")
_current: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)


class RequestLogMiddleware:
    """Binds ``request_id`` to everything logged while the request is served, answers it as a header, logs the
    end.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._asynchronous = bool(iscoroutinefunction(get_response))
        if self._asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._asynchronous:
            return self._call_async(request)
        request_id, token, begun = self._begin(request)
        try:
            with log_context(request_id=request_id):
                return self._finish(request, self.get_response(request), request_id, begun)
        finally:
            _current.reset(token)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        request_id, token, begun = self._begin(request)
        try:
            with log_context(request_id=request_id):
                return self._finish(request, await self.get_response(request), request_id, begun)
        finally:
            _current.reset(token)

    def _begin(self, request: HttpRequest) -> tuple[str, Any, float]:
        given = request.headers.get(HEADER, "")
        request_id = given if _ACCEPTABLE.fullmatch(given) else uuid4().hex
        return request_id, _current.set(request), time.perf_counter()

    def _finish(
        self, request: HttpRequest, response: HttpResponseBase, request_id: str, begun: float
    ) -> HttpResponseBase:
        seconds = time.perf_counter() - begun
        match = request.resolver_match
        route = f"/{match.route}" if match else "unmatched"
        method = request.method if request.method in _METHODS else "OTHER"
        count_request(method=str(method), route=route, status=response.status_code, seconds=seconds)
        level = "error" if response.status_code >= 500 else "info"
        getattr(_log, level)(
            "http.request",
            method=method,
            path=request.path,  # never the query string: it may carry tokens and names
            route=route,
            status=response.status_code,
            duration_ms=round(seconds * 1000, 1),
        )
        response[HEADER] = request_id
        return response


def _user_of_current_request() -> int | None:
    """The person, if the request's own code has looked already: a log line must not query the database."""
    request = _current.get()
    user = getattr(request, "_cached_user", None) or getattr(request, "_acached_user", None)
    return getattr(user, "pk", None)


def _log_failure(request: HttpRequest | None = None, **_kwargs: Any) -> None:
    """The traceback of an unhandled error, with the request's id still bound."""
    _log.exception("http.failed", path=request.path if request else None)


install_user_lookup(_user_of_current_request)
got_request_exception.connect(_log_failure, dispatch_uid="core.request_log")
