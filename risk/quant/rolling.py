"""Rolling one-day-ahead VaR by each method, for the backtest and its plot."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from risk.quant.garch import filtered_historical, rolling_filtered_var
from risk.quant.tail import (
    FloatArray,
    TailRisk,
    age_weighted,
    cornish_fisher,
    historical,
    minimum_observations,
)


class VarMethod(StrEnum):
    HISTORICAL = "historical"
    AGE_WEIGHTED = "age_weighted"
    FILTERED = "filtered_historical"
    CORNISH_FISHER = "cornish_fisher"


def tail_risk(pnl: FloatArray, alpha: float, method: VarMethod) -> TailRisk:
    """VaR and ES of `pnl` (n,) by the named method, with its defaults."""
    if method is VarMethod.HISTORICAL:
        return historical(pnl, alpha)
    if method is VarMethod.AGE_WEIGHTED:
        return age_weighted(pnl, alpha)
    if method is VarMethod.CORNISH_FISHER:
        return cornish_fisher(pnl, alpha)
    return filtered_historical(pnl, alpha)


def rolling_var(
    pnl: FloatArray, alpha: float = 0.99, *, window: int = 250, method: VarMethod = VarMethod.HISTORICAL
) -> FloatArray:
    """VaR (n,) forecast for each day from the `window` days before it; NaN for the first `window`.

    Raises ValueError when the window cannot carry the level.
    """
    if window < minimum_observations(alpha):
        raise ValueError(f"{window} days cannot carry a VaR at {alpha:.1%}: it takes {minimum_observations(alpha)}.")
    if method is VarMethod.FILTERED:
        return rolling_filtered_var(pnl, alpha, window=window)
    sample = np.asarray(pnl, dtype=np.float64)
    out = np.full(sample.shape[0], math.nan)
    for t in range(window, sample.shape[0]):
        out[t] = tail_risk(sample[t - window : t], alpha, method).var
    return out
