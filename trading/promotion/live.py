"""What trades with real orders now, as the evidence compares new candidates with it."""

from __future__ import annotations

from trading.cohorts.installed import installed_families
from trading.models.deployments import WORKED_STATUSES, Deployment
from trading.promotion.replaying import LiveAgent
from trading.quant.genome import parse_genome
from trading.strategies.errors import StrategyError


def live_agents() -> list[LiveAgent]:
    """The genomes of deployments at work; one whose strategy is not installed any more cannot be replayed."""
    families = installed_families()
    found = []
    for deployment in Deployment.objects.filter(status__in=WORKED_STATUSES).order_by("pk"):
        try:
            genome = parse_genome(deployment.genome, families.__getitem__)
        except (KeyError, StrategyError):
            continue
        found.append(LiveAgent(name=str(deployment), genome=genome, draw=float(deployment.bankroll)))
    return found
