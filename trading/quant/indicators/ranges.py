"""Price ranges: true range, ATR, rolling extremes and Donchian channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trading.quant.indicators.averages import wilder
from trading.quant.jit import kernel, plain, u

State = npt.NDArray[np.float64]


@kernel
def true_range(high: float, low: float, previous_close: float) -> float:
    """max(high, previous close) - min(low, previous close), in the unit of the price; with NaN: high -
    low.
    """
    top = previous_close if previous_close > high else high
    bottom = previous_close if previous_close < low else low
    return top - bottom


def atr_size(window: float) -> int:
    return 3


def atr_warm_up(window: float) -> int:
    return int(window) - 1


@kernel
def atr(high: float, low: float, close: float, window: float, state: State, at: int) -> float:
    """Average true range: Wilder's smoothing of the true range, in the unit of the price.

    The first bar has no previous close and counts high - low. NaN for the first window - 1 bars. Slice:
    [bars seen, sum or mean, previous close]. Source: J. W. Wilder, New Concepts in Technical Trading
    Systems, 1978.
    """
    previous = state[u(at + 2)] if state[u(at)] > 0.0 else np.nan
    state[u(at + 2)] = close
    return wilder(true_range(high, low, previous), window, state, at)


@plain
def _fill(state: State, start: int, stop: int, value: float) -> None:
    for i in range(start, stop):
        state[i] = value


@plain
def _suffix_max(state: State, first: int, last: int) -> None:
    """state[k] = max(state[k .. last]) for k from last - 1 down to first, in place."""
    best = state[u(last)]
    for k in range(last - 1, first - 1, -1):
        best = state[u(k)] if state[u(k)] > best else best
        state[u(k)] = best


@plain
def _suffix_min(state: State, first: int, last: int) -> None:
    best = state[u(last)]
    for k in range(last - 1, first - 1, -1):
        best = state[u(k)] if state[u(k)] < best else best
        state[u(k)] = best


def rolling_max_size(window: float) -> int:
    return int(window) + 3


def rolling_max_warm_up(window: float) -> int:
    return int(window) - 1


@kernel
def rolling_max(x: float, window: float, state: State, at: int) -> float:
    """Largest of the last ``window`` values; NaN for the first window - 1 bars.

    Slice: [next position 1..window, maximum of this block, suffix maxima of the previous block ..., -inf].
    Two comparisons a bar and one backward pass a window: no branch depends on the data. Source: M. van
    Herk, A fast algorithm for local minimum and maximum filters, Pattern Recognition Letters 13, 1992.
    """
    j = state[u(at)]
    if j == 0.0:
        _fill(state, at + 2, at + 2 + int(window), np.nan)
        state[u(at + 2 + int(window))] = -np.inf
        state[u(at + 1)] = -np.inf
        j = 1.0
    i = at + 1 + int(j)
    head = state[u(at + 1)]
    head = x if x > head else head
    tail = state[u(i + 1)]
    state[u(i)] = x
    if j == window:
        _suffix_max(state, at + 2, i)
        state[u(at + 1)] = -np.inf
        state[u(at)] = 1.0
        return head
    state[u(at + 1)] = head
    state[u(at)] = j + 1.0
    return head if head > tail else tail


def rolling_min_size(window: float) -> int:
    return int(window) + 3


def rolling_min_warm_up(window: float) -> int:
    return int(window) - 1


@kernel
def rolling_min(x: float, window: float, state: State, at: int) -> float:
    """Smallest of the last ``window`` values; NaN for the first window - 1 bars. See :func:`rolling_max`."""
    j = state[u(at)]
    if j == 0.0:
        _fill(state, at + 2, at + 2 + int(window), np.nan)
        state[u(at + 2 + int(window))] = np.inf
        state[u(at + 1)] = np.inf
        j = 1.0
    i = at + 1 + int(j)
    head = state[u(at + 1)]
    head = x if x < head else head
    tail = state[u(i + 1)]
    state[u(i)] = x
    if j == window:
        _suffix_min(state, at + 2, i)
        state[u(at + 1)] = np.inf
        state[u(at)] = 1.0
        return head
    state[u(at + 1)] = head
    state[u(at)] = j + 1.0
    return head if head < tail else tail


def donchian_size(window: float) -> int:
    return 2 * int(window) + 5


def donchian_warm_up(window: float) -> int:
    return int(window) - 1


def donchian_prior_warm_up(window: float) -> int:
    return int(window)


@plain
def _fold_channel(state: State, first: int, last: int) -> None:
    """Suffix maxima and minima of the interleaved (high, low) pairs from ``last`` down to ``first``, in
    place.
    """
    top = state[u(last)]
    bottom = state[u(last + 1)]
    for k in range(last - 2, first - 2, -2):
        top = state[u(k)] if state[u(k)] > top else top
        bottom = state[u(k + 1)] if state[u(k + 1)] < bottom else bottom
        state[u(k)] = top
        state[u(k + 1)] = bottom


@kernel
def _channel(high: float, low: float, window: float, state: State, at: int) -> tuple[float, float, float, float]:
    """(upper, lower) of the ``window`` bars before this one, then of the ``window`` bars up to and with it.

    Slice: [next position 1..window, block high, block low, (suffix high, suffix low) ..., (-inf, inf)].
    """
    j = state[u(at)]
    if j == 0.0:
        _fill(state, at + 3, at + 3 + 2 * int(window), np.nan)
        state[u(at + 3 + 2 * int(window))] = -np.inf
        state[u(at + 4 + 2 * int(window))] = np.inf
        state[u(at + 1)] = -np.inf
        state[u(at + 2)] = np.inf
        j = 1.0
    i = u(at + 1 + 2 * int(j))
    top = state[u(at + 1)]
    bottom = state[u(at + 2)]
    before_top = state[i]
    before_bottom = state[i + u(1)]
    after_top = state[i + u(2)]
    after_bottom = state[i + u(3)]
    upper_before = top if top > before_top else before_top
    lower_before = bottom if bottom < before_bottom else before_bottom
    top = high if high > top else top
    bottom = low if low < bottom else bottom
    state[i] = high
    state[i + u(1)] = low
    if j == window:
        _fold_channel(state, at + 3, at + 1 + 2 * int(j))
        state[u(at + 1)] = -np.inf
        state[u(at + 2)] = np.inf
        state[u(at)] = 1.0
        return upper_before, lower_before, top, bottom
    state[u(at + 1)] = top
    state[u(at + 2)] = bottom
    state[u(at)] = j + 1.0
    return (
        upper_before,
        lower_before,
        top if top > after_top else after_top,
        bottom if bottom < after_bottom else after_bottom,
    )


@kernel
def donchian(high: float, low: float, window: float, state: State, at: int) -> tuple[float, float]:
    """(highest high, lowest low) of the last ``window`` bars, this one included; NaN for the first window -
    1 bars.

    In the unit of the price. Source: R. Donchian's four-week rule; C. Faith, Way of the Turtle, 2007.
    """
    _, _, upper, lower = _channel(high, low, window, state, at)
    return upper, lower


@kernel
def donchian_prior(high: float, low: float, window: float, state: State, at: int) -> tuple[float, float]:
    """(highest high, lowest low) of the ``window`` bars before this one; NaN for the first ``window`` bars.

    What a breakout compares with: the bar itself cannot break a channel that contains it. Same slice as
    ``donchian``.
    """
    upper, lower, _, _ = _channel(high, low, window, state, at)
    return upper, lower
