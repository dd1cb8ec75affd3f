"""The pictures of a stress scenario (the contract is at the head of static/js/charts.js)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fundops.core.clock import to_ms
from risk.models import StressResult

MOST_BARS = 25


def loss_by_position(result: StressResult | None, base: str) -> dict[str, Any]:
    """P&L of each position at the scenario's worst instant, the dearest first."""
    rows = sorted(result.by_symbol.items(), key=lambda p: p[1])[:MOST_BARS] if result is not None else []
    return {
        "as_of": result.at.isoformat() if result is not None else None,
        "synthetic": False,
        "unit": base,
        "categories": [symbol for symbol, _ in rows],
        "series": [{"name": "P&L", "data": [pnl for _, pnl in rows]}] if rows else [],
        "signed": True,
        "horizontal": True,
        "height": 60 + 26 * len(rows) if rows else 150,
        "empty": _why_empty(result),
    }


def _why_empty(result: StressResult | None) -> str:
    if result is None:
        return "This scenario has not run on this book."
    return "; ".join(result.missing) or "No position is touched by it."


def history(results: Sequence[StressResult], tolerance: float | None) -> dict[str, Any]:
    """Loss over equity of the past runs, oldest first, with the tolerance."""
    points = [[to_ms(r.at), r.loss_frac] for r in reversed(results)]
    return {
        "as_of": results[0].at.isoformat() if results else None,
        "synthetic": False,
        "unit": "share",
        "x": "time",
        "zero": True,
        "series": [{"id": "loss", "name": "Loss over equity", "style": "primary", "step": True, "data": points}]
        if len(points) > 1
        else [],
        "levels": [] if tolerance is None else [{"y": tolerance, "label": "tolerated", "tone": "bad"}],
        "empty": "A history needs two runs.",
    }
