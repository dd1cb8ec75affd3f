"""The pictures of a cohort as chart payloads (the contract is at the head of static/js/charts.js)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.urls import reverse

from fundops.core.clock import from_ms, to_ms
from trading.cohorts.catalog import open_catalog
from trading.marketdata.bars import SeriesKey
from trading.models.cohort import AgentDay, Cohort, CohortAgent, CohortDay, CohortFill

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
#: Beyond this many agents the curves of the best and the worst stand for all.
MOST_CURVES = 60
MOST_ROWS = 200
MOST_CANDLES = 1_500


def equity(cohort: Cohort) -> dict[str, Any]:
    """Equity as a fraction of what was drawn, parent in front of its agents, hour by hour."""
    days = list(cohort.cohort_days.order_by("day"))
    shown = _shown_agents(cohort)
    series: list[dict[str, Any]] = [
        {
            "id": f"agent-{agent.number}",
            "name": f"Agent {agent.number}",
            "style": "muted",
            "href": agent.get_absolute_url(),
            "data": _curve(cohort, rows, float(agent.draw)),
        }
        for agent, rows in shown
    ]
    series.append(
        {
            "id": "parent",
            "name": "Parent wallet",
            "style": "primary",
            "data": _curve(cohort, days, float(cohort.bankroll)),
        }
    )
    return _payload(
        cohort,
        days,
        unit="frac",
        x="time",
        series=series,
        marks=[{"x": cohort.start_ms + d * DAY_MS, "label": f"Day {d + 1}", "tone": "muted"} for d in range(len(days))]
        if cohort.days <= 31
        else [],
        levels=[{"y": 0, "label": "Drawn", "tone": "muted"}],
        zoom=cohort.days > 7,
        empty="The first hour has not ended yet.",
    )


def heatmap_height(rows: int) -> int:
    """Pixels for so many agents; little where there are none yet."""
    return min(900, 90 + 18 * min(rows, MOST_ROWS)) if rows else 150


def utilisation(cohort: Cohort) -> dict[str, Any]:
    """How much of the bankroll is in use now."""
    days = list(cohort.cohort_days.order_by("-day")[:1])
    now = next((x for x in reversed(days[0].hourly_utilisation) if x is not None), None) if days else None
    ceiling = float(cohort.gross_ceiling)
    return _payload(
        cohort,
        days,
        unit="share",
        value=now,
        min=0,
        max=max(ceiling * 1.1, now or 0.0),
        levels=[
            {"y": float(cohort.utilisation_alert_frac), "label": "alert", "tone": "warn"},
            {"y": ceiling, "label": "ceiling", "tone": "bad"},
        ],
        caption="Gross exposure over bankroll at the last full hour",
        empty="No hour has ended yet.",
    )


def heatmap(cohort: Cohort, *, day: int) -> dict[str, Any]:
    """Hourly returns of one day, an agent a row, in the order of that day's ranks."""
    rows = list(AgentDay.objects.filter(agent__cohort=cohort, day=day).select_related("agent").order_by("rank"))
    rows = rows[:MOST_ROWS]
    return _payload(
        cohort,
        rows,
        unit="frac",
        x="category",
        xs=[f"{hour:02d}:00" for hour in range(24)],
        ys=[{"label": f"#{row.agent.number}", "href": row.agent.get_absolute_url()} for row in rows],
        cells=[[hour, y, value] for y, row in enumerate(rows) for hour, value in enumerate(row.hourly_roi)],
        diverging=True,
        height=heatmap_height(len(rows)),
        empty="No hour of this day has ended yet.",
    )


def agent_equity(agent: CohortAgent) -> dict[str, Any]:
    """One agent's equity in money, hour by hour."""
    days = list(agent.agent_days.order_by("day"))
    points = [[ms, value] for ms, value in _hours(agent.cohort, days)]
    return _payload(
        agent.cohort,
        days,
        unit=agent.cohort.quote,
        x="time",
        series=[{"id": "equity", "name": "Equity", "style": "primary", "area": True, "data": points}],
        levels=[{"y": float(agent.draw), "label": "Drawn", "tone": "muted"}],
        empty="The first hour has not ended yet.",
    )


def agent_candles(agent: CohortAgent, *, symbol: str, day: int) -> dict[str, Any]:
    """A day's candles of one market with the agent's fills on them."""
    cohort = agent.cohort
    start = cohort.start_ms + (day - 1) * DAY_MS
    interval = cohort.interval_ms
    end = start + DAY_MS
    if cohort.is_live:  # the catalog may hold what has not happened yet on the cohort's own clock
        end = min(end, max(start, cohort.run.next_bar_ms)) if hasattr(cohort, "run") else start
    bars = open_catalog().read_bars(SeriesKey(cohort.venue, symbol, interval), start, end)
    fills = agent.fills.filter(symbol=symbol, at__gte=from_ms(start), at__lt=from_ms(start + DAY_MS)).order_by("number")
    return _payload(
        cohort,
        list(bars.ts_ms),
        unit=cohort.quote,
        interval_ms=interval,
        whole=True,
        candles=[
            [int(t), float(o), float(h), float(lo), float(c), float(v)]
            for t, o, h, lo, c, v in zip(
                bars.ts_ms, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True
            )
        ],
        markers=[_marker(fill) for fill in fills],
        empty="No bar of this day has been traded yet."
        if cohort.is_live
        else f"The catalog holds no candles of {symbol} for this day.",
    )


def _marker(fill: CohortFill) -> dict[str, Any]:
    reason = fill.reason.replace("_", " ")
    return {
        "t": to_ms(fill.at),
        "price": float(fill.price),
        "side": fill.side,
        "label": reason if fill.reason != "signal" else fill.side,
        "detail": f"{fill.quantity.normalize():f} at {fill.price.normalize():f}, {reason}",
        "tone": "bad" if fill.realised < 0 else "good" if fill.realised > 0 else "accent",
        "href": reverse("portal:cohort-fill", args=[fill.cohort_id, fill.number]),
    }


def _shown_agents(cohort: Cohort) -> list[tuple[CohortAgent, list[AgentDay]]]:
    """All agents, or the best and the worst of the last day where there are too many to tell apart."""
    last = cohort.cohort_days.order_by("-day").values_list("day", flat=True).first() or 1
    ranked = AgentDay.objects.filter(agent__cohort=cohort, day=last).order_by("rank").values_list("agent", flat=True)
    chosen = list(ranked)
    if len(chosen) > MOST_CURVES:
        chosen = chosen[: MOST_CURVES // 2] + chosen[-MOST_CURVES // 2 :]
    by_agent: dict[int, list[AgentDay]] = {}
    rows = AgentDay.objects.filter(agent__in=chosen).select_related("agent").order_by("agent__number", "day")
    for row in rows:
        by_agent.setdefault(row.agent_id, []).append(row)
    return [(rows[0].agent, rows) for rows in by_agent.values()]


def _curve(cohort: Cohort, days: Sequence[AgentDay | CohortDay], capital: float) -> list[list[float | None]]:
    hours: list[list[float | None]] = [[ms, value / capital - 1.0] for ms, value in _hours(cohort, days)]
    return [[cohort.start_ms, 0.0], *hours] if hours else []


def _hours(cohort: Cohort, days: Sequence[AgentDay | CohortDay]) -> Iterable[tuple[int, float]]:
    """(end of the hour, equity) of every hour that has ended, and the equity now of a day that has not."""
    for row in days:
        start = cohort.start_ms + (row.day - 1) * DAY_MS
        for hour, value in enumerate(row.hourly_equity):
            if value is not None:
                yield start + (hour + 1) * HOUR_MS, value


def _payload(cohort: Cohort, rows: Sequence[object], *, empty: str, **kind: Any) -> dict[str, Any]:
    as_of: datetime | None = from_ms(cohort.run.next_bar_ms) if rows and hasattr(cohort, "run") else None
    return {
        "as_of": as_of.isoformat() if as_of else None,
        "synthetic": cohort.synthetic,
        "empty": empty,
        **kind,
    }
