"""Choosing further voices for a candidate: on the review's page and over the API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from compliance.models import ApprovalRequest
from fundops.core.models import User
from tests.gate import carry
from tests.portal.test_review_pages import browser
from tests.portal.test_review_pages import pm as pm
from tests.portal.test_review_pages import review as review
from trading.models.promotion import PromotionReview
from trading.selectors.council import voices_on_offer

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def displayed(request: ApprovalRequest) -> dict[str, str]:
    content = json.loads(request.statements.get().canonical)
    return {field["label"]: field["then"] for field in content.get("fields") or content["displayed"]}


def test_ticked_voices_are_in_what_is_signed_and_sit_in_the_council(review: PromotionReview, pm: User) -> None:
    page = browser(pm).get(f"/reviews/{review.pk}/").content.decode()
    offered = voices_on_offer(review)
    assert offered
    assert review.agent is not None
    for one in offered:
        assert f'name="voice" value="{one.agent.pk}"' in page
        assert one.agent.symbol in ("", review.agent.symbol) or not review.agent.symbol
    assert "at most 0.5 x (the micro-live limits)" in page
    assert "Sizing rule" in page
    chosen = offered[0].agent
    form = {"reason": "A rehearsal.", "voice": [chosen.pk], f"weight-{chosen.pk}": "0.5", "quorum_frac": "0.75"}
    browser(pm).post(f"/reviews/{review.pk}/ask/", form)
    review.refresh_from_db()
    assert review.request is not None
    seen = displayed(review.request)
    assert seen["Council"].startswith("2 voices")
    assert seen["Quorum"].startswith("75.0%")
    assert "weight 0.5" in seen["Voice 2"]
    assert seen["Leverage"].startswith("at most 0.5 x")
    carry(review.request)
    review.refresh_from_db()
    assert review.deployment is not None
    assert review.deployment.quorum_frac == pytest.approx(0.75)
    assert [(v.agent_id, float(v.weight)) for v in review.deployment.voices.all()] == [
        (review.agent_id, 1.0),
        (chosen.pk, 0.5),
    ]


def test_nothing_ticked_is_the_candidate_alone(review: PromotionReview, pm: User) -> None:
    browser(pm).post(f"/reviews/{review.pk}/ask/", {"reason": "A rehearsal.", "quorum_frac": "0.5"})
    review.refresh_from_db()
    assert review.request is not None
    assert review.request.payload["voices"] == []
    assert displayed(review.request)["Council"].startswith("its own genome alone")


def test_a_weight_that_is_no_weight_opens_no_request(review: PromotionReview, pm: User) -> None:
    chosen = voices_on_offer(review)[0].agent
    form = {"reason": "A rehearsal.", "voice": [chosen.pk], f"weight-{chosen.pk}": "much"}
    answer = browser(pm).post(f"/reviews/{review.pk}/ask/", form, follow=True)
    assert "Change the payload" in answer.content.decode()
    assert not ApprovalRequest.objects.filter(kind="trading.promote").exists()


def test_the_api_offers_the_same_and_takes_the_same(review: PromotionReview, pm: User) -> None:
    api = APIClient()
    api.force_authenticate(pm)
    terms: dict[str, Any] = api.get(f"/api/reviews/{review.pk}/terms/").json()
    offered = voices_on_offer(review)
    assert [voice["agent"] for voice in terms["voices"]] == [one.agent.pk for one in offered]
    assert (terms["amount"], terms["leverage_maximum"], terms["leverage_held_by"]) == (
        "100.00", "0.500", "the micro-live limits",
    )  # fmt: skip
    assert terms["sizing"]["n_hours"] == 72
    assert terms["above_the_sizing_rule"] in (True, False, None)
    assert terms["budget"] is None
    body = {"override_reason": "A rehearsal.", "voices": [{"agent": offered[0].agent.pk}], "leverage": "0.3"}
    assert api.post(f"/api/reviews/{review.pk}/ask/", body, format="json").status_code == 202
    request = ApprovalRequest.objects.get(kind="trading.promote")
    assert [voice["weight"] for voice in request.payload["voices"]] == ["1"]
    assert displayed(request)["Leverage"].startswith("at most 0.3 x (as asked)")
