"""What a run's orders are judged by: the limits of the cohort's Book and of its agents' Books, and the trading mode."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from risk.quant import pretrade_kernel as pk
from risk.quant.metrics import CODES, Metric
from risk.quant.pretrade import LimitSet, TradingMode
from trading.quant.engine.errors import OrderLimitsError
from trading.quant.engine.tactics import Tactics, flow_in

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

MINUTE_MS = 60_000
_MODES = {TradingMode.ACTIVE: pk.ACTIVE, TradingMode.REDUCING: pk.REDUCING, TradingMode.HALTED: pk.HALTED}


@dataclass(frozen=True, slots=True)
class UnitRisk:
    """VaR and ES of one unit of money in a symbol held by itself, long and short; NaN is not known."""

    var_long: float = math.nan
    es_long: float = math.nan
    var_short: float = math.nan
    es_short: float = math.nan


@dataclass(frozen=True, slots=True)
class OrderLimits:
    """The effective limits of a cohort's Books. ``mode`` None is not known, and nothing is sent.

    ``agents`` gives the limits of each agent's Book, by the agent's place; they are its own and all inherited ones.
    An agent that is not named is bound by ``cohort`` as its own Book, too: a limit binds every Book below. ``venue``
    selects the limits that are narrowed to one; ``agent_modes`` names those agents whose Books have another mode than
    the cohort's. VaR and ES of a Book are the sum of its positions' own
    (``unit_risk``), which for ES is an upper bound. ``tactics`` deny orders that open by what the other agents do.
    """

    cohort: LimitSet = field(default_factory=lambda: LimitSet(()))
    agents: Mapping[int, LimitSet] = field(default_factory=dict)
    mode: TradingMode | None = TradingMode.ACTIVE
    agent_modes: Mapping[int, TradingMode | None] = field(default_factory=dict)
    venue: str = ""
    unit_risk: Mapping[str, UnitRisk] = field(default_factory=dict)
    tactics: Tactics | None = None


@dataclass(frozen=True, slots=True)
class Guard:
    """The same in the kernels' terms. Set 0 is the cohort's; ``spans[set, symbol]`` is a stretch of the flat arrays."""

    guarded: bool
    bar_by_bar: bool
    modes: Float64
    set_of: Int64
    spans: Int64
    codes: Int64
    soft: Float64
    hard: Float64
    unit_risk: Float64
    tactics: Tactics | None = None

    @property
    def screened(self) -> bool:
        return self.tactics is not None and self.tactics.screens

    def arrays(self, state: dict[str, npt.NDArray[Any]], interval_ms: int) -> tuple[npt.NDArray[Any], ...]:
        """For the kernels, with room to work in, and what the arrays of a state remember of the flow."""
        widest = int((self.spans[:, :, 1] - self.spans[:, :, 0]).max(initial=0))
        return (
            self.modes,
            self.set_of,
            self.spans,
            self.codes,
            self.soft,
            self.hard,
            self.unit_risk,
            np.zeros(pk.SLOTS),
            np.zeros(widest + 1),
            np.zeros(widest + 1, dtype=np.int8),
            (self.tactics or Tactics()).terms(),
            flow_in(state, self.tactics, self.spans.shape[1], interval_ms),
            state["last_bar"],
        )


def lay_out_limits(limits: OrderLimits | None, symbols: Sequence[str], n_agents: int, interval_ms: int) -> Guard:
    """The arrays of a run. Limits without a hard level only report, elsewhere; here they are left out."""
    if limits is None:
        return _no_limits(len(symbols), n_agents)
    strangers = [a for a in (*limits.agents, *limits.agent_modes) if not 0 <= a < n_agents]
    if strangers:
        raise OrderLimitsError(f"Limits are given for agent {strangers[0]}; this run has {n_agents} agents from 0 on.")
    sets: list[LimitSet] = [limits.cohort]
    place = {id(limits.cohort): 0}
    set_of = np.zeros(n_agents, dtype=np.int64)
    for a, own in limits.agents.items():
        if id(own) not in place:
            place[id(own)] = len(sets)
            sets.append(own)
        set_of[a] = place[id(own)]
    spans = np.zeros((len(sets), len(symbols), 2), dtype=np.int64)
    codes: list[int] = []
    hard: list[float] = []
    for k, one in enumerate(sets):
        for s, symbol in enumerate(symbols):
            found = one.for_target(symbol, limits.venue)
            spans[k, s, 0] = len(codes)
            for code, level in zip(found.codes.tolist(), found.hard.tolist(), strict=True):
                if not math.isnan(level):
                    codes.append(code)
                    hard.append(level)
            spans[k, s, 1] = len(codes)
    if CODES[Metric.ORDER_RATE] in codes and interval_ms < MINUTE_MS:
        raise OrderLimitsError(
            "A limit on the orders of a minute cannot be judged on bars shorter than a minute; use bars of a minute."
        )
    drawdown = CODES[Metric.DRAWDOWN_FRAC]
    modes = np.full(n_agents, _mode(limits.mode))
    for a, mode in limits.agent_modes.items():
        modes[a] = _mode(mode)
    risk = [limits.unit_risk.get(symbol, UnitRisk()) for symbol in symbols]
    return Guard(
        guarded=bool(codes) or bool(np.any(modes != pk.ACTIVE)),
        bar_by_bar=any(drawdown in codes[start:stop] for start, stop in spans[0].tolist()),
        modes=modes,
        set_of=set_of,
        spans=spans,
        codes=np.array(codes, dtype=np.int64),
        soft=np.full(len(codes), np.nan),
        hard=np.array(hard, dtype=np.float64),
        unit_risk=np.array([(r.var_long, r.es_long, r.var_short, r.es_short) for r in risk], dtype=np.float64),
        tactics=limits.tactics,
    )


@functools.lru_cache(maxsize=64)
def _no_limits(n_symbols: int, n_agents: int) -> Guard:
    """What judges nothing, made once."""
    return Guard(
        guarded=False,
        bar_by_bar=False,
        modes=np.full(n_agents, pk.ACTIVE),
        set_of=np.zeros(n_agents, dtype=np.int64),
        spans=np.zeros((1, n_symbols, 2), dtype=np.int64),
        codes=np.empty(0, dtype=np.int64),
        soft=np.empty(0),
        hard=np.empty(0),
        unit_risk=np.full((n_symbols, 4), np.nan),
    )


def _mode(mode: TradingMode | None) -> float:
    return math.nan if mode is None else _MODES[mode]
