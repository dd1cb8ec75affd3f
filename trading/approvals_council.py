"""The council before the gate: who is to vote, as payloads name it and signers see it; and another weight for a voice
(`trading.weigh_council`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from compliance.approvals.registry import ActionPayload, DisplayedField, Target, Warrant, register_action
from trading.actions.council import MOST_OTHERS, WEIGH_COUNCIL, Seating, check_weight, seats_of_council, weigh_voice
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import CohortAgent
from trading.models.deployments import CouncilVoice

Weight = Annotated[Decimal, Field(ge=0, le=100, allow_inf_nan=False, max_digits=8, decimal_places=5)]


class Voice(BaseModel):
    """A further voice of a council."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: int = Field(ge=1, description="A cohort's agent, by its key.")
    weight: Annotated[Decimal, Field(gt=0, le=100, allow_inf_nan=False, max_digits=8, decimal_places=5)] = Field(
        default=Decimal(1), description="Beside the deployment's own voice, which has 1."
    )


Voices = Annotated[tuple[Voice, ...], Field(max_length=MOST_OTHERS)]
Quorum = Annotated[Decimal, Field(gt=0, le=1, allow_inf_nan=False, max_digits=4, decimal_places=3)]
VOICES_ARE = "Further strategies that vote; left out, its own genome decides alone."
QUORUM_IS = "Share of the council's weight that must have an opinion before anything is decided."


def seatings(voices: Sequence[Voice]) -> list[Seating]:
    """The agents behind a payload's voices; raises DeploymentSpecError for one there is not."""
    rows = CohortAgent.objects.select_related("cohort").in_bulk([voice.agent for voice in voices])
    missing = [voice.agent for voice in voices if voice.agent not in rows]
    if missing:
        raise DeploymentSpecError(f"There is no agent {missing[0]}. Choose voices from a cohort's leaderboard.")
    return [Seating(rows[voice.agent], voice.weight) for voice in voices]


def council_shown(agent: CohortAgent, voices: Sequence[Voice], quorum_frac: Decimal) -> dict[str, str]:
    """What signers see of a council."""
    seats = seats_of_council(agent, seatings(voices))
    if len(seats) == 1:
        return {"Council": f"its own genome alone, {_weight(seats[0].asked, seats[0].left)}"}
    shown = {
        "Council": f"{len(seats)} voices; the mean of their targets by weight is traded",
        "Quorum": f"{quorum_frac:.1%} of the weight must have an opinion",
    }
    whole = sum((seat.weight for seat in seats), Decimal(0))
    for number, seat in enumerate(seats, start=1):
        who = "own genome" if number == 1 else f"{seat.agent} of {seat.agent.cohort}"
        part = seat.weight / whole
        shown[f"Voice {number}"] = (
            f"{who}: {seat.agent.family} on {seat.agent.symbol or 'all markets'}, "
            f"genome {seat.agent.genome_hash[:12]}, {_weight(seat.asked, seat.left)}, {part:.1%} of the council"
        )
    return shown


def _weight(asked: Decimal, left: float) -> str:
    said = f"weight {asked.normalize():f}"
    return said if left == 1.0 else f"{said}, of which live results leave {left:.1%}"


# --- Another weight -------------------------------------------------------------------------------------------------
class WeighCouncil(ActionPayload):
    """Another weight for one voice of a council at work."""

    deployment: int = Field(ge=1, description="The deployment's number.")
    voice: int = Field(ge=1, description="The voice's number in its council; 1 is its own genome.")
    weight: Weight = Field(description="At most what the voice was seated with; 0 silences it.")
    reason: str = Field(min_length=1, max_length=2000)


def _voice(payload: WeighCouncil) -> CouncilVoice:
    voice = (
        CouncilVoice.objects.select_related("deployment")
        .filter(deployment=payload.deployment, number=payload.voice)
        .first()
    )
    if voice is None:
        raise DeploymentSpecError(f"Deployment {payload.deployment} has no voice {payload.voice} in its council.")
    return voice


def _render(payload: WeighCouncil) -> Sequence[DisplayedField]:
    voice = _voice(payload)
    council = list(voice.deployment.voices.all())
    seated = sum((v.seated_weight for v in council), Decimal(0))
    now = sum((v.weight for v in council), Decimal(0))
    return [
        DisplayedField("Deployment", "", str(voice.deployment)),
        DisplayedField("Voice", "", f"{voice.number}, {voice.name}: {voice.family}"),
        DisplayedField("Weight", f"{voice.weight.normalize():f}", f"{payload.weight.normalize():f}"),
        DisplayedField("Seated with", "", f"{voice.seated_weight.normalize():f}"),
        DisplayedField(
            "Weight of the council",
            _left(now, seated, voice.deployment.quorum_frac),
            _left(now - voice.weight + payload.weight, seated, voice.deployment.quorum_frac),
        ),
    ]


def _left(weight: Decimal, seated: Decimal, quorum_frac: Decimal) -> str:
    said = f"{weight / seated:.1%} of what it was seated with; {quorum_frac:.1%} are needed"
    return said if weight > 0 and weight / seated >= quorum_frac else f"{said}: it closes what it holds and rests"


def _recheck(payload: WeighCouncil) -> None:
    voice = _voice(payload)
    check_weight(voice, payload.weight)
    if payload.weight == voice.weight:
        raise DeploymentSpecError("That is its weight already. Change something.")


@register_action(
    kind=WEIGH_COUNCIL,
    title="Change a weight in a council",
    payload=WeighCouncil,
    maker_permission="trading.weigh_council",
    render=_render,
    recheck=_recheck,
    target=lambda payload: Target(
        "trading.deployment", str(payload.deployment), f"Council of deployment {payload.deployment}"
    ),
)
def weigh_council(payload: WeighCouncil, warrant: Warrant) -> Mapping[str, Any]:
    """The voice has its new weight from the next bar on."""
    voice = weigh_voice(voice=_voice(payload), weight=payload.weight, reason=payload.reason, warrant=warrant)
    return {"deployment": payload.deployment, "voice": voice.number, "weight": str(voice.weight)}
