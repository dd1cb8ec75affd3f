"""A candidate on its way: reviewed, refused or asked for, signed, deployed on a slice, watched, brought back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import DatabaseError, transaction
from pytest_django import Settings
from rest_framework.test import APIClient

from compliance.models import ApprovalRequest, Decision, EvidenceFile, RequestState
from fundops.core import clock
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.support import People, ask, staff, vote
from tests.factories import user_with
from tests.gate import by_gate, carry, ensure_policy
from tests.trading.promotion.support import deployed, overridden
from trading.actions.promotion import (
    _signed_by,
    ask_for_promotion,
    carry_review,
    review_cohort,
    reviewable_cohorts,
    roll_back,
    settle_review,
    watch_review,
    write_post_mortem,
)
from trading.actions.promotion_tick import tick_reviews
from trading.desk.drive import run_desks
from trading.models import promotion as promotion_models
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeploymentStatus, Fill
from trading.models.promotion import LiveRecord, PromotionReview, ReviewState
from trading.promotion.errors import PromotionError, ReviewStepError
from trading.promotion.machine import allowed_steps
from trading.promotion.weights import GENOME_LEFT, weights_of
from treasury.models import BankrollPool, BankrollSlice, Fund
from treasury.selectors import free_cash, trial_balance


def test_database_knows_the_steps_of_the_machine() -> None:
    rules = (Path(promotion_models.__file__).parent.parent / "migrations/sql/promotion_rules.sql").read_text()
    assert set(re.findall(r"\('(\w+)', '(\w+)'\)", rules)) == allowed_steps()


def test_review_takes_no_step_that_is_not_there(reviewed: PromotionReview) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        PromotionReview.objects.filter(pk=reviewed.pk).update(state=ReviewState.APPROVED)
    with pytest.raises(DatabaseError), transaction.atomic():
        PromotionReview.objects.filter(pk=reviewed.pk).update(passed=not reviewed.passed)
    with pytest.raises(DatabaseError), transaction.atomic():
        reviewed.delete()


def test_one_review_a_cohort_with_its_evidence_and_verdict(finished: Callable[..., Cohort]) -> None:
    cohort = finished()
    assert reviewable_cohorts() == [cohort]
    review = review_cohort(cohort=cohort, actor=None)
    assert review_cohort(cohort=cohort, actor=None) == review
    assert reviewable_cohorts() == []
    assert review.evidence["cohort"] == cohort.pk
    assert review.passed is review.verdict["passed"]
    assert [s.after for s in review.steps.all()] == ["compiled"]


def test_refused_candidate_is_rejected_with_the_reasons(reviewed: PromotionReview) -> None:
    """Random agents over three days show no skill, and the gate says so."""
    assert not reviewed.passed
    carry_review(review=reviewed)
    assert reviewed.state == ReviewState.REJECTED
    assert reviewed.end_cause == "gate"
    assert reviewed.end_words
    assert [s.after for s in reviewed.steps.all()] == ["compiled", "screened", "rejected"]


def test_override_needs_the_right_and_a_reason(reviewed: PromotionReview, pm: User, pool: BankrollPool) -> None:
    carry_review(review=reviewed)
    with pytest.raises(PermissionMissingError):
        ask_for_promotion(review=reviewed, actor=user_with(Role.OPERATIONS), override_reason="Please")
    with pytest.raises(PromotionError, match="say why"):
        ask_for_promotion(review=reviewed, actor=pm)
    asked = ask_for_promotion(review=reviewed, actor=pm, override_reason="A rehearsal.")
    assert asked.state == ReviewState.AWAITING_APPROVAL
    assert asked.request is not None
    assert asked.request.state == RequestState.SUBMITTED
    (attached,) = asked.request.evidence
    file = EvidenceFile.objects.get(sha256=reviewed.evidence_sha256)
    assert (attached["sha256"], attached["size"]) == (file.sha256, len(file.content))
    assert json.loads(bytes(file.content))["candidate"] == reviewed.evidence["candidate"]
    shown = {f["label"]: f["then"] for f in _displayed(asked.request)}
    assert shown["Verdict of the gate"] == "REFUSED; overridden: A rehearsal."
    assert shown["Slice"].startswith("100")
    with pytest.raises(ReviewStepError):
        ask_for_promotion(review=reviewed, actor=pm, override_reason="Again")


def _displayed(request: ApprovalRequest) -> list[dict[str, str]]:
    content = json.loads(request.statements.get().canonical)
    shown: list[dict[str, str]] = content["fields"] if "fields" in content else content["displayed"]
    return shown


@pytest.mark.parametrize(
    ("word", "named"),
    [(Decision.APPROVE, "(Risk officer)"), (Decision.BREAK_GLASS, "(Risk officer, who broke the glass)")],
)
def test_a_review_names_who_signed(gate_world: People, word: Decision, named: str) -> None:
    request = ask(gate_world)
    signed = vote(request, gate_world.risk, Role.RISK_OFFICER, word, "The venue is failing.")
    assert _signed_by(request) == f"Signed by {signed.person} {named}."


def test_without_a_pool_nothing_is_asked_for(reviewed: PromotionReview, pm: User) -> None:
    carry_review(review=reviewed)
    with pytest.raises(PromotionError, match="no bankroll pool"):
        ask_for_promotion(review=reviewed, actor=pm, override_reason="A rehearsal.")
    reviewed.refresh_from_db()
    assert reviewed.state == ReviewState.REJECTED


def test_signed_candidate_is_deployed_on_a_slice(reviewed: PromotionReview, pm: User, pool: BankrollPool) -> None:
    review = deployed(reviewed, pm)
    assert review.state == ReviewState.DEPLOYED
    deployment = review.deployment
    assert deployment is not None
    assert (deployment.bankroll, deployment.limits_template) == (Decimal(100), "micro-live")
    held = BankrollSlice.objects.get()
    assert (held.book, held.amount, held.source) == (deployment.book, Decimal(100), f"cohort:{review.cohort_id}")
    assert free_cash(pool.book, pool.asset) == Decimal(1900)
    assert free_cash(deployment.book, pool.asset) == Decimal(100)


def test_review_follows_what_people_do_with_its_request(
    reviewed: PromotionReview, pm: User, pool: BankrollPool
) -> None:
    from compliance.actions.approvals import withdraw_request  # noqa: PLC0415

    review = overridden(reviewed, pm)
    assert review.request is not None
    withdraw_request(request_id=review.request.pk, actor=pm, note="Not today.")
    carry_review(review=review)
    assert review.state == ReviewState.REJECTED
    assert "Not today" in review.end_words
    again = ask_for_promotion(review=review, actor=pm, override_reason="Today then.")
    assert again.state == ReviewState.AWAITING_APPROVAL


def test_review_that_nobody_takes_on_expires(reviewed: PromotionReview, monkeypatch: pytest.MonkeyPatch) -> None:
    PromotionReview.objects.filter(pk=reviewed.pk).update(state=ReviewState.SCREENED)
    reviewed.refresh_from_db()
    with clock.frozen(clock.now() + timedelta(hours=25)):
        carry_review(review=reviewed)
    assert reviewed.state == ReviewState.EXPIRED


@pytest.mark.django_db(transaction=True)
def test_watched_candidate_is_rolled_back_and_settled(
    finished: Callable[..., Cohort], pm: User, pool: BankrollPool, settings: Settings
) -> None:
    """Its desk works the stored hours behind the cohort, under watch, until a person has seen enough."""
    review = deployed(review_cohort(cohort=finished(), actor=None), pm)
    assert review.deployment is not None
    run_desks()
    meters = {m.cause: m for m in watch_review(review=review)}
    assert set(meters) == {"kill_switch", "drawdown", "distribution", "costs", "leverage", "heartbeat", "timer"}
    review.refresh_from_db()
    assert review.state == ReviewState.MONITORING
    assert [m["cause"] for m in review.meters if m["fired"]] == []
    roll_back(review=review, cause="person", words="Enough seen.", actor=user_with(Role.RISK_OFFICER))
    review.refresh_from_db()
    for _ in range(5):
        run_desks()
        tick_reviews()
    review.refresh_from_db()
    deployment = Deployment.objects.get(pk=review.deployment.pk)
    assert (review.state, deployment.status) == (ReviewState.ROLLED_BACK, DeploymentStatus.ROLLED_BACK)
    assert review.settled_at is not None
    assert not deployment.positions.exclude(quantity=0).exists()
    assert BankrollSlice.objects.get().released_at is not None
    assert free_cash(deployment.book, pool.asset) == 0
    profit = sum((f.realised - f.fee for f in Fill.objects.filter(deployment=deployment)), Decimal(0))
    assert abs(free_cash(pool.book, pool.asset) - (2000 + profit)) < Decimal("0.01")
    assert trial_balance(fund=deployment.fund).is_balanced
    record = LiveRecord.objects.get()
    assert (record.outcome, record.weight) == ("rolled_back", GENOME_LEFT)
    assert (
        weights_of([(record.genome_hash, record.family), ("other", record.family)])[record.genome_hash] == GENOME_LEFT
    )
    assert "## What happened" in review.post_mortem
    assert not settle_review(review=review)
    done = write_post_mortem(review=review, text="# Done", actor=pm)
    assert done.post_mortem == "# Done"


@pytest.mark.parametrize("role", list(Role))
def test_rolling_back_is_for_those_on_duty(reviewed: PromotionReview, pm: User, pool: BankrollPool, role: Role) -> None:
    review = deployed(reviewed, pm)
    user = user_with(role)
    if user.has_perm("trading.roll_back"):
        assert roll_back(review=review, cause="person", words="Stop.", actor=user).state == ReviewState.ROLLED_BACK
        assert role in (Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER)
    else:
        with pytest.raises(PermissionMissingError):
            roll_back(review=review, cause="person", words="Stop.", actor=user)


@pytest.mark.parametrize("role", list(Role))
def test_api_answers_each_role_as_the_matrix_says(reviewed: PromotionReview, pool: BankrollPool, role: Role) -> None:
    carry_review(review=reviewed)
    user = staff(f"api_{role.name.lower()}", role)
    api = APIClient()
    api.force_authenticate(user)
    reads = 200 if user.has_perm("trading.view_promotionreview") else 403
    assert reads == (403 if role in (Role.INVESTOR, Role.CLIENT_RELATIONS, Role.ADMINISTRATOR) else 200)
    for path in ("reviews/", f"reviews/{reviewed.pk}/", "live-records/", "promotion-rules/"):
        assert api.get(f"/api/{path}").status_code == reads
    asked = api.post(f"/api/reviews/{reviewed.pk}/ask/", {"override_reason": "A rehearsal."}, format="json")
    assert asked.status_code == (202 if role is Role.PORTFOLIO_MANAGER else 403)
    if role is Role.PORTFOLIO_MANAGER:
        assert asked.json()["state"] == "awaiting_approval"
        assert asked.json()["verdict"]["musts"]
    rolled = api.post(f"/api/reviews/{reviewed.pk}/roll-back/", {"reason": "Stop."}, format="json")
    assert rolled.status_code == (409 if user.has_perm("trading.roll_back") else 403)


def test_slices_never_pass_the_caps_of_the_pool(finished: Callable[..., Cohort], pm: User, fund: Fund) -> None:
    """A pool of 400 with slices of 100, which micro-live levers half: at most 20 % in one market is one of them."""
    by_gate(
        "treasury.set_pool",
        {"fund": fund.code, "asset": "USDT", "capacity": "400", "slice_minimum": "100", "market_cap_frac": "0.2"},
    )
    ensure_policy("trading.promote")
    first = deployed(review_cohort(cohort=finished(), actor=None), pm)
    second = overridden(review_cohort(cohort=finished(seed=6), actor=None), pm)
    assert first.deployment is not None
    assert first.agent is not None
    assert second.agent is not None
    same = not first.agent.symbol or not second.agent.symbol or first.agent.symbol == second.agent.symbol
    assert second.request is not None
    if same:
        with pytest.raises(AssertionError, match="Slices may hold"):
            carry(second.request)
        second.refresh_from_db()
        carry_review(review=second)
        assert second.state == ReviewState.SCREENED or "did not take effect" in second.waits_for
    else:
        carry(second.request)
        assert BankrollSlice.objects.count() == 2
