"""Time-series momentum, sized inversely to volatility."""

from __future__ import annotations

import numpy as np

from trading.quant.indicators import (
    lag,
    lag_size,
    lag_warm_up,
    volatility,
    volatility_size,
    volatility_warm_up,
)
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


@strategy(
    title="Time-series momentum with volatility scaling",
    parameters=(
        Parameter("lookback", 10, 960, 240, "integer", log=True, unit="bars", help="Horizon of the past return."),
        Parameter("vol_window", 10, 480, 120, "integer", log=True, unit="bars", help="Window of the volatility."),
        Parameter("target_vol_bps", 1, 200, 8, log=True, unit="bps per bar", help="Volatility wanted per bar."),
        Parameter("band_frac", 0.05, 0.5, 0.2, unit="fraction", help="Smallest change of size worth a trade."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells past losers short, 0 stays flat."),
    ),
    state_size=lambda p, _n: 1 + lag_size(p[0]) + volatility_size(p[1]),
    warm_up=lambda p, _n: max(lag_warm_up(p[0]), volatility_warm_up(p[1])),
    source=(
        "T. Moskowitz, Y. H. Ooi, L. H. Pedersen, Time Series Momentum, Journal of Financial Economics 104(2), 2012."
    ),
    description=""" **Idea.** Hold the sign of the return over the last *lookback* bars, in a size of
    *target_vol_bps* over the volatility of the last *vol_window* bars, never above the full draw. Calm
    trends get the full size, wild ones a fraction; the size is changed only when it is off by more than the
    band.

    **Works when** returns are positively autocorrelated over the horizon, which for liquid futures is
    documented over one to twelve months; on minutes that evidence does not exist and the result is a test,
    not a promise.

    **Fails when** trends reverse at the horizon's scale, and when volatility jumps after the size was set.
    """,
)
def tsmom_volatility(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    change = close - lag(close, params[u(0)], state, 1)
    risk = volatility(close, params[u(1)], state, 3 + int(params[u(0)]))
    if change != change or risk != risk:
        return np.nan
    aim = params[u(2)] * 1e-4
    size = aim / risk if risk > aim else 1.0
    wanted = 0.0
    if change > 0.0:
        wanted = size
    elif change < 0.0:
        wanted = 0.0 - params[u(4)] * size
    spoken = state[u(0)]
    small = abs(wanted - spoken) < params[u(3)]
    if small and wanted * spoken > 0.0:
        return np.nan
    return on_change(wanted, state, 0)
