"""The benchmark's own strategy: a dual SMA over one ring of closes, with a tie rule that every peer can
state.

Averages of prices on a tick grid are often exactly equal, and rounding noise would then decide differently in
every
engine: the fast one must be above by more than ``TIE`` of itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from trading.strategies.spec import Float64, Parameter, Scope, StrategyFamily

TIE = 1e-10
u = np.uint64


@njit(error_model="numpy")
def clear(params: Float64, state: Float64) -> None:
    state[:] = 0.0


@njit(error_model="numpy", forceinline=True)
def step(open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64) -> float:
    """state: [position in the ring, fast sum, slow sum, 1 once the ring is full, ring of slow closes]."""
    fast = params[u(0)]
    slow = params[u(1)]
    at = state[u(0)]
    leaving = at - fast
    leaving = leaving + slow if leaving < 0.0 else leaving
    oldest = u(4) + u(at)
    quick = state[u(1)] + (close - state[u(4) + u(leaving)])
    calm = state[u(2)] + (close - state[oldest])
    state[u(1)] = quick
    state[u(2)] = calm
    state[oldest] = close
    at += 1.0
    full = state[u(3)]
    if at >= slow:
        at = 0.0
        full = 1.0
        state[u(3)] = 1.0
    state[u(0)] = at
    if full == 0.0:
        return 0.0
    return 1.0 if quick * slow > calm * fast * (1.0 + TIE) else -params[u(2)]


DUAL_SMA = StrategyFamily(
    name="bench_dual_sma",
    version=1,
    title="Dual SMA",
    description="Long while the fast average is above the slow one, else short or flat.",
    source="The benchmark.",
    scope=Scope.SINGLE,
    parameters=(
        Parameter("fast", 2, 1000, 20, "integer"),
        Parameter("slow", 3, 2000, 100, "integer"),
        Parameter("short", 0, 1, 1),
    ),
    init=clear,
    step=step,
    state_size=lambda p, _n: 4 + int(p[1]),
    warm_up=lambda p, _n: int(p[1]),
)
