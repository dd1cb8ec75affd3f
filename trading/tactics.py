"""Prohibited tactics on the way of an order: what a fund's own flow says of the orders a desk wants to send.

The rules are `compliance.screening.tactics`; this module brings them the flow: every order of the fund's deployments
at the same gateway and venue that still works or is younger than the longest window, in market time (the close of the
bar it was decided at), so that accelerated paper desks are judged as they would be at the market's pace.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from compliance.actions.screening import raise_flag
from compliance.models.screening import FlagSeverity, ScreeningRule
from compliance.screening.policy import ScreeningRules
from compliance.screening.tactics import Finding, MarketWindow, OrderEnd, OwnOrder, judge_order
from compliance.selectors_screening import rules_in_force
from fundops.core import clock
from fundops.core.bulk import run
from trading.models.cohort import INTERVAL_MINUTES
from trading.models.deployments import Deployment, Order, OrderStatus

#: A working order older than this in market time stands at another clock: a replay of another day.
SAME_MARKET = timedelta(days=1)

_ENDS = {
    OrderStatus.FILLED: OrderEnd.FILLED,
    OrderStatus.CANCELLED: OrderEnd.CANCELLED,
    OrderStatus.REJECTED: OrderEnd.REFUSED,
    OrderStatus.DENIED: OrderEnd.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The orders that one deployment wants to send at one close, and the market of each symbol over the last bar; a
    market that is missing is unknown."""

    deployment: Deployment
    orders: Sequence[OwnOrder]
    markets: Mapping[str, MarketWindow]


def judge(
    *,
    deployment: Deployment,
    orders: Sequence[OwnOrder],
    markets: Mapping[str, MarketWindow],
    rules: ScreeningRules | None = None,
) -> dict[str, tuple[Finding, ...]]:
    """What each order would complete, by its id; no findings and it may be sent. See `judge_all`."""
    return judge_all([Asked(deployment, orders, markets)], rules=rules)


def judge_all(asked: Sequence[Asked], *, rules: ScreeningRules | None = None) -> dict[str, tuple[Finding, ...]]:
    """What each order of these desks would complete, by its id. Orders of one call are judged one after the other: one
    that passes belongs to the flow that the next is judged by. One query for each gateway and venue of a fund.
    """
    asked = [one for one in asked if one.orders]
    if not asked:
        return {}
    in_force = rules if rules is not None else rules_in_force()[1]
    window = timedelta(seconds=in_force.longest_window_s)
    flows: dict[tuple[int, str, str], list[_Known]] = {}
    found: dict[str, tuple[Finding, ...]] = {}
    for one in asked:
        deployment = one.deployment
        key = (deployment.fund_id, deployment.gateway, deployment.venue)
        if key not in flows:
            here_now = {a.deployment.pk for a in asked}
            flows[key] = _flow(deployment, min(a.orders[0].placed_at for a in asked), window, here_now)
        # A desk sends nothing before the venue has ended what the desk asked it to end.
        flow = [known.order for known in flows[key] if not (known.ending and known.deployment_id == deployment.pk)]
        for order in one.orders:
            here = [other for other in flow if other.symbol == order.symbol]
            found[order.id] = judge_order(order, here, rules=in_force, market=one.markets.get(order.symbol))
            if not found[order.id]:
                flow.append(order)
                flows[key].append(_Known(order, deployment.pk, ending=False))
    return found


def flag_denied(*, deployment: Deployment, order: OwnOrder, findings: Sequence[Finding]) -> None:
    """Keeps what an order was denied for, once for each order and rule, with the evidence."""
    for finding in findings:
        raise_flag(
            key=f"deployment:{deployment.pk}:{order.id}:{finding.rule}",
            rule=ScreeningRule(finding.rule),
            severity=FlagSeverity.DENIED,
            subject=str(deployment),
            book_path=order.owner,
            symbol=order.symbol,
            venue=order.venue,
            finding=finding.text,
            evidence=finding.evidence,
        )


def own_order(order: Order, *, owner: str, venue: str, closed_at: datetime, market: float) -> OwnOrder:
    """A desk's order as the rules see it. It takes liquidity where it is priced at the ``market`` or beyond, and rests
    where it is priced short of it."""
    return OwnOrder(
        id=order.client_order_id,
        owner=owner,
        symbol=order.symbol,
        venue=venue,
        side=order.sign,
        size=float(order.quantity),
        price=None if order.limit_price is None else float(order.limit_price),
        placed_at=closed_at,
        end=_ENDS.get(OrderStatus(order.status), OrderEnd.WORKING),
        filled=float(order.filled),
        aggressive=order.limit_price is None or (float(order.limit_price) - market) * order.sign >= 0,
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """An order of the flow, whose it is, and whether its desk has asked the venue to end it."""

    order: OwnOrder
    deployment_id: int
    ending: bool


#: Recent orders by the cycles that sent them, older ones only while they work; index by index, so that a long history
#: costs nothing (each OFFSET 0 keeps the planner from reading whole tables instead).
_FLOW = """
WITH desks AS MATERIALIZED (
    SELECT d.id, d.interval, b.path, r.next_bar_ms
      FROM trading_deployment d
      JOIN treasury_book b ON b.id = d.book_id
      JOIN trading_deskrun r ON r.deployment_id = d.id
     WHERE d.fund_id = %(fund)s::bigint AND d.gateway = %(gateway)s::text AND d.venue = %(venue)s::text),
found AS (
    SELECT o.*, c.bar_ms, desks.path, desks.interval, desks.next_bar_ms
      FROM desks,
           LATERAL (SELECT id, bar_ms FROM trading_tradingcycle
                     WHERE deployment_id = desks.id AND bar_ms BETWEEN %(recent)s::bigint AND %(at)s::bigint
                    OFFSET 0) AS c,
           LATERAL (SELECT * FROM trading_order WHERE cycle_id = c.id OFFSET 0) AS o
    UNION ALL
    SELECT o.*, c.bar_ms, desks.path, desks.interval, desks.next_bar_ms
      FROM desks,
           LATERAL (SELECT * FROM trading_order
                     WHERE deployment_id = desks.id AND ended_at IS NULL OFFSET 0) AS o,
           LATERAL (SELECT bar_ms FROM trading_tradingcycle WHERE id = o.cycle_id OFFSET 0) AS c
     WHERE c.bar_ms >= %(since)s::bigint AND c.bar_ms < %(recent)s::bigint)
SELECT client_order_id, path, symbol, side, quantity::float8, limit_price::float8, bar_ms, interval, status,
       filled::float8, deployment_id, cancel_asked, next_bar_ms
  FROM found
 WHERE status <> 'denied'
 ORDER BY id
"""


def _flow(deployment: Deployment, at: datetime, window: timedelta, here_now: Collection[int]) -> list[_Known]:
    """The fund's orders around ``at``. What desks other than ``here_now`` have not taken in yet is known from the bar:
    an order of theirs that takes was taken in it, before anything that is sent now.
    """
    at_ms = clock.to_ms(at)
    since_ms, recent_ms = clock.to_ms(at - window - SAME_MARKET), clock.to_ms(at - 2 * window)
    asked = {
        "fund": deployment.fund_id,
        "gateway": deployment.gateway,
        "venue": deployment.venue,
        "at": at_ms,
        "recent": recent_ms,
        "since": since_ms,
    }
    known = []
    for (
        client_order_id, path, symbol, side, quantity, limit, bar_ms, interval, status, filled, deployment_id, ending,
        next_bar_ms,
    ) in run(_FLOW, asked):  # fmt: skip
        step_ms = INTERVAL_MINUTES[interval] * 60_000
        end = _ENDS.get(OrderStatus(status), OrderEnd.WORKING)
        takes = not _rested(limit, filled, bar_ms, step_ms, at_ms)
        behind = deployment_id not in here_now and next_bar_ms < at_ms
        if behind and takes and end is OrderEnd.WORKING and filled == 0 and bar_ms + step_ms < at_ms:
            end, filled = OrderEnd.FILLED, quantity
        order = OwnOrder(
            id=client_order_id,
            owner=path,
            symbol=symbol,
            venue=deployment.venue,
            side=1 if side == "buy" else -1,
            size=quantity,
            price=limit,
            placed_at=clock.from_ms(bar_ms + step_ms),
            end=end,
            filled=filled,
            aggressive=takes,
        )
        known.append(_Known(order, deployment_id, ending))
    return known


def _rested(limit: float | None, filled: float, bar_ms: int, step_ms: int, at_ms: int) -> bool:
    """Whether an order has stood in the market for a bar that took nothing of it: it waited there, and moved nobody."""
    return limit is not None and filled == 0 and bar_ms + 2 * step_ms <= at_ms
