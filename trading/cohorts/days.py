"""Scoring: the rows of one day from what the engine measured since its last bar.

A stretch never crosses midnight UTC, so it belongs to exactly one day. Engine counters run from the cohort's start; a
day is what they grew by since the days before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.models.cohort import AgentDay, Cohort, CohortAgent, CohortDay
from trading.quant.engine.codes import BreachKind
from trading.quant.engine.results import Run, money
from trading.quant.scoring import HOURS, HourlyDay, confidence, rank

Float64 = npt.NDArray[np.float64]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000

#: Measures that the engine accumulates and a day takes the growth of.
_MONEY = ("realised", "fees", "spread_cost", "impact_cost", "funding")
_COUNTS = ("trades", "rejections")


@dataclass(frozen=True, slots=True)
class _Past:
    """The subject rows of earlier days, folded: sums of the accumulating measures, last equity, all hourly returns."""

    sums: dict[str, list[Any]]
    equity: list[Decimal]
    hourly_roi: Float64  # (24 * earlier days, n_subjects)


def score(
    *, cohort: Cohort, agents: Sequence[CohortAgent], day: int, run: Run, complete: bool
) -> tuple[list[AgentDay], CohortDay]:
    """The unsaved rows of ``day`` after ``run``, continuing what the day held already."""
    past_agents, today_agents = _agent_rows(cohort, agents, day)
    past_parent, today_parent = _parent_rows(cohort, day)
    start_ms = cohort.start_ms + (day - 1) * DAY_MS
    slots = (run.marks.ts_ms - start_ms) // HOUR_MS - 1
    inside = (slots >= 0) & (slots < HOURS)
    slots = slots[inside]
    marks, parent_marks = run.marks.agents[inside], run.marks.parent[inside]
    final, parent_final = run.final.agents[0], run.final.parent[0]
    draws = np.array([float(a.draw) for a in agents])

    hourly = _hours(today_agents, slots, marks["equity"], marks["gross"] / draws, past_agents.equity)
    parent_hourly = _hours(
        [today_parent],
        slots,
        parent_marks["equity"][:, None],
        parent_marks["utilisation"][:, None],
        past_parent.equity,
    )
    odds, sizes = confidence(np.vstack([past_agents.hourly_roi, hourly.roi]))
    parent_odds, parent_sizes = confidence(np.vstack([past_parent.hourly_roi, parent_hourly.roi]))
    roi = final["equity"] / hourly.opening - 1.0
    fall = marks["peak_equity"] - marks["equity"]
    against = parent_marks["equity"][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        parent_fall = np.max(np.where(against > 0, fall / against, 0.0), axis=0, initial=0.0)
    leverage = run.breaches[run.breaches["kind"] == BreachKind.AGENT_LEVERAGE]
    breaches = np.bincount(leverage["agent"], minlength=len(agents))
    common = {"day": day, "date": cohort.start + timedelta(days=day - 1), "complete": complete}

    ranks = rank(roi)
    rows = [
        AgentDay(
            agent=agent,
            rank=int(ranks[j]),
            roi_frac=float(roi[j]),
            parent_drawdown_frac=max(float(parent_fall[j]), today.parent_drawdown_frac if today else 0.0),
            leverage_breaches=int(breaches[j]) + (today.leverage_breaches if today else 0),
            **common,
            **_growth(final[j], past_agents.sums, j),
            **_curve(hourly, j, odds, sizes),
            opening_equity=past_agents.equity[j],
            equity=money(final["equity"][j]),
            unrealised=money(final["unrealised"][j]),
            drawdown_frac=float(final["max_drawdown"][j]),
        )
        for j, (agent, today) in enumerate(zip(agents, today_agents, strict=True))
    ]
    parent = CohortDay(
        cohort=cohort,
        roi_frac=float(parent_final["equity"] / parent_hourly.opening[0] - 1.0),
        leverage_breaches=sum(row.leverage_breaches for row in rows),
        **common,
        **{name: sum((getattr(row, name) for row in rows), Decimal(0)) for name in _MONEY},
        **{name: sum(getattr(row, name) for row in rows) for name in _COUNTS},
        **_curve(parent_hourly, 0, parent_odds, parent_sizes),
        opening_equity=past_parent.equity[0],
        equity=money(parent_final["equity"]),
        unrealised=sum((row.unrealised for row in rows), Decimal(0)),
        drawdown_frac=float(parent_final["max_drawdown"]),
    )
    return rows, parent


def save(rows: Sequence[AgentDay], parent: CohortDay) -> None:
    """Writes the rows over what the day held."""
    AgentDay.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["agent", "day"],
        update_fields=_changing(AgentDay),
        batch_size=2_000,
    )
    CohortDay.objects.bulk_create(
        [parent], update_conflicts=True, unique_fields=["cohort", "day"], update_fields=_changing(CohortDay)
    )


def _changing(model: type[AgentDay | CohortDay]) -> list[str]:
    fixed = {"id", "agent", "cohort", "day", "date", "opening_equity"}
    return [f.name for f in model._meta.concrete_fields if f.name not in fixed]


def _growth(final: Any, sums: dict[str, list[Any]], j: int) -> dict[str, Any]:
    amounts: dict[str, Any] = {name: money(final[name]) - sums[name][j] for name in _MONEY}
    return amounts | {name: int(final[name]) - sums[name][j] for name in _COUNTS}


def _curve(hourly: HourlyDay, j: int, odds: Float64, sizes: npt.NDArray[np.int64]) -> dict[str, Any]:
    return {
        "variance": _or_none(hourly.variance[j]),
        "utilisation_frac": float(hourly.mean_utilisation[j]),
        "confidence": _or_none(odds[j]),
        "sample_size": int(sizes[j]),
        "hourly_equity": [_or_none(x) for x in hourly.equity[:, j]],
        "hourly_roi": [_or_none(x) for x in hourly.roi[:, j]],
        "hourly_utilisation": [_or_none(x) for x in hourly.utilisation[:, j]],
    }


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _hours(
    today: Sequence[AgentDay | CohortDay | None],
    slots: npt.NDArray[np.int64],
    equity: Float64,
    utilisation: Float64,
    opening: Sequence[Decimal],
) -> HourlyDay:
    n = len(opening)
    table = {"equity": np.full((HOURS, n), np.nan), "utilisation": np.full((HOURS, n), np.nan)}
    for j, row in enumerate(today):
        if row is not None:
            table["equity"][:, j] = np.array(row.hourly_equity, dtype=np.float64)
            table["utilisation"][:, j] = np.array(row.hourly_utilisation, dtype=np.float64)
    table["equity"][slots] = equity
    table["utilisation"][slots] = utilisation
    return HourlyDay(opening=np.array([float(x) for x in opening]), **table)


def _agent_rows(cohort: Cohort, agents: Sequence[CohortAgent], day: int) -> tuple[_Past, list[AgentDay | None]]:
    position = {agent.pk: j for j, agent in enumerate(agents)}
    n = len(agents)
    earlier: list[list[AgentDay]] = [[] for _ in agents]
    today: list[AgentDay | None] = [None] * n
    for row in AgentDay.objects.filter(agent__cohort=cohort, day__lte=day).order_by("day"):
        j = position[row.agent_id]
        if row.day == day:
            today[j] = row
        else:
            earlier[j].append(row)
    return _fold(earlier, [a.draw for a in agents]), today


def _parent_rows(cohort: Cohort, day: int) -> tuple[_Past, CohortDay | None]:
    rows = list(CohortDay.objects.filter(cohort=cohort, day__lte=day).order_by("day"))
    today = rows.pop() if rows and rows[-1].day == day else None
    return _fold([rows], [cohort.bankroll]), today


def _fold(earlier: Sequence[Sequence[AgentDay | CohortDay]], capital: Sequence[Decimal]) -> _Past:
    days = max((len(rows) for rows in earlier), default=0)
    roi = np.full((HOURS * days, len(earlier)), np.nan)
    for j, rows in enumerate(earlier):
        for d, row in enumerate(rows):
            roi[d * HOURS : (d + 1) * HOURS, j] = np.array(row.hourly_roi, dtype=np.float64)
    return _Past(
        sums={name: [sum((getattr(r, name) for r in rows), Decimal(0)) for rows in earlier] for name in _MONEY}
        | {name: [sum(getattr(r, name) for r in rows) for rows in earlier] for name in _COUNTS},
        equity=[rows[-1].equity if rows else capital[j] for j, rows in enumerate(earlier)],
        hourly_roi=roi,
    )
