"""Which soft levels of limits on orders an order of a desk has passed: what its breach is made of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from risk.actions.order_breaches import ORDER_ONLY, PassedLevel
from risk.order_paths import OrderPath
from risk.quant.metrics import Level
from risk.quant.pretrade import Reason
from trading.models.deployments import Deployment, Order


def passed_levels(
    path: OrderPath, order: Order, deployment: Deployment, reasons: Sequence[Reason], *, sent: bool
) -> list[PassedLevel]:
    """Those of the verdict's reasons that speak of a limit on the order with a soft level, own or inherited, each once:
    a soft level where the order was ``sent``, a hard one where it was denied or cut.

    The restricted list has levels without a limit; they are told by the order's event and by Compliance.
    """
    found: dict[int, PassedLevel] = {}
    for reason in reasons:
        hard = reason.level is Level.HARD
        if reason.metric not in ORDER_ONLY or not (hard or (sent and reason.level is Level.SOFT)):
            continue
        value = reason.value if math.isfinite(reason.value) else None
        for limit in _behind(path, order.symbol, deployment.venue, reason):
            if limit not in found or hard:
                found[limit] = PassedLevel(deployment.book_id, limit, value, hard)
    return list(found.values())


def _behind(path: OrderPath, symbol: str, venue: str, reason: Reason) -> Iterator[int]:
    """The rows of the soft levels that stand beside the level a reason names."""
    for limit in path.effective:
        level = limit.hard if reason.level is Level.HARD else limit.soft
        speaks = limit.metric is reason.metric and limit.symbol in ("", symbol) and limit.venue in ("", venue)
        if speaks and level == reason.threshold and limit.soft_limit_id is not None and limit.soft is not None:
            yield limit.soft_limit_id
