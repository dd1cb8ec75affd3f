"""Prohibited tactics in a cohort: which of them deny its orders, and what a stretch shows of the others.

Agents of a cohort are blind to each other, and a paper fill meets no counterparty. Whether their orders are denied for
what the others do, as a desk's are, or let through and noted is the policy's to say (`in_cohorts`). What it said judges
a stretch and is kept with the run, so that it can be computed again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compliance.models.screening import ScreeningRule
from compliance.screening.policy import InCohorts, MomentumIgnition, ScreeningRules, SelfCrossing
from compliance.selectors_screening import rules_in_force
from fundops.core import clock
from trading.cohorts.order_levels import Traded, closes_before, state_before
from trading.models.cohort import CohortFill
from trading.quant import engine
from trading.quant.engine import RejectionReason

OFF = "off"
DENIALS = {
    RejectionReason.SELF_CROSSING: ScreeningRule.SELF_CROSSING,
    RejectionReason.MOMENTUM_IGNITION: ScreeningRule.MOMENTUM_IGNITION,
}

Taken = dict[str, Any]


# --- What judges ------------------------------------------------------------------------------------------------
def take_tactics() -> Taken:
    """The rules in force as plain data: part of the record that judges a stretch."""
    version, rules = rules_in_force()
    return {
        "version": version,
        "self_crossing": _in_cohorts(rules.self_crossing),
        "momentum_ignition": _in_cohorts(rules.momentum_ignition),
        "rules": rules.model_dump(mode="json", include={"self_crossing", "momentum_ignition"}),
    }


def _in_cohorts(rule: SelfCrossing | MomentumIgnition) -> str:
    return rule.in_cohorts.value if rule.enabled else OFF


def rules_of(taken: Mapping[str, Any] | None) -> ScreeningRules | None:
    """The rules that a record was judged by; None of one from before they were kept."""
    return None if taken is None else ScreeningRules.model_validate(taken["rules"])


def engine_tactics(taken: Mapping[str, Any] | None) -> engine.Tactics | None:
    """What of them the engine denies for; None where it only trades."""
    rules = rules_of(taken)
    if taken is None or rules is None:
        return None
    burst = rules.momentum_ignition
    tactics = engine.Tactics(
        self_crossing=taken["self_crossing"] == InCohorts.DENY,
        momentum_ignition=taken["momentum_ignition"] == InCohorts.DENY,
        window_s=burst.window_s,
        min_orders=burst.min_orders,
        market_share_frac=float(burst.market_share_frac),
        move_bps=float(burst.move_bps),
    )
    return tactics if tactics.screens else None


# --- What a stretch shows -----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Burst:
    """A bar in which an agent's order would have been denied: how many orders of a side were taken within the window,
    and their share of the volume of the last bar before, whose price went their way; NaN is not known."""

    ts_ms: int
    symbol: str
    side: int
    orders: int
    share: float
    move_bps: float
    agents: tuple[int, ...]

    @property
    def words(self) -> str:
        side = "buy" if self.side > 0 else "sell"
        count = f"{self.orders} {side} orders of agents in {self.symbol} at {clock.from_ms(self.ts_ms):%H:%M}"
        if math.isnan(self.share) or math.isnan(self.move_bps):
            return f"{count}, and the market's volume or prices beside them are not known."
        return f"{count} are {self.share:.0%} of its volume, and the price went their way by {self.move_bps:.0f} bps."

    def as_evidence(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "at": clock.from_ms(self.ts_ms).isoformat(),
            "side": "buy" if self.side > 0 else "sell",
            "orders": self.orders,
            "market_share_frac": None if math.isnan(self.share) else self.share,
            "move_bps": None if math.isnan(self.move_bps) else self.move_bps,
            "agents": list(self.agents),
        }


def bursts_in(traded: Traded, rule: MomentumIgnition) -> list[Burst]:
    """What the rule finds in a stretch with what was known as each bar's orders met the market, at most one finding for
    a market, a side and a bar: what the engine would have denied the last of them for, had it been asked."""
    fills = traded.outcome.fills
    taken = fills[fills["maker"] == 0]
    found: list[Burst] = []
    for symbol, side in {(int(s), int(d)) for s, d in zip(taken["symbol"], taken["side"], strict=True)}:
        mine = taken[(taken["symbol"] == symbol) & (taken["side"] == side)]
        found += _of_side(traded, mine, symbol, side, rule)
    return sorted(found, key=lambda burst: (burst.ts_ms, burst.symbol, burst.side))


def _of_side(traded: Traded, mine: npt.NDArray[Any], symbol: int, side: int, rule: MomentumIgnition) -> Iterator[Burst]:
    earlier_ts, earlier_units = _before(traded, symbol, side, rule)
    unit = traded.instruments[symbol].multiplier
    ts = np.concatenate([earlier_ts, mine["ts_ms"]])
    units = np.concatenate([earlier_units, mine["qty"]]) * unit
    summed = np.concatenate([[0.0], np.cumsum(units)])
    closes: npt.NDArray[np.float64] | None = None
    opening = np.flatnonzero(mine["side"] * mine["position"] > 0)
    opened_at = mine["ts_ms"][opening]
    for row in opening[np.append(np.diff(opened_at) > 0, values=True)] if opening.size else ():  # the last of each bar
        at, last = int(mine["ts_ms"][row]), len(earlier_ts) + int(row) + 1
        first = int(np.searchsorted(ts, at - rule.window_s * 1000, side="right"))
        if last - first < rule.min_orders:
            continue
        closes = closes_before(traded) if closes is None else closes
        share, move = _beside(traded, closes, symbol, side, at, float(summed[last] - summed[first]))
        known = not (math.isnan(share) or math.isnan(move))
        if known and (share < float(rule.market_share_frac) or move < float(rule.move_bps)):
            continue
        agents = np.unique(mine["agent"][mine["ts_ms"] == at])
        numbers = tuple(traded.agents[a].number for a in agents)
        yield Burst(at, traded.bars.symbols[symbol], side, last - first, share, move, numbers)


def _beside(
    traded: Traded, closes: npt.NDArray[np.float64], symbol: int, side: int, at_ms: int, size: float
) -> tuple[float, float]:
    """The share of the last bar's volume, and by how many basis points its price went the orders' way."""
    bars, bar = traded.bars, int(np.searchsorted(traded.bars.ts_ms, at_ms))
    opened, volume = math.nan, math.nan
    if bar > 0:
        opened, volume = float(bars.open[bar - 1, symbol]), float(bars.volume[bar - 1, symbol])
    elif (kept := state_before(traded).get("last_bar")) is not None:
        opened, volume = float(kept[symbol, 0]), float(kept[symbol, 1])
    share = size / volume if volume > 0 else math.nan
    move = 1e4 * side * (float(closes[bar, symbol]) / opened - 1.0) if opened > 0 else math.nan
    return share, move


def _before(
    traded: Traded, symbol: int, side: int, rule: MomentumIgnition
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """What was taken on that side before the stretch and within the window of its first bar, in time order."""
    first = int(traded.bars.ts_ms[0])
    if rule.window_s * 1000 <= traded.bars.interval_ms:
        return np.empty(0, dtype=np.int64), np.empty(0)
    rows = list(
        CohortFill.objects.filter(
            cohort=traded.cohort,
            symbol=traded.bars.symbols[symbol],
            side="buy" if side > 0 else "sell",
            at__gt=clock.from_ms(first - rule.window_s * 1000),
            at__lt=clock.from_ms(first),
        )
        .exclude(reason="take_profit")
        .order_by("number")
        .values_list("at", "quantity")
    )
    ts = np.array([clock.to_ms(at) for at, _ in rows], dtype=np.int64)
    return ts, np.array([float(quantity) for _, quantity in rows])
