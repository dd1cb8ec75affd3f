"""``run``: a cohort of agents over one stretch of bars, from a fresh or a saved state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trading.quant.engine import layout as lay
from trading.quant.engine.costs import CostModel
from trading.quant.engine.errors import EngineStateError, MarketDataError
from trading.quant.engine.extremes import Extremes
from trading.quant.engine.kernel_block import DONE
from trading.quant.engine.limits import OrderLimits
from trading.quant.engine.market import HOUR_MS, Market
from trading.quant.engine.prepared import (
    Prepared,
    execute_kernel,
    forgotten_bar,
    forgotten_books,
    fresh_state,
    mark_kernel,
    prepare,
)
from trading.quant.engine.results import AGENT_MARK, BREACH, FILL, FUNDING, REJECTION, WALLET_MARK, Marks, Run
from trading.quant.engine.rules import AgentSpec, InstrumentRules, WalletRules
from trading.quant.engine.state import EngineState
from trading.strategies.spec import BLOCK_ROOM

Float64 = npt.NDArray[np.float64]

_SIGNALS_HELD = 1 << 19  # signal places of one block; bounds its rows for large cohorts
_LONGEST_BLOCK = 2048
_FIRST_ROWS = 16_384  # of an output table; memory that is not written costs nothing
_SHORTEST_BLOCK = 64
_APART = 24  # more places a row than used: rows a power of two apart would fight for the same cache lines


def run(
    market: Market,
    agents: Sequence[AgentSpec],
    *,
    instruments: Sequence[InstrumentRules],
    costs: CostModel,
    wallet: WalletRules,
    state: EngineState | None = None,
    mark_every_ms: int = HOUR_MS,
    limits: OrderLimits | None = None,
) -> Run:
    """Trade ``agents`` on ``market`` under one parent wallet; deterministic, no randomness, no clock.

    ``instruments`` follow ``market.symbols``. ``state`` (from an earlier ``Run.state``, same agents and
    rules) goes on where that
    run stopped: ``run(bars[:k])`` then ``run(bars[k:], state=...)`` gives what ``run(bars)`` gives, to the
    last bit; one bar at
    a time is the live forward mode. ``mark_every_ms`` is a multiple of the interval that divides a day.

    What happens within one bar, in this order:

    1. the UTC day's fee tier (30-day volume of the whole wallet, per instrument kind, up to yesterday), then
    funding stamps;
    2. decisions: a target that the strategy changed at the previous close becomes an order, sized at that
    close
       (only a *change* of the target is a decision: after a rule exit the agent waits for the next one);
       a position that has been held ``time_limit_bars`` bars becomes a closing order;
    3. orders fill at the open, agent by agent, starting with agent ``bar % n_agents`` (bars counted from the
    first) so that
       nobody is always first at the parent's headroom: participation cap, then balance, limits and ceilings,
       then the price:
       open x (1 +- (half-spread + impact)), rounded to the tick against the trader;
    4. exits within the bar, in the same order of agents. Gap first (open beyond the level: filled at the
    open), then pessimistic:
       liquidation, stop_loss and trailing_stop before take_profit. Of the three the level nearest to the
       price is the one
       hit. The trailing level follows the best price of *earlier* bars. Stops and liquidations take
       liquidity, a target rests
       as a limit order: it fills at its level and pays the maker fee. What the volume does not allow goes on
       at the next opens
       as taker (liquidations are not capped). PANEL agents are checked for liquidation at the close and
       closed at the next open;
    5. the close marks positions, peaks and drawdowns, and the strategies step on it.

    Cash model, spot and linear perpetual alike: equity = cash + sum(qty x price x multiplier); the notional
    is exchanged, so
    cash goes negative only with leverage (spot never). Every amount is a whole number of 1e-8.

    ``limits`` puts every order before the limits of the agent's Book and of the cohort's, by the arithmetic of
    ``risk.quant.pretrade.check_order``, at the moment it would meet the market, with what the bar's volume allows of
    it as its size; positions are valued at the last closes. A denied or cut order of a signal is not sent again, a
    rule exit asks again at every bar. Liquidations are the venue's and asked of nobody. The tactics of ``limits`` are
    looked at after that, of what is left of an order that opens: the closing part always passes.

    Raises subclasses of EngineError before anything has run.
    """
    started = time.perf_counter()
    cohort = prepare(market, agents, instruments, costs, wallet, mark_ms=mark_every_ms, limits=limits)
    if market.n_bars == 0:
        raise MarketDataError("The market has no bars.")
    prepared = time.perf_counter()
    trader = Pass(market, cohort, state)
    trader.trade()
    result = trader.result()
    finished = time.perf_counter()
    result.stats.update(
        agent_bars=market.n_bars * cohort.n_agents,
        prepare_seconds=prepared - started,
        simulate_seconds=finished - prepared,
    )
    return result


@dataclass(slots=True)
class _Log:
    """An output table that grows by doubling."""

    rows: npt.NDArray[Any]

    def grow(self, least: int) -> None:
        bigger = np.empty(max(2 * self.rows.shape[0], self.rows.shape[0] + least), self.rows.dtype)
        bigger[: self.rows.shape[0]] = self.rows
        self.rows = bigger


class Pass:
    """One pass of a prepared cohort over a market: buffers, blocks, and the tables at the end."""

    def __init__(
        self,
        market: Market,
        cohort: Prepared,
        state: EngineState | None,
        mark: npt.NDArray[np.float64] | None = None,
        extremes: Extremes | None = None,
    ) -> None:
        if state is None:
            state = fresh_state(cohort, int(market.ts_ms[0]))
        elif state.fingerprint != cohort.fingerprint:
            raise EngineStateError(
                "The state belongs to other agents, symbols or steps than those given. Use the ones it was made with."
            )
        elif state.last_ts_ms >= int(market.ts_ms[0]):
            raise EngineStateError(
                f"The state has already traded the bar of {state.last_ts_ms}; the market begins at "
                f"{market.ts_ms[0]}. "
                "Give only later bars."
            )
        else:
            state = state.copy()
        self.market = market
        self.cohort = cohort
        self.state = state
        arrays = state.arrays
        arrays.setdefault("books", forgotten_books(cohort))
        arrays.setdefault("last_bar", forgotten_bar(cohort))
        self.guard = cohort.guard.arrays(arrays, market.interval_ms)
        self.before = arrays["last_close"].copy()
        self.mark = market.marks(self.before) if mark is None else mark
        self.extremes = market.extremes(self.mark) if extremes is None else extremes
        n_slots, n_agents, n_symbols = cohort.n_slots, cohort.n_agents, market.n_symbols
        self.rows = int(min(_LONGEST_BLOCK, max(_SHORTEST_BLOCK, _SIGNALS_HELD // n_slots), market.n_bars))
        words = (n_slots + 63) // 64
        self.work = np.zeros(n_slots, lay.SLOT_WORK)
        self.work["exit_bar"] = -1
        self.cursor = np.zeros(1, lay.CURSOR)
        self.cursor["lead"] = self.extremes.lead
        wide = self.rows + _APART
        self.sig_row = np.empty((n_slots, wide), dtype=np.int32)
        self.sig_target = np.empty((n_slots, wide))
        self.sig_count = np.zeros(n_slots, dtype=np.int64)
        self.wake = np.zeros((self.rows + 2, words), dtype=np.uint64)
        self.exits = np.zeros((self.rows + 2, words), dtype=np.uint64)
        self.bar = np.empty((6, n_symbols))
        self.spoken, self.room = _block_room(cohort, self.rows)
        tracked = n_symbols + 1 if cohort.run_rules["shared_wallet"][0] else 1
        self.net_rows = np.empty((tracked, wide))
        self.net_done = np.zeros(tracked, dtype=np.int64)
        held = arrays["held"]
        self.holdings = np.stack((held[:, :, 0] - held[:, :, 1], held[:, :, 0] + held[:, :, 1]), axis=2).astype(float)
        self.equity_rows = np.empty(wide)
        self.todo = np.zeros(n_slots, dtype=np.int64)
        self.leaving = np.zeros(n_slots, dtype=np.int64)
        keep = bool(cohort.run_rules["keep_log"][0])
        small = 2 * n_agents + 8 if keep else 2 * n_agents + 4
        self.fills = _Log(np.empty(max(_FIRST_ROWS, 4 * n_slots) if keep else 1, FILL))
        self.rejections = _Log(np.empty(max(_FIRST_ROWS, 8 * n_slots) if keep else 1, REJECTION))
        self.breaches = _Log(np.empty(small, BREACH))
        self.payments = _Log(np.empty(max(64, n_slots) if keep else 1, FUNDING))
        mark_ms = int(cohort.run_rules["mark_ms"][0])
        first_mark = int(arrays["clock"]["next_mark"][0])
        n_marks = max(0, (market.end_ms - first_mark) // mark_ms + 1) + 1
        self.mark_ts = np.empty(n_marks, dtype=np.int64)
        self.agent_marks = np.empty((n_marks, n_agents), AGENT_MARK)
        self.wallet_marks = np.zeros(n_marks, WALLET_MARK)
        self.positions = np.empty((n_marks, n_slots))
        last = int(arrays["clock"]["last_ts"][0])
        self.cursor["funding"] = int(np.searchsorted(market.funding_ts_ms, last, side="right"))

    def trade(self) -> None:
        """All bars, block by block."""
        market, arrays, n_bars = self.market, self.state.arrays, self.market.n_bars
        execute, arguments = execute_kernel(), self._arguments()
        loops = self._strategy_loops()
        for block in range(0, n_bars, self.rows):
            rows = min(self.rows, n_bars - block)
            for signals, given in loops:
                signals(block, rows, *given)
            while execute(block, rows, *arguments) != DONE:
                self._make_room()
                arguments = self._arguments()
        clock = arrays["clock"]
        clock["bars"] += n_bars
        clock["last_ts"] = market.ts_ms[-1]
        arrays["last_close"][:] = self.mark[:, -1]
        self._keep_last_bar()

    def listen(self) -> None:
        """All bars, strategies only: nothing is decided, nobody trades, the clock stands still."""
        n_bars, loops = self.market.n_bars, self._strategy_loops()
        for block in range(0, n_bars, self.rows):
            for signals, given in loops:
                signals(block, min(self.rows, n_bars - block), *given)
        self._keep_last_bar()

    def _keep_last_bar(self) -> None:
        last_bar = self.state.arrays["last_bar"]
        last_bar[:, 0], last_bar[:, 1] = self.market.open[-1], self.market.volume[-1]

    def _arguments(self) -> tuple[Any, ...]:
        """What ``execute_block`` takes beside the block; anew whenever an output table has grown."""
        market, cohort, arrays = self.market, self.cohort, self.state.arrays
        return (
            market.ts_ms, market.open.T, market.high.T, market.low.T, market.volume.T, self.mark, self.before,
            market.funding_ts_ms, market.funding_symbol, market.funding_rate, cohort.tier_volumes, cohort.tier_rates,
            cohort.symbol_rules, cohort.slot_rules, cohort.agent_rules, cohort.run_rules, cohort.panel_agents,
            arrays["clock"], arrays["slots"], arrays["agents"], arrays["wallets"], arrays["held"],
            arrays["volumes"], arrays["fee_now"], self.cursor, self.work, self.sig_row, self.sig_target,
            self.sig_count, self.wake, self.exits, self.extremes.levels, self.net_rows, self.net_done,
            self.holdings, self.equity_rows, self.todo, self.leaving,
            self.fills.rows, self.rejections.rows, self.breaches.rows, self.payments.rows,
            self.mark_ts, self.agent_marks, self.wallet_marks, self.positions, arrays["books"], self.guard,
        )  # fmt: skip

    def _strategy_loops(self) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
        """For each family the loop over its agents, and what it takes beside the block."""
        market, cohort, arrays = self.market, self.cohort, self.state.arrays
        columns = (market.open.T, market.high.T, market.low.T, market.close.T, market.volume.T)
        return [
            (
                group.signals,
                (
                    *columns, group.which, cohort.slot_of, cohort.symbol_of, group.params, arrays["memory"],
                    cohort.memory_start, arrays["slots"], self.sig_row, self.sig_target, self.sig_count, self.wake,
                    self.bar, self.spoken, self.room, int(market.has_gaps),
                ),
            )
            for group in cohort.groups
        ]  # fmt: skip

    def _make_room(self) -> None:
        n_slots, n_agents = self.cohort.n_slots, self.cohort.n_agents
        cursor = self.cursor[0]
        for log, used, least in (
            (self.fills, cursor["fills"], 3 * n_slots),
            (self.rejections, cursor["rejections"], 8 * n_slots),
            (self.breaches, cursor["breaches"], 2 * n_agents + 4),
            (self.payments, cursor["payments"], n_slots * max(1, self.market.funding_ts_ms.shape[0])),
        ):
            if log.rows.shape[0] - int(used) < least:
                log.grow(min(least, 8 * n_slots) if log is not self.payments else n_slots)

    def result(self) -> Run:
        """The tables, cut to what was written; breaches sorted by bar and agent (agents are followed ahead
        one by one).
        """
        cohort, market, cursor = self.cohort, self.market, self.cursor[0]
        arrays = self.state.arrays
        breaches = self.breaches.rows[: cursor["breaches"]]
        breaches = breaches[np.lexsort((breaches["kind"], breaches["agent"], breaches["bar"]))]
        final = (
            np.zeros(1, dtype=np.int64),
            np.zeros((1, cohort.n_agents), AGENT_MARK),
            np.zeros(1, WALLET_MARK),
            np.zeros((1, cohort.n_slots)),
        )
        mark_kernel()(
            0, market.end_ms, market.n_bars, self.mark, self.before, cohort.run_rules[0], cohort.symbol_rules,
            cohort.slot_rules, cohort.agent_rules, arrays["slots"], arrays["agents"], arrays["wallets"],
            arrays["held"],
            *final,
        )  # fmt: skip
        slot_agent = cohort.slot_rules["agent"].copy()
        slot_symbol = cohort.slot_rules["symbol"].copy()
        n = int(cursor["marks"])
        return Run(
            fills=self.fills.rows[: cursor["fills"]],
            rejections=self.rejections.rows[: cursor["rejections"]],
            breaches=breaches,
            funding=self.payments.rows[: cursor["payments"]],
            marks=Marks(
                self.mark_ts[:n],
                self.agent_marks[:n],
                self.wallet_marks[:n],
                self.positions[:n],
                slot_agent,
                slot_symbol,
            ),
            final=Marks(*final, slot_agent, slot_symbol),
            state=self.state,
            stats={"blocks": -(-market.n_bars // self.rows), "block_rows": self.rows},
        )


def _block_room(cohort: Prepared, rows: int) -> tuple[Float64, Float64]:
    """What block forms of steps write into: targets of a block, and room of their own (see ``spec.BlockStep``)."""
    return np.empty(rows), np.empty((BLOCK_ROOM, rows + int(np.diff(cohort.memory_start).max())))


def hear(market: Market, cohort: Prepared, state: EngineState) -> EngineState:
    """The state after the strategies have heard a few bars (at most a block's), as `Pass.listen` leaves it.

    Only what strategies need is laid out: for those who listen bar by bar.
    """
    heard = EngineState(state.fingerprint, dict(state.arrays))
    arrays = heard.arrays
    arrays["slots"], arrays["memory"] = arrays["slots"].copy(), arrays["memory"].copy()
    rows, n_slots = market.n_bars, cohort.n_slots
    wide = rows + _APART
    for group in cohort.groups:
        group.signals(
            0, rows, market.open.T, market.high.T, market.low.T, market.close.T, market.volume.T,
            group.which, cohort.slot_of, cohort.symbol_of, group.params, arrays["memory"], cohort.memory_start,
            arrays["slots"], np.empty((n_slots, wide), dtype=np.int32), np.empty((n_slots, wide)),
            np.zeros(n_slots, dtype=np.int64), np.zeros((rows + 2, (n_slots + 63) // 64), dtype=np.uint64),
            np.empty((6, market.n_symbols)), *_block_room(cohort, rows), int(market.has_gaps),
        )  # fmt: skip
    return heard
