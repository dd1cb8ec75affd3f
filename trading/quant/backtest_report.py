"""The report of a backtest: what one agent, or the whole wallet, earned and risked and what it cost.

Everything is read off the run's own marks (hourly unless the run says otherwise) and fills, by the
definitions of ``trading.quant.metrics``. A figure that is undefined is None, and every ratio carries its
sample size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fundops.core.clock import from_ms
from trading.quant import metrics
from trading.quant.engine import FillReason, RejectionReason, Run
from trading.quant.metrics import (
    DAY_MS,
    Confidence,
    CostSummary,
    Drawdown,
    Ratio,
    TradeSummary,
    confidence,
    cost_summary,
    daily_returns,
    hourly_returns,
    max_drawdown,
    round_trips,
    trade_summary,
)

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Table = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class BacktestReport:
    """One agent (``agent`` is its index) or the whole wallet (``agent`` is None) over one run.

    Money is in the quote currency; returns are fractions, per UTC day and net of flows. ``hourly_roi`` is
    the mean return of an hour and ``hourly_variance`` its sample variance. ``drawdown`` is that of the
    marks, ``worst_drawdown`` the depth at bar resolution, which Calmar uses. ``exposure`` is mean gross
    exposure over equity, ``in_market`` the share of marks with a position. ``curve`` is (time, equity) from
    the start on.
    """

    label: str
    agent: int | None
    start_ms: int
    end_ms: int
    days: float
    initial: float
    final: float
    profit: float
    total_return: Ratio
    annualised_return: Ratio
    annual_volatility: Ratio
    daily_variance: Ratio
    sharpe: Ratio
    sortino: Ratio
    calmar: Ratio
    drawdown: Drawdown
    worst_drawdown: float
    hourly_roi: Ratio
    hourly_variance: Ratio
    trades: TradeSummary
    turnover_per_day: Ratio
    exposure: Ratio
    in_market: Ratio
    costs: CostSummary
    exit_reasons: dict[str, int]
    rejections: dict[str, int]
    confidence: Confidence
    curve: tuple[Int64, Float64]
    daily: tuple[Int64, Float64]

    def as_dict(self, *, curve: bool = True) -> dict[str, Any]:
        """JSON-ready: ratios as {"value", "n"}, times as ISO 8601 UTC, None where undefined, no NaN
        anywhere.
        """
        document = {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in ("curve", "daily")}
        document["start"], document["end"] = (from_ms(document.pop(k)).isoformat() for k in ("start_ms", "end_ms"))
        document["drawdown"] = _drawdown_dict(self.drawdown, self.curve[0])
        document["daily_returns"] = [
            {"day": from_ms(int(ms)).date().isoformat(), "return": _plain(value)}
            for ms, value in zip(*(a.tolist() for a in self.daily), strict=True)
        ]
        if curve:
            document["curve"] = [
                {"at": from_ms(int(ms)).isoformat(), "equity": _plain(value)}
                for ms, value in zip(*(a.tolist() for a in self.curve), strict=True)
            ]
        return document


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _drawdown_dict(drawdown: Drawdown, times: Int64) -> dict[str, Any]:
    def at(index: int | None) -> str | None:
        return None if index is None else from_ms(int(times[index])).isoformat()

    return {
        "depth": drawdown.depth,
        "peak": at(drawdown.peak),
        "trough": at(drawdown.trough),
        "recovered": at(drawdown.recovered),
        "duration_ms": drawdown.length_ms,
        "longest_ms": drawdown.longest_ms,
    }


def backtest_report(
    run: Run,
    *,
    start_ms: int,
    initial: float,
    agent: int | None = None,
    label: str = "",
    flows: Float64 | None = None,
) -> BacktestReport:
    """Report on agent ``agent`` of ``run``, or on the parent wallet when it is None.

    ``start_ms`` is the opening time of the run's first bar, ``initial`` the draw (or the bankroll) at that
    moment. ``flows`` (n_marks,) is capital paid in before each mark, the closing mark included where it
    stands apart.
    """
    fills, payments, rejections = run.fills, run.funding, run.rejections
    if agent is not None:
        fills, payments, rejections = (t[t["agent"] == agent] for t in (fills, payments, rejections))
    times, marks = _marks(run, agent)
    return _report(times, marks, fills, payments, rejections, start_ms, initial, agent, label, flows)


def cohort_reports(
    run: Run, *, start_ms: int, draws: Sequence[float], labels: Sequence[str] | None = None
) -> list[BacktestReport]:
    """One report an agent of ``run``, in order; ``draws`` are their starting capitals."""
    names = labels or [f"agent {k}" for k in range(len(draws))]
    return [
        backtest_report(run, start_ms=start_ms, initial=draw, agent=k, label=name)
        for k, (draw, name) in enumerate(zip(draws, names, strict=True))
    ]


def _marks(run: Run, agent: int | None) -> tuple[Int64, Table]:
    """All marks and, where it lies after the last of them, the closing one."""

    def rows(source: Any) -> Table:
        table: Table = source.parent if agent is None else source.agents[:, agent]
        return table

    apart = not run.marks.ts_ms.size or run.final.ts_ms[0] > run.marks.ts_ms[-1]
    if not apart:
        return run.marks.ts_ms, rows(run.marks)
    return (
        np.concatenate([run.marks.ts_ms, run.final.ts_ms]),
        np.concatenate([rows(run.marks), rows(run.final)]),
    )


def _report(
    times: Int64,
    marks: Table,
    fills: Table,
    payments: Table,
    rejections: Table,
    start_ms: int,
    initial: float,
    agent: int | None,
    label: str,
    flows: Float64 | None,
) -> BacktestReport:
    equity = np.ascontiguousarray(marks["equity"])
    wealth = metrics.wealth_index(equity, initial=initial, flows=flows)
    curve_ms = np.concatenate([[start_ms], times])
    daily = daily_returns(times, equity, initial=initial, flows=flows)
    hourly = hourly_returns(times, equity, initial=initial, flows=flows)
    drawdown = max_drawdown(wealth, curve_ms)
    worst = max(drawdown.depth, float(marks["max_drawdown"][-1]) if flows is None else 0.0)
    trips, still_open = round_trips(fills)
    days = (int(times[-1]) - start_ms) / DAY_MS
    held = np.ascontiguousarray(marks["gross"])
    hours = hourly.returns[np.isfinite(hourly.returns)]
    paid_in = float(flows.sum()) if flows is not None else 0.0
    return BacktestReport(
        label=label,
        agent=agent,
        start_ms=start_ms,
        end_ms=int(times[-1]),
        days=days,
        initial=initial,
        final=float(equity[-1]),
        profit=float(equity[-1]) - initial - paid_in,
        total_return=metrics.total_return(daily.returns),
        annualised_return=metrics.annualised_return(daily.returns),
        annual_volatility=metrics.annual_volatility(daily.returns),
        daily_variance=metrics.variance(daily.returns),
        sharpe=metrics.sharpe(daily.returns),
        sortino=metrics.sortino(daily.returns),
        calmar=metrics.calmar(daily.returns, worst),
        drawdown=drawdown,
        worst_drawdown=worst,
        hourly_roi=Ratio(float(hours.mean()) if hours.size else None, int(hours.size)),
        hourly_variance=metrics.variance(hours),
        trades=trade_summary(trips, still_open),
        turnover_per_day=metrics.turnover(float(fills["notional"].sum()), equity, days=days),
        exposure=metrics.exposure(held, equity),
        in_market=Ratio(float(np.count_nonzero(held > 0) / held.size), int(held.size)),
        costs=cost_summary(fills, float(payments["amount"].sum()), liquidation_reason=int(FillReason.LIQUIDATION)),
        exit_reasons=_counted(trips["exit_reason"], FillReason),
        rejections=_counted(rejections["reason"], RejectionReason),
        confidence=confidence(daily.returns),
        curve=(curve_ms, np.concatenate([[initial], equity])),
        daily=(daily.start_ms, daily.returns),
    )


def _counted(codes: npt.NDArray[np.int32], names: type[FillReason] | type[RejectionReason]) -> dict[str, int]:
    found, counts = np.unique(codes, return_counts=True)
    return {names(int(code)).name.lower(): int(count) for code, count in zip(found, counts, strict=True)}
