"""Pages that show every component of the shell, for the browser tests, beside the product's own addresses."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import django_filters
import django_tables2 as tables
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import engines
from django.urls import include, path

from fundops.core.models import User
from fundops.core.permissions import SIGNED_IN, permission_required
from portal.tables import MoneyColumn, PercentColumn, PortalTable, TablePage, TimeColumn

START = 1_767_225_600_000  # 2026-01-01 UTC
HOUR = 3_600_000
TEMPLATES = Path(__file__).parent / "templates"


def _template(name: str) -> Any:
    return engines["django"].from_string((TEMPLATES / f"{name}.html").read_text())


def walk(seed: int, count: int, scale: float = 1.0) -> list[list[float]]:
    dice, level, points = random.Random(seed), 1000.0, []
    for i in range(count):
        level += dice.gauss(0, scale)
        points.append([START + i * HOUR, round(level, 2)])
    return points


def charts() -> list[dict[str, Any]]:
    dice = random.Random(1)
    parent = walk(0, 240, 2)
    agents = [{"id": f"a{n}", "name": f"Agent {n}", "style": "muted", "data": walk(n, 240, 3)} for n in range(1, 31)]
    candles, close = [], 100.0
    for i in range(120):
        opened, close = close, close * math.exp(dice.gauss(0, 0.006))
        high, low = max(opened, close) * 1.003, min(opened, close) * 0.997
        candles.append([START + i * HOUR, opened, high, low, close, dice.uniform(10, 90)])
    return [
        {
            "id": "equity",
            "kind": "line",
            "payload": {
                "title": "Equity, parent and agents",
                "unit": "usdt",
                "synthetic": True,
                "series": [
                    *agents,
                    {"id": "parent", "name": "Parent wallet", "style": "primary", "data": parent},
                    {"id": "best", "name": "Best agent", "data": walk(7, 240, 3)},
                ],
                "marks": [{"x": START + 24 * HOUR * d, "label": f"Day {d + 1}"} for d in range(3)],
                "levels": [{"y": 950, "label": "Drawdown limit", "tone": "bad"}],
            },
        },
        {
            "id": "heat",
            "kind": "heatmap",
            "payload": {
                "title": "Return by agent and hour",
                "unit": "frac",
                "x": "time",
                "xs": [START + h * HOUR for h in range(24)],
                "ys": [{"label": f"Agent {n}"} for n in range(12)],
                "cells": [[h, n, None if h == n else dice.gauss(0, 0.004)] for h in range(24) for n in range(12)],
            },
        },
        {
            "id": "use",
            "kind": "gauge",
            "payload": {
                "title": "Bankroll in use",
                "unit": "share",
                "value": 0.62,
                "caption": "of the bankroll",
                "levels": [
                    {"y": 0.8, "label": "soft", "tone": "warn"},
                    {"y": 0.95, "label": "hard", "tone": "bad"},
                ],
            },
        },
        {
            "id": "prices",
            "kind": "candles",
            "payload": {
                "title": "BTC/USDT with entries and exits",
                "unit": "usdt",
                "candles": candles,
                "lines": [{"name": "SMA", "data": [[c[0], c[4]] for c in candles[::4]]}],
                "markers": [
                    {"t": candles[20][0], "price": candles[20][3], "side": "buy", "label": "0.01 BTC"},
                    {"t": candles[70][0], "price": candles[70][2], "side": "sell", "label": "take profit"},
                ],
            },
        },
        {
            "id": "cloud",
            "kind": "scatter",
            "payload": {
                "title": "Return against drawdown",
                "unit": "frac",
                "x_unit": "share",
                "x_name": "Max drawdown",
                "y_name": "Return",
                "points": [
                    {
                        "x": dice.random() / 5,
                        "y": dice.gauss(0, 0.02),
                        "name": f"Agent {n}",
                        "group": "AB"[n % 2],
                    }
                    for n in range(30)
                ],
            },
        },
        {
            "id": "bars",
            "kind": "bar",
            "payload": {
                "title": "Profit and loss by day",
                "unit": "usdt",
                "signed": True,
                "categories": ["Day 1", "Day 2", "Day 3"],
                "series": [{"name": "PnL", "data": ["12.50", "-4.20", None]}],
            },
        },
        {
            "id": "nothing",
            "kind": "line",
            "payload": {"title": "Nothing", "series": [], "empty": "No day is scored."},
        },
    ]


@permission_required(SIGNED_IN)
def gallery(request: HttpRequest) -> HttpResponse:
    context = {
        "charts": [{**chart, "json": f"{chart['id']}-data"} for chart in charts()],
        "equity": "1012.5",
        "roi": 0.0125,
        "pnl": "-12.5",
        "crumbs": [("Home", "/"), ("Gallery", "")],
    }
    return HttpResponse(_template("gallery").render(context, request))


@permission_required(SIGNED_IN)
def line(request: HttpRequest) -> JsonResponse:
    series = [{"id": "x", "name": "X", "style": "primary", "data": walk(3, 50)}]
    return JsonResponse({"title": "Fetched", "unit": "usdt", "series": series})


@permission_required(SIGNED_IN)
def fragment(request: HttpRequest) -> HttpResponse:
    return HttpResponse("swapped")


class PeopleTable(PortalTable):
    caption = "People"
    username = tables.Column()
    email = tables.Column()
    joined = TimeColumn(accessor="date_joined")
    equity = MoneyColumn(accessor="pk", verbose_name="Equity")
    change = PercentColumn(accessor="last_login", reason="Has not signed in.")

    class Meta(PortalTable.Meta):
        model = User
        fields = ("username", "email")


class PeopleFilter(django_filters.FilterSet):
    username = django_filters.CharFilter(lookup_expr="icontains", label="Name contains")

    class Meta:
        model = User
        fields = ("username",)


class People(TablePage):
    permission = SIGNED_IN
    table_class = PeopleTable
    filterset_class = PeopleFilter
    paginate_by = 10
    queryset = User.objects.order_by("username")

    def render_to_response(self, context: dict[str, Any], **_: Any) -> HttpResponse:
        export = self.request.GET.get("_export")
        if export:
            response: HttpResponse = super().render_to_response(context)
            return response
        return HttpResponse(_template("gallery_table").render(context, self.request))


handler404 = "fundops.core.views.not_found"
urlpatterns = [
    path("gallery/", gallery),
    path("gallery/line.json", line),
    path("gallery/fragment/", fragment),
    path("gallery/people/", People.as_view()),
    path("", include("fundops.urls")),
]
