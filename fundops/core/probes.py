"""``/healthz``, ``/readyz`` and ``/metrics``, answered before hosts, sessions and anything else is looked at.

A load balancer asks by address, without a host name of ours and without TLS, and a probe that needs a session
table could not tell that the database is down. Who may see detail: the bearer of ``METRICS_TOKEN``; without
such a token, outside production, whoever asks from this machine.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from prometheus_client import CONTENT_TYPE_LATEST

from fundops.core.health import check_readiness
from fundops.core.metrics import render_metrics


class ProbeMiddleware:
    """The first middleware of all."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._asynchronous = bool(iscoroutinefunction(get_response))
        if self._asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        probe = PROBES.get(request.path_info) if request.method in {"GET", "HEAD"} else None
        if self._asynchronous:
            return self._answer_async(request, probe)
        response: HttpResponseBase = probe(request) if probe else self.get_response(request)
        return response

    async def _answer_async(
        self, request: HttpRequest, probe: Callable[[HttpRequest], HttpResponse] | None
    ) -> HttpResponseBase:
        if probe is not None:
            return await sync_to_async(probe)(request)
        response: HttpResponseBase = await self.get_response(request)
        return response


def healthz(_request: HttpRequest) -> HttpResponse:
    """The process lives and answers; nothing else is asked."""
    return _json({"alive": True}, status=200)


def readyz(request: HttpRequest) -> HttpResponse:
    """Every check with its age and threshold, or just the verdict for those who may not see more."""
    readiness = check_readiness()
    body = readiness.as_json() if _may_see_detail(request) else {"ready": readiness.ready}
    return _json(body, status=200 if readiness.ready else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format."""
    if not _may_see_detail(request):
        return HttpResponse("Metrics need the bearer token METRICS_TOKEN.\n", status=403, content_type="text/plain")
    return HttpResponse(render_metrics(), content_type=CONTENT_TYPE_LATEST)


def _may_see_detail(request: HttpRequest) -> bool:
    token = settings.ENV.metrics_token
    if token is not None:
        given = request.headers.get("Authorization", "")
        return compare_digest(given.encode(), f"Bearer {token.get_secret_value()}".encode())
    # A proxy on this machine would make everybody local: production must set the token.
    return not settings.PRODUCTION and _is_local(request.META.get("REMOTE_ADDR", ""))


def _is_local(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _json(body: dict[str, Any], *, status: int) -> HttpResponse:
    response = HttpResponse(json.dumps(body), status=status, content_type="application/json")
    response["Cache-Control"] = "no-store"
    return response


PROBES: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/healthz": healthz,
    "/readyz": readyz,
    "/metrics": metrics,
}
