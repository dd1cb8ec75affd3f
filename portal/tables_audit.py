"""The table of audit events and what narrows it."""

from __future__ import annotations

from typing import Any

import django_filters
import django_tables2 as tables
from django import forms
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from compliance.models import AuditEvent
from portal.tables import NumberColumn, PortalTable, TimeColumn

_DATE = forms.DateInput(attrs={"type": "date"})


class EventFilter(django_filters.FilterSet):
    """Kind by its beginning, who, what it was done to, UTC days (both included), and any text of it."""

    kind = django_filters.CharFilter(label="Kind begins with", lookup_expr="istartswith")
    actor = django_filters.CharFilter(label="Who", method="by_actor")
    object = django_filters.CharFilter(label="Object", method="by_object")
    since = django_filters.DateFilter(label="From (UTC)", field_name="at", lookup_expr="date__gte", widget=_DATE)
    until = django_filters.DateFilter(label="to", field_name="at", lookup_expr="date__lte", widget=_DATE)
    text = django_filters.CharFilter(label="Text", method="by_text")

    class Meta:
        model = AuditEvent
        fields: tuple[str, ...] = ()

    def by_actor(self, events: QuerySet[AuditEvent], name: str, who: str) -> QuerySet[AuditEvent]:
        return events.filter(Q(actor_label__icontains=who) | Q(actor__username__iexact=who))

    def by_object(self, events: QuerySet[AuditEvent], name: str, words: str) -> QuerySet[AuditEvent]:
        return events.filter(Q(object_id=words) | Q(object_label__icontains=words) | Q(object_type__istartswith=words))

    def by_text(self, events: QuerySet[AuditEvent], name: str, words: str) -> QuerySet[AuditEvent]:
        """Everything that is written in an event, its payload included."""
        return events.alias(said=Cast("payload", TextField())).filter(
            Q(said__icontains=words)
            | Q(kind__icontains=words)
            | Q(actor_label__icontains=words)
            | Q(object_label__icontains=words)
        )


class EventTable(PortalTable):
    caption = "Audit events"
    empty_hint = "No event is like this. Widen the filter."

    seq = NumberColumn(verbose_name="Place", reason="Not sealed yet.", order_by=("id",))
    at = TimeColumn(verbose_name="When", form="second", order_by=("at", "id"))
    kind = tables.Column()
    actor_label = tables.Column(verbose_name="Who")
    object_label = tables.Column(verbose_name="Object", order_by=("object_type", "object_label"), empty_values=())
    seal_hash = tables.Column(verbose_name="Hash", orderable=False, empty_values=())

    class Meta(PortalTable.Meta):
        model = AuditEvent
        fields = ("seq", "at", "kind", "actor_label", "object_label", "seal_hash")
        sequence = fields
        order_by = "-seq"

    def render_kind(self, value: str, record: AuditEvent) -> SafeString:
        path = reverse("portal:audit-event", args=[record.pk])
        return format_html('<a class="event-kind" href="{}">{}</a>', path, value)

    def render_object_label(self, record: AuditEvent) -> Any:
        if not record.object_type:
            return ""
        path = f"{reverse('portal:audit')}?object={record.object_id}"
        label = record.object_label or record.object_id
        return format_html('<a href="{}">{}</a><small>{}</small>', path, label, record.object_type)

    def render_seal_hash(self, record: Any) -> SafeString:
        if not record.seal_hash:
            return format_html('<span class="tag tag-warn">{}</span>', "not sealed yet")
        return format_html('<span class="sha" title="{}">{}</span>', record.seal_hash, record.seal_hash[:12])
