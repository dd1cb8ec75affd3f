"""Tables of screening: the restricted list and the flags."""

from __future__ import annotations

import django_filters
import django_tables2 as tables
from django import forms
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from compliance.models import RestrictedInstrument, ScreeningFlag
from compliance.models.screening import FlagState, RestrictionLevel, ScreeningRule
from portal.tables import PortalTable, TimeColumn

TONES = {
    RestrictionLevel.NO_TRADING: "tag-bad",
    RestrictionLevel.CLOSE_ONLY: "tag-warn",
    RestrictionLevel.WATCH: "tag-accent",
    FlagState.OPEN: "tag-warn",
    FlagState.ESCALATED: "tag-bad",
    FlagState.CLEARED: "tag-good",
}


def tag(tone: str, text: object) -> SafeString:
    return format_html('<span class="tag {}">{}</span>', tone, text)


class FlagFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=FlagState.choices, label="State", empty_label="Any")
    rule = django_filters.ChoiceFilter(choices=ScreeningRule.choices, label="Rule", empty_label="Any")
    symbol = django_filters.CharFilter(lookup_expr="iexact", label="Symbol")
    book_path = django_filters.CharFilter(lookup_expr="startswith", label="Book")

    class Meta:
        model = ScreeningFlag
        fields = ("state", "rule", "symbol", "book_path")


class FlagTable(PortalTable):
    caption = "Flags"
    empty_hint = "Screening has found nothing of this kind."

    subject = tables.Column(linkify=lambda record: reverse("portal:screening-flag", args=[record.pk]))
    finding = tables.Column(attrs={"td": {"class": "words"}}, orderable=False)
    rule = tables.Column()
    severity = tables.Column()
    state = tables.Column()
    opened_at = TimeColumn(verbose_name="Found")

    class Meta(PortalTable.Meta):
        model = ScreeningFlag
        fields = ("subject", "finding", "rule", "severity", "state", "opened_at")
        sequence = fields

    def render_state(self, record: ScreeningFlag) -> SafeString:
        return tag(TONES[FlagState(record.state)], record.get_state_display())

    def value_state(self, record: ScreeningFlag) -> str:
        return record.state


class RestrictionFilter(django_filters.FilterSet):
    symbol = django_filters.CharFilter(lookup_expr="icontains", label="Symbol")
    level = django_filters.ChoiceFilter(choices=RestrictionLevel.choices, label="Level", empty_label="Any")
    in_force = django_filters.BooleanFilter(
        field_name="lifted_at",
        lookup_expr="isnull",
        label="On the list",
        widget=forms.Select(choices=[("", "Any"), ("true", "Yes"), ("false", "No, lifted")]),
    )

    class Meta:
        model = RestrictedInstrument
        fields = ("symbol", "level", "in_force")


class RestrictionTable(PortalTable):
    caption = "Restricted list"
    empty_hint = "Nothing is restricted."

    symbol = tables.Column()
    level = tables.Column()
    venue = tables.Column(empty_values=(), verbose_name="Venue")
    reason = tables.Column(attrs={"td": {"class": "words"}}, orderable=False)
    reference = tables.Column(orderable=False)
    effective_from = TimeColumn(verbose_name="Since")
    restricted_by = tables.Column(verbose_name="By")
    lifted_at = TimeColumn(verbose_name="Lifted")
    change = tables.Column(empty_values=(), verbose_name="", orderable=False, exclude_from_export=True)

    class Meta(PortalTable.Meta):
        model = RestrictedInstrument
        fields = ("symbol", "level", "venue", "reason", "reference", "effective_from", "restricted_by", "lifted_at")
        sequence = (*fields, "change")

    def __init__(self, *args: object, may_lift: bool = False, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.may_lift = may_lift

    def render_level(self, record: RestrictedInstrument) -> SafeString:
        return tag(TONES[RestrictionLevel(record.level)], record.get_level_display())

    def value_level(self, record: RestrictedInstrument) -> str:
        return record.level

    def render_venue(self, value: str) -> str:
        return value or "every venue"

    def render_change(self, record: RestrictedInstrument) -> SafeString | str:
        if record.lifted_by_request_id:
            href = reverse("portal:approval", args=[record.lifted_by_request_id])
            return format_html('<a href="{}">Request</a>', href)
        if not self.may_lift:
            return ""
        href = reverse("portal:approval-new", args=["compliance.lift_restriction"])
        return format_html('<a href="{}?restriction={}">Ask to lift</a>', href, record.pk)
