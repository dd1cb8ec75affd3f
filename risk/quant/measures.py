"""Volatility, beta, correlation, drawdown, exposure and liquidity.

Returns are daily, simple, in UTC days; a year has 365 of them, and sample moments use ddof 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from risk.quant.tail import FloatArray

DAYS_A_YEAR = 365


def volatility(returns: FloatArray, *, periods: int = DAYS_A_YEAR) -> float:
    """Annualised deviation of `returns` (n,), ddof 1; NaN below two observations or with a NaN among them."""
    r = np.asarray(returns, dtype=np.float64)
    return float(r.std(ddof=1) * math.sqrt(periods)) if r.shape[0] >= 2 else math.nan


def ewma_volatility(returns: FloatArray, *, decay: float = 0.94, periods: int = DAYS_A_YEAR) -> float:
    """Annualised volatility for the next day, exponentially weighted and with zero mean (RiskMetrics 1996).

    NaN below 20 observations.
    """
    r = np.asarray(returns, dtype=np.float64)
    if r.shape[0] < 20:
        return math.nan
    import pandas as pd

    squares = pd.Series(r * r).ewm(alpha=1 - decay, adjust=True, ignore_na=False).mean()
    return math.sqrt(float(squares.iloc[-1]) * periods) if np.isfinite(r).all() else math.nan


@dataclass(frozen=True, slots=True)
class Beta:
    """Slope of a return on its benchmark, with its standard error and the sample size."""

    beta: float
    alpha: float
    r_squared: float
    standard_error: float
    n: int


def beta(returns: FloatArray, benchmark: FloatArray) -> Beta:
    """Least-squares beta of two aligned series (n,), over the days both have.

    NaN below three common days or where the benchmark does not move.
    """
    r, m = np.asarray(returns, dtype=np.float64), np.asarray(benchmark, dtype=np.float64)
    if r.shape != m.shape:
        raise ValueError(f"Returns {r.shape} and benchmark {m.shape} must be aligned day by day.")
    both = np.isfinite(r) & np.isfinite(m)
    r, m = r[both], m[both]
    if r.shape[0] < 3 or float(np.ptp(m)) == 0.0:
        return Beta(math.nan, math.nan, math.nan, math.nan, r.shape[0])
    fit = scipy.stats.linregress(m, r)
    return Beta(float(fit.slope), float(fit.intercept), float(fit.rvalue) ** 2, float(fit.stderr), r.shape[0])


def correlation(returns: FloatArray, *, minimum: int = 20) -> FloatArray:
    """Pairwise correlation (n_assets, n_assets) of `returns` (n_obs, n_assets) over the days each pair has.

    NaN for a pair with fewer than `minimum` common days or an asset that does not move.
    """
    import pandas as pd

    frame = pd.DataFrame(np.asarray(returns, dtype=np.float64))
    return np.asarray(frame.corr(min_periods=minimum), dtype=np.float64)


def drawdown(equity: FloatArray) -> tuple[float, float]:
    """Deepest and current fall from the running peak, as positive fractions of it, of `equity` (n,).

    NaN for an empty series, a NaN among it, or a peak that is not positive.
    """
    e = np.asarray(equity, dtype=np.float64)
    if e.shape[0] == 0 or not np.isfinite(e).all():
        return math.nan, math.nan
    peak = np.maximum.accumulate(e)
    if (peak <= 0).any():
        return math.nan, math.nan
    fall = 1.0 - e / peak
    return float(fall.max()), float(fall[-1])


@dataclass(frozen=True, slots=True)
class Exposure:
    """Signed money: `net` = `long` + `short`, `gross` = `long` - `short`; `short` is zero or negative."""

    key: str
    long: float
    short: float
    positions: int

    @property
    def gross(self) -> float:
        return self.long - self.short

    @property
    def net(self) -> float:
        return self.long + self.short


def exposures(notional: FloatArray, keys: Sequence[str]) -> list[Exposure]:
    """Exposure by key (an asset, a venue, a currency, a strategy Book), largest gross first.

    `notional` (n,) signed money, one a position; `keys` its label. A NaN makes its own key NaN, and no other.
    """
    values = np.asarray(notional, dtype=np.float64)
    if values.shape != (len(keys),):
        raise ValueError(f"{values.shape[0]} positions and {len(keys)} labels do not match.")
    if not len(keys):
        return []
    labels, index = np.unique(np.asarray(keys, dtype=object).astype(str), return_inverse=True)
    long = np.bincount(index, weights=np.where(values < 0, 0.0, values), minlength=len(labels))
    short = np.bincount(index, weights=np.where(values > 0, 0.0, values), minlength=len(labels))
    count = np.bincount(index, weights=(values != 0).astype(np.float64), minlength=len(labels))
    rows = [
        Exposure(str(k), float(a), float(b) + 0.0, int(c))
        for k, a, b, c in zip(labels, long, short, count, strict=True)
    ]
    return sorted(rows, key=lambda e: (-e.gross if math.isfinite(e.gross) else -math.inf, e.key))


@dataclass(frozen=True, slots=True)
class Liquidity:
    """`days` (n,) to close each position; `horizon` the longest; `within` the share of gross value that is
    out by a day.
    """

    days: FloatArray
    horizon: float
    within: dict[int, float]


def liquidity_horizon(
    notional: FloatArray,
    daily_volume: FloatArray,
    *,
    participation: float = 0.1,
    by_days: Sequence[int] = (1, 7, 30),
) -> Liquidity:
    """Days to close each position when `participation` of the daily volume is taken: |position| / (share *
    volume).

    `notional` and `daily_volume` (n,) in the same money. A position without volume (zero or NaN) never closes
    in a known time: NaN days, and the horizon is NaN; `within` counts it as not out. No position: horizon 0.
    Raises ValueError for a participation outside (0, 1].
    """
    if not 0.0 < participation <= 1.0:
        raise ValueError(f"Participation is a share in (0, 1]: {participation!r} is not.")
    size = np.abs(np.asarray(notional, dtype=np.float64))
    volume = np.asarray(daily_volume, dtype=np.float64)
    rate = np.where(volume > 0, volume * participation, math.nan)
    days = np.where(size == 0, 0.0, size / rate)
    total = float(size.sum())
    out = {d: float(np.nansum(np.minimum(size, rate * d)) / total) if total > 0 else math.nan for d in by_days}
    return Liquidity(np.asarray(days), float(days.max()) if days.size else 0.0, out)


def returns_from_prices(prices: npt.ArrayLike) -> FloatArray:
    """Simple returns (n - 1, n_assets) of `prices` (n, n_assets); NaN where either price is missing or not
    positive.
    """
    p = np.asarray(prices, dtype=np.float64)
    p = np.where(p > 0, p, math.nan)
    return np.asarray(p[1:] / p[:-1] - 1.0)
