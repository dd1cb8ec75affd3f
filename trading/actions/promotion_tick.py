"""One turn of the pipeline's clock: every review that is not over is taken on, each by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fundops.core.errors import FundopsError
from trading.actions.promotion import carry_review, settle_review, watch_review
from trading.actions.slices import follow_cuts
from trading.models.promotion import BEFORE_CAPITAL, WATCHED, PromotionReview, ReviewState

logger = logging.getLogger(__name__)


def tick_reviews() -> int:
    """Takes every review on and returns how many there were; one that fails does not hold up the others.

    Slices that are to be smaller hand back what they have in cash.
    """
    follow_cuts()
    reviews = PromotionReview.objects.select_related("cohort__fund", "agent", "deployment__run", "deployment__book")
    turns: list[tuple[PromotionReview, Callable[[PromotionReview], object]]] = [
        *((r, _carry) for r in reviews.filter(state__in=BEFORE_CAPITAL).order_by("pk")),
        *((r, _watch) for r in reviews.filter(state__in=WATCHED).order_by("pk")),
        *((r, _settle) for r in reviews.filter(state=ReviewState.ROLLED_BACK, settled_at=None).order_by("pk")),
    ]
    for review, turn in turns:
        try:
            turn(review)
        except FundopsError as refused:
            logger.warning("review.refused", extra={"review": review.pk, "why": refused.message})
    return len(turns)


def _carry(review: PromotionReview) -> object:
    return carry_review(review=review)


def _watch(review: PromotionReview) -> object:
    return watch_review(review=review)


def _settle(review: PromotionReview) -> object:
    return settle_review(review=review)
