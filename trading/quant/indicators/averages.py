"""Moving averages: simple, exponential, Wilder's, and the MACD built of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trading.quant.jit import kernel, plain, u

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


@plain
def sma_pair_block(
    values: State, fast: float, slow: float, state: State, at: int, fast_means: State, slow_means: State
) -> None:
    """:func:`sma_pair` over many values, to the last bit: its means into two arrays of their length.

    Block of one slow window by block, so that the prefix sums are all that is taken one after the other.
    """
    size, lead = int(slow), int(fast)
    if state[u(at)] == 0.0:
        state[u(at)] = 1.0
        state[u(at + 1)] = np.nan
    first = int(state[u(at)])
    before = state[u(at + 1)]
    sums = state[at + 2 :]
    done = 0
    while done < values.shape[0]:
        count = min(size - first + 1, values.shape[0] - done)
        n = u(count)
        back = u(min(max(lead - first, 0), count))  # values whose fast window began in the block before
        x, fasts, slows = values[done:], fast_means[done:], slow_means[done:]
        own, ahead = sums[first:], sums[first - lead + size :]
        for k in range(back):
            fasts[k] = before - ahead[k]
        for k in range(n):
            slows[k] = before - own[k]
        head = sums[u(first - 1)]
        for k in range(n):
            head += x[k]
            own[k] = head
        if back < n:
            behind, rest, begun = sums[first + int(back) - lead :], fasts[int(back) :], n - back
            for k in range(begun):
                rest[k] = 0.0 - behind[k]
        for k in range(n):
            fasts[k] = (fasts[k] + own[k]) / fast
        for k in range(n):
            slows[k] = (slows[k] + own[k]) / slow
        first += count
        done += count
        if first > size:
            slows[n - u(1)] = head / slow
            before = head
            first = 1
    state[u(at)] = first
    state[u(at + 1)] = before


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
