"""Market data: which series are at hand, how complete they are, and which rows were refused and why."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET

from compliance.selectors import live_seq
from fundops.core.permissions import permission_required
from portal.tables import TablePage
from portal.tables_candles import CandleSetFilter, CandleSetTable, QuarantineFilter, QuarantineTable
from trading.models.marketdata import CandleSet, DataQuarantine
from trading.selectors.marketdata import (
    candle_set_bars,
    candle_set_gaps,
    candle_set_list,
    quarantine_list,
    quarantine_reasons,
)

READ = "trading.view_candleset"
READ_REFUSED = "trading.view_dataquarantine"
GAPS_SHOWN = 200


class CandleListPage(TablePage):
    """Every series of the catalog."""

    permission = READ
    table_class, filterset_class = CandleSetTable, CandleSetFilter
    template_name = "candles/list.html"

    def get_queryset(self) -> QuerySet[CandleSet]:
        return candle_set_list()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        refused = DataQuarantine.objects.count()
        return super().get_context_data(**kwargs) | {
            "crumbs": [("Market data", "")],
            "refused": refused,
            "live_after": live_seq(),
        }


class QuarantinePage(TablePage):
    """Rows that were not accepted. Nothing is dropped silently: here is what each said."""

    permission = READ_REFUSED
    table_class, filterset_class = QuarantineTable, QuarantineFilter
    template_name = "candles/quarantine.html"

    def get_queryset(self) -> QuerySet[DataQuarantine]:
        return quarantine_list()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "crumbs": [("Market data", reverse("portal:candles")), ("Quarantine", "")],
            "reasons": quarantine_reasons(),
        }


@require_GET
@permission_required(READ)
def candle_set_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One series: its last bars, its gaps by name, its refused rows by reason."""
    candle_set = get_object_or_404(CandleSet, pk=pk)
    gaps = candle_set_gaps(pk)
    context = {
        "set": candle_set,
        "gaps": gaps[:GAPS_SHOWN],
        "gap_count": len(gaps),
        "reasons": quarantine_reasons(candle_set_id=pk),
        "crumbs": [("Market data", reverse("portal:candles")), (str(candle_set), "")],
    }
    return render(request, "candles/detail.html", context)


@require_GET
@permission_required(READ)
def candle_set_chart(request: HttpRequest, pk: int) -> JsonResponse:
    """The payload of the last bars."""
    candle_set = get_object_or_404(CandleSet, pk=pk)
    bars = candle_set_bars(pk)
    columns = (bars.ts_ms, bars.open, bars.high, bars.low, bars.close, bars.volume)
    rows = [[int(row[0]), *map(float, row[1:])] for row in zip(*columns, strict=True)]
    payload = {
        "unit": "",
        "interval_ms": candle_set.interval_ms,
        "candles": rows,
        "synthetic": candle_set.synthetic,
        "as_of": candle_set.last_at.isoformat() if candle_set.last_at else None,
        "empty": "The catalog holds no bars of this series.",
    }
    return JsonResponse(payload)
