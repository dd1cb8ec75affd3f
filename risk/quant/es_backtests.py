"""Does an expected shortfall hold? Each day's forecast as a distribution, and the second test of Acerbi and Szekely.

Source: Acerbi and Szekely (2014), "Backtesting expected shortfall", Risk 27(11), test 2:

    Z = sum over days of X_t 1{X_t < -VaR_t} / (T (1 - alpha) ES_t) + 1

with X the P&L. It is zero in expectation when VaR and ES are right and negative when losses beyond the VaR come
too often or are too deep. As in the paper, its p-value is simulated from the forecasts' own distributions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from risk.quant.backtests import Zone
from risk.quant.garch import MINIMUM_FIT, GarchFit, backcast, fit_garch, garch_variance
from risk.quant.rolling import VarMethod
from risk.quant.tail import (
    FloatArray,
    age_weights,
    cornish_fisher,
    find_tail,
    minimum_observations,
)

AGE_DECAY = 0.98
REFIT_EVERY = 50
_GRID = 500


@dataclass(frozen=True, slots=True)
class Forecast:
    """VaR and ES of one day, forecast before it, with what lies beyond the VaR.

    `beyond` (k,) ascending P&L below -VaR and `cumulative` (k,) the probability of each or worse.
    """

    var: float
    es: float
    beyond: FloatArray
    cumulative: FloatArray


@dataclass(frozen=True, slots=True)
class EsBacktest:
    """Test 2 over `n` days. `excess` is the mean loss on the days beyond the VaR over the ES forecast for them.

    `p_value` is the share of simulated histories that are no better; NaN without a day or with an ES that is
    not positive.
    """

    alpha: float
    n: int
    exceptions: int
    statistic: float
    p_value: float
    excess: float

    @property
    def zone(self) -> Zone | None:
        """Green from 5 %, red from one in ten thousand, as the traffic light of the VaR counts."""
        if math.isnan(self.p_value):
            return None
        return Zone.GREEN if self.p_value >= 0.05 else Zone.YELLOW if self.p_value > 1e-4 else Zone.RED


def _from_sample(sample: FloatArray, alpha: float, weights: FloatArray | None = None) -> Forecast | None:
    tail = find_tail(sample, alpha, weights)
    if tail is None:
        return None
    w = np.full(sample.shape[0], 1.0 / sample.shape[0]) if weights is None else weights / weights.sum()
    worst = tail.order[: tail.rank + 1]
    worst = worst[sample[worst] < sample[tail.var_index]]
    return Forecast(
        -float(sample[tail.var_index]), -float(tail.es_weights @ sample), sample[worst], np.cumsum(w[worst])
    )


def _from_expansion(sample: FloatArray, alpha: float) -> Forecast | None:
    """The lower tail of the Cornish-Fisher quantile function on a grid of equal probabilities."""
    risk = cornish_fisher(sample, alpha)
    if not math.isfinite(risk.es):
        return None
    mean, std = float(sample.mean()), float(sample.std())
    s, k = float(scipy.stats.skew(sample)), float(scipy.stats.kurtosis(sample))
    p = (1.0 - alpha) * (np.arange(_GRID) + 0.5) / _GRID
    z = scipy.stats.norm.ppf(p)
    q = z + (z * z - 1) * s / 6 + (z**3 - 3 * z) * k / 24 - (2 * z**3 - 5 * z) * s * s / 36
    return Forecast(risk.var, risk.es, mean + std * q, (1.0 - alpha) * (np.arange(_GRID) + 1.0) / _GRID)


def rolling_forecasts(
    pnl: FloatArray, alpha: float = 0.99, *, window: int = 250, method: VarMethod = VarMethod.HISTORICAL
) -> list[Forecast | None]:
    """A forecast for every day of `pnl` (n,) from the `window` days before it; None where there is none.

    GARCH parameters are fitted every 50 days. Raises ValueError when the window cannot carry the level.
    """
    least = minimum_observations(alpha)
    if window < least:
        raise ValueError(f"{window} days cannot carry an ES at {alpha:.1%}: it takes {least}.")
    sample = np.asarray(pnl, dtype=np.float64)
    out: list[Forecast | None] = [None] * min(window, sample.shape[0])
    weights = age_weights(window, AGE_DECAY)
    fit: GarchFit | None = None
    for t in range(window, sample.shape[0]):
        past = sample[t - window : t]
        if not np.isfinite(past).all():
            out.append(None)
        elif method is VarMethod.HISTORICAL:
            out.append(_from_sample(past, alpha))
        elif method is VarMethod.AGE_WEIGHTED:
            out.append(_from_sample(past, alpha, weights))
        elif method is VarMethod.CORNISH_FISHER:
            out.append(_from_expansion(past, alpha))
        else:
            if (t - window) % REFIT_EVERY == 0 or fit is None:
                fit = fit_garch(past) if window >= MINIMUM_FIT else None
            if fit is None:
                out.append(None)
                continue
            h = garch_variance(past, fit.omega, fit.a, fit.b, backcast(past))
            out.append(_from_sample(past * np.sqrt(h[-1] / h[:-1]), alpha))
    return out


def acerbi_szekely(
    pnl: FloatArray, forecasts: Sequence[Forecast | None], alpha: float
) -> tuple[float, int, int, float]:
    """Z, the days it rests on, the days beyond the VaR, and their mean loss over the ES forecast for them.

    `pnl` (n,) aligned with `forecasts`. Days without a forecast, or with an ES that is not positive, are left out.
    """
    total, n, ratios = 0.0, 0, []
    for x, forecast in zip(np.asarray(pnl, dtype=np.float64), forecasts, strict=True):
        if forecast is None or not math.isfinite(x) or not forecast.es > 0:
            continue
        n += 1
        if x < -forecast.var:
            total += float(x) / forecast.es
            ratios.append(-float(x) / forecast.es)
    if n == 0:
        return math.nan, 0, 0, math.nan
    return 1.0 + total / (n * (1.0 - alpha)), n, len(ratios), float(np.mean(ratios)) if ratios else math.nan


def simulated_statistics(
    forecasts: Sequence[Forecast | None], alpha: float, *, paths: int = 10_000, seed: int = 0
) -> FloatArray:
    """Z (paths,) when every day's P&L is drawn from that day's own forecast. O(days * paths)."""
    rng = np.random.default_rng(seed)
    total, n = np.zeros(paths), 0
    for forecast in forecasts:
        if forecast is None or not forecast.es > 0:
            continue
        n += 1
        if not forecast.beyond.size:
            continue
        place = np.searchsorted(forecast.cumulative, rng.random(paths), side="right")
        hit = place < forecast.beyond.size
        total[hit] += forecast.beyond[place[hit]] / forecast.es
    return 1.0 + total / (n * (1.0 - alpha)) if n else np.full(paths, math.nan)


def backtest_es(
    pnl: FloatArray,
    forecasts: Sequence[Forecast | None],
    alpha: float = 0.99,
    *,
    paths: int = 10_000,
    seed: int = 0,
) -> EsBacktest:
    """Test 2 with its simulated p-value; deterministic for a seed."""
    known = [
        None if not math.isfinite(x) else forecast
        for x, forecast in zip(np.asarray(pnl, dtype=np.float64), forecasts, strict=True)
    ]
    z, n, exceptions, excess = acerbi_szekely(pnl, known, alpha)
    if n == 0:
        return EsBacktest(alpha, 0, 0, math.nan, math.nan, math.nan)
    drawn = simulated_statistics(known, alpha, paths=paths, seed=seed)
    # A draw that equals the observation is no better; the tolerance is for sums taken in another order.
    p = (1.0 + float((drawn <= z + 1e-12).sum())) / (1.0 + paths)
    return EsBacktest(alpha, n, exceptions, z, p, excess)
