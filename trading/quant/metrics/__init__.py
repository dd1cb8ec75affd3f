"""Performance figures, each with its sample size and with None where it is undefined.

Definitions (the evidence standards of this product): returns are mark-to-market, net of capital flows, per
UTC day; standard deviations use ddof 1; annual figures use 365 days, since these markets never close; a
figure that cannot be computed is None (NaN inside arrays), never a sentinel; every ratio carries the number
of observations it rests on.

No Django in here: arrays in, small frozen dataclasses out.
"""

from __future__ import annotations

from trading.quant.metrics.confidence import (
    Confidence,
    confidence,
    deflated_sharpe,
    expected_max_sharpe,
    min_track_record,
    probabilistic_sharpe,
)
from trading.quant.metrics.ratios import (
    DAYS_PER_YEAR,
    Drawdown,
    Ratio,
    annual_volatility,
    annualised_return,
    calmar,
    drawdown_path,
    max_drawdown,
    sharpe,
    sortino,
    total_return,
    variance,
)
from trading.quant.metrics.returns import (
    DAY_MS,
    HOUR_MS,
    PeriodReturns,
    daily_returns,
    hourly_returns,
    period_returns,
    step_returns,
    wealth_index,
)
from trading.quant.metrics.trades import (
    TRIP,
    CostSummary,
    TradeSummary,
    cost_summary,
    exposure,
    realised_lots,
    round_trips,
    trade_summary,
    turnover,
)

__all__ = [
    "DAYS_PER_YEAR",
    "DAY_MS",
    "HOUR_MS",
    "TRIP",
    "Confidence",
    "CostSummary",
    "Drawdown",
    "PeriodReturns",
    "Ratio",
    "TradeSummary",
    "annual_volatility",
    "annualised_return",
    "calmar",
    "confidence",
    "cost_summary",
    "daily_returns",
    "deflated_sharpe",
    "drawdown_path",
    "expected_max_sharpe",
    "exposure",
    "hourly_returns",
    "max_drawdown",
    "min_track_record",
    "period_returns",
    "probabilistic_sharpe",
    "realised_lots",
    "round_trips",
    "sharpe",
    "sortino",
    "step_returns",
    "total_return",
    "trade_summary",
    "turnover",
    "variance",
    "wealth_index",
]
