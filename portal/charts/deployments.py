"""The pictures of a deployment as chart payloads (the contract is at the head of static/js/charts.js)."""

from __future__ import annotations

from typing import Any

from fundops.core.clock import from_ms, to_ms
from portal.charts.cohort import MOST_CANDLES
from trading.cohorts.catalog import open_catalog
from trading.marketdata.bars import SeriesKey
from trading.models.deployments import Deployment
from trading.selectors.deployments import HOUR_MS, equity_path, expected


def equity(deployment: Deployment) -> dict[str, Any]:
    """Live equity in front of the band that the agent's cohort lets expect."""
    points = equity_path(deployment)
    bankroll = float(deployment.bankroll)
    series: list[dict[str, Any]] = []
    band = expected(deployment)
    if band is not None and len(points) > 1:
        walks: list[list[list[float]]] = [[], [], []]
        for point in points:
            hours = (point.at_ms - deployment.start_ms) / HOUR_MS
            for walk, value in zip(walks, band.at(hours), strict=True):
                walk.append([point.at_ms, round(point.units * (1.0 + value), 8)])
        names = ("Five of a hundred fall below", "Expected from the cohort", "Five of a hundred rise above")
        series = [
            {"id": f"band-{i}", "name": name, "style": "dashed" if i == 1 else "muted", "data": walk}
            for i, (name, walk) in enumerate(zip(names, walks, strict=True))
        ]
    series.append(
        {
            "id": "equity",
            "name": "Live equity",
            "style": "primary",
            "data": [[point.at_ms, point.equity] for point in points],
        }
    )
    begun = deployment.run.bars > 0
    return {
        "as_of": from_ms(deployment.run.next_bar_ms).isoformat() if begun else None,
        "synthetic": deployment.synthetic,
        "empty": "The first bar has not been worked yet.",
        "unit": deployment.quote,
        "x": "time",
        "series": series if begun else [],
        "levels": [{"y": bankroll, "label": "Bankroll", "tone": "muted"}],
        "zoom": len(points) > 200,
    }


def candles(deployment: Deployment, symbol: str) -> dict[str, Any]:
    """The last candles of one market that the desk has seen, with its fills on them."""
    step = deployment.interval_ms
    end = deployment.run.next_bar_ms
    start = max(deployment.start_ms, end - MOST_CANDLES // 3 * step)
    bars = open_catalog().read_bars(SeriesKey(deployment.venue, symbol, step), start, end) if end > start else None
    fills = deployment.fill_rows.filter(symbol=symbol, at__gte=from_ms(start)).order_by("number")
    rows = (
        []
        if bars is None
        else list(zip(bars.ts_ms, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True))
    )
    return {
        "as_of": from_ms(end).isoformat() if rows else None,
        "synthetic": deployment.synthetic,
        "empty": "The first bar has not been worked yet.",
        "unit": deployment.quote,
        "interval_ms": step,
        "whole": True,
        "candles": [[int(t), float(o), float(h), float(lo), float(c), float(v)] for t, o, h, lo, c, v in rows],
        "markers": [
            {
                "t": to_ms(fill.at),
                "price": float(fill.price),
                "side": fill.side,
                "label": fill.side if fill.reason == "signal" else fill.reason.replace("_", " "),
                "detail": f"{fill.quantity.normalize():f} at {fill.price.normalize():f}",
                "tone": "bad" if fill.realised < 0 else "good" if fill.realised > 0 else "accent",
            }
            for fill in fills
        ],
    }
