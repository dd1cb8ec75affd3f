"""Volume-weighted average prices: over a rolling window, and anchored at a moment such as the UTC day."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trading.quant.jit import kernel, u

State = npt.NDArray[np.float64]


def vwap_size(window: float) -> int:
    return 2 * int(window) + 5


def vwap_warm_up(window: float) -> int:
    return int(window) - 1


@kernel
def vwap(price: float, volume: float, window: float, state: State, at: int) -> float:
    """Sum of price x volume over sum of volume of the last ``window`` bars, in the unit of the price.

    ``price`` is usually the typical price (high + low + close) / 3. NaN for the first window - 1 bars and
    while the window holds no volume. Slice: [next position 1..window, block notional, block volume, (prefix
    notional, prefix volume) pairs, the first of them zero].
    """
    j = state[u(at)]
    if j == 0.0:
        state[u(at + 1)] = np.nan
        j = 1.0
    i = u(at + 3 + 2 * int(j))
    head = state[i - u(2)] + price * volume
    head_volume = state[i - u(1)] + volume
    notional = (state[u(at + 1)] - state[i]) + head
    traded = (state[u(at + 2)] - state[i + u(1)]) + head_volume
    state[i] = head
    state[i + u(1)] = head_volume
    if j == window:
        state[u(at + 1)] = head
        state[u(at + 2)] = head_volume
        notional = head
        traded = head_volume
        j = 0.0
    state[u(at)] = j + 1.0
    return notional / traded if traded > 0.0 else np.nan


def vwap_anchored_size() -> int:
    return 2


@kernel
def vwap_anchored(price: float, volume: float, anchor: bool, state: State, at: int) -> float:  # noqa: FBT001
    """VWAP since the last bar at which ``anchor`` was true (for the day's VWAP: the first bar of each UTC
    day).

    NaN while no volume has traded since the anchor. Slice: [notional, volume].
    """
    notional = price * volume
    traded = volume
    if not anchor:
        notional += state[u(at)]
        traded += state[u(at + 1)]
    state[u(at)] = notional
    state[u(at + 1)] = traded
    return notional / traded if traded > 0.0 else np.nan
