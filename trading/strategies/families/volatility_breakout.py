"""Breakout by a bar larger than usual, left by a trailing stop in units of ATR."""

from __future__ import annotations

import numpy as np

from trading.quant.indicators import atr, atr_size, atr_warm_up
from trading.quant.jit import u
from trading.strategies.authoring import Parameter, on_change, strategy
from trading.strategies.spec import Float64


@strategy(
    title="Volatility breakout",
    parameters=(
        Parameter("window", 5, 240, 30, "integer", log=True, unit="bars", help="Window of the average true range."),
        Parameter("entry_atr", 0.5, 6, 2, unit="ATR", help="A close this far from the last one opens."),
        Parameter("trail_atr", 1, 12, 4, unit="ATR", help="A close this far from the best close ends it."),
        Parameter("allow_short", 0, 1, 1, "integer", help="1 sells downward bursts short, 0 stays flat."),
    ),
    state_size=lambda p, _n: 4 + atr_size(p[0]),
    warm_up=lambda p, _n: atr_warm_up(p[0]) + 1,
    source=(
        "L. Williams, Long-Term Secrets to Short-Term Trading, Wiley 1999 (volatility breakout); the "
        "trailing exit is C. LeBeau's chandelier, in A. Elder, Come Into My Trading Room, Wiley 2002."
    ),
    description=""" **Idea.** When one bar moves more than *entry_atr* times the average true range before
    it, something has changed: go with it, and follow the best close since then with a stop *trail_atr*
    ranges away.

    **Works when** news and liquidations start moves that last longer than one bar.

    **Fails when** the burst is the whole move: thin books snap back, and the entry is at the extreme by
    construction. """,
)
def volatility_breakout(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    spoken = state[u(0)]
    move = close - state[u(1)]
    usual = state[u(2)]
    best = state[u(3)]
    span = atr(high, low, close, params[u(0)], state, 4)
    wanted = np.nan
    threshold = params[u(1)] * usual
    if usual > 0.0 and move > threshold:
        wanted = 1.0
    elif usual > 0.0 and move < -threshold:
        wanted = 0.0 - params[u(3)]
    elif spoken > 0.0:
        best = close if close > best else best
        if close < best - params[u(2)] * span:
            wanted = 0.0
    elif spoken < 0.0:
        best = close if close < best else best
        if close > best + params[u(2)] * span:
            wanted = 0.0
    said = on_change(wanted, state, 0)
    state[u(1)] = close
    state[u(2)] = span if span == span else 0.0
    state[u(3)] = close if said == said else best
    return said
