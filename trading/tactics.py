"""Prohibited tactics on the way of an order: what a fund's own flow says of the orders a desk wants to send.

The rules are `compliance.screening.tactics`; this module brings them the flow: every order of the fund's deployments
at the same gateway and venue that still works or is younger than the longest window, in market time (the close of the
bar it was decided at), so that accelerated paper desks are judged as they would be at the market's pace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db.models import Q

from compliance.actions.screening import raise_flag
from compliance.models.screening import FlagSeverity, ScreeningRule
from compliance.screening.policy import ScreeningRules
from compliance.screening.tactics import Finding, MarketWindow, OrderEnd, OwnOrder, judge_order
from compliance.selectors_screening import rules_in_force
from fundops.core import clock
from trading.models.deployments import LIVE_ORDERS, Deployment, Order, OrderStatus

#: A working order older than this in market time stands at another clock: a replay of another day.
SAME_MARKET = timedelta(days=1)

_ENDS = {
    OrderStatus.FILLED: OrderEnd.FILLED,
    OrderStatus.CANCELLED: OrderEnd.CANCELLED,
    OrderStatus.REJECTED: OrderEnd.REFUSED,
    OrderStatus.DENIED: OrderEnd.REFUSED,
}


def judge(
    *,
    deployment: Deployment,
    orders: Sequence[OwnOrder],
    markets: Mapping[str, MarketWindow],
    rules: ScreeningRules | None = None,
) -> dict[str, tuple[Finding, ...]]:
    """What each order would complete, by its id; no findings and it may be sent. Orders of one call are judged one
    after the other: one that passes belongs to the flow that the next is judged by.

    ``markets`` is the market of each symbol over the last bar; one that is missing is unknown. One query.
    """
    if not orders:
        return {}
    in_force = rules if rules is not None else rules_in_force()[1]
    flow = _flow(deployment, orders[0].placed_at, timedelta(seconds=in_force.longest_window_s))
    found: dict[str, tuple[Finding, ...]] = {}
    for order in orders:
        found[order.id] = judge_order(order, flow, rules=in_force, market=markets.get(order.symbol))
        if not found[order.id]:
            flow.append(order)
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


def own_order(order: Order, *, owner: str, venue: str, closed_at: datetime) -> OwnOrder:
    """A desk's order as the rules see it. Desks take liquidity: their limit price only caps the slippage."""
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
        aggressive=True,
    )


def _flow(deployment: Deployment, at: datetime, window: timedelta) -> list[OwnOrder]:
    since_ms = clock.to_ms(at - window - SAME_MARKET)
    found = (
        Order.objects.filter(
            deployment__fund=deployment.fund_id,
            deployment__gateway=deployment.gateway,
            deployment__venue=deployment.venue,
            cycle__bar_ms__gte=since_ms,
            cycle__bar_ms__lte=clock.to_ms(at),
        )
        .exclude(status=OrderStatus.DENIED)
        # A desk sends nothing before the venue has ended what the desk asked it to end.
        .exclude(deployment=deployment, cancel_asked=True)
        .select_related("deployment__book", "cycle")
        .order_by("pk")
    )
    recent = Q(cycle__bar_ms__gte=clock.to_ms(at - 2 * window)) | Q(status__in=LIVE_ORDERS)
    return [
        own_order(
            order,
            owner=order.deployment.book.path,
            venue=order.deployment.venue,
            closed_at=order.cycle.at + timedelta(milliseconds=order.deployment.interval_ms),
        )
        for order in found.filter(recent)
    ]
