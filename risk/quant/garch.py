"""Filtered historical simulation: past shocks, scaled to today's volatility by a GARCH(1,1).

The parameters are fitted by the `arch` package (Gaussian quasi-likelihood, zero mean: over a day the mean is
small against its own error); the recursion and the path simulation are compiled here, because a rolling
backtest runs them thousands of times. Sources: Barone-Adesi, Giannopoulos and Vosper (1999), "VaR without
correlations for portfolios of derivative securities", J. Futures Markets 19(5); Hull and White (1998),
"Incorporating volatility updating into the historical simulation method", J. Risk 1(1); Bollerslev (1986).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from risk.quant.tail import FloatArray, TailRisk, check_alpha, historical, minimum_observations

#: Below this a GARCH fit is noise.
MINIMUM_FIT = 100


@dataclass(frozen=True, slots=True)
class GarchFit:
    """h[t+1] = omega + a * r[t]^2 + b * h[t], in the unit of the sample squared."""

    omega: float
    a: float
    b: float
    sigma: FloatArray
    forecast: float

    @property
    def persistence(self) -> float:
        return self.a + self.b


@njit(cache=True)
def garch_variance(pnl: FloatArray, omega: float, a: float, b: float, start: float) -> FloatArray:
    """Conditional variances (n + 1,) of `pnl` (n,); the last is the forecast for the day after. `start` is
    the value taken for both the squared shock and the variance before the first day (the backcast).
    """
    h = np.empty(pnl.shape[0] + 1)
    h[0] = omega + (a + b) * start
    for t in range(pnl.shape[0]):
        h[t + 1] = omega + a * pnl[t] * pnl[t] + b * h[t]
    return h


def backcast(pnl: FloatArray) -> float:
    """Exponentially weighted mean square of the first 75 days, decay 0.94: the start value `arch` uses."""
    head = pnl[:75]
    w = 0.94 ** np.arange(head.shape[0], dtype=np.float64)
    return float((w / w.sum()) @ (head * head))


def fit_garch(pnl: FloatArray) -> GarchFit | None:
    """A GARCH(1,1) fit of `pnl` (n,), oldest first.

    None when it is shorter than 100, has a value that is not finite, does not move, or when the optimiser
    does not converge.
    """
    # arch costs seconds to import: only the process that fits pays for it.
    from arch import arch_model

    sample = np.asarray(pnl, dtype=np.float64)
    if sample.shape[0] < MINIMUM_FIT or not np.isfinite(sample).all():
        return None
    scale = float(sample.std())
    if scale <= 0.0:
        return None
    unit = sample / scale
    result = arch_model(unit, mean="Zero", vol="GARCH", p=1, q=1, dist="normal", rescale=False).fit(
        disp="off", show_warning=False
    )
    if result.convergence_flag != 0:
        return None
    omega, a, b = (float(result.params[name]) for name in ("omega", "alpha[1]", "beta[1]"))
    sigma = np.sqrt(garch_variance(unit, omega, a, b, backcast(unit))) * scale
    if not np.isfinite(sigma).all() or (sigma <= 0).any():
        return None
    return GarchFit(omega * scale**2, a, b, sigma[:-1], float(sigma[-1]))


def scenario_scale(fit: GarchFit) -> FloatArray:
    """Factor (n,) that carries each past day to tomorrow's volatility, for
    `contributions(scenario_scale=...)`.
    """
    return np.asarray(fit.forecast / fit.sigma)


@njit(cache=True)
def _paths(
    z: FloatArray,
    omega: float,
    a: float,
    b: float,
    h0: float,
    horizon: int,
    n_paths: int,
    rng: np.random.Generator,
) -> FloatArray:
    out = np.empty(n_paths)
    for path in range(n_paths):
        h, total = h0, 0.0
        for _ in range(horizon):
            r = math.sqrt(h) * z[rng.integers(0, z.shape[0])]
            total += r
            h = omega + a * r * r + b * h
        out[path] = total
    return out


def filtered_historical(
    pnl: FloatArray,
    alpha: float = 0.99,
    *,
    horizon: int = 1,
    n_paths: int = 10_000,
    seed: int = 0,
    fit: GarchFit | None = None,
) -> TailRisk:
    """VaR and ES over `horizon` days. One day uses every past shock once; more draw `n_paths` bootstrap paths
    by `seed`.

    NaN where no GARCH could be fitted. `fit` skips the fitting.
    """
    check_alpha(alpha)
    sample = np.asarray(pnl, dtype=np.float64)
    n = sample.shape[0]
    found = fit_garch(sample) if fit is None else fit
    if found is None:
        return TailRisk(math.nan, math.nan, alpha, n)
    if horizon == 1:
        return historical(sample * scenario_scale(found), alpha)
    rng = np.random.default_rng(seed)
    z = sample / found.sigma
    sums = _paths(z, found.omega, found.a, found.b, found.forecast**2, horizon, n_paths, rng)
    risk = historical(sums, alpha)
    return TailRisk(risk.var, risk.es, alpha, n)


def rolling_filtered_var(
    pnl: FloatArray, alpha: float = 0.99, *, window: int = 500, refit_every: int = 50
) -> FloatArray:
    """One-day-ahead VaR (n,): element t uses only days before t. Parameters are fitted every `refit_every`
    days.

    The first `window` elements are NaN, and so are those of a stretch whose fit failed.
    """
    sample = np.asarray(pnl, dtype=np.float64)
    out = np.full(sample.shape[0], math.nan)
    if window < max(MINIMUM_FIT, minimum_observations(alpha)):
        raise ValueError(f"A window of {window} days is too short for a GARCH fit at {alpha:.1%}.")
    fit: GarchFit | None = None
    for t in range(window, sample.shape[0]):
        past = sample[t - window : t]
        if (t - window) % refit_every == 0:
            fit = fit_garch(past)
        if fit is None or not np.isfinite(past).all():
            continue
        h = garch_variance(past, fit.omega, fit.a, fit.b, backcast(past))
        out[t] = historical(past * np.sqrt(h[-1] / h[:-1]), alpha).var
    return out
