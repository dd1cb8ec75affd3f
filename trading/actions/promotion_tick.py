"""One turn of the pipeline's clock: every review that is not over is taken on, each by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fundops.core.errors import FundopsError
from trading.actions.promotion import carry_review, say_what_it_waits_for, settle_review, watch_review
from trading.actions.slices import follow_cuts
from trading.models.promotion import BEFORE_CAPITAL, PromotionReview, ReviewState

logger = logging.getLogger(__name__)

#: How what a review waits for begins when the machine could not take it on.
FAILED = "The machine could not take it on and tries again: "


def tick_reviews() -> int:
    """Takes every review on and returns how many there were; one that fails does not hold up the others, and says so
    on itself.

    Then slices that are to be smaller hand back what they have in cash.
    """
    reviews = PromotionReview.objects.select_related("cohort__fund", "agent", "deployment__run", "deployment__book")
    turns: list[tuple[PromotionReview, Callable[[PromotionReview], object]]] = [
        *((r, _watch) for r in reviews.watched().order_by("pk")),
        *((r, _settle) for r in reviews.filter(state=ReviewState.ROLLED_BACK, settled_at=None).order_by("pk")),
        *((r, _carry) for r in reviews.filter(state__in=BEFORE_CAPITAL).order_by("pk")),
    ]
    for review, turn in turns:
        _take_on(review, turn)
    follow_cuts()
    return len(turns)


def _take_on(review: PromotionReview, turn: Callable[[PromotionReview], object]) -> None:
    try:
        turn(review)
        if review.waits_for.startswith(FAILED):
            say_what_it_waits_for(review=review, why="", cause="failed")
    except Exception as error:
        logger.exception("review.failed", extra={"review": review.pk})
        why = error.message if isinstance(error, FundopsError) else f"{type(error).__name__}: {error}"
        _say_failed(review, f"{FAILED}{why}")


def _say_failed(review: PromotionReview, why: str) -> None:
    """Where the database itself is what fails, the log is all there is."""
    try:
        say_what_it_waits_for(review=review, why=why, cause="failed")
    except Exception:
        logger.exception("review.failed_silently", extra={"review": review.pk})


def _carry(review: PromotionReview) -> object:
    return carry_review(review=review)


def _watch(review: PromotionReview) -> object:
    return watch_review(review=review)


def _settle(review: PromotionReview) -> object:
    return settle_review(review=review)
