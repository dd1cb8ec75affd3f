"""What any test could see: the most powerful test of one skilled agent among N, and the power of ours.

Results of N agents over T days, equally correlated by rho and of known variance; one of them, nobody knows which,
has an annual Sharpe ratio S, the others none. Standardised means are X ~ N(delta e_j, R) with delta = S sqrt(T /
365) and R = (1 - rho) I + rho 11'. A decision names an agent or nobody. By the lemma of Neyman and Pearson, for a
uniform prior on j, the rule that names the right one most often while naming anybody under no skill at most with
probability alpha names the agent with the largest likelihood ratio if that exceeds a constant. The ratio of agent j
is increasing in (R^-1 X)_j for every delta > 0 at once, so one rule is best for all Sharpe ratios: name the largest
of Y_j = (R^-1 X)_j / sqrt((R^-1)_jj) if it exceeds c. Y is X with what the peers explain taken out.

With d = (R^-1)_jj = (1 + (N-2) rho) / ((1 - rho) (1 + (N-1) rho)) and r = -rho / (1 + (N-2) rho): Y ~ N(mu, C), C
having ones and r, mu_j = delta sqrt(d) for the skilled one and r times that for the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy
from scipy.special import ndtr, ndtri

from trading.quant.evidence.errors import EvidenceError
from trading.quant.evidence.skill import critical_score
from trading.quant.metrics import DAYS_PER_YEAR

Float64 = npt.NDArray[np.float64]

_DRAWS = 1 << 15


@dataclass(frozen=True, slots=True)
class Exchangeable:
    """N agents of equal correlation: ``gain`` is by how much the peers sharpen a Sharpe ratio, ``between`` the
    correlation that the sharpened scores keep.
    """

    n_agents: int
    gain: float
    between: float


def exchangeable(n_agents: int, correlation: float) -> Exchangeable:
    """The geometry of N exchangeable agents; ``correlation`` from 0 up to, not including, 1."""
    if n_agents < 1 or not 0 <= correlation < 1:
        raise EvidenceError(f"{n_agents} agents of correlation {correlation}: at least one, and from 0 to below 1.")
    if n_agents == 1:
        return Exchangeable(1, 1.0, 0.0)
    n, rho = n_agents, correlation
    precision = (1 + (n - 2) * rho) / ((1 - rho) * (1 + (n - 1) * rho))
    return Exchangeable(n, math.sqrt(precision), -rho / (1 + (n - 2) * rho))


@lru_cache(maxsize=256)
def critical_of_best(n_agents: int, correlation: float, level: float) -> float:
    """c with P(max Y > c) = level without skill.

    Inclusion and exclusion up to pairs exactly (bivariate normal) and triples as if independent: beyond c = 2 what is
    left out is below 1e-5.
    """
    shape = exchangeable(n_agents, correlation)
    n, r = n_agents, shape.between
    if n == 1:
        return float(-ndtri(level))

    def excess(c: float) -> float:
        single = float(ndtr(-c))
        pair = float(scipy.stats.multivariate_normal.cdf([-c, -c], cov=[[1.0, r], [r, 1.0]]))
        return n * single - math.comb(n, 2) * pair + math.comb(n, 3) * single**3 - level

    start = critical_score(level, n)
    return float(scipy.optimize.brentq(excess, start - 0.5, start + 0.5, xtol=1e-10))


@lru_cache(maxsize=1024)
def limit_of_power(
    annual_sharpe: float, days: float, n_agents: int = 30, correlation: float = 0.0, level: float = 0.05
) -> float:
    """Probability that the best possible rule names the skilled agent: no rule of that false-positive rate does better.

    P(Y_1 > c and Y_1 > all others), integrated exactly over Y_1 given the others, and over the others by 2^15
    scrambled Sobol points of fixed seed (error below 0.1 % of the value).
    """
    if days < 0:
        raise EvidenceError("A number of days cannot be negative.")
    shape = exchangeable(n_agents, correlation)
    c = critical_of_best(n_agents, correlation, level)
    middle = annual_sharpe * math.sqrt(days / DAYS_PER_YEAR) * shape.gain
    if n_agents == 1:
        return float(ndtr(middle - c))
    others = n_agents - 1
    # Equal correlation r < 0 among the others, drawn as A u with A the symmetric root of their matrix.
    low = math.sqrt(1 - shape.between)
    high = math.sqrt(1 + (others - 1) * shape.between)
    u = ndtri(np.clip(_points(others), 1e-12, 1 - 1e-12))
    drawn = low * u + (high - low) * u.mean(axis=1, keepdims=True)
    weight = shape.between / (1 + (others - 1) * shape.between)
    centre = middle + weight * drawn.sum(axis=1)
    spread = math.sqrt(1 - others * shape.between * weight)
    best = np.maximum(c, drawn.max(axis=1) + shape.between * middle)
    return float(np.mean(ndtr((centre - best) / spread)))


@lru_cache(maxsize=8)
def _points(dimensions: int) -> Float64:
    points: Float64 = scipy.stats.qmc.Sobol(dimensions, seed=20_260).random(_DRAWS)
    return points


def power_of(annual_sharpe: float, days: float, *, trials: float, level: float, gain: float = 1.0) -> float:
    """Probability that an agent of this annual Sharpe ratio passes the corrected test after ``days`` of evidence.

    Phi(S sqrt(days / 365) gain - c), c the critical score of the best of ``trials``; ``gain`` is 1 / sqrt(1 - share
    that the peers explain).
    """
    return float(ndtr(annual_sharpe * math.sqrt(days / DAYS_PER_YEAR) * gain - critical_score(level, trials)))


def detectable_sharpe(
    days: float, *, trials: float, level: float, power: float = 0.8, gain: float = 1.0
) -> float | None:
    """The annual Sharpe ratio that passes with probability ``power``; None without days."""
    if not days > 0:
        return None
    return (critical_score(level, trials) + float(ndtri(power))) / (math.sqrt(days / DAYS_PER_YEAR) * gain)


def days_to_see(
    annual_sharpe: float, *, trials: float, level: float, power: float = 0.8, gain: float = 1.0
) -> float | None:
    """Days of evidence until an agent of this annual Sharpe ratio passes with probability ``power``; None for S <=
    0.
    """
    if not annual_sharpe > 0:
        return None
    needed = (critical_score(level, trials) + float(ndtri(power))) / (annual_sharpe * gain)
    return DAYS_PER_YEAR * needed**2


def t_of_days(annual_sharpe: float, days: float) -> float:
    """The t statistic that ``days`` of an annual Sharpe ratio show on average: S sqrt(days / 365)."""
    return annual_sharpe * math.sqrt(days / DAYS_PER_YEAR)
