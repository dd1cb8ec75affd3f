"""Does a VaR series hold? Coverage and independence tests, and the supervisors' traffic light.

Sources: Kupiec (1995), "Techniques for verifying the accuracy of risk measurement models", J. Derivatives
3(2); Christoffersen (1998), "Evaluating interval forecasts", International Economic Review 39(4); Basel
Committee (1996), "Supervisory framework for the use of backtesting in conjunction with the internal models
approach", table 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import scipy
from scipy.special import xlogy

from risk.quant.tail import FloatArray, check_alpha

BoolArray = npt.NDArray[np.bool_]


class Zone(StrEnum):
    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


@dataclass(frozen=True, slots=True)
class LikelihoodRatio:
    """A likelihood-ratio test: the statistic, its degrees of freedom and the asymptotic p-value."""

    statistic: float
    degrees: int
    p_value: float


@dataclass(frozen=True, slots=True)
class TrafficLight:
    """`cumulative`: P(X <= x) of so many exceptions if the model is right; `type_one`: P(X >= x).

    `plus_factor` is the supervisors' add-on to the multiplier of 3; it is defined for 250 observations at 99
    % only.
    """

    zone: Zone
    cumulative: float
    type_one: float
    plus_factor: float | None


@dataclass(frozen=True, slots=True)
class VarBacktest:
    alpha: float
    n: int
    exceptions: int
    expected: float
    pof: LikelihoodRatio
    independence: LikelihoodRatio
    conditional_coverage: LikelihoodRatio
    light: TrafficLight | None


_UNDEFINED = math.nan


def find_exceptions(pnl: FloatArray, var: FloatArray) -> BoolArray:
    """Days on which the loss was greater than the VaR forecast for them; days without both numbers are left
    out.

    `pnl` and `var` (n,), aligned: `var[t]` was forecast before `pnl[t]` was known.
    """
    p, v = np.asarray(pnl, dtype=np.float64), np.asarray(var, dtype=np.float64)
    if p.shape != v.shape:
        raise ValueError(f"P&L {p.shape} and VaR {v.shape} must be aligned day by day.")
    known = np.isfinite(p) & np.isfinite(v)
    return np.asarray(p[known] < -v[known])


def _ratio(log_null: float, log_alternative: float, degrees: int) -> LikelihoodRatio:
    statistic = max(0.0, -2.0 * (log_null - log_alternative))
    return LikelihoodRatio(statistic, degrees, float(scipy.stats.chi2.sf(statistic, degrees)))


def kupiec_pof(n: int, exceptions: int, alpha: float = 0.99) -> LikelihoodRatio:
    """Proportion of failures: is the rate of exceptions 1 - alpha? Chi-squared, one degree. NaN for n = 0."""
    check_alpha(alpha)
    if not 0 <= exceptions <= n:
        raise ValueError(f"{exceptions} exceptions in {n} days is no count.")
    if n == 0:
        return LikelihoodRatio(_UNDEFINED, 1, _UNDEFINED)
    p, rate = 1.0 - alpha, exceptions / n
    null = xlogy(exceptions, p) + xlogy(n - exceptions, 1 - p)
    free = xlogy(exceptions, rate) + xlogy(n - exceptions, 1 - rate)
    return _ratio(float(null), float(free), 1)


def transitions(hits: BoolArray) -> npt.NDArray[np.int64]:
    """Counts (2, 2): row yesterday, column today; 0 kept, 1 exceeded."""
    h = np.asarray(hits, dtype=np.int64)
    return np.bincount(2 * h[:-1] + h[1:], minlength=4).reshape(2, 2)


def christoffersen_independence(hits: BoolArray) -> LikelihoodRatio:
    """Does an exception make another the next day more likely? One degree of freedom.

    NaN below two days, and without any exception, where nothing can be said of their clustering.
    """
    if len(hits) < 2 or not np.any(hits):
        return LikelihoodRatio(_UNDEFINED, 1, _UNDEFINED)
    counts = transitions(hits).astype(np.float64)
    rows = counts.sum(axis=1)
    rates = np.divide(counts[:, 1], rows, out=np.zeros(2), where=rows > 0)
    pooled = counts[:, 1].sum() / counts.sum()
    null = xlogy(counts[:, 1].sum(), pooled) + xlogy(counts[:, 0].sum(), 1 - pooled)
    free = (xlogy(counts[:, 1], rates) + xlogy(counts[:, 0], 1 - rates)).sum()
    return _ratio(float(null), float(free), 1)


def christoffersen_coverage(hits: BoolArray, alpha: float = 0.99) -> LikelihoodRatio:
    """Conditional coverage: the sum of both statistics, two degrees of freedom. NaN where either is."""
    pof = kupiec_pof(len(hits), int(np.sum(hits)), alpha)
    independence = christoffersen_independence(hits)
    statistic = pof.statistic + independence.statistic
    return LikelihoodRatio(statistic, 2, float(scipy.stats.chi2.sf(statistic, 2)))


_PLUS_FACTORS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.40, 0.50, 0.65, 0.75, 0.85)


def traffic_light(n: int, exceptions: int, alpha: float = 0.99) -> TrafficLight | None:
    """Green below 95 % of the binomial's cumulated probability, red from 99.99 %, yellow between; None for n
    = 0.
    """
    check_alpha(alpha)
    if not 0 <= exceptions <= n:
        raise ValueError(f"{exceptions} exceptions in {n} days is no count.")
    if n == 0:
        return None
    model = scipy.stats.binom(n, 1.0 - alpha)
    cumulative = float(model.cdf(exceptions))
    zone = Zone.GREEN if cumulative < 0.95 else Zone.YELLOW if cumulative < 0.9999 else Zone.RED
    plus = None
    if n == 250 and abs(alpha - 0.99) < 1e-12:
        plus = _PLUS_FACTORS[exceptions] if exceptions < len(_PLUS_FACTORS) else 1.0
    return TrafficLight(zone, cumulative, float(model.sf(exceptions - 1)), plus)


def backtest_var(pnl: FloatArray, var: FloatArray, alpha: float = 0.99) -> VarBacktest:
    """Every test on one aligned pair of series."""
    hits = find_exceptions(pnl, var)
    n, x = len(hits), int(np.sum(hits))
    return VarBacktest(
        alpha=alpha,
        n=n,
        exceptions=x,
        expected=n * (1.0 - alpha),
        pof=kupiec_pof(n, x, alpha),
        independence=christoffersen_independence(hits),
        conditional_coverage=christoffersen_coverage(hits, alpha),
        light=traffic_light(n, x, alpha),
    )
