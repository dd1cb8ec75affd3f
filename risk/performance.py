"""How a Book did, from its own risk snapshots: equity of itself and all below it, with flows removed.

The return of a stretch is time-weighted: it is linked from snapshot to snapshot, each part being
(equity at its end - what flowed in) / equity at its beginning - 1, so a flow distorts the hour it fell into at most.
Flows are what the ledger says came from or went to outside the Book's tree (capital and bankroll), at the time they
were booked. What is not known stays None: a day without a snapshot at its end, a flow in another asset than the base.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from risk.ledger_source import ON_TIME
from risk.models import RiskSnapshot
from risk.quant.leverage import Observation, Performance
from risk.sources import has_source, risk_source
from treasury.models import AccountKind, Book, JournalLine

#: The peak is the highest of so many days.
MEMORY = timedelta(days=365)
_OUTSIDE = (AccountKind.CAPITAL, AccountKind.BANKROLL)


@dataclass(frozen=True, slots=True)
class SnapshotPerformance:
    """A `risk.leverage.PerformanceSource` for any Book whose risk is snapshot every hour."""

    def performance(self, book: Book, *, observation: Observation, window: int, at: datetime) -> Performance:
        through = last_boundary(observation, at)
        points = _points(book, at)
        if not points:
            return Performance((), through, None, None, observation, None, "risk snapshots")
        growth = _linked(points, _flows(book, points[0][0], at))
        times = [t for t, _ in points]
        ends = [through - k * observation.span for k in range(window, -1, -1)]
        places = [_on_time(times, end) for end in ends]
        returns = [_between(growth, a, b) for a, b in pairwise(places)]
        while returns and returns[0] is None:
            returns.pop(0)  # before it began
        return Performance(
            returns=tuple(returns),
            through=through,
            drawdown_frac=_drawdown(growth),
            running_return=_between(growth, places[-1], len(points) - 1),
            observation=observation,
            equity=points[-1][1],
            source="risk snapshots",
        )


def last_boundary(observation: Observation, at: datetime) -> datetime:
    """The end of the last whole observation: the last midnight, or the last full hour, of UTC."""
    moment = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return moment.replace(hour=0) if observation is Observation.DAILY else moment


def _points(book: Book, at: datetime) -> list[tuple[datetime, float]]:
    """Equity by time, oldest first, ending with what is measured now; from the first that is not zero on."""
    rows = RiskSnapshot.objects.filter(book=book, equity__isnull=False, at__gt=at - MEMORY, at__lte=at)
    points = [(t, float(x)) for t, x in rows.order_by("at", "pk").values_list("at", "equity") if x is not None]
    now = _equity_now(book, at)
    if now is not None:
        points.append((at, now))
    begun = next((i for i, (_, equity) in enumerate(points) if equity > 0), len(points))
    return points[begun:]


def _equity_now(book: Book, at: datetime) -> float | None:
    if not has_source():
        return None
    tree = list(Book.objects.below(book).filter(closed_at=None).values_list("pk", flat=True))
    figures = risk_source().figures(tree, at).get(book.pk)
    if figures is None or figures.equity is None or not math.isfinite(figures.equity):
        return None
    return float(figures.equity)


def _flows(book: Book, since: datetime, until: datetime) -> list[tuple[datetime, float]]:
    """What flowed into the Book's tree from outside, by the time of booking; NaN for another asset than the base."""
    lines = JournalLine.objects.filter(
        account__book__in=Book.objects.below(book),
        account__kind__in=_OUTSIDE,
        entry__booked_at__gt=since,
        entry__booked_at__lte=until,
    )
    base = book.fund.base_asset_id
    # Inside the tree, what one book hands out another has received: the two cancel.
    summed: dict[tuple[datetime, int], float] = {}
    for booked_at, asset_id, amount in lines.values_list("entry__booked_at", "asset_id", "amount"):
        key = (booked_at, asset_id)
        summed[key] = summed.get(key, 0.0) - float(amount)
    return sorted((t, x if asset == base else math.nan) for (t, asset), x in summed.items() if x != 0)


def _linked(points: Sequence[tuple[datetime, float]], flows: Sequence[tuple[datetime, float]]) -> list[float]:
    """The worth of one unit since the first point; NaN from where it is not known on."""
    times = [t for t, _ in flows]
    growth = [1.0]
    for (begin, before), (end, after) in pairwise(points):
        flow = math.fsum(x for _, x in flows[bisect_right(times, begin) : bisect_right(times, end)])
        growth.append(growth[-1] * (after - flow) / before if before > 0 else math.nan)
    return growth


def _on_time(times: Sequence[datetime], end: datetime) -> int | None:
    """The first point at or just after a boundary."""
    place = bisect_right(times, end - timedelta(microseconds=1))
    return place if place < len(times) and times[place] <= end + ON_TIME else None


def _between(growth: Sequence[float], begin: int | None, end: int | None) -> float | None:
    if begin is None or end is None or not growth[begin] > 0:
        return None
    value = growth[end] / growth[begin] - 1.0
    return value if math.isfinite(value) else None


def _drawdown(growth: Sequence[float]) -> float | None:
    """The fall of now from the peak; None where a part of the way is not known."""
    if any(not math.isfinite(x) for x in growth):
        return None
    return max(0.0, 1.0 - growth[-1] / max(growth))
