"""What would a bad day cost? Scenarios over linear positions.

A stress P&L is money, gains positive; a scenario that cannot be priced for a position says so by NaN and by
name. Sources: comonotonic sums, Dhaene et al. (2002), "The concept of comonotonicity in actuarial science and
finance: theory", Insurance: Mathematics and Economics 31(1); most plausible reverse stress, Breuer et al.
(2009), "How to find plausible, severe, and useful stress scenarios", Int. J. Central Banking 5(3); scenarios
in the sense of Basel Committee (2018), "Stress testing principles".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy

from risk.quant.contributions import standalone
from risk.quant.tail import FloatArray, TailRisk, find_tail, historical


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a Book holds, in its base currency.

    `exposure` (n,) signed market exposure of each line; `value` (n,) what it adds to equity (equal for spot;
    the margin and unrealised result for a derivative; the balance itself for cash). `asset`, `venue` and
    `currency` label the lines: the risk factor, where it is kept, and the currency that its value is
    denominated in.
    """

    asset: tuple[str, ...]
    venue: tuple[str, ...]
    currency: tuple[str, ...]
    exposure: FloatArray
    value: FloatArray

    def __post_init__(self) -> None:
        n = len(self.asset)
        if not (len(self.venue) == len(self.currency) == len(self.exposure) == len(self.value) == n):
            raise ValueError("Every line of the holdings needs an asset, a venue, a currency, an exposure and a value.")

    @property
    def equity(self) -> float:
        return float(np.sum(self.value))


@dataclass(frozen=True, slots=True)
class StressOutcome:
    """P&L of a scenario in money and per line (n,); `missing` names the assets it had no shock for."""

    pnl: float
    by_line: FloatArray
    missing: tuple[str, ...] = ()
    path: FloatArray = field(default_factory=lambda: np.empty(0))

    @property
    def loss(self) -> float:
        """Positive when money is lost."""
        return -self.pnl


def _outcome(by_line: FloatArray, missing: set[str], path: FloatArray | None = None) -> StressOutcome:
    pnl = float(by_line.sum()) if not missing else math.nan
    return StressOutcome(pnl, by_line, tuple(sorted(missing)), np.empty(0) if path is None else path)


def parametric_shock(holdings: Holdings, shocks: Mapping[str, float], *, default: float | None = None) -> StressOutcome:
    """P&L = exposure x shock; `shocks` are fractions by asset, -0.3 for a fall of 30 %, never below -1.

    An asset without a shock takes `default`; with none it is missing and the total is NaN.
    """
    for asset, shock in shocks.items():
        if not math.isfinite(shock) or shock < -1.0:
            raise ValueError(f"The shock of {asset} must be a fraction of at least -1, not {shock!r}.")
    by_line = np.zeros(len(holdings.asset))
    missing: set[str] = set()
    for i, asset in enumerate(holdings.asset):
        if asset in shocks:
            by_line[i] = holdings.exposure[i] * shocks[asset]
        elif default is not None:
            by_line[i] = holdings.exposure[i] * default
        elif holdings.exposure[i] != 0:
            missing.add(asset)
            by_line[i] = math.nan
    return _outcome(by_line, missing)


def venue_loss(holdings: Holdings, venue: str, *, recovery: float = 0.0) -> StressOutcome:
    """The venue fails: all value kept there is lost but for `recovery` in [0, 1]. A negative value there is
    still owed.
    """
    if not 0.0 <= recovery <= 1.0:
        raise ValueError(f"Recovery is a share in [0, 1]: {recovery!r} is not.")
    at = np.array([v == venue for v in holdings.venue], dtype=bool)
    return _outcome(np.where(at, -np.maximum(holdings.value, 0.0) * (1.0 - recovery), 0.0), set())


def stablecoin_depeg(holdings: Holdings, coin: str, *, price: float) -> StressOutcome:
    """The coin trades at `price` of its peg: every value denominated in it moves by (price - 1), debts in it
    as well.

    The market prices of what is quoted in it are taken to hold in the base currency.
    """
    if not (math.isfinite(price) and price >= 0.0):
        raise ValueError(f"A price is not negative: {price!r} is not one.")
    hit = np.array([c == coin for c in holdings.currency], dtype=bool)
    return _outcome(np.where(hit, holdings.value * (price - 1.0), 0.0), set())


def replay(holdings: Holdings, prices: Mapping[str, FloatArray]) -> StressOutcome:
    """Today's positions, held unchanged through a window of real prices.

    `prices` gives each asset's prices (n,) over the window, all of one length, oldest first. `path` (n,) is
    the cumulated P&L; `pnl` and `by_line` are taken at its worst instant. Raises ValueError for windows of
    different length.
    """
    lengths = {len(p) for p in prices.values()}
    if len(lengths) > 1:
        raise ValueError(f"The windows of prices differ in length: {sorted(lengths)}.")
    steps = lengths.pop() if lengths else 0
    moves = np.zeros((len(holdings.asset), max(steps, 1)))
    missing: set[str] = set()
    for i, asset in enumerate(holdings.asset):
        if holdings.exposure[i] == 0:
            continue
        p = np.asarray(prices.get(asset, ()), dtype=np.float64)
        if p.shape[0] == 0 or not np.isfinite(p).all() or (p <= 0).any():
            missing.add(asset)
            moves[i] = math.nan
        else:
            moves[i] = holdings.exposure[i] * (p / p[0] - 1.0)
    path = moves.sum(axis=0)
    worst = 0 if missing else int(path.argmin())
    return _outcome(moves[:, worst], missing, path)


def moved_with(market: FloatArray, slope: float) -> FloatArray:
    """Relative prices (n,) of an asset that moves `slope` times as far as the `market` (n,) from the window's start.

    One that would lose more than all of its value has lost it: 1e-9 is left, since a price is positive.
    """
    m = np.asarray(market, dtype=np.float64)
    return np.asarray(np.maximum(1.0 + slope * (m / m[0] - 1.0), 1e-9), dtype=np.float64)


def volatility_spike(
    exposure: FloatArray, returns: FloatArray, alpha: float = 0.99, *, multiplier: float = 3.0
) -> TailRisk:
    """VaR and ES when every return's deviation from its mean is `multiplier` times as large."""
    if not (math.isfinite(multiplier) and multiplier > 0):
        raise ValueError(f"A volatility multiplier is positive: {multiplier!r} is not.")
    R = np.asarray(returns, dtype=np.float64)
    x = np.asarray(exposure, dtype=np.float64)
    held = x != 0
    R, x = R[:, held], x[held]
    mean = R.mean(axis=0) if R.shape[0] else 0.0
    return historical((mean + multiplier * (R - mean)) @ x, alpha)


def correlation_to_one(exposure: FloatArray, returns: FloatArray, alpha: float = 0.99) -> TailRisk:
    """VaR and ES when all positions lose together: no diversification and no hedge is left.

    Comonotonic losses add their VaR and their ES, so this is the sum of each position's own.
    """
    x = np.asarray(exposure, dtype=np.float64)
    held = x != 0
    if not held.any():
        return historical(np.zeros(np.asarray(returns).shape[0]), alpha)
    var, es = standalone(np.diag(x[held]), np.asarray(returns, dtype=np.float64)[:, held], alpha)
    return TailRisk(float(var.sum()), float(es.sum()), alpha, np.asarray(returns).shape[0])


def correlated_volatility(exposure: FloatArray, covariance: FloatArray, *, blend: float) -> float:
    """Standard deviation of the P&L when correlations are moved by `blend` (0 to 1) of the way to one."""
    if not 0.0 <= blend <= 1.0:
        raise ValueError(f"The blend lies in [0, 1]: {blend!r} does not.")
    x, C = np.asarray(exposure, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    s = x * np.sqrt(np.diag(C))
    return math.sqrt(max(0.0, (1 - blend) * float(x @ C @ x) + blend * float(s.sum()) ** 2))


def reverse_stress(
    loss: Callable[[float], float], target: float, *, upper: float = 1.0, tolerance: float = 1e-9
) -> float:
    """The smallest severity in [0, `upper`] at which `loss(severity)` (increasing, zero at zero) reaches
    `target` money.

    NaN when even `upper` does not lose that much or the loss is not known there.
    """
    if not (math.isfinite(target) and target > 0):
        raise ValueError(f"A loss to look for is positive: {target!r} is not.")
    top = loss(upper)
    if not math.isfinite(top) or top < target:
        return math.nan
    return float(scipy.optimize.brentq(lambda severity: loss(severity) - target, 0.0, upper, xtol=tolerance))


@dataclass(frozen=True, slots=True)
class PlausibleLoss:
    """The most plausible joint move that loses the target.

    `shocks` (n,) fractions by asset; `distance` in standard deviations (Mahalanobis); `probability` of a loss
    at least as large if returns were normal.
    """

    shocks: FloatArray
    distance: float
    probability: float


def most_plausible_loss(exposure: FloatArray, covariance: FloatArray, target: float) -> PlausibleLoss | None:
    """Of all moves that lose `target`, the one at the smallest Mahalanobis distance: -target * C x / (x' C
    x).

    None when the positions carry no risk or the covariance is not finite.
    """
    if not (math.isfinite(target) and target > 0):
        raise ValueError(f"A loss to look for is positive: {target!r} is not.")
    x, C = np.asarray(exposure, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
    variance = float(x @ C @ x)
    if not math.isfinite(variance) or variance <= 0:
        return None
    distance = target / math.sqrt(variance)
    return PlausibleLoss(-target * (C @ x) / variance, distance, float(scipy.stats.norm.sf(distance)))


def worst_windows(pnl: FloatArray, *, length: int, count: int = 5) -> list[tuple[int, float]]:
    """The `count` worst, not overlapping windows of `length` days in `pnl` (n,): (first index, sum), worst
    first.
    """
    sample = np.asarray(pnl, dtype=np.float64)
    if length < 1 or sample.shape[0] < length or not np.isfinite(sample).all():
        return []
    cumulative = np.concatenate(([0.0], np.cumsum(sample)))
    sums = cumulative[length:] - cumulative[:-length]
    found: list[tuple[int, float]] = []
    for start in np.argsort(sums, kind="stable"):
        if all(abs(int(start) - taken) >= length for taken, _ in found):
            found.append((int(start), float(sums[start])))
            if len(found) == count:
                break
    return found


def tail_scenarios(pnl: FloatArray, alpha: float = 0.99) -> list[int]:
    """Indices of the days in the tail, worst first: what the ES is made of."""
    tail = find_tail(np.asarray(pnl, dtype=np.float64), alpha)
    return [] if tail is None else [int(i) for i in tail.order[: tail.rank + 1]]


def merge_losses(outcomes: Sequence[StressOutcome]) -> float:
    """P&L of several scenarios at once, line by line added; NaN where one is unknown."""
    return float(sum(o.pnl for o in outcomes))
