"""The assistant's reports on what it has started: each closed day against its plan, and every major step after it.

A consumer of the event stream (`assistant`): a report goes to whoever confirmed the plan, as a message of the event it
tells of, once. Closed days are kept in the knowledge history as well; the other steps are told there by its own
consumer, in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from compliance.consumers import Consumer, register_consumer
from compliance.stream import StreamEvent
from portal.knowledge import DAY_CLOSED, Told, about, tell
from portal.models import AssistantMessage, KnowledgeEntry, KnowledgeKind, Outcome, Speaker
from trading.actions.promotion import REVIEW_DAY
from trading.models.cohort import CohortAlert, CohortDay

KINDS = (
    DAY_CLOSED,
    "trading.cohort.completed",
    "trading.cohort.failed",
    "trading.cohort.cancelled",
    "trading.review.",
)


def report(events: Sequence[StreamEvent]) -> None:
    """The consumer: one message an event to the asker; an event told before is left."""
    messages, entries = [], []
    for event in events:
        cohort, review, deployment = about(event)
        started = _started(cohort)
        told = _told(event, started) if started is not None else None
        if started is None or told is None:
            continue
        key = f"report:{event.id}"
        messages.append(
            AssistantMessage(
                key=key,
                user_id=started.user_id,
                at=event.at,
                speaker=Speaker.ASSISTANT,
                outcome=Outcome.REPORT,
                text=f"{told.title}. {told.words}"[:2000],
                intent=started.intent,
                content=event.payload,
                cohort_id=cohort,
            )
        )
        if event.kind == DAY_CLOSED:
            entries.append(
                KnowledgeEntry(
                    key=key,
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
    AssistantMessage.objects.bulk_create(messages, ignore_conflicts=True)
    KnowledgeEntry.objects.bulk_create(entries, ignore_conflicts=True)


def _started(cohort: int | None) -> AssistantMessage | None:
    """The confirmation that a cohort began with; None for one that somebody launched otherwise."""
    if cohort is None:
        return None
    return AssistantMessage.objects.filter(cohort=cohort, outcome=Outcome.CONFIRMED).first()


def _told(event: StreamEvent, started: AssistantMessage) -> Told | None:
    if event.kind == DAY_CLOSED:
        return _day(event, event.payload, started.content["plan"])
    told = tell(event)
    if told is not None and event.kind.startswith("trading.cohort."):
        return Told(told.kind, told.title, f"{told.words} {_result(int(event.object_id), started.content['plan'])}")
    return told


def _day(event: StreamEvent, said: Mapping[str, Any], plan: Mapping[str, Any]) -> Told:
    """Result against the range, bankroll and stop, alerts, what comes next."""
    number, days, quote = int(said["day"]), int(said["days"]), plan["terms"]["quote"]
    equity = Decimal(str(said["equity"]))
    alerts = list(
        CohortAlert.objects.filter(cohort=int(event.object_id), day=number)
        .order_by("at", "pk")
        .values_list("message", flat=True)
    )
    sentences = [
        f"It closed at {equity:,.2f} {quote}, {float(said['roi_frac']):+.2%} on the day: "
        + _against(equity, number, plan),
        f"It began with {Decimal(plan['terms']['amount']):,.2f}; its deepest fall so far is "
        f"{float(said['drawdown_frac']):.2%}, and {Decimal(plan['terms']['stop_frac']):.1%} ends it.",
        f"Alerts: {' '.join(alerts[:3])}{f' And {len(alerts) - 3} more.' if len(alerts) > 3 else ''}"
        if alerts
        else "No alerts.",
        _next(number, days),
    ]
    return Told(KnowledgeKind.COHORT, f"{event.object_label}: report of day {number} of {days}", " ".join(sentences))


def _against(equity: Decimal, number: int, plan: Mapping[str, Any]) -> str:
    planned = next((day for day in plan["days"] if day["day"] == number), None)
    if planned is None or planned["low"] is None:
        return "what such a day may bring was not known when it was planned, so there is no range to hold it against."
    low, high = planned["low"], planned["high"]
    where = "below" if equity < Decimal(low) else "above" if equity > Decimal(high) else "within"
    return f"{where} the range it was planned with, {low:,.2f} to {high:,.2f} (nine in ten)."


def _next(number: int, days: int) -> str:
    if number >= days:
        return "That was its last day." + (" Its best agent is reviewed now." if number == REVIEW_DAY else "")
    if number == REVIEW_DAY:
        return f"Its best agent is reviewed now; day {number + 1} trades on."
    review = f" After day {REVIEW_DAY} its best agent is reviewed." if number < REVIEW_DAY <= days else ""
    return f"Day {number + 1} trades on.{review}"


def _result(cohort: int, plan: Mapping[str, Any]) -> str:
    """How far the money went, by the last bar that was traded."""
    last = CohortDay.objects.filter(cohort=cohort).order_by("-day").first()
    if last is None:
        return "It traded no bar."
    amount = Decimal(plan["terms"]["amount"])
    return (
        f"{amount:,.2f} became {last.equity:,.2f} {plan['terms']['quote']} ({float(last.equity / amount) - 1:+.2%}) by "
        f"day {last.day}. One such result proves nothing by itself."
    )


def register_reports() -> None:
    """Called once at start-up."""
    register_consumer(Consumer("assistant", report, kinds=KINDS, from_start=True))
