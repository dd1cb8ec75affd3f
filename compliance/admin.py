"""The audit stream in the administration: to look at; the database refuses changes to everyone."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from compliance.models import AuditAnchor, AuditEvent, EventCursor, RelayState
from fundops.core.admin import ReadOnlyAdmin


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("place", "at", "kind", "actor_label", "object_type", "object_label")
    list_filter = ("at", "object_type")
    search_fields = ("kind", "actor_label", "object_id")
    ordering = ("-id",)
    show_full_result_count = False
    fields = (
        "place",
        "id",
        "at",
        "kind",
        "actor",
        "actor_label",
        "object_type",
        "object_id",
        "object_label",
        "payload",
        "topics",
        "created_xid",
        "seal_hash",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        events: QuerySet[AuditEvent] = super().get_queryset(request)
        return events.annotate(seq=F("seal__seq"), seal_hash=F("seal__hash"))

    @display(description="Place", ordering="seq")  # type: ignore[untyped-decorator]
    def place(self, event: AuditEvent) -> str:
        seq = getattr(event, "seq", None)
        return "not sealed yet" if seq is None else f"{seq:,}"

    @display(description="Hash")  # type: ignore[untyped-decorator]
    def seal_hash(self, event: AuditEvent) -> str:
        return getattr(event, "seal_hash", None) or ""


@admin.register(AuditAnchor)
class AuditAnchorAdmin(ReadOnlyAdmin):
    list_display = ("seq", "at", "hash")
    ordering = ("-seq",)


@admin.register(EventCursor)
class EventCursorAdmin(ReadOnlyAdmin):
    list_display = ("consumer", "seq", "updated_at", "last_error")


@admin.register(RelayState)
class RelayStateAdmin(ReadOnlyAdmin):
    list_display = ("holder", "beat_at", "sealed_seq", "sealed_hash")
