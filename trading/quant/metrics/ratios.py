"""Return, risk, and their ratios. All take daily returns unless they say otherwise.

A ratio whose denominator is zero, or that has too few observations, has the value None and keeps its n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.metrics.errors import MetricsError

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Int64 = npt.NDArray[np.int64]

#: Crypto markets trade every day of the year.
DAYS_PER_YEAR = 365.0
#: A standard deviation this small beside the values themselves is rounding, and dividing by it says nothing.
_NO_SPREAD = 1e-12


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure and the number of observations behind it; ``value`` is None where it is undefined."""

    value: float | None
    n: int


def defined(returns: Floats) -> Float64:
    """The observations that exist, as a float64 vector."""
    values = np.asarray(returns, dtype=np.float64).ravel()
    return values[np.isfinite(values)]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _spread(values: Float64) -> float:
    """Sample standard deviation (ddof 1), 0 where only rounding differs, NaN for fewer than two
    observations.
    """
    if values.size < 2:
        return math.nan
    spread = float(np.std(values, ddof=1))
    return spread if spread > _NO_SPREAD * float(np.max(np.abs(values))) else 0.0


def total_return(returns: Floats) -> Ratio:
    """Compound return of all observations, a fraction; None without any."""
    values = defined(returns)
    return Ratio(float(np.prod(1.0 + values) - 1.0) if values.size else None, int(values.size))


def annualised_return(returns: Floats, *, periods: float = DAYS_PER_YEAR) -> Ratio:
    """(1 + total return) ** (periods / n) - 1, a fraction. From a few days this extrapolates wildly:
    look at n.
    """
    values = defined(returns)
    if not values.size:
        return Ratio(None, 0)
    growth = float(np.prod(1.0 + values))
    if growth <= 0:
        return Ratio(-1.0, int(values.size))
    exponent = math.log(growth) * periods / values.size
    return Ratio(math.expm1(exponent) if exponent < 700 else None, int(values.size))


def variance(returns: Floats) -> Ratio:
    """Sample variance (ddof 1) per observation; None below two observations."""
    values = defined(returns)
    return Ratio(_finite(_spread(values) ** 2), int(values.size))


def annual_volatility(returns: Floats, *, periods: float = DAYS_PER_YEAR) -> Ratio:
    """Sample standard deviation (ddof 1) x sqrt(periods)."""
    values = defined(returns)
    return Ratio(_finite(_spread(values) * math.sqrt(periods)), int(values.size))


def sharpe(returns: Floats, *, risk_free: float = 0.0, periods: float = DAYS_PER_YEAR) -> Ratio:
    """Mean excess return / its sample standard deviation (ddof 1) x sqrt(periods).

    ``risk_free`` is per observation. None below two observations or without any variation. Source: W. F.
    Sharpe, The Sharpe Ratio, Journal of Portfolio Management 21(1), 1994.
    """
    values = defined(returns) - risk_free
    spread = _spread(values)
    if not spread > 0:
        return Ratio(None, int(values.size))
    return Ratio(float(values.mean()) / spread * math.sqrt(periods), int(values.size))


def sortino(returns: Floats, *, target: float = 0.0, periods: float = DAYS_PER_YEAR) -> Ratio:
    """(Mean - target) / target downside deviation x sqrt(periods).

    The downside deviation is sqrt(sum(min(r - target, 0)^2) / n) over all n observations: the target is
    given, not estimated, so no degree of freedom is lost. None below two observations or without any return
    under the target. Source: T. N. Rollinger, S. T. Hoffman, Sortino: A Sharper Ratio, Red Rock Capital
    2013.
    """
    values = defined(returns) - target
    if values.size < 2:
        return Ratio(None, int(values.size))
    downside = math.sqrt(float(np.mean(np.minimum(values, 0.0) ** 2)))
    if downside == 0:
        return Ratio(None, int(values.size))
    return Ratio(float(values.mean()) / downside * math.sqrt(periods), int(values.size))


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of a wealth curve: ``depth`` is a positive fraction of the peak (0: it never fell).

    Positions are indices into the curve; ``recovered`` is None while the peak has not been reached again.
    ``length`` counts steps from peak to recovery, or to the end; ``longest`` is the longest stay below an
    earlier peak anywhere. ``length_ms`` and ``longest_ms`` are the same in milliseconds when times were
    given.
    """

    depth: float
    peak: int
    trough: int
    recovered: int | None
    length: int
    longest: int
    length_ms: int | None
    longest_ms: int | None
    n: int


def drawdown_path(wealth: Floats) -> Float64:
    """Fall from the running peak at every point, a positive fraction; same shape, (n,) or (n, agents), axis
    0.

    Wealth of zero or below is a fall of 1 or more; NaN stays NaN.
    """
    values = np.asarray(wealth, dtype=np.float64)
    peaks = np.maximum.accumulate(values, axis=0)
    if np.any(peaks[:1] <= 0):
        raise MetricsError("A drawdown needs a curve that begins above zero.")
    return 1.0 - values / peaks


def max_drawdown(wealth: Floats, ts_ms: Int64 | None = None) -> Drawdown:
    """Deepest drawdown of a curve (n,) that begins with its starting value, and how long it lasted.

    Pass equity where no capital flowed, else :func:`~trading.quant.metrics.returns.wealth_index`, so that a
    withdrawal is no loss. NaN at the end (after ruin) is left out. O(n).
    """
    values = np.asarray(wealth, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise MetricsError(f"A drawdown needs a curve of shape (n,) with n >= 1, not {values.shape}.")
    if ts_ms is not None and np.shape(ts_ms) != values.shape:
        raise MetricsError(f"There are {np.shape(ts_ms)} times for {values.size} points.")
    finite = np.flatnonzero(np.isfinite(values))
    values = values[: int(finite[-1]) + 1] if finite.size else values[:1]
    falls = drawdown_path(values)
    trough = int(np.nanargmax(falls))
    depth = float(falls[trough])
    under = falls > 0
    peak = trough - int(np.argmin(under[: trough + 1][::-1])) if depth > 0 else trough
    back = np.flatnonzero(~under[trough:])
    recovered = trough + int(back[0]) if back.size and depth > 0 else None
    end = recovered if recovered is not None else (values.size - 1 if depth > 0 else trough)
    starts = np.flatnonzero(under & ~np.concatenate([[False], under[:-1]])) - 1
    stops = np.flatnonzero(under & ~np.concatenate([under[1:], [False]])) + 1
    stops = np.minimum(stops, values.size - 1)
    times = None if ts_ms is None else np.asarray(ts_ms, dtype=np.int64)
    return Drawdown(
        depth=depth,
        peak=peak,
        trough=trough,
        recovered=recovered,
        length=end - peak,
        longest=int((stops - starts).max(initial=0)),
        length_ms=None if times is None else int(times[end] - times[peak]),
        longest_ms=None if times is None else int((times[stops] - times[starts]).max(initial=0)),
        n=int(values.size),
    )


def calmar(returns: Floats, drawdown_depth: float, *, periods: float = DAYS_PER_YEAR) -> Ratio:
    """Annualised compound return / maximum drawdown over the same time; None where it never fell.

    The drawdown is a positive fraction, at whatever resolution it was measured. Source: T. W. Young, Calmar
    Ratio: A Smoother Tool, Futures 1991 (there over 36 months; here over the observations given, hence the
    n).
    """
    annual = annualised_return(returns, periods=periods)
    if annual.value is None or not drawdown_depth > 0:
        return Ratio(None, annual.n)
    return Ratio(annual.value / drawdown_depth, annual.n)
