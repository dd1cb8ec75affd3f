"""From the caller's dataclasses to the kernels' records, and a fresh state."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.engine import drivers, kernel_block
from trading.quant.engine import layout as lay
from trading.quant.engine.codes import InstrumentKind, Sizing
from trading.quant.engine.compiled import entry, instantiate, is_compiled
from trading.quant.engine.costs import CostModel
from trading.quant.engine.errors import (
    AgentSpecError,
    InstrumentRulesError,
    MarketDataError,
    StrategyStepError,
    WalletRulesError,
)
from trading.quant.engine.kernel_limits import NEVER
from trading.quant.engine.kernel_orders import OFF
from trading.quant.engine.limits import Guard, OrderLimits, lay_out_limits
from trading.quant.engine.market import DAY_MS, Market
from trading.quant.engine.rules import (
    AgentSpec,
    ExitRules,
    InstrumentRules,
    WalletRules,
    agent_parameters,
    check_agent,
    check_exits,
    decimal_step,
    to_atoms,
)
from trading.quant.engine.state import STATE_VERSION, EngineState
from trading.strategies.spec import Scope, StrategyFamily

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FamilyGroup:
    """The agents of one strategy family: their indices and genomes, and the compiled loops over them."""

    family: StrategyFamily
    which: Int64
    params: Float64
    signals: Callable[..., Any]
    start: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A cohort in the kernels' terms; fixed for a run and shared by all its blocks."""

    symbol_rules: npt.NDArray[Any]
    slot_rules: npt.NDArray[Any]
    agent_rules: npt.NDArray[Any]
    run_rules: npt.NDArray[Any]
    tier_volumes: Float64
    tier_rates: Float64
    groups: tuple[FamilyGroup, ...]
    slot_of: Int64
    symbol_of: Int64
    memory_start: Int64
    panel_agents: Int64
    n_wallets: int
    prior_volume: tuple[float, float]
    fingerprint: str
    guard: Guard

    @property
    def n_agents(self) -> int:
        return int(self.agent_rules.shape[0])

    @property
    def n_slots(self) -> int:
        return int(self.slot_rules.shape[0])


def symbol_table(
    market: Market, instruments: Sequence[InstrumentRules], costs: CostModel, wallet: WalletRules
) -> npt.NDArray[Any]:
    names = tuple(rules.symbol for rules in instruments)
    if names != market.symbols:
        raise InstrumentRulesError(
            f"The instruments are {', '.join(names) or 'none'}; the market has {', '.join(market.symbols)}. "
            "Give one InstrumentRules a symbol, in the market's order."
        )
    unknown = sorted(set(wallet.market_caps_frac) - set(names))
    if unknown:
        raise WalletRulesError(f"market_caps_frac names {', '.join(unknown)}, which this market does not have.")
    per_bar = math.sqrt(market.interval_ms / DAY_MS)
    table = []
    for rules in instruments:
        spot = rules.kind is InstrumentKind.SPOT
        half_spread = rules.half_spread_bps
        if math.isnan(half_spread):
            half_spread = costs.half_spread_bps.spot if spot else costs.half_spread_bps.perpetual
        coefficient = costs.impact_coefficient if math.isnan(rules.impact_coefficient) else rules.impact_coefficient
        lot_whole, lot_pow = decimal_step(rules.lot)
        table.append(
            (
                int(rules.kind),
                *decimal_step(rules.tick),
                lot_whole,
                lot_pow,
                lot_whole / lot_pow * rules.multiplier,
                rules.min_notional,
                0.0 if spot else rules.maintenance_margin_rate,
                1.0 if spot else 1.0 / rules.max_leverage,
                half_spread / 10_000,
                coefficient * rules.daily_volatility * per_bar,
                costs.participation_cap_frac,
                min(rules.position_limit / rules.lot + 1e-9, OFF),
                _ceiling(wallet.market_caps_frac.get(rules.symbol, wallet.market_cap_frac)),
            )
        )
    return np.array(table, dtype=lay.SYMBOL_RULES)


def exit_levels(exits: ExitRules) -> tuple[float, float, float, int, int]:
    """The exit columns of SLOT_RULES, in order."""
    return (
        _off(exits.stop_loss_frac),
        _off(exits.take_profit_frac),
        _off(exits.trailing_stop_frac),
        int(exits.time_limit_bars),
        int(exits.cooldown_bars),
    )


def exit_columns(rules: Sequence[ExitRules]) -> npt.NDArray[Any]:
    """The same for many, checked, as a table."""
    names = ("stop_loss", "take_profit", "trailing", "time_limit", "cooldown")
    for k, exits in enumerate(rules):
        if k == 0 or exits is not rules[k - 1]:
            check_exits(exits, f"Set {k}")
    return np.array([exit_levels(exits) for exits in rules], dtype=[(name, lay.SLOT_RULES[name]) for name in names])


def _ceiling(value: float) -> float:
    return OFF if math.isnan(value) else min(value, OFF)


def _off(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def run_table(
    market: Market, wallet: WalletRules, mark_ms: int, *, shared_wallet: bool, keep_log: bool
) -> npt.NDArray[Any]:
    if mark_ms % market.interval_ms and market.interval_ms % mark_ms:
        raise MarketDataError(
            f"mark_every_ms is {mark_ms}; it must be a multiple of the interval {market.interval_ms}."
        )
    if mark_ms <= 0 or DAY_MS % mark_ms:
        raise MarketDataError(f"mark_every_ms is {mark_ms}; it must divide a day.")
    table = np.zeros(1, lay.RUN_RULES)
    row = table[0]
    row["interval_ms"] = market.interval_ms
    row["mark_ms"] = mark_ms
    row["shared_wallet"] = int(shared_wallet)
    row["equity_sizing"] = int(wallet.sizing is Sizing.EQUITY)
    row["keep_log"] = int(keep_log)
    row["bankroll"] = wallet.bankroll
    row["gross_ceiling"] = _ceiling(wallet.gross_ceiling_frac)
    row["net_ceiling"] = _ceiling(wallet.net_ceiling_frac)
    row["leverage_ceiling"] = _ceiling(wallet.leverage_ceiling)
    caps = [wallet.market_cap_frac, *wallet.market_caps_frac.values()]
    ceilings = [wallet.gross_ceiling_frac, wallet.net_ceiling_frac, wallet.leverage_ceiling, *caps]
    row["has_ceilings"] = int(any(_ceiling(value) < OFF for value in ceilings))
    row["max_open_positions"] = wallet.max_open_positions
    row["drawdown_alert"] = _ceiling(wallet.drawdown_alert_frac)
    row["utilisation_alert"] = _ceiling(wallet.utilisation_alert_frac)
    return table


def family_group(family: StrategyFamily, which: Sequence[int], params: Sequence[Float64]) -> FamilyGroup:
    signals, start = family_loops(family.step, family.init, family.scope, family.key, family.block)
    return FamilyGroup(
        family=family,
        which=np.array(which, dtype=np.int64),
        params=np.ascontiguousarray(np.stack(params)) if params[0].size else np.zeros((len(which), 1)),
        signals=signals,
        start=start,
    )


@functools.lru_cache(maxsize=256)
def family_loops(
    step: Any, init: Any, scope: Scope, key: str, block: Any = None
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The compiled loops of a family: (signals, start)."""
    for name, function in (("step", step), ("init", init), ("block", block)):
        if function is not None and not is_compiled(function):
            raise StrategyStepError(
                f"{key}: {name} is not compiled. Decorate it with @numba.njit; see trading.strategies.spec."
            )
    bindings = {"step": step}
    if scope is Scope.PANEL:
        source = drivers.panel_source()
    elif block is None:
        source = drivers.single_source()
    else:
        source = drivers.whole_source()
        whole = {"is_whole": drivers.is_whole, "note_changes": drivers.note_changes}
        bindings = {"step": step, "block_form": block, **whole}
    return (
        instantiate(source, "signals", key, bindings),
        instantiate(drivers.START_SOURCE, "start", key, {"init": init}),
    )


def prepare(
    market: Market,
    agents: Sequence[AgentSpec],
    instruments: Sequence[InstrumentRules],
    costs: CostModel,
    wallet: WalletRules,
    *,
    mark_ms: int,
    limits: OrderLimits | None = None,
) -> Prepared:
    """Check everything and lay it out, all agents under one wallet."""
    if not agents:
        raise AgentSpecError("A run needs at least one agent.")
    n_symbols = market.n_symbols
    symbol_rules = symbol_table(market, instruments, costs, wallet)
    run_rules = run_table(market, wallet, mark_ms, shared_wallet=True, keep_log=True)
    agent_rules: list[tuple[float, ...]] = []
    slot_rules: list[tuple[float, ...]] = []
    memory_start = [0]
    slot_of: list[int] = []
    symbol_of: list[int] = []
    members: dict[int, tuple[StrategyFamily, list[int], list[Float64]]] = {}
    identity: list[bytes] = []
    index = {symbol: k for k, symbol in enumerate(market.symbols)}
    drawn = 0
    exits: ExitRules | None = None  # those of the agent before; cohorts share them more often than not
    levels: tuple[float, ...] = ()
    for a, agent in enumerate(agents):
        where = f"Agent {a}"
        symbol = check_agent(agent, where, index)
        if agent.exits is not exits:
            exits = agent.exits
            levels = exit_levels(exits)
        genome = agent_parameters(agent, where)
        size = int(agent.family.state_size(genome, n_symbols))
        if size < 0:
            raise AgentSpecError(f"{where}: {agent.family.key} asks for a state of {size} numbers.")
        memory_start.append(memory_start[-1] + size)
        slot_of.append(len(slot_rules))
        symbol_of.append(symbol)
        wanted = range(n_symbols) if symbol < 0 else (symbol,)
        slot_rules.extend([(a, s, *levels) for s in wanted])
        limit = _off(agent.max_leverage) or math.inf
        draw_atoms = to_atoms(agent.draw, f"{where}: the draw")
        drawn += draw_atoms
        agent_rules.append(
            (
                slot_of[a],
                len(wanted),
                0,
                int(len(wanted) == 1 and symbol >= 0),
                agent.draw,
                draw_atoms,
                agent.leverage,
                limit,
            )
        )
        group = members.setdefault(id(agent.family), (agent.family, [], []))
        group[1].append(a)
        group[2].append(genome)
        identity += (agent.family.key.encode(), genome.tobytes())
    if drawn > to_atoms(wallet.bankroll, "The bankroll"):
        raise WalletRulesError(
            f"The agents draw {drawn / 1e8:,.2f} together; the bankroll is {wallet.bankroll:,.2f}. Lower the draws."
        )
    tier_volumes, tier_rates = costs.fee_table()
    guard = lay_out_limits(limits, market.symbols, len(agents), market.interval_ms)
    run_rules["guarded"] = int(guard.guarded)
    run_rules["bar_by_bar"] = int(guard.bar_by_bar)
    run_rules["screened"] = int(guard.screened)
    slots = np.array(slot_rules, dtype=lay.SLOT_RULES)
    table = np.array(agent_rules, dtype=lay.AGENT_RULES)
    # What a saved state depends on: agents, steps and grid. Spreads, volatilities, fees and ceilings may
    # change in between.
    grid_columns = ("kind", "tick_whole", "tick_pow", "lot_whole", "lot_pow", "lot_value")
    steps = list(zip(*(symbol_rules[name].tolist() for name in grid_columns), strict=True))
    grid = json.dumps([STATE_VERSION, market.symbols, market.interval_ms, mark_ms, steps])
    digest = hashlib.sha256(b"".join([*identity, table.tobytes(), slots.tobytes(), grid.encode()]))
    panel = [a for a, agent in enumerate(agents) if agent.family.scope is Scope.PANEL]
    return Prepared(
        symbol_rules=symbol_rules,
        slot_rules=slots,
        agent_rules=table,
        run_rules=run_rules,
        tier_volumes=tier_volumes,
        tier_rates=tier_rates,
        groups=tuple(family_group(*group) for group in members.values()),
        slot_of=np.array(slot_of, dtype=np.int64),
        symbol_of=np.array(symbol_of, dtype=np.int64),
        memory_start=np.array(memory_start, dtype=np.int64),
        panel_agents=np.array(panel, dtype=np.int64),
        n_wallets=1,
        prior_volume=wallet.prior_volume_usd,
        fingerprint=digest.hexdigest(),
        guard=guard,
    )


def fresh_state(cohort: Prepared, first_ts: int) -> EngineState:
    """Everybody flat with the draw in cash, strategies initialised, the clock before ``first_ts``."""
    n_symbols = cohort.symbol_rules.shape[0]
    n_wallets = cohort.n_wallets
    clock = np.zeros(1, lay.CLOCK_STATE)
    mark_ms = int(cohort.run_rules["mark_ms"][0])
    clock["last_ts"] = np.iinfo(np.int64).min
    clock["next_mark"] = first_ts // mark_ms * mark_ms + mark_ms
    clock["day"] = first_ts // DAY_MS
    clock["next_day"] = first_ts // DAY_MS * DAY_MS
    slots = np.zeros(cohort.n_slots, lay.SLOT_STATE)
    slots["signal"] = np.nan
    slots["entry_bar"] = slots["cooldown_until"] = -1
    agents = np.zeros(cohort.n_agents, lay.AGENT_STATE)
    agents["cash"] = cohort.agent_rules["draw_atoms"]
    agents["peak"] = cohort.agent_rules["draw_atoms"] / 1e8
    wallets = np.zeros(n_wallets, lay.WALLET_STATE)
    if cohort.run_rules["shared_wallet"][0]:
        wallets["cash"] = to_atoms(float(cohort.run_rules["bankroll"][0]), "The bankroll")
    else:
        wallets["cash"] = cohort.agent_rules["draw_atoms"]
    wallets["peak"] = wallets["equity"] = wallets["cash"] / 1e8
    volumes = np.zeros((n_wallets, 2, lay.DAYS_KEPT))
    for kind, amount in enumerate(cohort.prior_volume):
        volumes[:, kind, :] = amount / (lay.DAYS_KEPT - 1)
        volumes[:, kind, first_ts // DAY_MS % lay.DAYS_KEPT] = 0.0
    memory = np.zeros(int(cohort.memory_start[-1]))
    for group in cohort.groups:
        group.start(group.which, group.params, memory, cohort.memory_start)
    return EngineState(
        cohort.fingerprint,
        {
            "clock": clock,
            "slots": slots,
            "agents": agents,
            "wallets": wallets,
            "held": np.zeros((n_wallets, n_symbols, 2), dtype=np.int64),
            "volumes": volumes,
            "fee_now": np.zeros((n_wallets, 2, 2)),
            "last_close": np.zeros(n_symbols),
            "memory": memory,
            "books": forgotten_books(cohort),
            "last_bar": forgotten_bar(cohort),
        },
    )


def forgotten_books(cohort: Prepared) -> npt.NDArray[Any]:
    """Books that remember nothing yet; what a day opened with is not known before the next one does."""
    books = np.zeros(cohort.n_agents + cohort.n_wallets, lay.BOOK_STATE)
    books["day_open"] = np.nan
    books["sent_bar"] = -1
    books["last_loss"] = NEVER
    return books


def forgotten_bar(cohort: Prepared) -> Float64:
    """Open and volume of the last bar by symbol, where none is known."""
    return np.full((cohort.symbol_rules.shape[0], 2), np.nan)


@functools.cache
def execute_kernel() -> Callable[..., Any]:
    return entry(kernel_block.execute_block)


@functools.cache
def mark_kernel() -> Callable[..., Any]:
    return entry(kernel_block.write_mark)
