"""What the author of a strategy needs: one decorator around a step, and a helper to speak only when
something changes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from numba.core.dispatcher import Dispatcher

from trading.quant.jit import kernel, plain, u
from trading.strategies.spec import BlockStep, InitStep, Parameter, Scope, StrategyFamily

__all__ = ["Parameter", "Scope", "last_spoken", "on_change", "strategy"]

Float64 = npt.NDArray[np.float64]


@plain
def fresh(params: Float64, state: Float64) -> None:
    """A fresh state is all zeros; that is also what every indicator of the library starts from."""
    for i in range(state.shape[0]):
        state[i] = 0.0


@kernel
def on_change(target: float, state: Float64, at: int) -> float:
    """``target`` where it differs from the last one spoken (kept in ``state[at]``, flat at first), else NaN
    for "hold".

    A strategy that speaks only on a change trades only on a change, and after a stop it waits for its next
    signal.
    """
    if target != target or target == state[u(at)]:
        return np.nan
    state[u(at)] = target
    return target


@plain
def last_spoken(targets: Float64, state: Float64, at: int) -> None:
    """What :func:`on_change` leaves in ``state[at]`` after the targets of a block of bars (NaN: hold)."""
    for k in range(targets.shape[0] - 1, -1, -1):
        if targets[u(k)] == targets[u(k)]:
            state[u(at)] = targets[u(k)]
            return


def strategy(
    *,
    title: str,
    parameters: tuple[Parameter, ...] = (),
    state_size: Callable[[Float64, int], int],
    warm_up: Callable[[Float64, int], int],
    source: str,
    name: str = "",
    version: int = 1,
    description: str = "",
    scope: Scope = Scope.SINGLE,
    init: InitStep | None = None,
    block: BlockStep | None = None,
    validate: Callable[[Mapping[str, float]], str | None] | None = None,
) -> Callable[[Callable[..., Any]], StrategyFamily]:
    """Turn a step function into a :class:`StrategyFamily`; it is compiled here unless it already is.

    ``name`` defaults to the function's name and ``description`` to its docstring. See ``docs/strategies.md``.
    """

    def wrap(step: Callable[..., Any]) -> StrategyFamily:
        return StrategyFamily(
            name=name or step.__name__,
            version=version,
            title=title,
            description=inspect.cleandoc(description or step.__doc__ or ""),
            source=source,
            scope=scope,
            parameters=parameters,
            init=fresh if init is None else _compiled(init, kernel=False),
            step=_compiled(step, kernel=True),
            state_size=state_size,
            warm_up=warm_up,
            validate=validate or (lambda _values: None),
            block=None if block is None else _compiled(block, kernel=False),
        )

    return wrap


def _compiled(function: Callable[..., Any], *, kernel: bool) -> Callable[..., Any]:
    if isinstance(function, Dispatcher):
        return function
    return _kernel(function) if kernel else plain(function)


_kernel = kernel
