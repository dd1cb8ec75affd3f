"""How cohorts and deployments did, by their own clocks: what the leverage policy is told of the Books that trade.

A desk or a cohort on accelerated time lives in its own hours, so its days are counted there; their end then lies long
ago by the wall's clock, and the policy raises nothing on them. What flows into a deployment or out of it when its slice
is resized is taken out of its returns (`trading.desk.growth`); into a cohort nothing flows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from fundops.core.clock import from_ms
from risk.leverage import install_performance_source
from risk.quant.leverage import Observation, Performance
from trading.desk.growth import point_now, unit_points
from trading.models.cohort import LIVE_STATUSES, Cohort, CohortDay
from trading.models.deployments import ENDED_STATUSES, Deployment
from treasury.models import Book

DAY_MS, HOUR_MS = 86_400_000, 3_600_000


@dataclass(frozen=True, slots=True)
class OwnClockPerformance:
    """A `risk.leverage.PerformanceSource` for the Books of deployments and cohorts; None for every other Book."""

    def performance(self, book: Book, *, observation: Observation, window: int, at: datetime) -> Performance | None:
        deployment = Deployment.objects.select_related("run").filter(book=book).first()
        if deployment is not None:
            return _of_deployment(deployment, observation, window)
        cohort = Cohort.objects.select_related("run").filter(book=book).first()
        return None if cohort is None else _of_cohort(cohort, observation, window)

    def ended(self, book_ids: Collection[int]) -> set[int]:
        deployments = Deployment.objects.filter(book__in=book_ids, status__in=ENDED_STATUSES)
        cohorts = Cohort.objects.filter(book__in=book_ids).exclude(status__in=LIVE_STATUSES)
        return set(deployments.values_list("book", flat=True)) | set(cohorts.values_list("book", flat=True))


def install() -> None:
    """Called once a process, when it starts."""
    install_performance_source(OwnClockPerformance())


def _of_deployment(deployment: Deployment, observation: Observation, window: int) -> Performance:
    run = getattr(deployment, "run", None)
    source = "the desk's cycles"
    if run is None:
        return Performance((), None, None, None, observation, None, source)
    ends = _ends(run.next_bar_ms, observation, window)
    units = point_now(deployment).units
    known = {point.at_ms: point.worth * units for point in unit_points(deployment, ends)}
    return _performance(
        known, ends, now=float(run.equity), drawdown=run.drawdown_frac, observation=observation, source=source
    )


def _of_cohort(cohort: Cohort, observation: Observation, window: int) -> Performance:
    run = getattr(cohort, "run", None)
    source = "the cohort's hours"
    if run is None:
        return Performance((), None, None, None, observation, None, source)
    known = {cohort.start_ms: float(cohort.bankroll)}
    for row in CohortDay.objects.filter(cohort=cohort).order_by("day"):
        start = cohort.start_ms + (row.day - 1) * DAY_MS
        known |= {
            start + (hour + 1) * HOUR_MS: float(value)
            for hour, value in enumerate(row.hourly_equity)
            if value is not None and start + (hour + 1) * HOUR_MS <= run.next_bar_ms
        }
    ends = _ends(run.next_bar_ms, observation, window)
    worth = [known[ms] for ms in sorted(known)]
    fall = 1.0 - worth[-1] / max(worth) if max(worth) > 0 else None
    return _performance(known, ends, now=worth[-1], drawdown=fall, observation=observation, source=source)


def _ends(now_ms: int, observation: Observation, window: int) -> list[int]:
    """The boundaries of the last whole observations, oldest first."""
    span = DAY_MS if observation is Observation.DAILY else HOUR_MS
    last = now_ms - now_ms % span
    return [last - k * span for k in range(window, -1, -1)]


def _performance(
    known: Mapping[int, float],
    ends: list[int],
    *,
    now: float,
    drawdown: float | None,
    observation: Observation,
    source: str,
) -> Performance:
    returns = [_between(known.get(a), known.get(b)) for a, b in pairwise(ends)]
    while returns and returns[0] is None:
        returns.pop(0)  # before it began
    return Performance(
        returns=tuple(returns),
        through=from_ms(ends[-1]),
        drawdown_frac=drawdown,
        running_return=_between(known.get(ends[-1], known[min(known)] if ends[-1] < min(known) else None), now),
        observation=observation,
        equity=now,
        source=source,
    )


def _between(before: float | None, after: float | None) -> float | None:
    if before is None or after is None or not before > 0 or not math.isfinite(after):
        return None
    return after / before - 1.0
