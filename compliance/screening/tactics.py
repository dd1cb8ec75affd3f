"""Prohibited tactics in a fund's own order flow: pure rules over what was placed, cancelled and filled.

The patterns are those that market-abuse law names: crossing own orders (a wash trade: no change of ownership), layering
and spoofing (orders placed to be cancelled, that move others to trade on one's other side), and momentum ignition (a
burst that starts a move to trade on). Sources: Regulation (EU) 596/2014 article 12 with the indicators of Delegated
Regulation (EU) 2016/522, annex II; United States Code 7 section 6c(a). The thresholds are the fund's own policy.

An order is judged before it is sent: as the next event of the flow that would complete a pattern. What cannot be
judged (a market whose volume is not known) is denied once a burst is there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from compliance.screening.policy import Layering, MomentumIgnition, ScreeningRules

BUY, SELL = 1, -1


class OrderEnd(StrEnum):
    WORKING = "working"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class OwnOrder:
    """An order of the fund. `side` is +1 or -1, sizes in units, `price` None for a market order; `aggressive` says that
    it takes liquidity; `owner` is the Book's path it trades for."""

    id: str
    owner: str
    symbol: str
    venue: str
    side: int
    size: float
    price: float | None
    placed_at: datetime
    end: OrderEnd = OrderEnd.WORKING
    filled: float = 0.0
    aggressive: bool = True

    @property
    def left(self) -> float:
        """Units still open in the market."""
        return max(self.size - self.filled, 0.0) if self.end is OrderEnd.WORKING else 0.0

    @property
    def unfilled_cancel(self) -> bool:
        return self.end is OrderEnd.CANCELLED and self.filled == 0.0

    def as_evidence(self) -> dict[str, Any]:
        return {
            "order": self.id,
            "book": self.owner,
            "side": "buy" if self.side == BUY else "sell",
            "size": self.size,
            "price": self.price,
            "placed_at": self.placed_at.isoformat(),
            "end": self.end.value,
            "filled": self.filled,
        }


@dataclass(frozen=True, slots=True)
class MarketWindow:
    """The market over a rule's window: volume in units and the first and last price. NaN is not known."""

    volume: float
    first_price: float
    last_price: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A pattern that the order would complete: which rule, in words, and by which orders."""

    rule: str
    text: str
    evidence: dict[str, Any] = field(compare=False)


def judge_order(
    order: OwnOrder,
    flow: Sequence[OwnOrder],
    *,
    rules: ScreeningRules,
    market: MarketWindow | None = None,
) -> tuple[Finding, ...]:
    """Every prohibited pattern that sending ``order`` would complete, given the fund's ``flow`` (its orders of at least
    `rules.longest_window_s` seconds, and all that are working). Empty when there is none. O(len(flow))."""
    here = [o for o in flow if o.symbol == order.symbol and o.venue == order.venue and o.id != order.id]
    found = []
    if rules.self_crossing.enabled:
        found.append(self_crossing(order, here))
    if rules.layering.enabled:
        found.append(layering(order, here, rules.layering))
    if rules.momentum_ignition.enabled:
        found.append(momentum_ignition(order, here, rules.momentum_ignition, market))
    return tuple(f for f in found if f is not None)


def self_crossing(order: OwnOrder, flow: Sequence[OwnOrder]) -> Finding | None:
    """The order could trade against a working one of the fund on the other side."""
    met = [o for o in flow if o.side == -order.side and o.left > 0 and _cross(order, o)]
    if not met:
        return None
    return Finding(
        "self_crossing",
        f"It could trade against {_count(len(met), 'working order')} of the fund itself in {order.symbol}.",
        {"order": order.as_evidence(), "against": [o.as_evidence() for o in met]},
    )


def _cross(order: OwnOrder, resting: OwnOrder) -> bool:
    if order.price is None or resting.price is None:
        return True
    return (order.price - resting.price) * order.side >= 0


def layering(order: OwnOrder, flow: Sequence[OwnOrder], rule: Layering) -> Finding | None:
    """One Book's orders on one side, this one among them: many, at several prices, mostly cancelled unfilled, and large
    beside what the same Book had filled on the other side meanwhile.

    The order completes the pattern from either side: as one layer more, or as the trade the layers were for.
    """
    since = order.placed_at - timedelta(seconds=rule.window_s)
    own = [o for o in flow if o.owner == order.owner and o.placed_at > since and o.end is not OrderEnd.REFUSED]
    return _layers(order, own, order.side, rule) or _layers(order, own, -order.side, rule)


def _layers(order: OwnOrder, own: Sequence[OwnOrder], side: int, rule: Layering) -> Finding | None:
    layers = [o for o in own if o.side == side]
    taken = [o for o in own if o.side == -side and o.filled > 0]
    filled = sum(o.filled for o in taken)
    if order.side == side:
        layers = [*layers, order]
    else:
        filled += order.size
    pulled = [o for o in layers if o.unfilled_cancel]
    prices = {o.price for o in layers if o.price is not None}
    if len(layers) < rule.min_orders or len(prices) < rule.min_prices or filled <= 0:
        return None
    before = [o for o in layers if o is not order]
    if len(pulled) < float(rule.cancelled_frac) * len(before):
        return None
    pulled_size = sum(o.size for o in pulled)
    if pulled_size < float(rule.size_ratio) * filled:
        return None
    name = "buy" if side == BUY else "sell"
    return Finding(
        "layering",
        f"{len(pulled)} of {len(before)} {name} orders in {order.symbol} were cancelled unfilled within "
        f"{rule.window_s} s, {pulled_size / filled:.1f} times what was traded on the other side.",
        {
            "order": order.as_evidence(),
            "cancelled": [o.as_evidence() for o in pulled],
            "traded": [o.as_evidence() for o in taken],
            "window_s": rule.window_s,
        },
    )


def momentum_ignition(
    order: OwnOrder, flow: Sequence[OwnOrder], rule: MomentumIgnition, market: MarketWindow | None
) -> Finding | None:
    """The fund's orders that take liquidity on this side, this one among them, as a burst: many, a large share of the
    market's volume, with the price going their way."""
    if not order.aggressive:
        return None
    since = order.placed_at - timedelta(seconds=rule.window_s)
    burst = [
        o
        for o in flow
        if o.side == order.side and o.aggressive and o.placed_at > since and o.end is not OrderEnd.REFUSED
    ]
    if len(burst) + 1 < rule.min_orders:
        return None
    size = sum(o.filled or o.left for o in burst) + order.size
    evidence: dict[str, Any] = {
        "order": order.as_evidence(),
        "burst": [o.as_evidence() for o in burst],
        "window_s": rule.window_s,
    }
    count = f"{len(burst) + 1} orders within {rule.window_s} s in {order.symbol}"
    share = size / market.volume if market is not None and market.volume > 0 else math.nan
    move = (
        1e4 * order.side * (market.last_price / market.first_price - 1)
        if market is not None and _priced(market)
        else math.nan
    )
    if math.isnan(share) or math.isnan(move):
        return Finding(
            "momentum_ignition", f"{count}, and the market's volume or prices beside them are not known.", evidence
        )
    if share < float(rule.market_share_frac) or move < float(rule.move_bps):
        return None
    return Finding(
        "momentum_ignition",
        f"{count} are {share:.0%} of its volume, and the price went their way by {move:.0f} bps.",
        {**evidence, "market_share_frac": share, "move_bps": move},
    )


def _priced(market: MarketWindow | None) -> bool:
    return market is not None and market.first_price > 0 and math.isfinite(market.last_price)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
