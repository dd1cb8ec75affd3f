"""The benchmark's own strategy: a dual SMA over one ring of closes, with a tie rule that every peer can
state.

Averages of prices on a tick grid are often exactly equal, and rounding noise would then decide differently in
every
engine: the fast one must be above by more than ``TIE`` of itself.
"""

from __future__ import annotations

from numba import njit

from trading.quant.jit import kernel, plain, u
from trading.strategies.spec import Float64, Parameter, Scope, StrategyFamily

TIE = 1e-10


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
    oldest = u(4 + int(at))
    quick = state[u(1)] + (close - state[u(4 + int(leaving))])
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


@kernel
def move(source: Float64, to: Float64, n: int) -> None:
    for k in range(u(n)):
        to[k] = source[k]


@plain
def roll(
    closes: Float64, leaves_fast: Float64, leaves_slow: Float64, params: Float64, state: Float64, targets: Float64
) -> None:
    """The sums and targets of these closes, given what leaves either window with each."""
    fast, slow = params[u(0)], params[u(1)]
    short = -params[u(2)]
    quick, calm = state[u(1)], state[u(2)]
    for k in range(u(closes.shape[0])):
        close = closes[k]
        quick += close - leaves_fast[k]
        calm += close - leaves_slow[k]
        targets[k] = 1.0 if quick * slow > calm * fast * (1.0 + TIE) else short
    state[u(1)], state[u(2)] = quick, calm


@plain
def block(
    opens: Float64, highs: Float64, lows: Float64, closes: Float64, volumes: Float64, params: Float64, state: Float64,
    targets: Float64, room: Float64,
) -> None:  # fmt: skip
    """``step`` over many bars. What leaves the windows was in the ring at first, and then is among the closes."""
    lead, size = int(params[u(0)]), int(params[u(1)])
    at = int(state[u(0)])
    n = closes.shape[0]
    ring, row = state[4:], room[0]
    move(ring[at:], row, size - at)
    move(ring, row[size - at :], at)
    first, both = min(lead, n), min(size, n)
    roll(closes[:first], row[size - lead :], row, params, state, targets)
    roll(closes[first:both], closes, row[first:], params, state, targets[first:])
    roll(closes[both:], closes[both - lead :], closes, params, state, targets[both:])
    if state[u(3)] == 0.0:
        missing = size - at  # closes in the ring
        for k in range(u(min(missing - 1, n))):
            targets[k] = 0.0
        if n >= missing:
            state[u(3)] = 1.0
    kept = min(size, n)
    begin = (at + n - kept) % size
    up = min(kept, size - begin)
    move(closes[n - kept :], ring[begin:], up)
    move(closes[n - kept + up :], ring, kept - up)
    state[u(0)] = (at + n) % size


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
    block=block,
    state_size=lambda p, _n: 4 + int(p[1]),
    warm_up=lambda p, _n: int(p[1]),
    validate=lambda p: None if p["fast"] <= p["slow"] else "fast must not be longer than slow.",
)
