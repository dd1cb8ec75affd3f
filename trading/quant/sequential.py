"""Sequential tests by betting: is a live stream of returns worse, or wilder, than what was claimed of it?

Each test is the wealth of a bettor who stakes a share of it, bar by bar, on the claim being wrong. If the claim is
true the wealth is a supermartingale, so that by Ville's inequality (Ville 1939; Shafer 2021, "Testing by betting";
Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting") the chance that it ever reaches
1/alpha, at any time and however long one watches, is at most alpha. Nothing is assumed about the shape of returns: they
are cut at ``CUT`` claimed deviations, which bounds the bets.

Claims are composite and lenient: the mean is at least the lower end, the second moment at most the upper end, of what
the earlier sample allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

Float64 = npt.NDArray[np.float64]

#: Where standardised returns are cut.
CUT = 4.0
#: No bet risks more than this share of the wealth.
MOST = 0.9


@dataclass(frozen=True, slots=True)
class Claim:
    """What was claimed of one interval's return: deviation, the least mean and the largest second moment (both of
    standardised and cut returns), from ``n`` observations."""

    deviation: float
    mean: float
    least_mean: float
    largest_square: float
    n: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Where the tests stand. Wealths begin at 1; ``wealth`` is their mean, and an alarm when it reaches ``limit``."""

    n: int
    mean_wealth: float
    spread_wealth: float
    wealth: float
    peak: float
    limit: float
    alarm_at: int | None

    @property
    def alarm(self) -> bool:
        return self.alarm_at is not None

    @property
    def blames(self) -> str:
        """Which claim the evidence is against: "mean" or "spread"."""
        return "mean" if self.mean_wealth >= self.spread_wealth else "spread"


def claim_of(returns: Float64, *, scale: float = 1.0, confidence: float = 0.95) -> Claim | None:
    """What ``returns`` (ndarray of shape (n,), one for each interval, NaN left out) times ``scale`` let one claim.

    ``least_mean`` and ``largest_square`` are one-sided Student bounds at ``confidence`` for the standardised and cut
    sample. None with fewer than 20 returns or without any variation.
    """
    x = np.asarray(returns, dtype=np.float64)
    x = x[np.isfinite(x)] * scale
    if x.size < 20:
        return None
    deviation = float(x.std(ddof=1))
    if not deviation > 1e-12 * float(np.abs(x).max()):
        return None
    z = np.clip(x / deviation, -CUT, CUT)
    return Claim(
        deviation=deviation,
        mean=float(x.mean()),
        least_mean=_bound(z, -1, confidence),
        largest_square=_bound(z * z, 1, confidence),
        n=int(x.size),
    )


def _bound(values: Float64, side: int, confidence: float) -> float:
    n = values.size
    error = float(values.std(ddof=1)) / math.sqrt(n)
    return float(values.mean()) + side * float(scipy.stats.t.ppf(confidence, n - 1)) * error


def watch(returns: Float64, claim: Claim, *, alpha: float, shift: float = 0.25, inflation: float = 2.0) -> Watch:
    """Both tests over ``returns`` (ndarray of shape (n,), in order; NaN is skipped). O(n).

    ``shift`` (deviations) and ``inflation`` (of the second moment) are the failures the bets are sized for; any other
    one is found too, later. ``alpha`` is the chance of a false alarm over the whole life, both tests together.
    """
    x = np.asarray(returns, dtype=np.float64)
    z = np.clip(x[np.isfinite(x)] / claim.deviation, -CUT, CUT)
    square = z * z
    limit = 1.0 / alpha
    mean_bet = min(shift / (claim.largest_square + shift * shift), MOST / (CUT - min(claim.least_mean, 0.0)))
    spread_bet = min((inflation - 1) / (2 * inflation * inflation * claim.largest_square), MOST / claim.largest_square)
    mean_log = np.cumsum(np.log1p(-mean_bet * (z - claim.least_mean)))
    spread_log = np.cumsum(np.log1p(spread_bet * (square - claim.largest_square)))
    wealth = 0.5 * (np.exp(mean_log) + np.exp(spread_log))
    over = np.flatnonzero(wealth >= limit)
    last = z.size - 1
    return Watch(
        n=int(z.size),
        mean_wealth=float(np.exp(mean_log[last])) if z.size else 1.0,
        spread_wealth=float(np.exp(spread_log[last])) if z.size else 1.0,
        wealth=float(wealth[last]) if z.size else 1.0,
        peak=float(wealth.max()) if z.size else 1.0,
        limit=limit,
        alarm_at=int(over[0]) if over.size else None,
    )
