"""The pipeline may die in the middle of any step, or right after it: the next turn goes on, and nothing is doubled."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from compliance.actions.approval_execution import execute_request
from compliance.actions.people import link_account
from compliance.models import ApprovalRequest, AuditEvent, RequestState
from fundops.core import events
from fundops.core.models import User
from tests.gate import by_gate, carry, ensure_policy
from tests.trading.promotion.support import deployment_of
from tests.worlds import Candidate
from trading.actions import promotion, promotion_tick
from trading.actions.promotion import reviewable_cohorts
from trading.actions.promotion_tick import tick_reviews
from trading.desk.drive import run_desks
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeploymentStatus, DeskRun
from trading.models.promotion import LiveRecord, PromotionReview, ReviewState
from trading.promotion import gate
from treasury.models import BankrollPool, BankrollSlice, EntryKind, Fund, JournalEntry
from treasury.selectors import free_cash, trial_balance

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

#: What each step tells last, inside its transaction.
STEPS = ("compiled", "screened", "awaiting_approval", "deployed", "monitoring", "rolled_back", "settled")
WAY = ["compiled", "screened", "awaiting_approval", "approved", "deployed", "monitoring", "rolled_back"]


class Killed(BaseException):
    """Stands for a process that dies: nothing in the product catches it."""


class Deaths:
    """Dies once at each step."""

    def __init__(self) -> None:
        self.died: list[str] = []

    def at(self, step: str) -> None:
        if step in STEPS and step not in self.died:
            self.died.append(step)
            raise Killed


@pytest.fixture
def manager(candidate_world: Candidate) -> User:
    """Of the cohort, and now a known person, in whose name the pipeline asks."""
    made = candidate_world.manager
    link_account(account=made, reference="manuela", full_name="Manuela", actor=None)
    return made


@pytest.fixture
def ready(fund: Fund, manager: User, finished: Callable[..., Cohort], monkeypatch: pytest.MonkeyPatch) -> Cohort:
    """A cohort whose candidate the gate lets through, and a pool."""
    real = gate.evaluate_gate
    monkeypatch.setattr(promotion, "evaluate_gate", lambda *args: real(*args).model_copy(update={"passed": True}))
    monkeypatch.setattr(promotion, "_pace", lambda cohort: Decimal(0))
    by_gate("treasury.set_pool", {"fund": fund.code, "asset": "USDT", "capacity": "2000"})
    ensure_policy("trading.promote")
    return finished()


def _turn() -> None:
    """What beat, workers and people do, one after the other."""
    for cohort in reviewable_cohorts():
        promotion.review_cohort(cohort=cohort, actor=None)
    tick_reviews()
    for request in ApprovalRequest.objects.filter(kind="trading.promote", state=RequestState.SUBMITTED):
        carry(request, execute=False)
    for request in ApprovalRequest.objects.filter(kind="trading.promote", state=RequestState.EXECUTING):
        _execute(request)
    run_desks()
    for review in PromotionReview.objects.filter(state=ReviewState.MONITORING):
        DeskRun.objects.filter(deployment=review.deployment).update(max_drawdown_frac=0.06)


def _execute(request: ApprovalRequest) -> None:
    record = execute_request(request_id=request.pk)
    assert record is None or record.outcome == RequestState.EXECUTED, record.error


def _live(deaths: Deaths) -> None:
    """Turn after turn, as often as it dies and a few more."""
    for _ in range(len(STEPS) + 12):
        try:
            _turn()
        except Killed:
            continue
    assert sorted(deaths.died) == sorted(STEPS), PromotionReview.objects.get().waits_for


def _same_end() -> None:
    review = PromotionReview.objects.get()
    assert [step.after for step in review.steps.all()] == WAY
    assert review.settled_at is not None
    assert review.end_cause == "drawdown"
    for step in WAY:
        assert AuditEvent.objects.filter(kind=f"trading.review.{step}").count() == 1
    assert AuditEvent.objects.filter(kind="trading.review.settled").count() == 1
    assert ApprovalRequest.objects.filter(kind="trading.promote").count() == 1
    deployment = Deployment.objects.get()
    assert deployment == deployment_of(review)
    assert deployment.status == DeploymentStatus.ROLLED_BACK
    held, pool = BankrollSlice.objects.get(), BankrollPool.objects.get()
    assert (held.amount, held.released_at is not None) == (Decimal(100), True)
    of_slice = JournalEntry.objects.filter(source_type="trading.deployment", source_id=str(deployment.pk))
    assert of_slice.filter(kind=EntryKind.DRAW).count() == 1
    assert of_slice.filter(kind=EntryKind.RELEASE).count() == 1
    assert free_cash(deployment.book, pool.asset) == 0
    assert free_cash(pool.book, pool.asset) == deployment.run.equity + 1900
    assert LiveRecord.objects.count() == 1
    assert trial_balance(fund=deployment.fund).is_balanced


def test_death_in_every_step_before_its_commit(ready: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    deaths = Deaths()
    real = events.publish

    def publish(kind: str, *args: Any, **said: Any) -> Any:
        event = real(kind, *args, **said)
        deaths.at(kind.removeprefix("trading.review."))
        return event

    monkeypatch.setattr(promotion, "publish", publish)
    _live(deaths)
    _same_end()


def test_death_after_every_step_before_the_next(ready: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    deaths = Deaths()

    def dying_after(name: str, step: Callable[..., str], module: Any = promotion) -> None:
        real = getattr(module, name)

        def call(*args: Any, **terms: Any) -> Any:
            result = real(*args, **terms)
            deaths.at(step(*args, **terms))
            return result

        monkeypatch.setattr(module, name, call)

    dying_after("review_cohort", lambda **_: "compiled")
    dying_after("_step", lambda _review, event, **_: {"screen": "screened", "begin_watch": "monitoring"}.get(event, ""))
    dying_after("ask_for_promotion", lambda **_: "awaiting_approval")
    dying_after("_execute", lambda _: "deployed", module=__import__(__name__, fromlist=["_execute"]))
    dying_after("roll_back", lambda **_: "rolled_back")
    dying_after("settle_review", lambda **_: "settled" if _settled() else "", module=promotion_tick)
    _live(deaths)
    _same_end()


def _settled() -> bool:
    return PromotionReview.objects.exclude(settled_at=None).exists()
