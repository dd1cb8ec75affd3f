"""The pictures of a Book's risk as chart payloads (the contract is at the head of static/js/charts.js)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any

import numpy as np

from fundops.core.clock import to_ms
from risk.models import RiskLimit
from risk.overview import Backtest, BookRisk, Component, Correlations, ExposureTable, last_day_of
from risk.quant.metrics import MONEY_METRICS, Metric
from risk.quant.tail import FloatArray

MOST_BARS = 15
DAY_MS = 86_400_000


def _number(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None


def _base(risk: BookRisk, **kind: Any) -> dict[str, Any]:
    return {"as_of": risk.at.isoformat(), "synthetic": False, **kind}


def component_bars(
    risk: BookRisk, parts: Sequence[Component], hrefs: Mapping[int, str], *, empty: str
) -> dict[str, Any]:
    """Component VaR and ES, the largest first; a negative one is a hedge."""
    shown = list(parts[:MOST_BARS])
    return _base(
        risk,
        unit=risk.base,
        categories=[c.label for c in shown],
        series=[
            {"name": "VaR", "data": [_number(c.var) for c in shown]},
            {"name": "ES", "data": [_number(c.es) for c in shown]},
        ]
        if shown
        else [],
        horizontal=True,
        hrefs=[hrefs.get(c.book.pk, "") if c.book is not None else "" for c in shown],
        height=bar_height(len(shown)),
        empty=empty,
    )


def bar_height(rows: int) -> int:
    return 70 + 34 * min(rows, MOST_BARS) if rows else 150


def grid_height(rows: int) -> int:
    return 110 + 26 * rows if rows else 150


def exposure_heatmap(risk: BookRisk, table: ExposureTable, hrefs: Mapping[int, str], *, empty: str) -> dict[str, Any]:
    """Signed exposure over equity by strategy and asset; in money where there is no equity to divide by."""
    equity = risk.equity
    scale = 1.0 / equity if equity is not None and equity > 0 else 1.0
    return _base(
        risk,
        title="Exposure over equity" if scale != 1.0 else "Exposure",
        unit="frac" if scale != 1.0 else risk.base,
        x="category",
        xs=table.symbols,
        ys=[
            {"label": name} | ({"href": hrefs[book.pk]} if book is not None and book.pk in hrefs else {})
            for name, book in zip(table.rows, table.books, strict=True)
        ],
        cells=_cells(table.exposure * scale, blank_zero=True),
        diverging=True,
        height=grid_height(len(table.rows)),
        empty=empty,
    )


def correlation_heatmap(risk: BookRisk, found: Correlations, *, empty: str) -> dict[str, Any]:
    return _base(
        risk,
        title="Correlation",
        unit="",
        x="category",
        xs=found.symbols,
        ys=[{"label": s} for s in found.symbols],
        cells=_cells(found.matrix, blank_zero=False),
        diverging=True,
        min=-1,
        max=1,
        height=grid_height(len(found.symbols)),
        empty=empty,
    )


def _cells(matrix: FloatArray, *, blank_zero: bool) -> list[list[Any]]:
    return [
        [x, y, None if blank_zero and value == 0 else _number(value)]
        for y, row in enumerate(np.atleast_2d(matrix))
        for x, value in enumerate(row)
        if matrix.size
    ]


def level_steps(limits: Sequence[RiskLimit], *, base: str, at: datetime) -> dict[str, Any]:
    """The soft and the hard level of one limit over its rows, newest first; a gap is a time without a limit."""
    metric = Metric(limits[0].metric) if limits else Metric.GROSS_EXPOSURE
    unit = "frac" if metric.value.endswith("_frac") else base if metric in MONEY_METRICS else ""
    series = []
    for name, tone in (("soft", "warn"), ("hard", "bad")):
        points: list[list[Any]] = []
        for row in reversed(limits):
            level = getattr(row, name)
            until = row.effective_to or max(at, row.effective_from)
            if level is None or until <= row.effective_from:
                continue
            begins = to_ms(row.effective_from)
            if points and points[-1][0] < begins:
                points.append([points[-1][0], None])
            points += [[begins, float(level)], [to_ms(until), float(level)]]
        if points:
            series.append(
                {"id": name, "name": f"{name} level", "tone": tone, "style": "normal", "step": True, "data": points}
            )
    return {
        "as_of": at.isoformat(),
        "synthetic": False,
        "unit": unit,
        "x": "time",
        "zero": True,
        "series": series,
        "empty": "It was never in force.",
    }


def backtest_line(risk: BookRisk, found: Backtest) -> dict[str, Any]:
    """Daily P&L against the forecast VaR and ES of that day, days beyond the VaR marked."""
    last = to_ms(datetime.combine(last_day_of(risk), time.min, tzinfo=UTC))
    n = found.pnl.shape[0]
    ms = [last - (n - 1 - i) * DAY_MS for i in range(n)]

    def points(values: FloatArray) -> list[list[Any]]:
        return [[t, _number(float(v))] for t, v in zip(ms, values, strict=True)]

    beyond = np.where(found.hits > 0, found.pnl, math.nan)
    return _base(
        risk,
        unit=risk.base,
        x="time",
        series=[
            {"id": "pnl", "name": "P&L of the day", "style": "normal", "data": points(found.pnl)},
            {
                "id": "var",
                "name": f"VaR {found.alpha:.1%}",
                "style": "primary",
                "step": True,
                "data": points(-found.var),
            },
            {"id": "es", "name": "ES", "style": "dashed", "step": True, "data": points(-found.es)},
            {"id": "hits", "name": "Beyond the VaR", "style": "points", "tone": "bad", "data": points(beyond)},
        ],
        levels=[{"y": 0, "label": "", "tone": "muted"}],
        zoom=n > 400,
        empty="There is no day to test.",
    )
