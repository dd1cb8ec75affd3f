"""What the agents of a desk say to one another: typed, with reasons, kept with the cycle."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reasons: list[str] = Field(default_factory=list)


class DirectorMessage(_Message):
    """Opens the bar: what is to be done, and under which fence."""

    agent: Literal["director"] = "director"
    stance: Literal["proceed", "flatten", "stand_down"]
    bar_ms: int
    token: int
    fills_taken_in: int = 0


class VoteMessage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    voice: int
    name: str
    weight: float
    seated: float
    target: float | None
    why: str = ""


class QuantMessage(_Message):
    """The council on one market; ``leverage`` is what a full target is worth, in bankrolls."""

    agent: Literal["quant"] = "quant"
    stance: Literal["change", "hold", "no_quorum"]
    symbol: str
    target: float | None
    standing: float
    support_frac: float
    votes: list[VoteMessage]
    leverage: str
    wanted: str = "0"


class RiskMessage(_Message):
    """The pre-trade check of one order; sizes are signed quantities."""

    agent: Literal["risk"] = "risk"
    stance: Literal["allow", "reduce", "deny"]
    symbol: str
    asked: str
    permitted: str
    mode: str


class ComplianceMessage(_Message):
    """Restricted instruments and prohibited tactics, on one order."""

    agent: Literal["compliance"] = "compliance"
    stance: Literal["allow", "deny"]
    symbol: str


class ExecutionMessage(_Message):
    """What was sent and what the venue said."""

    agent: Literal["execution"] = "execution"
    stance: Literal["sent", "nothing", "cancelled", "acknowledged", "rejected", "in_flight"]
    orders: list[str] = Field(default_factory=list)


Message = Annotated[
    DirectorMessage | QuantMessage | RiskMessage | ComplianceMessage | ExecutionMessage, Field(discriminator="agent")
]


def as_json(messages: list[Any]) -> list[dict[str, Any]]:
    """Messages as they are stored."""
    return [message.model_dump(mode="json") for message in messages]
