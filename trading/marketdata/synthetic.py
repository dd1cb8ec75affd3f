"""A market that never was, for demos and tests without data: regimes, fat tails, clustered volatility,
correlation.

One Markov chain of regimes (calm, trend, crisis) drives all symbols. Returns are multivariate Student-t (one
chi-square a minute shared by all symbols, so that they crash together and keep their correlation), scaled by
a GARCH(1,1) variance per symbol around the level of the regime, and by the hour of the day. A bar's high and
low are the extremes of a Brownian bridge from open to close. The result carries the venue name ``synthetic``.

Sources: Bollerslev (1986) for GARCH; Cont (2001), "Empirical properties of asset returns", for the facts to
match;
the extremes of a bridge: P(max > m) = exp(-2 m (m - r) / s^2), see Karatzas and Shreve, 2.8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

from trading.marketdata.bars import SYNTHETIC_VENUE, Bars, Float64s, SeriesKey
from trading.marketdata.catalog import Catalog, MergeResult
from trading.marketdata.errors import MarketDataError
from trading.marketdata.intervals import MINUTE_MS

MINUTES_A_YEAR = 365 * 1440

DEFAULT_PRICES: Mapping[str, float] = {
    "BTCUSDT": 95_000.0,
    "ETHUSDT": 1_830.0,
    "SOLUSDT": 146.0,
    "XRPUSDT": 2.19,
    "ADAUSDT": 0.78,
    "AVAXUSDT": 19.9,
    "SUIUSDT": 3.27,
    "DOGEUSDT": 0.17,
}


class SyntheticSpecError(MarketDataError):
    """A specification no market can be made of."""


class Regime(IntEnum):
    CALM = 0
    TREND = 1
    CRISIS = 2


@dataclass(frozen=True, slots=True)
class RegimeShape:
    """``annual_vol`` is a fraction a year; ``drift`` the mean return a minute in units of the minute's
    deviation.
    """

    annual_vol: float
    drift: float
    mean_minutes: float
    volume_factor: float


SHAPES: Mapping[Regime, RegimeShape] = {
    Regime.CALM: RegimeShape(0.40, 0.0, 2_880.0, 1.0),
    Regime.TREND: RegimeShape(0.65, 0.025, 720.0, 1.5),
    Regime.CRISIS: RegimeShape(1.90, -0.02, 180.0, 3.5),
}
# Where a regime goes when it ends: (calm, trend, crisis).
_NEXT = np.array([[0.0, 0.85, 0.15], [0.80, 0.0, 0.20], [0.60, 0.40, 0.0]])
_ARCH, _GARCH = 0.05, 0.93


@dataclass(frozen=True, slots=True)
class SyntheticSpec:
    """What to invent. ``correlation`` is the correlation of every pair, or a full matrix (n, n).

    ``drift_scale`` scales the regimes' drift: with 0 no strategy can expect to earn anything.
    """

    symbols: tuple[str, ...]
    start_ms: int
    minutes: int
    seed: int
    correlation: float | tuple[tuple[float, ...], ...] = 0.6
    degrees_of_freedom: float = 5.0
    prices: Mapping[str, float] = field(default_factory=dict)
    vol_factors: Mapping[str, float] = field(default_factory=dict)
    drift_scale: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticMarket:
    """``regimes`` (n,) int8, one a minute, shared by all symbols."""

    spec: SyntheticSpec
    bars: dict[str, Bars]
    regimes: NDArray[np.int8]


def synthesise(spec: SyntheticSpec) -> SyntheticMarket:
    """The market of a specification: the same one gives the same bytes. O(minutes x symbols).

    Raises SyntheticSpecError for an empty or impossible specification.
    """
    _check(spec)
    n, k = spec.minutes, len(spec.symbols)
    random = np.random.Generator(np.random.PCG64(spec.seed))
    regimes, direction = _regimes(random, n)
    season = _season(spec.start_ms, n)
    shocks = _shocks(random, spec, n, k)
    level = np.array([SHAPES[Regime(r)].annual_vol for r in range(3)]) / np.sqrt(MINUTES_A_YEAR)
    drift = np.array([SHAPES[Regime(r)].drift for r in range(3)])[regimes] * direction * spec.drift_scale
    factors = np.array([spec.vol_factors.get(s, 1.0 + 0.15 * i) for i, s in enumerate(spec.symbols)])
    target = (level[regimes] * np.sqrt(season)) ** 2
    returns, deviation = _garch(shocks, np.outer(target, factors**2), drift, _ARCH, _GARCH)
    high_u, low_u, volume_z = random.random((n, k)), random.random((n, k)), random.standard_normal((n, k))
    activity = np.array([SHAPES[Regime(r)].volume_factor for r in range(3)])[regimes] * season
    ts_ms = spec.start_ms + np.arange(n, dtype=np.int64) * MINUTE_MS
    bars = {}
    for j, symbol in enumerate(spec.symbols):
        price = spec.prices.get(symbol) or DEFAULT_PRICES.get(symbol, 100.0)
        bars[symbol] = _bars(
            ts_ms, price, returns[:, j], deviation[:, j], high_u[:, j], low_u[:, j], volume_z[:, j], activity
        )
    return SyntheticMarket(spec, bars, regimes)


def store_synthetic(catalog: Catalog, market: SyntheticMarket, *, replace: bool = True) -> list[MergeResult]:
    """Puts the market into the catalog as 1m bars of the venue ``synthetic``; an earlier one gives way."""
    results = []
    for symbol, bars in market.bars.items():
        key = SeriesKey(SYNTHETIC_VENUE, symbol, MINUTE_MS)
        source = f"synthetic, seed {market.spec.seed}"
        results.append(catalog.merge(key, bars, source=source, synthetic=True, replace=replace))
    return results


def _check(spec: SyntheticSpec) -> None:
    if not spec.symbols or len(set(spec.symbols)) != len(spec.symbols):
        raise SyntheticSpecError("Name at least one symbol, and each only once.")
    if spec.minutes < 1 or spec.start_ms % MINUTE_MS:
        raise SyntheticSpecError("Ask for at least one minute, starting on a full minute.")
    if spec.degrees_of_freedom <= 2:
        raise SyntheticSpecError("Degrees of freedom must exceed 2, or the variance is infinite.")


def _correlation_root(spec: SyntheticSpec) -> Float64s:
    k = len(spec.symbols)
    if isinstance(spec.correlation, tuple):
        matrix = np.array(spec.correlation, np.float64)
        if matrix.shape != (k, k) or not np.allclose(matrix, matrix.T) or not np.allclose(np.diag(matrix), 1):
            raise SyntheticSpecError(
                f"The correlation matrix must be symmetric, {k} by {k}, with ones on the diagonal."
            )
    else:
        matrix = np.full((k, k), float(spec.correlation))
        np.fill_diagonal(matrix, 1.0)
    try:
        return np.linalg.cholesky(matrix).astype(np.float64)
    except np.linalg.LinAlgError as error:
        raise SyntheticSpecError(
            "Such correlations cannot all hold at once: the matrix is not positive definite."
        ) from error


def _shocks(random: np.random.Generator, spec: SyntheticSpec, n: int, k: int) -> Float64s:
    """Multivariate t of unit variance, (n, k)."""
    normal = random.standard_normal((n, k)) @ _correlation_root(spec).T
    nu = spec.degrees_of_freedom
    mixing = np.sqrt((nu - 2) / random.chisquare(nu, n))
    return normal * mixing[:, None]


def _regimes(random: np.random.Generator, n: int) -> tuple[NDArray[np.int8], Float64s]:
    """The regime of every minute, and the sign its drift has in this episode (trends go either way)."""
    regimes = np.empty(n, np.int8)
    direction = np.empty(n)
    at, current = 0, Regime.CALM
    while at < n:
        length = 1 + int(random.exponential(SHAPES[current].mean_minutes))
        regimes[at : at + length] = current
        direction[at : at + length] = random.choice((-1.0, 1.0)) if current is Regime.TREND else 1.0
        at += length
        current = Regime(int(random.choice(3, p=_NEXT[current])))
    return regimes, direction


def _season(start_ms: int, n: int) -> Float64s:
    """Activity by the minute of the UTC day, mean about 1: low in the Asian night, high when Europe meets New
    York.
    """
    minute = (start_ms // MINUTE_MS + np.arange(n)) % 1440
    peak = np.exp(-(((minute - 870) / 150.0) ** 2))
    morning = 0.5 * np.exp(-(((minute - 480) / 120.0) ** 2))
    trough = -0.35 * np.exp(-(((minute - 270) / 120.0) ** 2))
    return 0.75 + peak + morning + trough


@njit(cache=True)
def _garch(shocks: Float64s, target: Float64s, drift: Float64s, arch: float, garch: float) -> tuple[Float64s, Float64s]:
    """Returns and their conditional deviations, (n, k) both.

    h[t] = (1 - arch - garch) target[t] + arch r[t-1]^2 + garch h[t-1], kept below 60 times the target.
    """
    n, k = shocks.shape
    returns = np.empty((n, k))
    deviation = np.empty((n, k))
    base = 1.0 - arch - garch
    for j in range(k):
        h = target[0, j]
        for t in range(n):
            if t > 0:
                h = base * target[t, j] + arch * returns[t - 1, j] ** 2 + garch * h
            if h > 60.0 * target[t, j]:
                h = 60.0 * target[t, j]
            s = np.sqrt(h)
            deviation[t, j] = s
            r = s * (shocks[t, j] + drift[t])
            if r > 0.25:
                r = 0.25
            elif r < -0.25:
                r = -0.25
            returns[t, j] = r
    return returns, deviation


def _bars(
    ts_ms: NDArray[np.int64],
    price: float,
    returns: Float64s,
    deviation: Float64s,
    high_u: Float64s,
    low_u: Float64s,
    volume_z: Float64s,
    activity: Float64s,
) -> Bars:
    log_close = np.log(price) + np.cumsum(returns)
    log_open = np.append(np.log(price), log_close[:-1])
    spread = deviation**2
    above = (returns + np.sqrt(returns**2 - 2 * spread * np.log1p(-high_u))) / 2
    below = (returns - np.sqrt(returns**2 - 2 * spread * np.log1p(-low_u))) / 2
    decimals = max(0, 5 - int(np.floor(np.log10(price))))
    tick = 10.0**-decimals
    open_, high, low, close = (
        np.maximum(np.round(np.exp(x), decimals), tick)
        for x in (log_open, log_open + above, log_open + below, log_close)
    )
    high = np.maximum(high, np.maximum(open_, close))
    low = np.minimum(low, np.minimum(open_, close))
    busy = activity * (1.0 + np.abs(returns) / deviation) * np.exp(0.6 * volume_z - 0.18)
    volume = np.round(2_000_000.0 / price * busy / 10, 3)
    return Bars(ts_ms, open_, high, low, close, volume)
