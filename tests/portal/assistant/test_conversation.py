"""Talking to the assistant: hearing starts nothing, confirming starts what was shown, refusals name what is missing."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from compliance.consumers import consumers
from compliance.models import AuditEvent
from compliance.relay.follow import deliver_batch
from fundops.core.models import User
from fundops.core.roles import Role
from portal.assistant.conversation import NotPossibleError, begin, say
from portal.assistant.intents import Grow, StartCohort
from portal.models import AssistantMessage, KnowledgeEntry, Outcome
from tests.compliance.support import seal_all
from tests.factories import user_with
from trading.actions.cohort_drive import drive_cohort
from trading.actions.marketdata import sync_catalog
from trading.models.cohort import Cohort
from treasury.models import Fund

ASSISTED = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER}


@pytest.fixture
def market(specification: Callable[..., Cohort], fund: Fund) -> None:
    """Candles and a fund; the catalog's series known to the database as an import leaves them."""
    specification()
    sync_catalog(actor=None)


def test_hearing_starts_nothing_and_is_kept(market: None, manager: User) -> None:
    reply = say(text="grow 500 usdt over 2 days on btc", actor=manager)
    assert reply.outcome == Outcome.PROPOSAL
    assert reply.plan is not None
    assert reply.plan.terms["symbols"] == ["BTCUSDT"]
    assert not Cohort.objects.exists()
    assert [m.outcome for m in AssistantMessage.objects.all()] == ["said", "proposal"]


def test_plan_says_what_is_not_known(market: None, manager: User) -> None:
    plan = say(text="trade 1,000 for 3 days", actor=manager).plan
    assert plan is not None
    assert plan.hours_behind == 0
    assert all(day.low is None and day.median is None for day in plan.days)
    assert any("not known" in words for words in plan.words)
    assert [d.at_risk for d in plan.days] == [50.0, 50.0, 50.0]


def test_plan_is_a_distribution_once_days_were_traded(
    market: None, launched: Callable[..., Cohort], manager: User
) -> None:
    drive_cohort(cohort_id=launched().pk)
    plan = say(text="trade 1,000 for 3 days", actor=manager).plan
    assert plan is not None
    assert plan.hours_behind == 72
    for day in plan.days:
        assert day.low is not None
        assert day.median is not None
        assert day.high is not None
        assert day.low <= day.median <= day.high
    first, last = plan.days[0], plan.days[-1]
    assert last.high - last.low > first.high - first.low  # type: ignore[operator]
    again = say(text="trade 1,000 for 3 days", actor=manager).plan
    assert again is not None
    assert again.days == plan.days, "the same history gives the same plan"


def test_confirmed_plan_launches_its_cohort(market: None, manager: User) -> None:
    cohort = begin(intent=Grow(Decimal(500), 2, "USDT", ("BTCUSDT",), 6), actor=manager)
    assert (cohort.bankroll, cohort.days, cohort.symbols, cohort.agent_count) == (Decimal(500), 2, ["BTCUSDT"], 6)
    assert cohort.launched_by == manager
    assert AssistantMessage.objects.get().outcome == Outcome.CONFIRMED
    assert AuditEvent.objects.filter(kind="portal.assistant.started").exists()


def test_what_is_not_at_hand_is_not_started(market: None, manager: User) -> None:
    with pytest.raises(NotPossibleError, match="No market has 90 whole days"):
        begin(intent=Grow(Decimal(500), 90), actor=manager)
    with pytest.raises(NotPossibleError, match="quoted in USDT"):
        begin(intent=StartCohort(Decimal(500), 2, "EUR"), actor=manager)
    assert not Cohort.objects.exists()


@pytest.mark.parametrize("role", list(Role))
def test_each_role_is_answered_as_the_matrix_says(market: None, role: Role) -> None:
    api = APIClient()
    api.force_authenticate(user_with(role))

    def post(path: str, **body: Any) -> Any:
        return api.post(f"/api/assistant/{path}/", body, format="json")

    may_use = role in ASSISTED
    manages = role is Role.PORTFOLIO_MANAGER
    assert post("say", text="how are my cohorts doing?").status_code == (200 if may_use else 403)
    grown = post("intents/grow", amount="500", days=2)
    assert grown.status_code == (200 if manages else 403)
    if may_use and not manages:
        assert "trading.launch_cohort" in grown.json()["refused"]
    assert post("intents/start-cohort").status_code == (200 if manages else 403)
    assert post("intents/fund-tomorrow").status_code == (200 if may_use else 403)
    assert post("intents/review-promotion").status_code == (200 if may_use else 403)
    reads = role in ASSISTED | {Role.AUDITOR}
    assert api.get("/api/assistant/cohorts/status/").status_code == (200 if reads else 403)
    assert api.get("/api/assistant/cohorts/7/promotion-readiness/").status_code == (200 if reads else 403)
    bankroll = 200 if reads or role is Role.CLIENT_RELATIONS else 403
    assert api.get("/api/assistant/cohorts/bankroll-summary/").status_code == bankroll
    assert api.get("/api/knowledge/").status_code == (200 if reads else 403)
    confirmed = post("intents/grow", amount="500", days=2, confirm=True)
    assert confirmed.status_code == (201 if manages else 403)
    assert Cohort.objects.count() == manages


@pytest.mark.parametrize(
    "body",
    [
        {"amount": "0", "days": 2},
        {"amount": "500", "days": 0},
        {"amount": "500", "days": 10_000},
        {"amount": "NaN", "days": 2},
        {"amount": "500", "days": 2, "symbols": ["NONE"]},
        {"amount": "500", "days": 2, "currency": "XXX"},
        {"days": 2},
    ],
)
def test_impossible_terms_are_named_and_nothing_starts(market: None, manager: User, body: dict[str, Any]) -> None:
    api = APIClient()
    api.force_authenticate(manager)
    answer = api.post("/api/assistant/intents/grow/", body | {"confirm": True}, format="json")
    assert answer.status_code == 400
    assert not Cohort.objects.exists()


def test_addresses_work_with_and_without_their_last_slash(market: None, manager: User) -> None:
    api = APIClient()
    api.force_authenticate(manager)
    posts: dict[str, dict[str, Any]] = {
        "intents/grow": {"amount": "500", "days": 2},
        "intents/fund-tomorrow": {},
        "intents/start-cohort": {},
        "intents/review-promotion": {},
    }
    for path, body in posts.items():
        for ending in ("", "/"):
            assert api.post(f"/api/assistant/{path}{ending}", body, format="json").status_code == 200, path + ending
    for path in ("status", "7/promotion-readiness", "bankroll-summary"):
        for ending in ("", "/"):
            assert api.get(f"/api/assistant/cohorts/{path}{ending}").status_code == 200, path + ending
    assert api.get("/api/cohorts").status_code == 200
    assert api.post("/api/cohorts", {}, format="json").status_code == 400, "it reached the form, not a redirect"


@pytest.mark.django_db(transaction=True)
def test_knowledge_is_told_once_in_plain_words(market: None, launched: Callable[..., Cohort]) -> None:
    cohort = launched(days=1)
    drive_cohort(cohort_id=cohort.pk)
    seal_all()
    consumer = next(c for c in consumers() if c.name == "knowledge")
    while deliver_batch(consumer) is not None:
        pass
    titles = list(KnowledgeEntry.objects.order_by("pk").values_list("title", flat=True))
    assert titles[0] == f"{cohort} was launched"
    assert f"{cohort}: day 1 has closed" in titles
    assert titles[-1] == f"{cohort} has finished"
    assert KnowledgeEntry.objects.filter(cohort=cohort).count() == len(titles)
    assert "invented (synthetic) prices" in KnowledgeEntry.objects.earliest("pk").words
    count = len(titles)
    consumer.handle([])
    assert KnowledgeEntry.objects.count() == count
