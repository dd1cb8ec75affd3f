"""Incremental indicators: one bar in, one value out, all memory in a slice of a float64 state array.

Conventions, the same for every step here:

* ``step(values..., windows..., state, at)`` works on ``state[at : at + <name>_size(windows)]``. A slice
  full of zeros is a fresh indicator, so nobody has to initialise one; carry the slice over and the next bar
  continues to the last bit.
* Windows are bar counts. They may be passed as the float64 they are stored as; they must be whole and at
  least 1.
* Inputs are finite prices or volumes of a closed bar. A bar with a gap (NaN) is not stepped at all.
* Until an indicator has seen its warm-up it returns NaN, so comparisons with it are false.
  ``<name>_warm_up`` is the number of bars that return NaN before the first value.
* Windowed sums are kept as prefix sums of blocks of one window: any value depends on at most the last two
  windows of bars, so rounding never accumulates, however many million bars pass; each bar costs O(1),
  extremes amortised O(1).
* Results equal the ``.py_func`` of the step bit for bit: no fastmath, no threads, no randomness.
"""

from __future__ import annotations

from trading.quant.indicators.averages import (
    ema,
    ema_size,
    ema_warm_up,
    macd,
    macd_size,
    macd_warm_up,
    sma,
    sma_pair,
    sma_pair_block,
    sma_pair_size,
    sma_pair_warm_up,
    sma_size,
    sma_warm_up,
    wilder,
    wilder_size,
    wilder_warm_up,
)
from trading.quant.indicators.dispersion import (
    bollinger,
    bollinger_size,
    bollinger_warm_up,
    moments,
    moments_size,
    moments_warm_up,
    volatility,
    volatility_size,
    volatility_warm_up,
    zscore,
    zscore_size,
    zscore_warm_up,
)
from trading.quant.indicators.momentum import (
    adx,
    adx_size,
    adx_warm_up,
    lag,
    lag_size,
    lag_warm_up,
    roc,
    roc_size,
    roc_warm_up,
    rsi,
    rsi_size,
    rsi_warm_up,
)
from trading.quant.indicators.ranges import (
    atr,
    atr_size,
    atr_warm_up,
    donchian,
    donchian_prior,
    donchian_prior_warm_up,
    donchian_size,
    donchian_warm_up,
    rolling_max,
    rolling_max_size,
    rolling_max_warm_up,
    rolling_min,
    rolling_min_size,
    rolling_min_warm_up,
    true_range,
)
from trading.quant.indicators.volume import (
    vwap,
    vwap_anchored,
    vwap_anchored_size,
    vwap_size,
    vwap_warm_up,
)

__all__ = [
    "adx",
    "adx_size",
    "adx_warm_up",
    "atr",
    "atr_size",
    "atr_warm_up",
    "bollinger",
    "bollinger_size",
    "bollinger_warm_up",
    "donchian",
    "donchian_prior",
    "donchian_prior_warm_up",
    "donchian_size",
    "donchian_warm_up",
    "ema",
    "ema_size",
    "ema_warm_up",
    "lag",
    "lag_size",
    "lag_warm_up",
    "macd",
    "macd_size",
    "macd_warm_up",
    "moments",
    "moments_size",
    "moments_warm_up",
    "roc",
    "roc_size",
    "roc_warm_up",
    "rolling_max",
    "rolling_max_size",
    "rolling_max_warm_up",
    "rolling_min",
    "rolling_min_size",
    "rolling_min_warm_up",
    "rsi",
    "rsi_size",
    "rsi_warm_up",
    "sma",
    "sma_pair",
    "sma_pair_block",
    "sma_pair_size",
    "sma_pair_warm_up",
    "sma_size",
    "sma_warm_up",
    "true_range",
    "volatility",
    "volatility_size",
    "volatility_warm_up",
    "vwap",
    "vwap_anchored",
    "vwap_anchored_size",
    "vwap_size",
    "vwap_warm_up",
    "wilder",
    "wilder_size",
    "wilder_warm_up",
    "zscore",
    "zscore_size",
    "zscore_warm_up",
]
