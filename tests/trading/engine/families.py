"""Tiny strategies for the engine's tests: a crossover, a script of targets, a rotation over all symbols."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from trading.strategies.spec import Float64, Parameter, Scope, StrategyFamily

njit: Any = numba.njit


@njit
def _clear(params: Float64, state: Float64) -> None:
    state[:] = 0.0


@njit
def _sma_step(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    """state: [bars seen, position in the ring, fast sum, slow sum, ring of slow closes]."""
    fast = int(params[0])
    slow = int(params[1])
    at = int(state[1])
    leaving = at - fast
    if leaving < 0:
        leaving += slow
    state[2] += close - state[4 + leaving]
    state[3] += close - state[4 + at]
    state[4 + at] = close
    state[1] = 0.0 if at + 1 == slow else at + 1
    state[0] += 1.0
    if state[0] < slow:
        return 0.0
    return 1.0 if state[2] * slow > state[3] * fast else -params[2]


SMA = StrategyFamily(
    name="test_sma",
    version=1,
    title="Dual SMA",
    description="Long above, short (or flat) below.",
    source="none",
    scope=Scope.SINGLE,
    parameters=(
        Parameter("fast", 1, 100, 3, "integer"),
        Parameter("slow", 2, 400, 7, "integer"),
        Parameter("short", 0, 1, 1),
    ),
    init=_clear,
    step=_sma_step,
    state_size=lambda p, _n: 4 + int(p[1]),
    warm_up=lambda p, _n: int(p[1]),
)

SCRIPT_LENGTH = 12


@njit
def _script_step(
    open_: float, high: float, low: float, close: float, volume: float, params: Float64, state: Float64
) -> float:
    k = int(state[0])
    state[0] += 1.0
    return params[k] if k < params.shape[0] else np.nan


SCRIPT = StrategyFamily(
    name="test_script",
    version=1,
    title="Script",
    description="The k-th bar seen wants parameter k; 2 means hold.",
    source="none",
    scope=Scope.SINGLE,
    parameters=tuple(Parameter(f"t{k}", -1, 1, 0) for k in range(SCRIPT_LENGTH)),
    init=_clear,
    step=_script_step,
    state_size=lambda _p, _n: 1,
    warm_up=lambda _p, _n: 0,
)


@njit
def _rotation_step(
    open_: Float64,
    high: Float64,
    low: Float64,
    close: Float64,
    volume: Float64,
    params: Float64,
    state: Float64,
    targets: Float64,
) -> None:
    """state: [bars seen, last closes ...]; every ``every`` bars long what rose, short what fell since the
    last look.
    """
    n = close.shape[0]
    every = int(params[0])
    if int(state[0]) % every == 0:
        for s in range(n):
            if close[s] == close[s]:
                if state[1 + s] > 0.0:
                    targets[s] = params[1] / n if close[s] > state[1 + s] else -params[1] / n
                state[1 + s] = close[s]
    state[0] += 1.0


ROTATION = StrategyFamily(
    name="test_rotation",
    version=1,
    title="Rotation",
    description="All symbols at once.",
    source="none",
    scope=Scope.PANEL,
    parameters=(Parameter("every", 1, 50, 3, "integer"), Parameter("size", 0, 1, 1)),
    init=_clear,
    step=_rotation_step,
    state_size=lambda _p, n: 1 + n,
    warm_up=lambda p, _n: int(p[0]),
)
