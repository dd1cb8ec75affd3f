"""Rolling dispersion: mean and variance, z-score, Bollinger bands, volatility of log returns."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from trading.quant.jit import kernel, u

State = npt.NDArray[np.float64]

#: Below this share of the mean square around the block's reference a variance is rounding noise: the window
#: is flat.
_FLAT = 1e-12


def moments_size(window: float) -> int:
    return 2 * int(window) + 7


def moments_warm_up(window: float) -> int:
    return int(window) - 1


@kernel
def _sums(x: float, window: float, state: State, at: int) -> tuple[float, float, float, float]:
    """(reference, deviation of x from it, sum and w^2 x population variance of the window's deviations).

    NaN sums for the first window - 1 bars. The last is w x (sum of squares) - (sum)^2, 0 where that is
    rounding noise.
    """
    j = state[u(at)]
    if j == 0.0:
        state[u(at + 1)] = x
        state[u(at + 2)] = x
        state[u(at + 3)] = np.nan
        j = 1.0
    i = u(at + 5 + 2 * int(j))
    reference = state[u(at + 1)]
    deviation = x - reference
    head = state[i - u(2)] + deviation
    head_sq = state[i - u(1)] + deviation * deviation
    tail = state[u(at + 3)] - state[i]
    tail_sq = state[u(at + 4)] - state[i + u(1)]
    shift = state[u(at + 2)] - reference
    left = (window - j) * shift
    total = (tail + left) + head
    total_sq = (tail_sq + shift * (tail + tail + left)) + head_sq
    state[i] = head
    state[i + u(1)] = head_sq
    if j == window:
        total = head
        total_sq = head_sq
        state[u(at + 1)] = x
        state[u(at + 2)] = reference
        state[u(at + 3)] = head
        state[u(at + 4)] = head_sq
        j = 0.0
    state[u(at)] = j + 1.0
    square = window * total_sq
    spread = square - total * total
    if spread <= _FLAT * square:
        spread = 0.0
    return reference, deviation, total, spread


@kernel
def moments(x: float, window: float, state: State, at: int) -> tuple[float, float]:
    """(mean, sum of squared deviations from it) over the last ``window`` values; NaN for the first window -
    1 bars.

    Divide the second by window for the population variance, by window - 1 for the sample variance. Values
    are summed relative to the last value of the block before theirs, so nothing large cancels and rounding
    never accumulates: the result depends on the last two windows only. A window that is flat to rounding
    gives exactly 0.

    Slice: [next position 1..window, reference, previous reference, block sum, block sum of squares, (prefix
    sum, prefix sum of squares) pairs, the first of them zero]. Source of the shift: T. F. Chan, G. H.
    Golub, R. J. LeVeque, Algorithms for Computing the Sample Variance, The American Statistician 37, 1983.
    """
    reference, _, total, spread = _sums(x, window, state, at)
    return reference + total / window, spread / window


def zscore_size(window: float) -> int:
    return moments_size(window)


def zscore_warm_up(window: float) -> int:
    return moments_warm_up(window)


@kernel
def zscore(x: float, window: float, state: State, at: int) -> float:
    """(x - mean) / sample standard deviation (ddof 1) over the last ``window`` >= 2 values, this one
    included.

    A pure number; NaN for the first window - 1 bars and where the window is flat.
    """
    _, deviation, total, spread = _sums(x, window, state, at)
    if spread == 0.0:
        return np.nan
    return (window * deviation - total) * math.sqrt((window - 1.0) / (window * spread))


def bollinger_size(window: float) -> int:
    return moments_size(window)


def bollinger_warm_up(window: float) -> int:
    return moments_warm_up(window)


@kernel
def bollinger(x: float, window: float, width: float, state: State, at: int) -> tuple[float, float, float]:
    """(middle, upper, lower): mean and mean +- width population standard deviations (ddof 0) of ``window``
    values.

    In the unit of ``x``; NaN for the first window - 1 bars. Source: J. Bollinger, Bollinger on Bollinger
    Bands, 2001.
    """
    mean, spread = moments(x, window, state, at)
    half = width * math.sqrt(spread / window)
    return mean, mean + half, mean - half


def volatility_size(window: float) -> int:
    return moments_size(window) + 1


def volatility_warm_up(window: float) -> int:
    return int(window)


@kernel
def volatility(x: float, window: float, state: State, at: int) -> float:
    """Sample standard deviation (ddof 1) of the last ``window`` >= 2 log returns of the price, a fraction
    per bar.

    NaN for the first ``window`` bars; multiply by the square root of the bars in a year to annualise.
    Slice: [previous price, the slice of :func:`moments`].
    """
    previous = state[u(at)]
    state[u(at)] = x
    if previous == 0.0:
        return np.nan
    _, _, _, spread = _sums(math.log(x / previous), window, state, at + 1)
    return math.sqrt(spread / (window * (window - 1.0)))
