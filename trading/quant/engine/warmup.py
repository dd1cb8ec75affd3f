"""Strategies that have seen the market before they may trade it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trading.quant.engine.costs import CostModel
from trading.quant.engine.market import HOUR_MS, Market
from trading.quant.engine.prepared import fresh_state, prepare
from trading.quant.engine.rules import AgentSpec, InstrumentRules, WalletRules
from trading.quant.engine.runner import Pass
from trading.quant.engine.state import EngineState


def warmed_state(
    history: Market,
    agents: Sequence[AgentSpec],
    *,
    instruments: Sequence[InstrumentRules],
    costs: CostModel,
    wallet: WalletRules,
    first_ts_ms: int,
    mark_every_ms: int = HOUR_MS,
) -> EngineState:
    """The state to begin trading with at ``first_ts_ms``, after every strategy has stepped over ``history``.

    Nobody has traded: cash, marks and fee tiers start at ``first_ts_ms``. The target that a strategy holds at
    the last bar of
    ``history`` is a decision like any other and becomes an order at the first bar. The other arguments are
    those of
    ``run``. Raises subclasses of EngineError as ``run`` does, MarketDataError when ``history`` reaches
    ``first_ts_ms``.
    """
    cohort = prepare(history, agents, instruments, costs, wallet, mark_ms=mark_every_ms)
    listener = Pass(history, cohort, fresh_state(cohort, first_ts_ms))
    listener.listen()
    arrays = listener.state.arrays
    targets = arrays["slots"]["last_target"]
    arrays["slots"]["signal"] = np.where(targets != 0.0, targets, np.nan)
    arrays["last_close"][:] = listener.mark[:, -1]
    return listener.state
