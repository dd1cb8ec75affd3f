"""What a strategy is: a named, versioned, causal function of the market with a typed parameter specification.

The hot form is an incremental numba step over a fixed-size float64 state. A backtest, a paper day and a live
bar call the very same step, so live equals backtest by construction and memory does not grow with the bars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

#: ``init(params, state) -> None`` fills a fresh state in place.
InitStep = Callable[[Float64, Float64], None]
#: ``step(open, high, low, close, volume, params, state) -> target`` for one symbol and one closed bar.
#: The target is the wanted position as a signed fraction of the agent's draw, in [-1, 1]; NaN means "hold".
SingleStep = Callable[[float, float, float, float, float, Float64, Float64], float]
#: ``step(open, high, low, close, volume, params, state, targets) -> None`` for all symbols of one closed bar;
#: every array has shape (n_symbols,), ``targets`` is written in place with the same meaning as above.
PanelStep = Callable[[Float64, Float64, Float64, Float64, Float64, Float64, Float64, Float64], None]

#: ``block(opens, highs, lows, closes, volumes, params, state, targets, room) -> None`` for one symbol and many closed
#: bars, none of them missing: what ``step`` says bar by bar, at once. It leaves the same ``state`` to the last bit and
#: writes the wanted position of every bar into ``targets``, NaN for "hold"; repeating a target says nothing.
#: ``room``, of shape (BLOCK_ROOM, at least the bars + the length of ``state``), is its own to write into.
BlockStep = Callable[[Float64, Float64, Float64, Float64, Float64, Float64, Float64, Float64, Float64], None]
BLOCK_ROOM = 3


class Scope(StrEnum):
    SINGLE = "single"  # one agent trades one symbol
    PANEL = "panel"  # one agent trades all symbols of the cohort at once


@dataclass(frozen=True, slots=True)
class Parameter:
    """One gene: its bounds are closed, ``integer`` ones are drawn and stored as whole numbers."""

    name: str
    low: float
    high: float
    default: float
    kind: Literal["integer", "real"] = "real"
    log: bool = False
    unit: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class StrategyFamily:
    """A family of strategies; a genome is one point within its bounds.

    ``state_size(params)`` is the number of float64 slots, ``warm_up(params)`` the number of bars before the
    first target that may differ from zero. For PANEL families both receive the number of symbols as a
    second argument.
    """

    name: str
    version: int
    title: str
    description: str
    source: str
    scope: Scope
    parameters: tuple[Parameter, ...]
    init: InitStep
    step: SingleStep | PanelStep
    state_size: Callable[[Float64, int], int]
    warm_up: Callable[[Float64, int], int]
    #: Cross-parameter rule: returns a sentence saying what is wrong, or None.
    validate: Callable[[Mapping[str, float]], str | None] = field(default=lambda _values: None)
    #: For speed only (SINGLE families): the step over a block of bars. ``step`` remains the definition.
    block: BlockStep | None = None

    @property
    def key(self) -> str:
        return f"{self.name}@{self.version}"
