"""Deployments for tests: opened through the gate, worked by the desk itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.gate import by_gate
from trading.actions.cohort_drive import drive_cohort
from trading.desk.drive import run_desks
from trading.models.cohort import Cohort, CohortAgent, CohortFill, CohortStatus
from trading.models.deployments import Deployment, Fill

#: What a fill is compared by.
COLUMNS = (
    "at", "symbol", "side", "quantity", "price", "reference_price", "fee", "spread_cost", "impact_cost", "realised",
    "reason",
)  # fmt: skip
#: Ceilings that never bind, so that the parent's other agents leave an agent alone.
UNCOUPLED = {
    "gross_ceiling": Decimal(10),
    "net_ceiling": Decimal(10),
    "market_cap_frac": Decimal(10),
    "leverage_ceiling": Decimal(10),
}


def finished(cohort: Cohort) -> Cohort:
    """The cohort, driven to its end."""
    done = drive_cohort(cohort_id=cohort.pk)
    assert done.status == CohortStatus.COMPLETED, done.failure
    return done


def busiest(cohort: Cohort) -> CohortAgent:
    """The agent with the most fills."""
    return max(cohort.agents.all(), key=lambda agent: agent.fills.count())


def by_family(cohort: Cohort, family: str) -> CohortAgent:
    """The first agent of that family."""
    return next(agent for agent in cohort.agents.order_by("number") if agent.family.startswith(family))


def start_of(cohort: Cohort) -> datetime:
    return datetime.combine(cohort.start, datetime.min.time(), tzinfo=UTC)


def deploy(agent: CohortAgent, **terms: Any) -> Deployment:
    """A deployment of the agent, by an approved request."""
    payload = {"agent": agent.pk, "bankroll": str(max(agent.draw, Decimal(50))), "reason": "A test asks.", **terms}
    result = by_gate("trading.deploy", payload)
    return Deployment.objects.get(pk=result["deployment"])


def replay_of(agent: CohortAgent, *, hours: float | None = None, **terms: Any) -> Deployment:
    """A deployment that will be worked over the very days of the agent's cohort (or their first hours), unbound by
    limits, as fast as can be."""
    cohort = agent.cohort
    start = start_of(cohort)
    ends = start + (timedelta(days=cohort.days) if hours is None else timedelta(hours=hours))
    fixed: dict[str, Any] = {
        "starts": start,
        "ends": ends,
        "speed": "0",
        "market_orders": True,
        "limits_template": "",
        "bankroll": str(agent.draw),
        "leverage": "1",
    }
    return deploy(agent, **(fixed | terms))


def work_off(deployment: Deployment) -> Deployment:
    """Works all bars there are."""
    while run_desks():
        pass
    deployment.refresh_from_db()
    return deployment


def cohort_fills(agent: CohortAgent, *, before: datetime | None = None) -> list[tuple[Any, ...]]:
    rows = CohortFill.objects.filter(agent=agent).order_by("number")
    return list((rows if before is None else rows.filter(at__lt=before)).values_list(*COLUMNS))


def desk_fills(deployment: Deployment) -> list[tuple[Any, ...]]:
    return list(Fill.objects.filter(deployment=deployment).order_by("number").values_list(*COLUMNS))


def stances(messages: Sequence[dict[str, Any]], agent: str) -> list[str]:
    """What one of the desk's agents said in a cycle."""
    return [message["stance"] for message in messages if message["agent"] == agent]
