"""Price and quantity steps read off the candles themselves, for markets whose venue rules are not known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MAX_DECIMALS = 8


def decimal_step(values: npt.NDArray[np.float64]) -> float:
    """The coarsest power of ten of which every value is a multiple.

    values : ndarray of any shape, NaN ignored. Returns a step between 1 and 1e-8; 1e-8 for no values at all.
    A step is believed when values agree with it to a relative 1e-9, the noise of decimal text read as float64.
    """
    known = np.abs(values[np.isfinite(values)])
    if known.size == 0:
        return 10.0**-MAX_DECIMALS
    for decimals in range(MAX_DECIMALS + 1):
        scaled = known * 10.0**decimals
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-9 * np.maximum(scaled, 1.0)):
            return 10.0**-decimals
    return 10.0**-MAX_DECIMALS


def daily_volatility(close: npt.NDArray[np.float64], interval_ms: int) -> float:
    """Standard deviation of daily log returns, from bar returns scaled by the square root of time (ddof 1).

    close : ndarray of shape (n_bars,), NaN where a bar is missing (its return is left out). NaN below three returns.
    """
    known = close[np.isfinite(close)]
    if known.size < 4:
        return float("nan")
    returns = np.diff(np.log(known))
    return float(np.std(returns, ddof=1) * np.sqrt(86_400_000 / interval_ms))
