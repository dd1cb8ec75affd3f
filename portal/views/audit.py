"""The audit dashboard: the stream of events with filters, counts and files, the chain's state, and one event."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from compliance.actions.verifications import ask_for_verification
from compliance.models import AuditEvent
from compliance.selectors import audit_event_list, event_proof, live_seq
from compliance.topics import VIEW_EVENTS
from fundops.core.models import User
from fundops.core.permissions import permission_required
from portal.gate.audit import MOST_EXPORTED, chain_state, counts_by_day, stream_events
from portal.tables import TablePage
from portal.tables_audit import EventFilter, EventTable

_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


class AuditPage(TablePage):
    """Every event, newest first. The files stream, so its own export is not the tables' one."""

    permission = VIEW_EVENTS
    table_class, filterset_class = EventTable, EventFilter
    template_name = "audit/list.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = request.GET.get("_export")
        if form in _TYPES:
            return _export(request, form)  # type: ignore[return-value]
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[AuditEvent]:
        return audit_event_list(user=_user(self.request))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        found = context["table"].paginator.count if hasattr(context["table"], "paginator") else 0
        return context | {
            "chain": chain_state(),
            "found": found,
            "most": MOST_EXPORTED,
            "query": _filter_query(self.request),
            "crumbs": [("Control", ""), ("Audit", "")],
            "live_after": live_seq(),
        }


@require_GET
@permission_required(VIEW_EVENTS)
def audit_chart(request: HttpRequest) -> JsonResponse:
    """Counts by day and subject of the events that match the page's filter."""
    return JsonResponse(counts_by_day(_filtered(request)))


@require_GET
@permission_required(VIEW_EVENTS)
def audit_event(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One event with its payload, its place in the chain and its hash worked out again."""
    events = audit_event_list(user=_user(request))
    event = get_object_or_404(events, pk=pk)
    seq: int | None = event.seq  # type: ignore[attr-defined] # annotated
    context = {
        "event": event,
        "payload": json.dumps(event.payload, indent=2, ensure_ascii=False, sort_keys=True),
        "proof": event_proof(event),
        "before": events.filter(seal__seq=seq - 1).first() if seq else None,
        "after": events.filter(seal__seq=seq + 1).first() if seq else None,
        "about": reverse("portal:approval", args=[event.object_id])
        if event.object_type == "compliance.approvalrequest"
        else "",
        "crumbs": [("Control", ""), ("Audit", reverse("portal:audit")), (event.kind, "")],
    }
    return render(request, "audit/event.html", context)


@require_POST
@permission_required(VIEW_EVENTS)
def audit_verify(request: HttpRequest) -> HttpResponse:
    """Has a worker prove the whole chain; the page shows the verdict when it is there."""
    ask_for_verification(actor=_user(request))
    messages.info(request, "A worker verifies the whole chain now; the verdict appears here by itself.")
    return redirect("portal:audit")


def _filter_query(request: HttpRequest) -> str:
    """The filter alone, without page, order and export, for links beside the table."""
    kept = request.GET.copy()
    known = EventFilter.get_filters()  # type: ignore[no-untyped-call]
    for name in [name for name in kept if name not in known or not kept[name]]:
        del kept[name]
    return kept.urlencode()


def _filtered(request: HttpRequest) -> QuerySet[AuditEvent]:
    found: QuerySet[AuditEvent] = EventFilter(request.GET, queryset=audit_event_list(user=_user(request))).qs
    return found


def _export(request: HttpRequest, form: str) -> StreamingHttpResponse:
    events = _filtered(request)
    found = events.count()
    part = f"-newest-{MOST_EXPORTED}-of-{found}" if found > MOST_EXPORTED else ""
    response = StreamingHttpResponse(stream_events(events, form=form, found=found), content_type=_TYPES[form])
    response["Content-Disposition"] = f'attachment; filename="audit-events{part}.{form}"'
    return response


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - the decorators let nobody else in
    return request.user
