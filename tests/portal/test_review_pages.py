"""The pages of Day-3 reviews: who opens them, what they show, and what is decided there."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from django.test import Client

from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.support import staff
from tests.factories import user_with
from tests.gate import by_gate, carry, ensure_policy
from tests.trading.promotion.own_ground import finished as finished
from tests.trading.promotion.own_ground import fund as fund
from tests.trading.promotion.own_ground import manager as manager
from tests.worlds import Candidate
from trading.actions.promotion import ask_for_promotion, carry_review, review_cohort
from trading.actions.promotion_tick import tick_reviews
from trading.desk.drive import run_desks
from trading.models.cohort import Cohort
from trading.models.promotion import PromotionReview, ReviewState
from trading.promotion.gate import CheckResult
from treasury.models import Fund

READERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER, Role.AUDITOR}


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def review(offered_world: Candidate) -> PromotionReview:
    assert offered_world.review is not None
    return offered_world.review


@pytest.fixture
def pm(offered_world: Candidate) -> User:
    return offered_world.pm


@pytest.mark.parametrize("role", list(Role))
def test_each_role_opens_what_the_matrix_says(review: PromotionReview, role: Role) -> None:
    client = browser(user_with(role))
    for path in ("/reviews/", f"/reviews/{review.pk}/", "/reviews/rules/", f"/reviews/{review.pk}/?_export=csv"):
        assert client.get(path).status_code == (200 if role in READERS else 403), path
    asked = client.post(f"/reviews/{review.pk}/ask/", {"reason": "A rehearsal."})
    assert asked.status_code == (302 if role is Role.PORTFOLIO_MANAGER else 403)
    back = client.post(f"/reviews/{review.pk}/roll-back/", {"reason": "Stop."})
    assert back.status_code == (302 if role in READERS - {Role.AUDITOR} else 403)


def test_page_leads_with_the_verdict_and_says_what_is_not_known(review: PromotionReview, pm: User) -> None:
    page = browser(pm).get(f"/reviews/{review.pk}/").content.decode()
    assert page.index("No go") < page.index("What is not known") < page.index("Checklist")
    for words in [*review.verdict["words"], *review.evidence["not_known"]]:
        assert _escaped(words) in page
    checklist = page[page.index("Checklist") :]
    for check in [*review.verdict["musts"], *review.verdict["advices"]]:
        result = CheckResult.model_validate(check)
        assert _escaped(result.label) in checklist
        assert result.wanted in checklist
        assert f"{result.label}: {result.said}" == result.words
    for chart in ("equity", "replay", "power", "deflated", "overfit", "returns", "days", "costs"):
        assert f'id="{chart}-data"' in page
    assert "Override and ask" in page


def test_the_evidence_that_is_downloaded_is_what_was_hashed(review: PromotionReview, pm: User) -> None:
    content = browser(pm).get(f"/reviews/{review.pk}/?_export=json").content
    assert sha256(content).hexdigest() == review.evidence_sha256


def _escaped(words: str) -> str:
    from django.utils.html import escape  # noqa: PLC0415

    return escape(words)


def test_override_needs_a_reason_and_leads_to_the_request(review: PromotionReview, pm: User) -> None:
    client = browser(pm)
    refused = client.post(f"/reviews/{review.pk}/ask/", {"reason": " "}, follow=True)
    assert "say why it is sent on" in refused.content.decode()
    asked = client.post(f"/reviews/{review.pk}/ask/", {"reason": "A rehearsal."})
    review.refresh_from_db()
    assert asked["Location"] == f"/approvals/{review.request_id}/"
    page = client.get(f"/reviews/{review.pk}/").content.decode()
    assert "Overridden by" in page
    assert "A rehearsal." in page
    assert "not signed yet" in page
    request = client.get(asked["Location"]).content.decode()
    assert f'href="/reviews/{review.pk}/">' in request, "it leads back to what it is about"
    assert "<ins>" not in request and '<th scope="col">Now</th>' not in request, "nothing of it was there before"
    assert "FAILED: " in request


def test_board_shows_where_it_stands_with_few_queries(
    review: PromotionReview, pm: User, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client = browser(pm)
    client.get("/reviews/")
    with django_assert_max_num_queries(30):  # type: ignore[attr-defined]
        page = client.get("/reviews/").content.decode()
    assert str(review.cohort) in page
    assert "Rejected" in page
    assert b"rejected" in client.get("/reviews/?_export=csv").content


def test_rules_show_every_version(review: PromotionReview, pm: User) -> None:
    client = browser(pm)
    page = client.get("/reviews/rules/").content.decode()
    assert "as shipped" in page
    assert "chance_of_best" in page
    assert "/approvals/new/trading.set_gate_policy/?rules=" in page
    assert client.get("/reviews/rules/?version=7").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_deployed_candidate_shows_its_meters_and_comes_back_with_a_post_mortem(
    finished: Callable[..., Cohort],
    fund: Fund,
) -> None:
    from decimal import Decimal  # noqa: PLC0415

    pm = staff("petra", Role.PORTFOLIO_MANAGER)
    review = review_cohort(cohort=finished(), actor=None)
    carry_review(review=review)
    by_gate("treasury.set_pool", {"fund": fund.code, "asset": "USDT", "capacity": "2000"})
    ensure_policy("trading.promote")
    ask_for_promotion(review=review, actor=pm, override_reason="A rehearsal.", speed=Decimal(0))
    review.refresh_from_db()
    assert review.request is not None
    carry(review.request)
    client = browser(pm)
    run_desks()
    tick_reviews()
    page = client.get(f"/reviews/{review.pk}/").content.decode()
    for meter in ("Kill switch", "Drawdown", "Heartbeat of its desk", "Timer"):
        assert meter in page
    client.post(f"/reviews/{review.pk}/roll-back/", {"reason": "Enough seen."})
    for _ in range(4):
        run_desks()
        tick_reviews()
    review.refresh_from_db()
    assert review.state == ReviewState.ROLLED_BACK
    page = client.get(f"/reviews/{review.pk}/").content.decode()
    assert "<h2>What happened</h2>" in page
    client.post(f"/reviews/{review.pk}/post-mortem/", {"text": "# Learned\n<script>x</script>"})
    page = client.get(f"/reviews/{review.pk}/").content.decode()
    assert "<h1>Learned</h1>" in page
    assert "<script>x</script>" not in page
