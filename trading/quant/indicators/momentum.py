"""Momentum and directional movement: lagged value, rate of change, RSI, ADX."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trading.quant.indicators.averages import wilder
from trading.quant.indicators.ranges import true_range
from trading.quant.jit import kernel, u

State = npt.NDArray[np.float64]


def lag_size(window: float) -> int:
    return int(window) + 2


def lag_warm_up(window: float) -> int:
    return int(window)


@kernel
def lag(x: float, window: float, state: State, at: int) -> float:
    """The value ``window`` bars ago; NaN for the first ``window`` bars. Slice: [position 1.., laps, ring
    ...].
    """
    j = state[u(at)]
    if j == 0.0:
        j = 1.0
    i = u(at + 1 + int(j))
    old = state[i] if state[u(at + 1)] > 0.0 else np.nan
    state[i] = x
    if j == window:
        state[u(at + 1)] = 1.0
        j = 0.0
    state[u(at)] = j + 1.0
    return old


def roc_size(window: float) -> int:
    return lag_size(window)


def roc_warm_up(window: float) -> int:
    return lag_warm_up(window)


@kernel
def roc(x: float, window: float, state: State, at: int) -> float:
    """Rate of change x / x[``window`` bars ago] - 1, a fraction; NaN for the first ``window`` bars; x > 0."""
    return x / lag(x, window, state, at) - 1.0


def rsi_size(window: float) -> int:
    return 5


def rsi_warm_up(window: float) -> int:
    return int(window)


@kernel
def rsi(x: float, window: float, state: State, at: int) -> float:
    """Relative strength index in [0, 100]: 100 x mean gain / (mean gain + mean loss), both with Wilder's
    smoothing.

    NaN for the first ``window`` bars (the first change needs two of them); 50 where nothing has moved.
    Slice: [previous, gains seen, gain, losses seen, loss]. Source: J. W. Wilder, New Concepts in Technical
    Trading Systems, 1978.
    """
    previous = state[u(at)]
    state[u(at)] = x
    if previous == 0.0:
        return np.nan
    change = x - previous
    gain = wilder(change if change > 0.0 else 0.0, window, state, at + 1)
    loss = wilder(-change if change < 0.0 else 0.0, window, state, at + 3)
    moved = gain + loss
    if moved == 0.0:
        return 50.0
    return 100.0 * gain / moved


def adx_size(window: float) -> int:
    return 11


def adx_warm_up(window: float) -> int:
    return 2 * int(window) - 1


@kernel
def adx(high: float, low: float, close: float, window: float, state: State, at: int) -> tuple[float, float, float]:
    """(ADX, +DI, -DI), each in [0, 100], with Wilder's smoothing throughout.

    The indicators are NaN for the first ``window`` bars, the ADX for 2 x window - 1. A market without any
    range gives 0. Slice: [previous high, low, close, then (seen, mean) of true range, +DM, -DM, DX].
    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    before_high = state[u(at)]
    before_low = state[u(at + 1)]
    before_close = state[u(at + 2)]
    state[u(at)] = high
    state[u(at + 1)] = low
    state[u(at + 2)] = close
    if before_close == 0.0:
        return np.nan, np.nan, np.nan
    up = high - before_high
    down = before_low - low
    span = wilder(true_range(high, low, before_close), window, state, at + 3)
    plus = wilder(up if up > down and up > 0.0 else 0.0, window, state, at + 5)
    minus = wilder(down if down > up and down > 0.0 else 0.0, window, state, at + 7)
    if span != span:
        return np.nan, np.nan, np.nan
    scale = 100.0 / span if span > 0.0 else 0.0
    plus *= scale
    minus *= scale
    both = plus + minus
    direction = 100.0 * abs(plus - minus) / both if both > 0.0 else 0.0
    return wilder(direction, window, state, at + 9), plus, minus
