"""What of trading passes the gate: opening a deployment from a cohort's agent (`trading.deploy`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from compliance.approvals.registry import ActionPayload, DisplayedField, Target, Warrant, register_action
from fundops.core import clock
from risk.templates_of_limits import load_template
from trading.actions.council import QUORUM
from trading.actions.deployments import check_terms, open_deployment
from trading.approvals_council import QUORUM_IS, VOICES_ARE, Quorum, Voices, council_shown, seatings
from trading.deployment_terms import terms_shown
from trading.desk.collar import SLIPPAGE_CAP_FRAC, check_collar
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import CohortAgent
from treasury.models import Book

Money = Annotated[Decimal, Field(gt=0, allow_inf_nan=False, max_digits=20, decimal_places=2)]


class Deploy(ActionPayload):
    """One agent of a cohort to micro-live capital on a gateway."""

    agent: int = Field(description="The cohort's agent, by its key.")
    bankroll: Money = Field(description="In the quote currency of its markets; at least 50.")
    leverage: Annotated[Decimal, Field(gt=0, le=10, allow_inf_nan=False)] | None = Field(
        default=None,
        description="The most it may carry; left out, the leverage policy's cap. Its limits hold it lower.",
    )
    voices: Voices = Field(default=(), description=VOICES_ARE)
    quorum_frac: Quorum = Field(default=QUORUM, description=QUORUM_IS)
    limits_template: str = Field(default="micro-live", max_length=32, description="Empty: inherited limits alone.")
    source_book: str = Field(default="", max_length=400, description="Whose cash; left out: paper capital.")
    gateway: str = Field(default="paper", max_length=24)
    starts: AwareDatetime | None = Field(
        default=None, description="The first bar it trades; left out: as soon as can be."
    )
    ends: AwareDatetime | None = Field(default=None, description="The first bar it does not trade any more.")
    speed: Annotated[Decimal, Field(ge=0, le=100_000, allow_inf_nan=False)] | None = Field(
        default=None, description="Simulated seconds a real one over stored candles; 0 is as fast as can be."
    )
    market_orders: bool = Field(
        default=False, description="Without a limit price; refused where a price collar would deny them all."
    )
    reason: str = Field(min_length=1, max_length=2000)


def _agent(payload: Deploy) -> CohortAgent:
    agent = (
        CohortAgent.objects.select_related("cohort__fund__base_asset", "cohort__run", "book")
        .filter(pk=payload.agent)
        .first()
    )
    if agent is None:
        raise DeploymentSpecError(f"There is no agent {payload.agent}. Choose one from a cohort's leaderboard.")
    return agent


def _source(payload: Deploy) -> Book | None:
    if not payload.source_book:
        return None
    book = Book.objects.filter(path=payload.source_book, closed_at=None).first()
    if book is None:
        raise DeploymentSpecError(f"There is no open book {payload.source_book}. Give its path.")
    return book


def _limits(payload: Deploy) -> str:
    """The template by its title; raises TemplateError for one there is not."""
    return load_template(payload.limits_template).title if payload.limits_template else "inherited ones alone"


def _render(payload: Deploy) -> Sequence[DisplayedField]:
    agent = _agent(payload)
    source = _source(payload)
    speed = (
        "the market's" if payload.speed in (None, 1) else f"{payload.speed.normalize():f} x" if payload.speed else ""
    )
    shown = {
        "Agent": f"{agent} of {agent.cohort}",
        "Strategy": f"{agent.family} on {agent.symbol or 'all markets'}",
        "Genome": agent.genome_hash,
        **council_shown(agent, payload.voices, payload.quorum_frac),
        "Gateway": payload.gateway,
        "Bankroll": f"{payload.bankroll:f} {agent.cohort.quote}",
        "Paid from": "paper capital" if source is None else source.path,
        **terms_shown(
            agent,
            bankroll=payload.bankroll,
            leverage=payload.leverage,
            limits_template=payload.limits_template,
        ),
        "Limits": _limits(payload),
        "Orders": "market" if payload.market_orders else "with a limit price",
        "Starts": "as soon as can be" if payload.starts is None else f"{payload.starts:%Y-%m-%d %H:%M} UTC",
        "Ends": "when it is stopped" if payload.ends is None else f"{payload.ends:%Y-%m-%d %H:%M} UTC",
        "Clock": speed or "as fast as can be",
    }
    return [DisplayedField(label, "", then) for label, then in shown.items()]


def _recheck(payload: Deploy) -> None:
    _limits(payload)
    _source(payload)
    check_terms(
        agent=_agent(payload),
        bankroll=payload.bankroll,
        leverage=payload.leverage,
        gateway=payload.gateway,
        others=seatings(payload.voices),
        quorum_frac=payload.quorum_frac,
    )
    check_collar(agent=_agent(payload), slippage_cap_frac=_cap(payload), limits_template=payload.limits_template)


def _cap(payload: Deploy) -> Decimal | None:
    return None if payload.market_orders else SLIPPAGE_CAP_FRAC


def _target(payload: Deploy) -> Target:
    agent = _agent(payload)
    return Target("trading.cohortagent", str(agent.pk), f"{agent} of {agent.cohort}")


@register_action(
    kind="trading.deploy",
    title="Deploy a strategy",
    payload=Deploy,
    maker_permission="trading.propose_deployment",
    render=_render,
    recheck=_recheck,
    amount=lambda payload: payload.bankroll,
    target=_target,
)
def deploy(payload: Deploy, warrant: Warrant) -> Mapping[str, Any]:
    """Opens the deployment; its desk starts when this commits."""
    deployment = open_deployment(
        agent=_agent(payload),
        bankroll=payload.bankroll,
        leverage=payload.leverage,
        others=seatings(payload.voices),
        quorum_frac=payload.quorum_frac,
        warrant=warrant,
        book=_source(payload),
        limits_template=payload.limits_template,
        gateway=payload.gateway,
        slippage_cap_frac=_cap(payload),
        start_ms=None if payload.starts is None else clock.to_ms(payload.starts),
        end_ms=None if payload.ends is None else clock.to_ms(payload.ends),
        speed=None if payload.speed is None else float(payload.speed),
        reason=payload.reason,
    )
    return {"deployment": deployment.pk, "book": deployment.book.path}
