"""``run``: a cohort of agents over one stretch of bars; ``sweep``: many parameter sets, each in a wallet of its own."""

from __future__ import annotations

from collections.abc import Sequence

from trading.quant.engine.costs import CostModel
from trading.quant.engine.market import HOUR_MS, Market
from trading.quant.engine.results import Run
from trading.quant.engine.rules import AgentSpec, InstrumentRules, WalletRules
from trading.quant.engine.state import EngineState


def run(
    market: Market,
    agents: Sequence[AgentSpec],
    *,
    instruments: Sequence[InstrumentRules],
    costs: CostModel,
    wallet: WalletRules,
    state: EngineState | None = None,
    mark_every_ms: int = HOUR_MS,
) -> Run:
    """Trade ``agents`` on ``market`` under one parent wallet; deterministic, no randomness, no clock.

    ``instruments`` follow ``market.symbols``. ``state`` (from an earlier ``Run.state``, same agents and rules) goes on where that
    run stopped: ``run(bars[:k])`` then ``run(bars[k:], state=...)`` gives what ``run(bars)`` gives, to the last bit; one bar at
    a time is the live forward mode. ``mark_every_ms`` is a multiple of the interval that divides a day.

    What happens within one bar, in this order:

    1. the UTC day's fee tier (30-day volume of the whole wallet, per instrument kind, up to yesterday), then funding stamps;
    2. decisions: a target that the strategy changed at the previous close becomes an order, sized at that close
       (only a *change* of the target is a decision: after a rule exit the agent waits for the next one);
       a position that has been held ``time_limit_bars`` bars becomes a closing order;
    3. orders fill at the open, agent by agent, starting with agent ``(ts // interval) % n_agents`` so that nobody is
       always first at the parent's headroom: participation cap, then balance, limits and ceilings, then the price:
       open x (1 +- (half-spread + impact)), rounded to the tick against the trader;
    4. exits within the bar, in the same order of agents. Gap first (open beyond the level: filled at the open), then pessimistic:
       liquidation, stop_loss and trailing_stop before take_profit. Of the three the level nearest to the price is the one
       hit. The trailing level follows the best price of *earlier* bars. Stops and liquidations take liquidity, a target rests
       as a limit order: it fills at its level and pays the maker fee. What the volume does not allow goes on at the next opens
       as taker (liquidations are not capped). PANEL agents are checked for liquidation at the close and closed at the next open;
    5. the close marks positions, peaks and drawdowns, and the strategies step on it.

    Cash model, spot and linear perpetual alike: equity = cash + sum(qty x price x multiplier); the notional is exchanged, so
    cash goes negative only with leverage (spot never). Every amount is a whole number of 1e-8.

    Raises subclasses of EngineError before anything has run.
    """
    raise NotImplementedError
