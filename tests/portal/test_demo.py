"""The demo on an empty installation: everything it promises, from invented candles, and nothing twice."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from compliance.approvals.registry import registered_actions
from compliance.approvals.verifying import verify_approvals
from compliance.models import ApprovalRequest, AuditEvent, PersonAccount, RequestState
from compliance.selectors_approvals import policies_in_force
from compliance.stream import StreamEvent
from fundops.core.models import User
from fundops.core.roles import Role
from portal import demo, demo_promotion
from portal.knowledge import tell
from portal.models import KnowledgeKind
from risk.actions.overrides import OVERRIDE_GUARDRAIL
from risk.models import LeverageDecision, LeveragePolicy, OverridePolicy
from tests.factories import PASSWORD
from trading.actions.cohort_drive import drive_cohort
from trading.cohorts.catalog import open_catalog, series_or_none
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from trading.models.deployments import DeploymentStatus
from trading.models.promotion import GatePolicyVersion, PromotionReview, ReviewState
from treasury.models import BankrollSlice
from treasury.selectors import trial_balance

pytestmark = pytest.mark.soak


@pytest.fixture
def empty_installation(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    settings.MARKET_DATA_URL = str(tmp_path / "market-data")
    monkeypatch.setattr(demo, "SAMPLE_DATA", tmp_path / "none")
    monkeypatch.setattr(demo, "SYNTHETIC_SYMBOLS", ("BTCUSDT", "ETHUSDT"))
    monkeypatch.setattr(demo, "SYNTHETIC_DAYS", 10)


def as_heard(event: AuditEvent) -> StreamEvent:
    """An event as the knowledge history hears it once it is sealed."""
    return StreamEvent(
        seq=0,
        id=event.id,
        at=event.at,
        kind=event.kind,
        actor_id=event.actor_id,
        actor_label=event.actor_label,
        object_type=event.object_type,
        object_id=event.object_id,
        object_label=event.object_label,
        payload=event.payload,
        topics=tuple(event.topics),
    )


@pytest.mark.usefixtures("empty_installation")
def test_demo_fills_an_empty_installation_once() -> None:
    out = StringIO()
    call_command("demo", stdout=out)
    text = out.getvalue()
    assert {role for user in User.objects.all() for role in user.roles} == set(Role)
    for username, _name, role in demo.CAST:
        assert username in text
        assert role.value in text
    cohorts = {cohort.name: cohort for cohort in Cohort.objects.all()}
    assert len(cohorts) == 4
    finished = [c for c in cohorts.values() if c.mode == CohortMode.REPLAY]
    assert {c.status for c in finished} == {CohortStatus.COMPLETED}
    assert all(c.cohort_days.count() == 3 and c.synthetic for c in finished)
    forward = cohorts["Forward, accelerated"]
    assert forward.status == CohortStatus.QUEUED
    assert drive_cohort(cohort_id=forward.pk).status == CohortStatus.RUNNING
    assert trial_balance(fund=forward.fund).is_balanced

    assert {link.account.username for link in PersonAccount.objects.exclude(account__username="clara")} == {
        link.account.username for link in PersonAccount.objects.filter(linked_by__username="clara")
    }
    apps = {line.split()[0] for line in text.splitlines() if "otpauth://" in line}
    assert apps == {"rachel", "ravi", "oscar", "olga", "clara"}
    requests = ApprovalRequest.objects.filter(kind="risk.set_limit").order_by("created_at")
    assert [request.state for request in requests] == [RequestState.EXECUTED, RequestState.SUBMITTED]
    assert ApprovalRequest.objects.get(kind=OVERRIDE_GUARDRAIL).state == RequestState.SUBMITTED
    assert verify_approvals()[1] == []
    assert (LeveragePolicy.objects.count(), OverridePolicy.objects.count()) == (1, 1)
    assert {c.book_id for c in finished} <= {d.book_id for d in LeverageDecision.objects.all()}
    kinds = {action.kind for action in registered_actions() if not action.kind.startswith("test.")}
    assert kinds <= policies_in_force().keys()

    assert list(GatePolicyVersion.objects.order_by("version").values_list("version", flat=True)) == [1, 2]
    came_back = PromotionReview.objects.get(state=ReviewState.ROLLED_BACK)
    assert came_back.policy_version == 1
    assert came_back.settled_at is not None
    assert any(meter["fired"] for meter in came_back.meters)
    assert came_back.end_cause in {meter["cause"] for meter in came_back.meters if meter["fired"]}
    assert "## To be answered" in came_back.post_mortem
    assert came_back.deployment is not None
    assert came_back.deployment.status == DeploymentStatus.ROLLED_BACK
    assert BankrollSlice.objects.get(book=came_back.deployment.book).released_at is not None
    live = PromotionReview.objects.exclude(deployment=None).exclude(pk=came_back.pk).get()
    assert (live.policy_version, live.state) == (2, ReviewState.DEPLOYED)
    assert live.deployment is not None
    assert live.deployment.speed == float(demo_promotion.SPEED)
    assert live.watch_until_ms is not None
    series = series_or_none(open_catalog(), live.deployment.venue, live.deployment.symbols[0], 60_000)
    assert series is not None
    assert series.last_ms is not None
    assert live.watch_until_ms <= series.last_ms, "its watch can end within the stored days"

    told = [words for event in AuditEvent.objects.order_by("id") if (words := tell(as_heard(event))) is not None]
    titles = [words.title for words in told]
    assert f"{came_back}: the candidate was rolled back" in titles
    assert f"{came_back}: the bankroll is home" in titles
    assert "DEMO pool of USDT is 20,000.00 now" in titles
    assert "Change the rules of the Day-3 gate: executed" in titles
    assert {f"{c.book.path} begins at 2 x" for c in finished if c.book is not None} <= set(titles)
    assert {words.kind for words in told} == set(KnowledgeKind)

    again = StringIO()
    call_command("demo", stdout=again)
    assert "exist already" in again.getvalue()
    assert Cohort.objects.count() == 4
    assert PromotionReview.objects.exclude(deployment=None).count() == 2
    assert GatePolicyVersion.objects.count() == 2
    assert ApprovalRequest.objects.filter(kind="risk.set_limit").count() == 2
    assert User.objects.count() == len(demo.CAST)


@pytest.mark.usefixtures("empty_installation")
def test_demo_passwords_are_shown_even_when_the_rest_fails(tmp_path: Path) -> None:
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("demo", candles=tmp_path / "nowhere", stdout=out)
    assert "paula" in out.getvalue()
    assert PASSWORD not in out.getvalue()


def test_demo_refuses_production(settings: Settings, db: None) -> None:
    settings.PRODUCTION = True
    with pytest.raises(CommandError, match="production"):
        call_command("demo")
    assert not User.objects.exists()
