"""From an equity curve with capital flows to returns per step, UTC hour and UTC day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.metrics.errors import MetricsError

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Int64 = npt.NDArray[np.int64]

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class PeriodReturns:
    """``start_ms`` (n,) are the UTC starts of consecutive periods, ``returns`` (n,) or (n, k) fractions."""

    start_ms: Int64
    returns: Float64


def _checked(ts_ms: Int64 | None, values: Floats, flows: Floats | None) -> Float64:
    equity: Float64 = np.asarray(values, dtype=np.float64)
    if equity.ndim not in (1, 2):
        raise MetricsError(f"equity has {equity.ndim} dimensions; give (n,) or (n, agents).")
    if flows is not None and np.shape(flows) != equity.shape:
        raise MetricsError(f"flows has shape {np.shape(flows)}, equity {equity.shape}; they must be the same.")
    if ts_ms is not None:
        if np.shape(ts_ms) != equity.shape[:1]:
            raise MetricsError(f"There are {np.shape(ts_ms)} times for {equity.shape[0]} equity values.")
        if np.any(np.diff(ts_ms) <= 0):
            raise MetricsError("Valuation times must rise strictly; sort them and drop duplicates.")
    return equity


def step_returns(equity: Floats, *, initial: float | Floats, flows: Floats | None = None) -> Float64:
    """Returns from one valuation to the next, net of flows: (equity - flow) / previous equity - 1.

    ``equity`` (n,) or (n, agents) in money; ``initial`` is the equity before the first value; ``flows``
    (same shape, paid in positive) arrived after the previous valuation and is contained in the equity of
    its row. The result has the shape of ``equity``. NaN from the step on whose opening equity is zero or
    negative: what is left of nothing has no return. Chaining these returns is the time-weighted return of
    GIPS, exact where every flow is valued.
    """
    equity = _checked(None, equity, flows)
    before = np.concatenate([np.broadcast_to(np.asarray(initial, dtype=np.float64), equity[:1].shape), equity[:-1]])
    after = equity if flows is None else equity - np.asarray(flows, dtype=np.float64)
    alive = np.logical_and.accumulate(before > 0, axis=0)
    out: Float64 = np.full(equity.shape, np.nan)
    np.divide(after, before, out=out, where=alive)
    return out - 1.0


def wealth_index(equity: Floats, *, initial: float | Floats, flows: Floats | None = None) -> Float64:
    """Growth of 1 net of flows, shape (n + 1,) or (n + 1, agents), beginning with 1; NaN from ruin on."""
    steps = step_returns(equity, initial=initial, flows=flows)
    return np.concatenate([np.ones((1, *steps.shape[1:])), np.cumprod(1.0 + steps, axis=0)])


def period_returns(
    ts_ms: Int64,
    equity: Floats,
    period_ms: int,
    *,
    initial: float | Floats,
    flows: Floats | None = None,
) -> PeriodReturns:
    """Time-weighted returns per period of ``period_ms`` that begins at a multiple of it since the epoch
    (UTC).

    ``ts_ms`` (n,) are the moments of valuation in UTC milliseconds, rising. A valuation at the very end of
    a period (00:00 for a day) belongs to the period that ends there. The first and the last period may be
    incomplete. A period without a valuation counts as 0: nothing was marked, so nothing changed.
    """
    equity = _checked(ts_ms, equity, flows)
    if equity.shape[0] == 0:
        return PeriodReturns(np.empty(0, dtype=np.int64), np.empty(equity.shape))
    index = wealth_index(equity, initial=initial, flows=flows)
    period = (np.asarray(ts_ms, dtype=np.int64) - 1) // period_ms
    numbers = np.arange(period[0], period[-1] + 1)
    last = np.searchsorted(period, numbers, side="right")
    closes = np.concatenate([index[:1], index[last]])
    return PeriodReturns(numbers * period_ms, closes[1:] / closes[:-1] - 1.0)


def daily_returns(
    ts_ms: Int64, equity: Floats, *, initial: float | Floats, flows: Floats | None = None
) -> PeriodReturns:
    """Mark-to-market returns per UTC day, net of flows; see :func:`period_returns`."""
    return period_returns(ts_ms, equity, DAY_MS, initial=initial, flows=flows)


def hourly_returns(
    ts_ms: Int64, equity: Floats, *, initial: float | Floats, flows: Floats | None = None
) -> PeriodReturns:
    """Return on investment per UTC hour, net of flows; see :func:`period_returns`."""
    return period_returns(ts_ms, equity, HOUR_MS, initial=initial, flows=flows)
