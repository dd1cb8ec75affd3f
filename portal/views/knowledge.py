"""The knowledge history: cohorts, bankroll, decisions, leverage and recommendations in plain words."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse

from compliance.selectors import live_seq
from portal.documents import pdf_response
from portal.models import KnowledgeEntry, KnowledgeKind
from portal.tables import TablePage
from portal.tables_knowledge import KnowledgeFilter, KnowledgeTable

#: Entries of one PDF at most; the rest is in the CSV.
MOST_PRINTED = 1_000


class KnowledgePage(TablePage):
    """What the fund has learned, newest first."""

    permission = "portal.view_knowledge"
    table_class, filterset_class = KnowledgeTable, KnowledgeFilter
    template_name = "knowledge/list.html"

    def get_queryset(self) -> QuerySet[KnowledgeEntry]:
        return KnowledgeEntry.objects.select_related("cohort", "review", "deployment")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.GET.get("_export") != "pdf":
            return super().get(request, *args, **kwargs)
        found = KnowledgeFilter(request.GET, queryset=self.get_queryset()).qs
        count = found.count()
        context = {"entries": found[:MOST_PRINTED], "count": count, "left_out": max(0, count - MOST_PRINTED)}
        return pdf_response("knowledge/print.html", context, name="knowledge.pdf")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        counts = dict(KnowledgeEntry.objects.values_list("kind").annotate(n=Count("pk")).order_by())
        return super().get_context_data(**kwargs) | {
            "counts": [(kind.value, kind.label, counts.get(kind.value, 0)) for kind in KnowledgeKind],
            "crumbs": [("Knowledge", "")],
            "live_after": live_seq(),
        }
