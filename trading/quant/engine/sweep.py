"""``sweep``: many parameter sets of one family over the same bars, each in a wallet of its own, in bounded
memory.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.engine import layout as lay
from trading.quant.engine.costs import CostModel
from trading.quant.engine.errors import AgentSpecError, MarketDataError
from trading.quant.engine.limits import lay_out_limits
from trading.quant.engine.market import DAY_MS, Market
from trading.quant.engine.prepared import Prepared, exit_columns, family_group, run_table, symbol_table
from trading.quant.engine.results import AGENT_MARK, Table
from trading.quant.engine.rules import (
    AgentSpec,
    ExitRules,
    InstrumentRules,
    WalletRules,
    agent_parameters,
    to_atoms,
)
from trading.quant.engine.runner import Pass
from trading.strategies.spec import Scope, StrategyFamily

Float64 = npt.NDArray[np.float64]

CHUNK = 128  # parameter sets traded together; bounds memory, and keeps their states in the second-level cache


@dataclass(frozen=True, slots=True)
class Sweep:
    """``final[p]`` is set p at the last close (see AGENT_MARK); ``equity`` has shape (n_marks, n_sets), at
    ``ts_ms``.
    """

    params: Float64
    final: Table
    ts_ms: npt.NDArray[np.int64]
    equity: Float64
    stats: dict[str, Any]


def sweep(
    market: Market,
    family: StrategyFamily,
    params: Float64,
    *,
    symbol: str | None,
    instruments: Sequence[InstrumentRules],
    costs: CostModel,
    wallet: WalletRules,
    exits: ExitRules | Sequence[ExitRules] = ExitRules(),  # noqa: B008  # frozen
    leverage: float = 1.0,
    max_leverage: float = 0.0,
    mark_every_ms: int = DAY_MS,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Trade each row of ``params`` (n_sets, n_parameters) as a cohort of one that owns the whole bankroll.

    The rules are those of ``run``; nothing couples the sets, so chunks of them go to ``threads`` threads
    (None: all
    cores) and the outcome does not depend on how many. ``symbol`` is None for PANEL families. ``exits`` may
    be one
    for all or one a set. Memory grows with sets x marks, never with bars x sets. ``progress`` hears the
    number of sets
    done, from any thread. Raises subclasses of EngineError before anything has run.
    """
    started = time.perf_counter()
    params = np.ascontiguousarray(np.atleast_2d(params), dtype=np.float64)
    n_sets = params.shape[0]
    if market.n_bars == 0:
        raise MarketDataError("The market has no bars.")
    if n_sets == 0:
        raise AgentSpecError("A sweep needs at least one parameter set.")
    symbols = symbol_table(market, instruments, costs, wallet)
    if symbol is not None:
        market, symbols = _only(market, symbols, symbol)
    elif family.scope is Scope.SINGLE:
        raise AgentSpecError(f"{family.key} trades one symbol; say which.")
    rules = [exits] * n_sets if isinstance(exits, ExitRules) else list(exits)
    if len(rules) != n_sets:
        raise AgentSpecError(
            f"There are {n_sets} parameter sets and {len(rules)} exit rules; give one for all or one each."
        )
    common = AgentSpec(family, params[0], wallet.bankroll, 0, leverage=leverage, max_leverage=max_leverage)
    for p in range(n_sets):
        agent_parameters(AgentSpec(family, params[p], wallet.bankroll), f"Set {p}")
    columns = exit_columns(rules)
    mark = market.marks(np.zeros(market.n_symbols))
    extremes = market.extremes(mark)
    final = np.zeros(n_sets, AGENT_MARK)
    curves: dict[int, tuple[npt.NDArray[np.int64], Float64]] = {}

    def trade(start: int) -> None:
        part = slice(start, min(start + CHUNK, n_sets))
        cohort = _chunk(market, common, params[part], columns[part], symbols, costs, wallet, mark_every_ms)
        one = Pass(market, cohort, None, mark, extremes)
        one.trade()
        result = one.result()
        final[part] = result.final.agents[0]
        curves[start] = (result.marks.ts_ms, result.marks.agents["equity"].copy())
        if progress is not None:
            progress(part.stop - part.start)

    starts = range(0, n_sets, CHUNK)
    workers = min(threads or os.cpu_count() or 1, len(starts))
    if workers == 1:
        for start in starts:
            trade(start)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(trade, starts))
    equity = np.concatenate([curves[start][1] for start in starts], axis=1)
    seconds = time.perf_counter() - started
    stats = {"agent_bars": n_sets * market.n_bars, "seconds": seconds, "threads": workers}
    return Sweep(params, final, curves[0][0], equity, stats)


def _only(market: Market, symbols: npt.NDArray[Any], symbol: str) -> tuple[Market, npt.NDArray[Any]]:
    """The market of one symbol, as views."""
    if symbol not in market.symbols:
        raise AgentSpecError(f"The symbol {symbol!r} is not in this market: {', '.join(market.symbols)}.")
    s = market.symbols.index(symbol)
    of_it = market.funding_symbol == s
    return (
        Market(
            symbols=(symbol,),
            ts_ms=market.ts_ms,
            interval_ms=market.interval_ms,
            open=market.open[:, s : s + 1],
            high=market.high[:, s : s + 1],
            low=market.low[:, s : s + 1],
            close=market.close[:, s : s + 1],
            volume=market.volume[:, s : s + 1],
            funding_ts_ms=market.funding_ts_ms[of_it],
            funding_symbol=np.zeros(int(of_it.sum()), dtype=np.int64),
            funding_rate=market.funding_rate[of_it],
            validate=False,
        ),
        symbols[s : s + 1].copy(),
    )


def _chunk(
    market: Market,
    common: AgentSpec,
    params: Float64,
    exits: npt.NDArray[Any],
    symbols: npt.NDArray[Any],
    costs: CostModel,
    wallet: WalletRules,
    mark_ms: int,
) -> Prepared:
    """The kernels' terms for some sets, each with its own wallet."""
    family, n = common.family, params.shape[0]
    width = market.n_symbols if family.scope is Scope.PANEL else 1
    slots = np.zeros(n * width, lay.SLOT_RULES)
    slots["agent"] = np.repeat(np.arange(n), width)
    slots["symbol"] = np.tile(np.arange(width), n)
    for name in exits.dtype.names or ():
        slots[name] = np.repeat(exits[name], width)
    agents = np.zeros(n, lay.AGENT_RULES)
    agents["first_slot"] = np.arange(n) * width
    agents["n_slots"] = width
    agents["wallet"] = np.arange(n)
    agents["single"] = int(family.scope is Scope.SINGLE)
    agents["draw"] = wallet.bankroll
    agents["draw_atoms"] = to_atoms(wallet.bankroll, "The bankroll")
    agents["leverage"] = common.leverage
    agents["max_leverage"] = common.max_leverage if common.max_leverage > 0 else np.inf
    memory = np.zeros(n + 1, dtype=np.int64)
    memory[1:] = np.cumsum([family.state_size(p, market.n_symbols) for p in params])
    volumes, rates = costs.fee_table()
    return Prepared(
        symbol_rules=symbols,
        slot_rules=slots,
        agent_rules=agents,
        run_rules=run_table(market, wallet, mark_ms, shared_wallet=False, keep_log=False),
        tier_volumes=volumes,
        tier_rates=rates,
        groups=(family_group(family, range(n), list(params)),),
        slot_of=agents["first_slot"].copy(),
        symbol_of=np.zeros(n, dtype=np.int64) - (family.scope is Scope.PANEL),
        memory_start=memory,
        panel_agents=np.arange(n if family.scope is Scope.PANEL else 0),
        n_wallets=n,
        prior_volume=wallet.prior_volume_usd,
        fingerprint="",
        guard=lay_out_limits(None, market.symbols, n, market.interval_ms),
    )
