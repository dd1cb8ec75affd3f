"""Who votes in a deployment's council and with what weight: seated with the deployment, weighed down by live results,
weighed by people through the gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction

from compliance.approvals.registry import Warrant, require_execution
from fundops.core.events import publish
from fundops.core.models import User
from trading.cohorts.installed import installed_families
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import CohortAgent
from trading.models.deployments import CouncilVoice, Deployment
from trading.models.promotion import PromotionReview
from trading.promotion.weights import weights_of
from trading.quant.genome import parse_genome
from trading.strategies.errors import StrategyError

WEIGH_COUNCIL = "trading.weigh_council"
#: The deployment's own genome speaks with this weight; others are meant beside it.
OWN_WEIGHT = Decimal(1)
MOST_OTHERS = 8
QUORUM = Decimal("0.5")
_STEP = Decimal("0.00001")


@dataclass(frozen=True, slots=True)
class Seating:
    """A voice as it was asked for: an agent and the weight that people sign."""

    agent: CohortAgent
    weight: Decimal


@dataclass(frozen=True, slots=True)
class Seated:
    """The same with what live results have left of its genome: ``weight`` is what it sits down with."""

    agent: CohortAgent
    asked: Decimal
    left: float

    @property
    def weight(self) -> Decimal:
        return (self.asked * Decimal(repr(self.left))).quantize(_STEP)


def seats_of_council(agent: CohortAgent, others: Sequence[Seating]) -> list[Seated]:
    """The council of a deployment of ``agent`` as it would sit down now; its own voice is the first."""
    asked = [Seating(agent, OWN_WEIGHT), *others]
    left = weights_of((seat.agent.genome_hash, seat.agent.family) for seat in asked)
    return [Seated(seat.agent, seat.weight, left[seat.agent.genome_hash]) for seat in asked]


def check_council(*, agent: CohortAgent, others: Sequence[Seating], quorum_frac: Decimal) -> None:
    """Raises DeploymentSpecError for a council that cannot sit: see docs/desk.md for who may speak in it."""
    if not 0 < quorum_frac <= 1:
        raise DeploymentSpecError("The quorum is a share of the council's weight, above 0 and at most 1.")
    if len(others) > MOST_OTHERS:
        raise DeploymentSpecError(f"A council has at most {MOST_OTHERS} further voices.")
    heard = {agent.genome_hash: str(agent)}
    for seat in others:
        other = seat.agent
        if not 0 < seat.weight <= 100:
            raise DeploymentSpecError(f"The weight of {other} lies above 0 and at most at 100; its own voice has 1.")
        if other.genome_hash in heard:
            raise DeploymentSpecError(f"{other} says what {heard[other.genome_hash]} says: one genome has one voice.")
        heard[other.genome_hash] = str(other)
        check_voice(agent, other)
    if any(seat.weight <= 0 for seat in seats_of_council(agent, others)):
        raise DeploymentSpecError("Live results have left a genome of this council no weight. Leave it out.")


def check_voice(agent: CohortAgent, other: CohortAgent) -> None:
    """Raises DeploymentSpecError for an agent that may not speak in a council of ``agent``."""
    ours, theirs = agent.cohort, other.cohort
    if (ours.fund_id, ours.venue, ours.interval, sorted(ours.symbols)) != (
        theirs.fund_id,
        theirs.venue,
        theirs.interval,
        sorted(theirs.symbols),
    ):
        raise DeploymentSpecError(
            f"{other} of {theirs} knows another market: a council shares fund, venue, interval and symbols."
        )
    if ours.pk != theirs.pk and not PromotionReview.objects.filter(cohort=theirs).exists():
        raise DeploymentSpecError(f"{theirs} has not been reviewed; until then its agents speak in no council.")
    try:
        genome = parse_genome(other.genome, installed_families().__getitem__)
    except (KeyError, StrategyError) as error:
        raise DeploymentSpecError(f"The strategy {other.family} is not installed any more.") from error
    if agent.symbol and genome.symbol is not None and genome.symbol != agent.symbol:
        raise DeploymentSpecError(f"{other} speaks of {genome.symbol} alone; this deployment trades {agent.symbol}.")


def seat_council(deployment: Deployment, others: Sequence[Seating]) -> list[CouncilVoice]:
    """Writes the voices of a deployment that is being opened; its request is what the database asks for."""
    voices = []
    for number, seat in enumerate(seats_of_council(deployment.agent, others), start=1):
        own = number == 1
        voices.append(
            CouncilVoice.objects.create(
                deployment=deployment,
                number=number,
                name="Own genome" if own else _name(deployment, seat.agent),
                agent=seat.agent,
                family=seat.agent.family,
                genome=seat.agent.genome,
                genome_hash=seat.agent.genome_hash,
                seated_weight=seat.weight,
                weight=seat.weight,
            )
        )
    return voices


def _name(deployment: Deployment, agent: CohortAgent) -> str:
    at_home = agent.cohort_id == deployment.agent.cohort_id
    return (str(agent) if at_home else f"{agent} of {agent.cohort}")[:80]


# --- Weighing -------------------------------------------------------------------------------------------------------
def weigh_voice(*, voice: CouncilVoice, weight: Decimal, reason: str, warrant: Warrant) -> CouncilVoice:
    """Another weight for a voice of a council at work, in the executing request's name.

    It changes what is traded, whichever way it goes, so people ask for it and two sign. Raises NotApprovedError or
    DeploymentSpecError.
    """
    require_execution(warrant, WEIGH_COUNCIL)
    return _set_weight(voice, weight, reason=reason, actor=warrant.actor)


def weigh_down(*, voice: CouncilVoice, left: float, reason: str) -> CouncilVoice:
    """The machine's part: live results leave ``left`` of a voice's weight. It raises none."""
    if not 0 <= left <= 1:
        raise DeploymentSpecError("Live results leave between nothing and all of a weight.")
    weight = (voice.weight * Decimal(repr(left))).quantize(_STEP)
    return _set_weight(voice, weight, reason=reason, actor=None)


def check_weight(voice: CouncilVoice, weight: Decimal) -> None:
    """Raises DeploymentSpecError for a weight that the voice cannot have."""
    if not voice.deployment.is_worked:
        raise DeploymentSpecError(f"{voice.deployment} has ended; nobody votes there any more.")
    if not 0 <= weight <= voice.seated_weight:
        raise DeploymentSpecError(f"A weight lies between 0 and what the voice was seated with, {voice.seated_weight}.")


def _set_weight(voice: CouncilVoice, weight: Decimal, *, reason: str, actor: User | None) -> CouncilVoice:
    with transaction.atomic():
        held = CouncilVoice.objects.select_for_update(of=("self",)).select_related("deployment").get(pk=voice.pk)
        check_weight(held, weight)
        before, held.weight = held.weight, weight
        held.save(update_fields=["weight"])
        publish(
            "trading.council.weighed",
            actor=actor,
            obj=held.deployment,
            payload={"voice": held.number, "name": held.name, "old": before, "new": weight, "reason": reason},
            topics=["deployments", held.deployment.topic],
        )
    return held
