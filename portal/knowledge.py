"""The knowledge history: every major step of the fund, told in plain words as it happens, once.

It is a consumer of the event stream (`knowledge`): what it tells comes from what was recorded, in that order, and is
neither lost nor told twice across a crash.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from compliance.consumers import Consumer, register_consumer
from compliance.stream import StreamEvent
from portal.gate.policies import title_of
from portal.models import AssistantMessage, KnowledgeEntry, KnowledgeKind, Outcome
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment
from trading.models.promotion import PromotionReview

logger = logging.getLogger(__name__)

DAY_CLOSED = "trading.cohort.day_scored"
KINDS = (
    "trading.cohort.launched",
    DAY_CLOSED,
    "trading.cohort.completed",
    "trading.cohort.failed",
    "trading.cohort.cancelled",
    "trading.review.",
    "trading.record.kept",
    "trading.deployment.opened",
    "trading.deployment.stopped",
    "trading.deployment.resized",
    "treasury.pool.set",
    "risk.leverage.decided",
    "risk.switch.changed",
    "compliance.approval.executed",
    "compliance.approval.rejected",
)


@dataclass(frozen=True, slots=True)
class Told:
    """What one event is told as."""

    kind: KnowledgeKind
    title: str
    words: str


def tell(event: StreamEvent) -> Told | None:
    """The words of an event, or None for one that teaches nothing (a review that goes on waiting)."""
    for beginning, teller in _TELLERS.items():
        if event.kind == beginning or (beginning.endswith(".") and event.kind.startswith(beginning)):
            return teller(event, event.payload)
    return None


def _launched(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    markets = ", ".join(said["symbols"][:4]) + (" and more" if len(said["symbols"]) > 4 else "")
    label = " on invented (synthetic) prices" if said.get("synthetic") else ""
    return Told(
        KnowledgeKind.COHORT,
        f"{event.object_label} was launched",
        f"{said['agent_count']} paper agents share {_sum(said, 'bankroll')} on {markets} for "
        f"{said['days']} days from {said['start']}{label}. {_by(event)}",
    )


def _day(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    day = said.get("day")
    roi = said.get("roi_frac")
    moved = "" if roi is None else f" Its return of the day is {float(roi):+.2%}."
    return Told(
        KnowledgeKind.COHORT,
        f"{event.object_label}: day {day} has closed",
        f"The books were proven against the engine.{moved} {said.get('fills', 0)} fills since the last word.",
    )


def _ended(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    how = {"completed": "has finished", "failed": "failed", "cancelled": "was cancelled"}[event.kind.rpartition(".")[2]]
    reason = said.get("failure") or said.get("reason")
    why = f" {reason}" if reason else ""
    return Told(KnowledgeKind.COHORT, f"{event.object_label} {how}", f"{why} {_by(event)}".strip())


def _review(event: StreamEvent, said: Mapping[str, Any]) -> Told | None:
    titles = {
        "compiled": "The evidence is compiled",
        "awaiting_approval": "Two signatures are asked for",
        "approved": "Both have signed",
        "deployed": "The candidate has its capital",
        "monitoring": "The candidate trades under watch",
        "graduated": "The watch ended well",
        "rolled_back": "The candidate was rolled back",
        "rejected": "The candidate goes no further",
        "expired": "The review expired",
        "settled": "The bankroll is home",
    }
    step = event.kind.rpartition(".")[2]
    if step not in titles:
        return None
    words = str(said.get("words") or "")
    if step == "settled":
        words = f"Flat, with {_sum(said, 'equity')} handed back to the pool. The post-mortem is drafted."
    return Told(
        KnowledgeKind.DECISION, f"{event.object_label}: {titles[step].lower()}", f"{words} {_by(event)}".strip()
    )


def _record(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    lost = (
        "keeps its whole weight"
        if float(said["weight"]) == 1
        else f"counts for {float(said['weight']):.0%} from now on"
    )
    return Told(
        KnowledgeKind.RECOMMENDATION,
        f"What {event.object_label.removeprefix('record of ')} taught",
        f"With real orders it made {_sum(said, 'profit', sign=True)}. Its genome {lost} where others are chosen.",
    )


def _opened(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    return Told(
        KnowledgeKind.BANKROLL,
        f"{event.object_label} was opened",
        f"{_sum(said, 'bankroll')} from {said['source_book']} at {Decimal(str(said['leverage'])):g} x "
        f"on the {said['gateway']} gateway, under the limits '{said['limits_template'] or 'inherited'}'. {_by(event)}",
    )


def _stopped(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    return Told(
        KnowledgeKind.BANKROLL,
        f"{event.object_label} has stopped",
        f"{said['reason']} {_sum(said, 'released')} went back to where it came from.",
    )


def _resized(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    return Told(
        KnowledgeKind.BANKROLL,
        f"{event.object_label} follows its slice",
        f"Its bankroll went from {_sum(said, 'before')} to {_sum(said, 'after')}.",
    )


def _pool(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    return Told(
        KnowledgeKind.BANKROLL,
        f"{event.object_label} is {_sum(said, 'capacity')} now",
        f"It was {_sum(said, 'before')}. {len(said['slices'])} slices follow. {_by(event)}",
    )


def _leverage(event: StreamEvent, said: Mapping[str, Any]) -> Told | None:
    after = Decimal(str(said["to"]))
    if said["from"] is None:
        return Told(KnowledgeKind.LEVERAGE, f"{said['path']} begins at {after:g} x", said["reason"])
    before = Decimal(str(said["from"]))
    if before == after:
        return None
    way = "raised" if after > before else "lowered"
    return Told(
        KnowledgeKind.LEVERAGE,
        f"Leverage of {said['path']} was {way} to {after:g} x",
        f"From {before:g} x, by the rule '{said['rule']}' on {said['n']} observations. {said['reason']}",
    )


def _switch(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    where = said.get("label") or said.get("scope") or event.object_label
    return Told(
        KnowledgeKind.DECISION,
        f"Trading of {where}: {str(said.get('mode', '')).lower()}",
        f"{said.get('reason') or said.get('detail') or said.get('cause') or ''} {_by(event)}".strip(),
    )


def _approval(event: StreamEvent, said: Mapping[str, Any]) -> Told:
    """What was decided at the gate: the action by its title, what it is about, and why where somebody said so."""
    step = event.kind.rpartition(".")[2]
    action = str(said.get("action", ""))
    about_it = str((said.get("object") or ["", "", ""])[2])
    why = said.get("reason") or said.get("note") or ""
    return Told(
        KnowledgeKind.DECISION,
        f"{title_of(action) or event.object_label}: {step}",
        " ".join(x for x in (about_it and f"{about_it}.", str(why), _by(event)) if x),
    )


_TELLERS: dict[str, Callable[[StreamEvent, Mapping[str, Any]], Told | None]] = {
    "trading.cohort.launched": _launched,
    DAY_CLOSED: _day,
    "trading.cohort.completed": _ended,
    "trading.cohort.failed": _ended,
    "trading.cohort.cancelled": _ended,
    "trading.review.": _review,
    "trading.record.kept": _record,
    "trading.deployment.opened": _opened,
    "trading.deployment.stopped": _stopped,
    "trading.deployment.resized": _resized,
    "treasury.pool.set": _pool,
    "risk.leverage.decided": _leverage,
    "risk.switch.changed": _switch,
    "compliance.approval.": _approval,
}


def learn(events: Sequence[StreamEvent]) -> None:
    """The consumer: keeps what each event teaches; an event told before is left."""
    entries = []
    reported = _reported(events)
    for event in events:
        if event.kind == DAY_CLOSED and event.object_id in reported:
            continue
        told = _tell_somehow(event)
        if told is not None:
            cohort, review, deployment = about(event)
            entries.append(
                KnowledgeEntry(
                    key=str(event.id),
                    at=event.at,
                    kind=told.kind,
                    title=told.title[:200],
                    words=told.words,
                    figures=event.payload,
                    cohort_id=cohort,
                    review_id=review,
                    deployment_id=deployment,
                )
            )
    KnowledgeEntry.objects.bulk_create(entries, ignore_conflicts=True)


def _reported(events: Sequence[StreamEvent]) -> set[str]:
    """Those cohorts of the events whose days the assistant reports on, against their plan: once told is enough."""
    days = {event.object_id for event in events if event.kind == DAY_CLOSED}
    begun = AssistantMessage.objects.filter(cohort__in=[int(pk) for pk in days], outcome=Outcome.CONFIRMED)
    return {str(pk) for pk in begun.values_list("cohort", flat=True)}


def _tell_somehow(event: StreamEvent) -> Told | None:
    """The words of an event; one that cannot be put into words is kept as it is, and holds up nothing behind it."""
    try:
        return tell(event)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        logger.exception("knowledge.untold", extra={"kind": event.kind, "event": str(event.id)})
        return Told(KnowledgeKind.DECISION, f"{event.object_label or event.kind}", f"{event.kind}. {_by(event)}")


def about(event: StreamEvent) -> tuple[int | None, int | None, int | None]:
    """The cohort, review and deployment an event belongs to."""
    if not event.object_id.isdecimal():
        return None, None, None
    own = int(event.object_id)
    match event.object_type:
        case "trading.cohort":
            return own, None, None
        case "trading.promotionreview":
            review = PromotionReview.objects.filter(pk=own).values_list("cohort_id", "deployment_id").first()
            return (review[0], own, review[1]) if review else (None, None, None)
        case "trading.deployment":
            cohort = Cohort.objects.filter(agents__deployments=own).values_list("pk", flat=True).first()
            known = Deployment.objects.filter(pk=own).exists()
            return cohort, None, own if known else None
        case _:
            return None, None, None


def _sum(said: Mapping[str, Any], name: str, *, sign: bool = False) -> str:
    """Money of an event with its currency, which the earliest events did not name."""
    amount = f"{Decimal(str(said[name])):{'+' if sign else ''},.2f}".replace("-", "\N{MINUS SIGN}")
    return f"{amount} {said.get('quote', '')}".strip()


def _by(event: StreamEvent) -> str:
    return f"By {event.actor_label}." if event.actor_id is not None else "By the machine."


def register_knowledge() -> None:
    """Called once at start-up."""
    register_consumer(Consumer("knowledge", learn, kinds=KINDS, from_start=True))
