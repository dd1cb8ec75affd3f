"""Talking to the assistant: a line is heard, answered or shown back as a form; a confirmed form starts something.

Hearing never starts anything. Every line and every answer is kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import transaction

from fundops.core.errors import FundopsError, PermissionMissingError
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from portal.assistant.answers import Answer, bankroll_summary, cohort_status, fund_tomorrow, promotion_readiness
from portal.assistant.grammar import understand
from portal.assistant.intents import (
    BankrollSummary,
    CohortStatus,
    FundTomorrow,
    Grow,
    Intent,
    Question,
    ReviewPromotion,
    StartCohort,
)
from portal.assistant.planning import Plan, plan_cohort, plan_growth
from portal.models import AssistantMessage, KnowledgeEntry, KnowledgeKind, Outcome, Speaker
from trading.actions.cohort import launch_cohort
from trading.models.cohort import Cohort, CohortMode
from trading.models.marketdata import CandleSet
from trading.selectors.cohort import default_fund

USE = "portal.use_assistant"


class NotPossibleError(FundopsError):
    """The plan's prerequisites are not met."""

    status = 409
    title = "That cannot be started now"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the assistant says to a line: exactly one of the four is there."""

    intent: Intent | None = None
    question: Question | None = None
    answer: Answer | None = None
    plan: Plan | None = None
    refused: str = ""

    @property
    def outcome(self) -> Outcome:
        if self.refused:
            return Outcome.REFUSED
        if self.question is not None:
            return Outcome.QUESTION
        return Outcome.PROPOSAL if self.plan is not None else Outcome.ANSWER

    @property
    def words(self) -> str:
        if self.refused:
            return self.refused
        if self.question is not None:
            return self.question.text
        if self.plan is not None:
            return " ".join(self.plan.words)
        assert self.answer is not None, "a reply says something"  # noqa: S101
        return " ".join(self.answer.words)

    def as_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome.value,
            "intent": self.intent.NAME if self.intent else None,
            "terms": _jsonable(asdict(self.intent)) if self.intent else None,
            "question": asdict(self.question) if self.question else None,
            "answer": self.answer.as_json() if self.answer else None,
            "plan": self.plan.as_json() if self.plan else None,
            "refused": self.refused or None,
        }


def _jsonable(terms: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in terms.items()}


def known_symbols() -> tuple[str, ...]:
    """The markets the assistant has words for."""
    return tuple(CandleSet.objects.filter(rows__gt=0).values_list("symbol", flat=True).distinct().order_by("symbol"))


def say(*, text: str, actor: User) -> Reply:
    """Hears a line and answers it. Starts nothing; keeps both. Raises PermissionMissingError without the assistant."""
    require(actor, USE)
    meant = understand(text, symbols=known_symbols())
    reply = Reply(question=meant) if isinstance(meant, Question) else reply_to(meant, actor=actor)
    _keep(reply, said=text, actor=actor)
    return reply


def ask(*, intent: Intent, actor: User) -> Reply:
    """Answers an intent that comes as data, and keeps both as a line's. Starts nothing."""
    require(actor, USE)
    reply = reply_to(intent, actor=actor)
    _keep(reply, said=in_words(intent), actor=actor)
    return reply


def in_words(intent: Intent) -> str:
    """An intent as somebody might have said it: `grow: amount 500, days 7`."""
    terms = {name: value for name, value in asdict(intent).items() if value not in (None, ())}
    said = ", ".join(f"{name} {' '.join(v) if isinstance(v, tuple) else v}" for name, v in terms.items())
    return f"{intent.NAME}: {said}" if said else intent.NAME


@transaction.atomic
def _keep(reply: Reply, *, said: str, actor: User) -> None:
    """What was said and what was answered; a recommendation is knowledge of the fund as well."""
    AssistantMessage.objects.create(user=actor, speaker=Speaker.PERSON, outcome=Outcome.SAID, text=said[:2000])
    kept = AssistantMessage.objects.create(
        user=actor,
        speaker=Speaker.ASSISTANT,
        outcome=reply.outcome,
        text=reply.words[:2000],
        intent=reply.intent.NAME if reply.intent else "",
        content=reply.as_json(),
    )
    if isinstance(reply.intent, FundTomorrow) and reply.answer is not None:
        KnowledgeEntry.objects.create(
            key=f"assistant:{kept.pk}",
            at=kept.at,
            kind=KnowledgeKind.RECOMMENDATION,
            title=f"{reply.answer.title}, as asked by {actor}"[:200],
            words=reply.words,
            figures=reply.answer.as_json(),
        )


def reply_to(intent: Intent, *, actor: User) -> Reply:
    """The answer or the plan of an intent; a refusal names the permission that is missing. Reads only."""
    try:
        require(actor, intent.PERMISSION)
        match intent:
            case Grow():
                return Reply(intent, plan=plan_growth(intent))
            case StartCohort():
                return Reply(intent, plan=plan_cohort(intent))
            case FundTomorrow():
                return Reply(intent, answer=fund_tomorrow(actor))
            case ReviewPromotion(cohort):
                return Reply(intent, answer=promotion_readiness(actor, cohort))
            case CohortStatus(cohort):
                return Reply(intent, answer=cohort_status(actor, cohort))
            case BankrollSummary():
                return Reply(intent, answer=bankroll_summary(actor))
    except PermissionMissingError as missing:
        return Reply(intent, refused=missing.message)
    raise AssertionError(f"No reply to {intent}.")


def begin(*, intent: Grow | StartCohort, actor: User, name: str = "") -> Cohort:
    """Launches what a plan proposed, once the person has confirmed it. The plan is made anew: what has changed counts.

    Raises PermissionMissingError, NotPossibleError naming what is not met, and what launching refuses.
    """
    require(actor, USE)
    require(actor, intent.PERMISSION)
    plan = plan_growth(intent) if isinstance(intent, Grow) else plan_cohort(intent)
    unmet = [p.words for p in plan.prerequisites if p.ok is False]
    if unmet:
        raise NotPossibleError(" ".join(unmet))
    terms = plan.terms
    cohort = Cohort(
        fund=default_fund(),
        name=name
        or f"{'Grow' if isinstance(intent, Grow) else 'Cohort'} {Decimal(terms['amount']):,.0f} {terms['quote']}",
        mode=CohortMode(terms["mode"]),
        venue=terms["venue"],
        symbols=terms["symbols"],
        interval=terms["interval"],
        start=date.fromisoformat(terms["start"]),
        days=terms["days"],
        agent_count=terms["agents"],
        bankroll=Decimal(terms["amount"]),
        drawdown_stop_frac=Decimal(terms["stop_frac"]),
    )
    with transaction.atomic():
        launched = launch_cohort(cohort=cohort, actor=actor)
        said = f"{launched} is launched: {terms['agents']} paper agents on {len(terms['symbols'])} markets."
        AssistantMessage.objects.create(
            user=actor,
            speaker=Speaker.ASSISTANT,
            outcome=Outcome.CONFIRMED,
            text=said,
            intent=intent.NAME,
            content={"plan": plan.as_json()},
            cohort=launched,
        )
        publish(
            "portal.assistant.started",
            actor=actor,
            obj=launched,
            payload={"intent": intent.NAME, "terms": terms, "words": list(plan.words)},
            topics=["cohorts", launched.topic],
        )
    return launched
