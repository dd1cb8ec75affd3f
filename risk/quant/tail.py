"""Value at risk and expected shortfall of one P&L sample: historical, age-weighted, Cornish-Fisher, normal.

Sources: expected shortfall of a discrete sample, Acerbi and Tasche (2002), "On the coherence of expected
shortfall", J. Banking & Finance 26(7), definition 2.6 (it equals the minimum of Rockafellar and Uryasev
2000). Age weights, Boudoukh, Richardson and Whitelaw (1998), "The best of both worlds", Risk 11(5).
Cornish-Fisher, Zangari (1996), RiskMetrics Monitor Q2; its shortfall and its domain, Maillard (2012), "A
user's guide to the Cornish Fisher expansion".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy

FloatArray = npt.NDArray[np.float64]
_EPS = 1e-12


@dataclass(frozen=True, slots=True)
class TailRisk:
    """VaR and ES as positive losses in the unit of the sample; NaN where the sample cannot carry them."""

    var: float
    es: float
    alpha: float
    n: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The tail of a sample: which observation is the VaR, and each observation's share in the ES (sums to
    one).
    """

    var_index: int
    order: npt.NDArray[np.intp]
    rank: int
    es_weights: FloatArray


def check_alpha(alpha: float) -> None:
    """Raises ValueError unless 0.5 <= alpha < 1."""
    if not 0.5 <= alpha < 1.0:
        raise ValueError(f"A confidence level lies in [0.5, 1): {alpha!r} does not; 99 % is 0.99.")


def minimum_observations(alpha: float) -> int:
    """The smallest sample whose worst observation weighs no more than the tail: 100 at 99 %, 20 at 95 %."""
    check_alpha(alpha)
    return math.ceil(1.0 / (1.0 - alpha) - 1e-9)


def age_weights(n: int, decay: float) -> FloatArray:
    """Weights of shape (n,), oldest first, sum one: w_i = (1 - d) / (1 - d**n) * d**(age - 1), newest age 1.

    `decay` 1 gives equal weights. Raises ValueError for n < 1 or a decay outside (0, 1].
    """
    if n < 1:
        raise ValueError("Weights need at least one observation.")
    if not 0.0 < decay <= 1.0:
        raise ValueError(f"A decay lies in (0, 1]: {decay!r} does not.")
    if decay == 1.0:
        return np.full(n, 1.0 / n)
    w = decay ** np.arange(n - 1, -1, -1, dtype=np.float64)
    return np.asarray(w / w.sum(), dtype=np.float64)


def find_tail(pnl: FloatArray, alpha: float, weights: FloatArray | None = None) -> Tail | None:
    """The tail of `pnl` (n,) at `alpha`; `weights` (n,) non-negative, any scale. O(n log n).

    The VaR is the smallest loss that is exceeded with a probability of no more than 1 - alpha (McNeil, Frey
    and Embrechts 2015, definition 2.8). None when a value is not finite, or when the sample is smaller than
    `minimum_observations`.
    """
    check_alpha(alpha)
    n = pnl.shape[0]
    if n < minimum_observations(alpha) or not np.isfinite(pnl).all():
        return None
    w = np.full(n, 1.0 / n) if weights is None else _normalised(weights, n)
    tail_mass = 1.0 - alpha
    order = np.argsort(pnl, kind="stable")
    cumulative = np.cumsum(w[order])
    rank = int(np.searchsorted(cumulative, tail_mass + _EPS, side="right"))
    rank = min(rank, n - 1)
    es = np.zeros(n)
    es[order[:rank]] = w[order[:rank]]
    es[order[rank]] = tail_mass - (cumulative[rank - 1] if rank else 0.0)
    return Tail(int(order[rank]), order, rank, es / tail_mass)


def _normalised(weights: FloatArray, n: int) -> FloatArray:
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (n,):
        raise ValueError(f"Weights of shape {w.shape} do not fit {n} observations.")
    total = float(w.sum())
    if not math.isfinite(total) or total <= 0.0 or (w < 0).any():
        raise ValueError("Weights must be finite, not negative and not all zero.")
    return np.asarray(w / total, dtype=np.float64)


def historical(pnl: FloatArray, alpha: float = 0.99, *, weights: FloatArray | None = None) -> TailRisk:
    """Historical VaR and ES of `pnl` (n,), optionally weighted."""
    sample = np.asarray(pnl, dtype=np.float64)
    tail = find_tail(sample, alpha, weights)
    if tail is None:
        return TailRisk(math.nan, math.nan, alpha, sample.shape[0])
    return TailRisk(
        var=_positive_zero(-float(sample[tail.var_index])),
        es=_positive_zero(-float(tail.es_weights @ sample)),
        alpha=alpha,
        n=sample.shape[0],
    )


def _positive_zero(x: float) -> float:
    return x + 0.0


def age_weighted(
    pnl: FloatArray,
    alpha: float = 0.99,
    *,
    decay: float = 0.98,
    interpolation: Literal["step", "linear"] = "step",
) -> TailRisk:
    """VaR and ES with the weights of Boudoukh, Richardson and Whitelaw.

    "linear" interpolates the VaR between the two observations around the tail mass, as the paper's example
    does; the ES is the same for both.
    """
    sample = np.asarray(pnl, dtype=np.float64)
    if sample.shape[0] == 0:
        return TailRisk(math.nan, math.nan, alpha, 0)
    w = age_weights(sample.shape[0], decay)
    risk = historical(sample, alpha, weights=w)
    if interpolation == "step" or math.isnan(risk.var):
        return risk
    order = np.argsort(sample, kind="stable")
    var = -float(np.interp(1.0 - alpha, np.cumsum(w[order]), sample[order]))
    return TailRisk(var, risk.es, alpha, risk.n)


def normal(mean: float, std: float, alpha: float = 0.99, *, n: int = 0) -> TailRisk:
    """VaR and ES of a normal P&L; NaN for a standard deviation that is negative or not finite."""
    return cornish_fisher_moments(mean, std, 0.0, 0.0, alpha, n=n)


def cornish_fisher(pnl: FloatArray, alpha: float = 0.99) -> TailRisk:
    """Cornish-Fisher VaR and ES from the sample's own moments (population moments, ddof 0, as in Zangari).

    NaN below 20 observations, and where the expansion is no quantile function in the tail (see
    `cornish_fisher_moments`).
    """
    sample = np.asarray(pnl, dtype=np.float64)
    n = sample.shape[0]
    check_alpha(alpha)
    if n < 20 or not np.isfinite(sample).all():
        return TailRisk(math.nan, math.nan, alpha, n)
    mean, std = float(sample.mean()), float(sample.std())
    if std <= 1e-15 * max(1.0, abs(mean)):
        return TailRisk(-mean, -mean, alpha, n)
    return cornish_fisher_moments(
        mean, std, float(scipy.stats.skew(sample)), float(scipy.stats.kurtosis(sample)), alpha, n=n
    )


def cornish_fisher_moments(
    mean: float, std: float, skew: float, excess_kurtosis: float, alpha: float = 0.99, *, n: int = 0
) -> TailRisk:
    """VaR and ES of the fourth-order Cornish-Fisher expansion, with z the normal quantile of 1 - alpha.

    q(z) = z + (z^2 - 1) S/6 + (z^3 - 3z) K/24 - (2z^3 - 5z) S^2/36, and the mean of q below z, multiplied by
    std. NaN when q is not increasing between -6 and z: there the expansion gives no quantile (Maillard
    2012, section 3).
    """
    check_alpha(alpha)
    nothing = TailRisk(math.nan, math.nan, alpha, n)
    if not all(math.isfinite(v) for v in (mean, std, skew, excess_kurtosis)) or std < 0:
        return nothing
    z = float(scipy.stats.norm.ppf(1.0 - alpha))
    s, k = skew, excess_kurtosis
    if not _increasing_below(z, k / 8 - s * s / 6, s / 3, 1 - k / 8 + 5 * s * s / 36):
        return nothing
    q = z + (z * z - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s * s / 36
    density = float(scipy.stats.norm.pdf(z)) / (1.0 - alpha)
    tail_mean = -density * (1 + z * s / 6 + (z * z - 1) * k / 24 - (2 * z * z - 1) * s * s / 36)
    return TailRisk(-(mean + std * q), -(mean + std * tail_mean), alpha, n)


def _increasing_below(z: float, a: float, b: float, c: float) -> bool:
    """Whether a x^2 + b x + c > 0 for every x from -6 (a probability of 1e-9) to z."""
    vertex = -b / (2 * a) if abs(a) > 1e-15 else z
    points = (-6.0, z, min(max(vertex, -6.0), z))
    return all(a * x * x + b * x + c > 0 for x in points)
