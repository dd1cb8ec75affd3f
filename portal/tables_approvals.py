"""Tables of the gate: requests, people, audit events."""

from __future__ import annotations

from typing import Any

import django_filters
import django_tables2 as tables
from django import forms
from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from compliance.approvals.registry import registered_actions
from compliance.models import ApprovalRequest, Person, RequestState
from portal.gate.policies import title_of
from portal.tables import NumberColumn, PortalTable, TimeColumn

STATE_TONES = {
    RequestState.SUBMITTED: "tag-accent",
    RequestState.PARTIALLY_APPROVED: "tag-accent",
    RequestState.APPROVED: "tag-accent",
    RequestState.EXECUTING: "tag-accent",
    RequestState.EXECUTED: "tag-good",
    RequestState.FAILED: "tag-bad",
    RequestState.REJECTED: "tag-bad",
    RequestState.EXPIRED: "tag-warn",
}
_DATE = forms.DateInput(attrs={"type": "date"})


def state_tag(request: ApprovalRequest) -> SafeString:
    tone = STATE_TONES.get(RequestState(request.state), "")
    return format_html('<span class="tag {}">{}</span>', tone, request.get_state_display())


class RequestFilter(django_filters.FilterSet):
    """What it is, where it stands, who had a part in it, when it was made (UTC days, both included)."""

    kind = django_filters.ChoiceFilter(label="Kind", empty_label="Any", choices=[])
    state = django_filters.ChoiceFilter(label="State", empty_label="Any", choices=RequestState.choices)
    person = django_filters.ModelChoiceFilter(
        label="Person", empty_label="Anybody", queryset=Person.objects.order_by("full_name"), method="by_person"
    )
    since = django_filters.DateFilter(
        label="From (UTC)", field_name="created_at", lookup_expr="date__gte", widget=_DATE
    )
    until = django_filters.DateFilter(label="to", field_name="created_at", lookup_expr="date__lte", widget=_DATE)
    about = django_filters.CharFilter(label="About", method="by_words")
    break_glass = django_filters.BooleanFilter(
        label="Glass", widget=forms.Select(choices=[("", "Any"), ("true", "Broken"), ("false", "Whole")])
    )

    class Meta:
        model = ApprovalRequest
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(action.kind, f"{action.title} ({action.kind})") for action in registered_actions()]
        self.filters["kind"].extra["choices"] = choices

    def by_person(self, requests: QuerySet[ApprovalRequest], name: str, person: Person) -> QuerySet[ApprovalRequest]:
        part = Q(maker_person=person) | Q(released_person=person) | Q(decisions__person=person)
        return requests.filter(part).distinct()

    def by_words(self, requests: QuerySet[ApprovalRequest], name: str, words: str) -> QuerySet[ApprovalRequest]:
        return requests.filter(Q(object_label__icontains=words) | Q(reason__icontains=words))


class RequestTable(PortalTable):
    caption = "Requests"
    empty_hint = "What changes money, risk or access is asked for here. Change the filter, or propose something."

    about = tables.Column(accessor="object_label", verbose_name="About", order_by=("object_label",), empty_values=())
    state = tables.Column()
    amount = NumberColumn(reason="This kind of action has no amount.")
    maker = tables.Column(accessor="maker_person__full_name", verbose_name="Maker")
    reason = tables.Column(orderable=False, attrs={"td": {"class": "words"}})
    created_at = TimeColumn(verbose_name="Made")
    finished_at = TimeColumn(verbose_name="Ended")
    released_by = tables.Column(
        accessor="released_person__full_name", verbose_name="Released by", default="", visible=False
    )
    kind = tables.Column(visible=False)
    break_glass = tables.BooleanColumn(verbose_name="Glass broken", visible=False)
    version = NumberColumn(visible=False)
    closing_note = tables.Column(visible=False)
    id = tables.Column(visible=False)

    class Meta(PortalTable.Meta):
        model = ApprovalRequest
        fields = ("about", "state", "amount", "maker", "reason", "created_at", "finished_at")
        sequence = (*fields, "released_by", "kind", "break_glass", "version", "closing_note", "id")
        order_by = "-created_at"

    def render_about(self, value: str, record: ApprovalRequest) -> SafeString:
        path = reverse("portal:approval", args=[record.pk])
        return format_html('<a href="{}">{}</a><small>{}</small>', path, value or record.kind, title_of(record.kind))

    def value_about(self, value: str) -> str:
        return value

    def render_state(self, record: ApprovalRequest) -> SafeString:
        glass = format_html(' <span class="tag tag-warn">{}</span>', "Glass broken") if record.break_glass else ""
        return format_html("{}{}", state_tag(record), glass)

    def value_state(self, record: ApprovalRequest) -> str:
        return record.state
