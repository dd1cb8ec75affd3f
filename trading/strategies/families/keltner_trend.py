"""Trend following by Keltner channels: an exponential average with a band of average true ranges."""

from __future__ import annotations

import numpy as np

from trading.quant.indicators import atr, atr_size, atr_warm_up, ema, ema_size, ema_warm_up
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


@strategy(
    title="Keltner channel trend",
    parameters=(
        Parameter("window", 5, 480, 60, "integer", log=True, unit="bars", help="Span of the middle line."),
        Parameter(
            "atr_window",
            5,
            240,
            30,
            "integer",
            log=True,
            unit="bars",
            help="Window of the average true range.",
        ),
        Parameter("width_atr", 0.5, 6, 2, unit="ATR", help="Half-width of the channel."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells short below the channel, 0 stays flat."),
    ),
    state_size=lambda p, _n: 1 + ema_size(p[0]) + atr_size(p[1]),
    warm_up=lambda p, _n: max(ema_warm_up(p[0]), atr_warm_up(p[1])),
    source=(
        "C. Keltner, How to Make Money in Commodities, 1960; with the average true range as in L. "
        "Connors and L. Raschke, Street Smarts, 1995."
    ),
    description=""" **Idea.** A close outside the channel of *width_atr* average true ranges around an
    exponential average is a move larger than the noise: follow it, and leave when the close is back on the
    other side of the average.

    **Works when** trends start with a burst and then drift; the width adapts to the volatility of the day.

    **Fails when** volatility collapses into a range: the channel narrows until noise breaks it.
    """,
)
def keltner_trend(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    middle = ema(close, params[u(0)], state, 1)
    half = params[u(2)] * atr(high, low, close, params[u(1)], state, 3)
    spoken = state[u(0)]
    wanted = np.nan
    if close > middle + half:
        wanted = 1.0
    elif close < middle - half:
        wanted = 0.0 - params[u(3)]
    elif (spoken > 0.0 and close < middle) or (spoken < 0.0 and close > middle):
        wanted = 0.0
    return on_change(wanted, state, 0)
