"""Candidates brought to capital by hand, and their desks worked a little."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fundops.core.models import User
from tests.gate import carry
from trading.actions.promotion import ask_for_promotion, carry_review
from trading.actions.promotion_tick import tick_reviews
from trading.desk.drive import run_desks
from trading.models.deployments import Deployment
from trading.models.promotion import PromotionReview


def overridden(review: PromotionReview, pm: User, **terms: Any) -> PromotionReview:
    """Sent on against the gate's verdict, at a desk as fast as can be; two signatures are asked for."""
    carry_review(review=review)
    ask_for_promotion(
        review=review, actor=pm, override_reason="A rehearsal with paper money.", speed=Decimal(0), **terms
    )
    review.refresh_from_db()
    return review


def deployed(review: PromotionReview, pm: User) -> PromotionReview:
    """Signed, and on its slice."""
    overridden(review, pm)
    assert review.request is not None
    carry(review.request)
    review.refresh_from_db()
    return review


def deployment_of(review: PromotionReview) -> Deployment:
    """The deployment as it stands now."""
    assert review.deployment_id is not None
    return Deployment.objects.select_related("run", "book").get(pk=review.deployment_id)


def drive_hours(deployment: Deployment, hours: int = 2) -> Deployment:
    """Works so many more hours, and leaves it to go on."""
    deployment = Deployment.objects.select_related("run", "book").get(pk=deployment.pk)
    until = deployment.run.next_bar_ms + hours * 3_600_000
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=until)
    while run_desks():
        pass
    Deployment.objects.filter(pk=deployment.pk).update(end_ms=None)
    deployment = Deployment.objects.select_related("run", "book").get(pk=deployment.pk)
    assert deployment.run.next_bar_ms == until
    return deployment


def drive_until_it_holds(deployment: Deployment) -> Deployment:
    """Hour by hour until something is held."""
    for _ in range(48):
        deployment = drive_hours(deployment, 1)
        if deployment.positions.exclude(quantity=0).exists():
            return deployment
    raise AssertionError("It held nothing in two days.")


def go_on(turns: int = 6) -> None:
    """Desks and pipeline, by turns."""
    for _ in range(turns):
        run_desks()
        tick_reviews()
