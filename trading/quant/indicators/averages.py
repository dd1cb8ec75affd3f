"""Moving averages: simple, exponential, Wilder's, and the MACD built of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trading.quant.jit import kernel, u

State = npt.NDArray[np.float64]


def sma_size(window: float) -> int:
    return int(window) + 3


def sma_warm_up(window: float) -> int:
    return int(window) - 1


@kernel
def sma(x: float, window: float, state: State, at: int) -> float:
    """Arithmetic mean of the last ``window`` values, in the unit of ``x``; NaN for the first window - 1 bars.

    Slice: [next position 1..window, sum of the previous block, 0, prefix sums of a block ...]. The sum over
    a window that spans two blocks is the tail of the previous block plus the head of this one.
    """
    j: float = state[u(at)]
    if j == 0.0:
        state[u(at + 1)] = np.nan
        j = 1.0
    i = u(at + 2 + int(j))
    head: float = state[i - u(1)] + x
    total: float = (state[u(at + 1)] - state[i]) + head
    state[i] = head
    if j == window:
        state[u(at + 1)] = head
        total = head
        j = 0.0
    state[u(at)] = j + 1.0
    return total / window


def sma_pair_size(fast: float, slow: float) -> int:
    return int(slow) + 3


def sma_pair_warm_up(fast: float, slow: float) -> int:
    return int(slow) - 1


@kernel
def sma_pair(x: float, fast: float, slow: float, state: State, at: int) -> tuple[float, float]:
    """(sma over ``fast``, sma over ``slow``) from one shared ring; requires 1 <= fast <= slow.

    Each is NaN until it has its own window of bars. Slice as for :func:`sma` with the slow window.
    """
    j = state[u(at)]
    if j == 0.0:
        state[u(at + 1)] = np.nan
        j = 1.0
    i = u(at + 2 + int(j))
    head = state[i - u(1)] + x
    block = state[u(at + 1)]
    slow_sum = (block - state[i]) + head
    k = j - fast
    if k < 0.0:
        k += slow
    else:
        block = 0.0
    fast_sum = (block - state[u(at + 2 + int(k))]) + head
    state[i] = head
    if j == slow:
        state[u(at + 1)] = head
        slow_sum = head
        j = 0.0
    state[u(at)] = j + 1.0
    return fast_sum / fast, slow_sum / slow


def ema_size(window: float) -> int:
    return 2


def ema_warm_up(window: float) -> int:
    return int(window) - 1


@kernel
def ema(x: float, window: float, state: State, at: int) -> float:
    """Exponential mean with weight 2 / (window + 1), seeded with the first value (pandas ``ewm(span,
    adjust=False)``).

    In the unit of ``x``; NaN for the first window - 1 bars. Slice: [bars seen, mean].
    """
    seen: float = state[u(at)]
    mean: float = state[u(at + 1)]
    mean = mean + (x - mean) * (2.0 / (window + 1.0)) if seen > 0.0 else x
    state[u(at + 1)] = mean
    seen += 1.0
    state[u(at)] = seen
    return mean if seen >= window else np.nan


def wilder_size(window: float) -> int:
    return 2


def wilder_warm_up(window: float) -> int:
    return int(window) - 1


@kernel
def wilder(x: float, window: float, state: State, at: int) -> float:
    """Wilder's smoothing: the mean of the first ``window`` values, then mean += (x - mean) / window.

    In the unit of ``x``; NaN for the first window - 1 bars. Slice: [bars seen, sum while warming up, then
    the mean]. Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    seen: float = state[u(at)]
    mean: float = state[u(at + 1)]
    if seen >= window:
        mean += (x - mean) / window
        state[u(at + 1)] = mean
        return mean
    seen += 1.0
    mean += x
    state[u(at)] = seen
    if seen < window:
        state[u(at + 1)] = mean
        return np.nan
    mean /= window
    state[u(at + 1)] = mean
    return mean


def macd_size(fast: float, slow: float, signal: float) -> int:
    return 6


def macd_warm_up(fast: float, slow: float, signal: float) -> int:
    return int(slow) + int(signal) - 2


@kernel
def macd(x: float, fast: float, slow: float, signal: float, state: State, at: int) -> tuple[float, float, float]:
    """(line, signal, histogram): EMA(fast) - EMA(slow), its EMA(signal), and their difference; fast <= slow.

    All three in the unit of ``x``. The line is NaN for slow - 1 bars, the signal is seeded with the first
    line and NaN for signal - 1 bars more. Source: G. Appel, The Moving Average Convergence-Divergence
    Trading Method, 1979.
    """
    line = ema(x, fast, state, at) - ema(x, slow, state, at + 2)
    if line != line:
        return line, np.nan, np.nan
    smooth = ema(line, signal, state, at + 4)
    return line, smooth, line - smooth
