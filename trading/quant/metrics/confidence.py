"""How much a Sharpe ratio shows: t statistic, probabilistic and deflated Sharpe, and the track record it
would need.

All Sharpe ratios in here are per observation (daily, not annual) unless a name says annual. Sources: D. H.
Bailey, M. Lopez de Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk 15(2), 2012 (PSR, MinTRL);
the same, The Deflated Sharpe Ratio, Journal of Portfolio Management 40(5), 2014; A. W. Lo, The Statistics
of Sharpe Ratios, Financial Analysts Journal 58(4), 2002 (standard error).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from trading.quant.metrics.errors import MetricsError
from trading.quant.metrics.ratios import DAYS_PER_YEAR, _spread, defined

Float64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]

_NORMAL = NormalDist()
_EULER = 0.5772156649015329
#: Skewness and kurtosis from fewer observations describe the sample, not what it was drawn from.
_MIN_FOR_MOMENTS = 4


def _unexplained(sharpe: float, skew: float, kurtosis: float) -> float:
    """1 - skew x SR + (kurtosis - 1) / 4 x SR^2, the factor of the squared standard error of SR (Mertens
    2002).
    """
    return 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe


def probabilistic_sharpe(
    sharpe: float, n: int, *, benchmark: float = 0.0, skew: float = 0.0, kurtosis: float = 3.0
) -> float | None:
    """Probability that the true Sharpe ratio exceeds ``benchmark``, given ``sharpe`` over ``n`` observations.

    Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2)); kurtosis is 3 for the normal
    distribution. None for n < 2 or where the moments contradict each other (the square root of a negative
    number).
    """
    spread = _unexplained(sharpe, skew, kurtosis)
    if n < 2 or not spread > 0:
        return None
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(n - 1) / math.sqrt(spread))


def min_track_record(
    sharpe: float,
    *,
    benchmark: float = 0.0,
    skew: float = 0.0,
    kurtosis: float = 3.0,
    probability: float = 0.95,
) -> float | None:
    """Observations needed before PSR reaches ``probability``: 1 + spread x (z / (SR - SR*))^2. None if
    SR <= SR*.
    """
    spread = _unexplained(sharpe, skew, kurtosis)
    if not sharpe > benchmark or not spread > 0:
        return None
    return 1.0 + spread * (_NORMAL.inv_cdf(probability) / (sharpe - benchmark)) ** 2


def expected_max_sharpe(trials: int, variance: float) -> float:
    """The best Sharpe ratio to expect from ``trials`` independent strategies without any skill.

    sqrt(variance) x ((1 - g) Z(1 - 1/N) + g Z(1 - 1/(N e))), g being Euler's constant, ``variance`` that of
    the Sharpe ratios across the trials, in the same frequency as the result. 0 for a single trial.
    """
    if trials < 1 or variance < 0:
        raise MetricsError(f"There must be at least one trial and no negative variance, not {trials}, {variance}.")
    if trials == 1:
        return 0.0
    high = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    higher = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - _EULER) * high + _EULER * higher)


def deflated_sharpe(
    sharpe: float, n: int, *, trials: int, variance: float, skew: float = 0.0, kurtosis: float = 3.0
) -> float | None:
    """PSR against the best of ``trials``: the probability that ``sharpe`` is more than the luck of
    selection.
    """
    return probabilistic_sharpe(
        sharpe, n, benchmark=expected_max_sharpe(trials, variance), skew=skew, kurtosis=kurtosis
    )


@dataclass(frozen=True, slots=True)
class Confidence:
    """What ``n`` daily returns say about skill; None where they say nothing.

    ``sharpe_daily`` is not annualised. ``t_stat`` and ``p_value`` (two-sided, n - 1 degrees of freedom)
    test a mean of zero. ``psr`` is the probability of a Sharpe above zero, with skewness and kurtosis from
    4 observations on, else as if normal. ``annual_low`` and ``annual_high`` enclose the annual Sharpe ratio
    with 95 % confidence (Student's t with the standard error of Lo 2002). ``days_needed`` is the track
    record after which the same daily Sharpe would be significant at 95 %. ``statement`` says it in one
    sentence for people.
    """

    n: int
    sharpe_daily: float | None
    t_stat: float | None
    p_value: float | None
    skew: float | None
    kurtosis: float | None
    psr: float | None
    annual_low: float | None
    annual_high: float | None
    days_needed: int | None
    statement: str


def confidence(returns: Floats) -> Confidence:
    """Judge daily ``returns`` (n,); NaN are left out."""
    values = defined(returns)
    n = int(values.size)
    spread = _spread(values)
    if not spread > 0:
        days = f"{n} daily return{'' if n == 1 else 's'}"
        why = "do not vary" if n >= 2 else "cannot be judged: at least two are needed"
        text = "No daily return yet: nothing to judge." if n == 0 else f"{days} {why}, so no Sharpe ratio is defined."
        return Confidence(n, None, None, None, None, None, None, None, None, None, text)
    sharpe = float(values.mean()) / spread
    t_stat = sharpe * math.sqrt(n)
    p_value = float(2.0 * scipy.stats.t.sf(abs(t_stat), n - 1))
    skew, kurtosis = _moments(values)
    psr = probabilistic_sharpe(
        sharpe, n, skew=0.0 if skew is None else skew, kurtosis=3.0 if kurtosis is None else kurtosis
    )
    half = float(scipy.stats.t.ppf(0.975, n - 1)) * math.sqrt((1.0 + sharpe * sharpe / 2.0) / n)
    year = math.sqrt(DAYS_PER_YEAR)
    needed = min_track_record(
        sharpe, skew=0.0 if skew is None else skew, kurtosis=3.0 if kurtosis is None else kurtosis
    )
    return Confidence(
        n=n,
        sharpe_daily=sharpe,
        t_stat=t_stat,
        p_value=p_value,
        skew=skew,
        kurtosis=kurtosis,
        psr=psr,
        annual_low=(sharpe - half) * year,
        annual_high=(sharpe + half) * year,
        days_needed=None if needed is None else math.ceil(needed),
        statement=_statement(n, sharpe * year, (sharpe - half) * year, (sharpe + half) * year, needed),
    )


def _moments(values: Float64) -> tuple[float | None, float | None]:
    """Sample skewness and kurtosis with divisor n, as the published formulas take them; None below 4
    observations.
    """
    if values.size < _MIN_FOR_MOMENTS:
        return None, None
    centred = values - values.mean()
    second = float(np.mean(centred**2))
    return float(np.mean(centred**3)) / second**1.5, float(np.mean(centred**4)) / second**2


def _statement(n: int, annual: float, low: float, high: float, needed: float | None) -> str:
    text = (
        f"An annual Sharpe ratio of {annual:.1f} from {n} daily returns is compatible with anything from "
        f"{low:.1f} to {high:.1f} (95 %)."
    )
    if low > 0:
        return f"{text} It is above zero beyond what chance explains for one strategy chosen beforehand."
    if needed is None:
        return f"{text} Nothing in it speaks for skill."
    more = max(0, math.ceil(needed) - n)
    return f"{text} To tell it from luck at this pace takes about {math.ceil(needed):,} days, {more:,} more."
