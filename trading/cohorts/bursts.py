"""Bursts in a cohort's closed day: bars in which agents' orders of one side were a large share of the market's volume
while the price went their way.

The rule is the one that denies a desk its order (`compliance.screening.tactics.momentum_ignition`), over what was
filled. The engine's orders meet the market at the next bar and never rest, so all of them take liquidity.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any

import numpy as np
from django.db import connection

from compliance.screening.policy import MomentumIgnition
from compliance.screening.tactics import Finding, MarketWindow, OrderEnd, OwnOrder, momentum_ignition
from fundops.core import clock
from fundops.core.errors import FundopsError
from trading.cohorts.catalog import open_catalog
from trading.marketdata.loader import CandleFrame, load_candles
from trading.models.cohort import Cohort, CohortDay

# Each agent's fills of a bar are one order: what it bought less what it sold.
_NET = """
SELECT f.symbol, f.at, a.number, SUM(CASE WHEN f.side = 'buy' THEN 1 ELSE -1 END * f.quantity)
  FROM trading_cohortfill f JOIN trading_cohortagent a ON a.id = f.agent_id
 WHERE f.cohort_id = %(cohort)s AND (f.at AT TIME ZONE 'UTC')::date = %(date)s
 GROUP BY f.symbol, f.at, a.number
HAVING SUM(CASE WHEN f.side = 'buy' THEN 1 ELSE -1 END * f.quantity) <> 0
 ORDER BY f.symbol, f.at, a.number
"""

Market = Callable[[str, datetime, datetime], MarketWindow | None]


def bursts_of(day: CohortDay, rule: MomentumIgnition) -> list[Finding]:
    """What the rule finds in that day, at most one finding for a market, a side and a bar."""
    market = _market_of(day.cohort, day, timedelta(seconds=rule.window_s))
    sides: dict[tuple[str, int], dict[datetime, list[OwnOrder]]] = defaultdict(lambda: defaultdict(list))
    for order in _orders(day):
        sides[order.symbol, order.side][order.placed_at].append(order)
    return [f for bars in sides.values() for f in _of_side(bars, rule, market)]


def _of_side(bars: Mapping[datetime, list[OwnOrder]], rule: MomentumIgnition, market: Market) -> Iterator[Finding]:
    window = timedelta(seconds=rule.window_s)
    recent: deque[OwnOrder] = deque()
    for at, orders in bars.items():
        recent.extend(orders)
        while recent[0].placed_at <= at - window:
            recent.popleft()
        if len(recent) < rule.min_orders:
            continue
        *before, last = recent
        found = momentum_ignition(last, before, rule, market(last.symbol, recent[0].placed_at, at))
        if found is not None:
            yield found


def _orders(day: CohortDay) -> Iterator[OwnOrder]:
    cohort = day.cohort
    with connection.cursor() as cursor:
        cursor.execute(_NET, {"cohort": cohort.pk, "date": day.date})
        for symbol, at, agent, net in cursor.fetchall():
            yield OwnOrder(
                id=f"agent {agent}, {at:%H:%M}",
                owner=f"agent {agent}",
                symbol=symbol,
                venue=cohort.venue,
                side=1 if net > 0 else -1,
                size=abs(float(net)),
                price=None,
                placed_at=at,
                end=OrderEnd.FILLED,
                filled=abs(float(net)),
            )


def _market_of(cohort: Cohort, day: CohortDay, window: timedelta) -> Market:
    """The market over bars from one opening time to another; the day's candles are read when the first is asked for."""
    midnight = datetime.combine(day.date, time.min, tzinfo=UTC)

    @cache
    def candles() -> CandleFrame | None:
        try:
            return load_candles(
                open_catalog(),
                cohort.venue,
                cohort.symbols,
                cohort.interval,
                midnight - window,
                midnight + timedelta(days=1),
            )
        except FundopsError:  # candles that are gone say nothing; the burst is noted as one that cannot be judged
            return None

    def over(symbol: str, first: datetime, last: datetime) -> MarketWindow | None:
        frame = candles()
        if frame is None:
            return None
        start, end = np.searchsorted(frame.ts_ms, [clock.to_ms(first), clock.to_ms(last)])
        column = frame.symbols.index(symbol)
        return MarketWindow(
            volume=float(frame.volume[start : end + 1, column].sum()),
            first_price=float(frame.open[start, column]),
            last_price=float(frame.close[end, column]),
        )

    return over


def evidence_of(finding: Finding, *, most: int) -> dict[str, Any]:
    """A finding's evidence with at most so many of its orders."""
    return {
        "words": finding.text,
        **{k: v[:most] if isinstance(v, list) else v for k, v in finding.evidence.items()},
    }
