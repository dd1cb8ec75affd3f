"""The assistant reports on what it has started: each closed day against its plan, each step, to who asked, once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from compliance.consumers import Consumer, consumers
from compliance.relay.follow import deliver_batch
from compliance.stream import StreamEvent, read_sealed
from fundops.core.models import User
from portal.assistant.conversation import begin, say
from portal.assistant.intents import Grow
from portal.assistant.reports import report
from portal.models import AssistantMessage, KnowledgeEntry, KnowledgeKind, Outcome
from tests.compliance.support import seal_all
from trading.actions.cohort_drive import drive_cohort
from trading.actions.marketdata import sync_catalog
from trading.actions.promotion import carry_review, review_cohort
from trading.models.cohort import Cohort, CohortStatus
from treasury.models import Fund

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def market(specification: Callable[..., Cohort], fund: Fund) -> None:
    specification()
    sync_catalog(actor=None)


def reporter() -> Consumer:
    return next(c for c in consumers() if c.name == "assistant")


def deliver() -> None:
    seal_all()
    while deliver_batch(reporter()) is not None:
        pass


def reports_to(user: User) -> list[str]:
    kept = AssistantMessage.objects.filter(user=user, outcome=Outcome.REPORT).order_by("pk")
    return list(kept.values_list("text", flat=True))


def test_each_closed_day_is_held_against_its_plan(market: None, launched: Callable[..., Cohort], manager: User) -> None:
    drive_cohort(cohort_id=launched().pk)  # what the plan's ranges rest on; nobody asked the assistant for it
    cohort = begin(intent=Grow(Decimal(500), 3, agents=6), actor=manager)
    drive_cohort(cohort_id=cohort.pk)
    deliver()
    said = reports_to(manager)
    assert [text.split(".")[0] for text in said] == [
        f"{cohort}: report of day 1 of 3",
        f"{cohort}: report of day 2 of 3",
        f"{cohort}: report of day 3 of 3",
        f"{cohort} has finished",
    ]
    first, _, third, end = said
    assert "the range it was planned with" in first
    assert "500.00" in first
    assert "5.0% ends it" in first
    assert "Day 2 trades on. After day 3 its best agent is reviewed." in first
    assert "That was its last day. Its best agent is reviewed now." in third
    assert "500.00 became" in end
    entries = KnowledgeEntry.objects.filter(kind=KnowledgeKind.COHORT, key__startswith="report:")
    assert entries.count() == 3
    assert set(entries.values_list("cohort", flat=True)) == {cohort.pk}


def test_closed_days_are_in_the_history_once(market: None, launched: Callable[..., Cohort], manager: User) -> None:
    """The report takes the place of the plain word that other cohorts get."""
    others = launched(days=1)
    begun = begin(intent=Grow(Decimal(500), 1, agents=6), actor=manager)
    for cohort in (others, begun):
        drive_cohort(cohort_id=cohort.pk)
    deliver()
    while deliver_batch(next(c for c in consumers() if c.name == "knowledge")) is not None:
        pass
    days = KnowledgeEntry.objects.filter(title__contains="day 1").order_by("cohort_id")
    assert [entry.title for entry in days] == [f"{others}: day 1 has closed", f"{begun}: report of day 1 of 1"]


def test_what_is_delivered_again_is_told_once(market: None, manager: User) -> None:
    cohort = begin(intent=Grow(Decimal(500), 1, agents=6), actor=manager)
    drive_cohort(cohort_id=cohort.pk)
    deliver()
    before = AssistantMessage.objects.count(), KnowledgeEntry.objects.count()
    everything = [StreamEvent.of(sealed) for sealed in read_sealed(after=0, limit=1_000)]
    report([event for event in everything if reporter().wants(event.kind)])
    assert (AssistantMessage.objects.count(), KnowledgeEntry.objects.count()) == before
    assert reports_to(manager)


def test_stop_and_review_are_told_to_who_asked(market: None, manager: User, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("portal.assistant.planning.DEFAULT_STOP", Decimal("0.001"))
        stopped = begin(intent=Grow(Decimal(500), 2, agents=6), actor=manager)
    assert drive_cohort(cohort_id=stopped.pk).status == CohortStatus.CANCELLED
    reviewed = begin(intent=Grow(Decimal(600), 3, agents=6), actor=manager)
    drive_cohort(cohort_id=reviewed.pk)
    carry_review(review=review_cohort(cohort=reviewed, actor=None))
    deliver()
    said = " | ".join(reports_to(manager))
    assert f"{stopped} was cancelled. Stopped by its own rule" in said
    assert f"Review of {reviewed}: the evidence is compiled" in said


def test_what_others_launched_is_not_reported(market: None, launched: Callable[..., Cohort], manager: User) -> None:
    drive_cohort(cohort_id=launched(days=1).pk)
    deliver()
    assert reports_to(manager) == []


# --- What is kept ---------------------------------------------------------------------------------------------
def test_recommendations_are_knowledge_with_amounts(market: None, manager: User) -> None:
    reply = say(text="what should I fund tomorrow?", actor=manager)
    assert reply.answer is not None
    assert [r.amount for r in reply.answer.recommendations] == ["0.00"]
    entry = KnowledgeEntry.objects.get(kind=KnowledgeKind.RECOMMENDATION)
    assert entry.words == reply.words
    assert "Fund no more than paper: 0.00" in entry.words


@pytest.mark.parametrize(
    ("path", "body", "said", "outcome"),
    [
        ("grow", {"amount": "500", "days": 2}, "grow: amount 500.00, days 2", Outcome.PROPOSAL),
        ("start-cohort", {"symbols": ["BTCUSDT"]}, "start-cohort: symbols BTCUSDT", Outcome.PROPOSAL),
        ("fund-tomorrow", {}, "fund-tomorrow", Outcome.ANSWER),
        ("review-promotion", {"cohort": 7}, "review-promotion: cohort 7", Outcome.ANSWER),
    ],
)
def test_intents_over_the_api_are_kept_as_a_line_is(
    market: None, manager: User, path: str, body: dict[str, Any], said: str, outcome: Outcome
) -> None:
    api = APIClient()
    api.force_authenticate(manager)
    assert api.post(f"/api/assistant/intents/{path}/", body, format="json").status_code == 200
    person, assistant = AssistantMessage.objects.order_by("pk")
    assert (person.text, person.outcome) == (said, Outcome.SAID)
    assert (assistant.outcome, assistant.intent) == (outcome, path)
