"""The table of what was learned."""

from __future__ import annotations

import django_filters
import django_tables2 as tables
from django import forms
from django.utils.html import format_html
from django.utils.safestring import SafeString

from portal.models import KnowledgeEntry, KnowledgeKind
from portal.tables import PortalTable, TimeColumn


class KnowledgeFilter(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(choices=KnowledgeKind.choices, label="About", empty_label="Everything")
    text = django_filters.CharFilter(field_name="words", lookup_expr="icontains", label="Words")
    cohort = django_filters.NumberFilter(field_name="cohort_id", label="Cohort")
    since = django_filters.DateFilter(
        field_name="at", lookup_expr="date__gte", label="From", widget=forms.DateInput(attrs={"type": "date"})
    )

    class Meta:
        model = KnowledgeEntry
        fields = ("kind", "text", "cohort", "since")


class KnowledgeTable(PortalTable):
    caption = "What was learned"
    empty_hint = "The history begins with the first cohort."

    at = TimeColumn(verbose_name="When")
    kind = tables.Column(verbose_name="About")
    title = tables.Column()
    words = tables.Column(attrs={"td": {"class": "words"}}, orderable=False)

    class Meta(PortalTable.Meta):
        model = KnowledgeEntry
        fields = ("at", "kind", "title", "words")

    def render_title(self, record: KnowledgeEntry) -> SafeString | str:
        for about in (record.deployment, record.review, record.cohort):
            if about is not None:
                return format_html('<a href="{}">{}</a>', about.get_absolute_url(), record.title)
        return record.title

    def value_title(self, record: KnowledgeEntry) -> str:
        return record.title
