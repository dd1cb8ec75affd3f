"""The picture of leverage over time as a chart payload (the contract is at the head of static/js/charts.js)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fundops.core.clock import to_ms
from risk.leverage import tier_history
from risk.quant.leverage import LeverageRules
from treasury.models import Book

MOST_BOOKS = 12


def over_time(books: Sequence[Book], rules: LeverageRules | None, at: datetime) -> dict[str, Any]:
    """A step line of each Book's tier, up to now, with the policy's cap and floor."""
    shown = list(books)[:MOST_BOOKS]
    history = tier_history([b.pk for b in shown])
    series = []
    for book in shown:
        points = [[to_ms(d.at), float(d.to_leverage)] for d in history[book.pk]]
        if points:
            points.append([to_ms(at), points[-1][1]])
        series.append({"id": f"book-{book.pk}", "name": book.path, "step": True, "style": "normal", "data": points})
    levels = (
        []
        if rules is None
        else [
            {"y": float(rules.cap), "label": "cap", "tone": "bad"},
            {"y": float(rules.floor), "label": "floor", "tone": "muted"},
        ]
    )
    return {
        "as_of": at.isoformat(),
        "synthetic": False,
        "unit": "",
        "x": "time",
        "zero": True,
        "series": series,
        "levels": levels,
        "empty": "No book is under the leverage policy yet.",
    }
