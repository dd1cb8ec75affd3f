"""The demo's candidate: a bankroll pool, a review that the gate refuses, and an override that takes it to capital.

Nothing is made up: the reviews are compiled from the demo's cohorts, the gate says what it says of them, and the
override is signed by two people like any other, so that a deployment trades live where the story is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from fundops.core.models import User
from portal import demo_gate
from trading.actions.promotion import ask_for_promotion, carry_review, review_cohort
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from trading.models.promotion import BEFORE_CAPITAL, PromotionReview, ReviewState
from treasury.actions.bankroll import SET_POOL
from treasury.models import BankrollPool, Fund

Say = Callable[[str], None]
#: Simulated seconds for each real one: the days behind the cohort's window pass while somebody watches.
SPEED = Decimal(300)
CAPACITY = "1000"


def make_promotion(fund: Fund, cohorts: Sequence[Cohort], *, say: Say) -> None:
    """Run twice it adds nothing."""
    make_pool(fund, cohorts, say=say)
    reviews = [make_review(cohort) for cohort in cohorts if _finished(cohort)]
    if reviews and not PromotionReview.objects.exclude(deployment=None).exists():
        promote(reviews[0], say=say)


def make_pool(fund: Fund, cohorts: Sequence[Cohort], *, say: Say) -> None:
    """A pool of paper capital in the cohorts' currency."""
    if BankrollPool.objects.filter(fund=fund).exists():
        return
    quote = cohorts[0].quote
    demo_gate.sign(
        SET_POOL,
        {"fund": fund.code, "asset": quote, "capacity": CAPACITY},
        reason="What the fund sets aside for experiments with real orders: a slice each, and no more.",
    )
    say(f"The bankroll pool holds {CAPACITY} {quote}; a slice is 50.")


def _finished(cohort: Cohort) -> bool:
    return cohort.mode == CohortMode.REPLAY and cohort.status == CohortStatus.COMPLETED


def make_review(cohort: Cohort) -> PromotionReview:
    """The cohort's Day-3 review, as far as it goes by itself."""
    return carry_review(review=review_cohort(cohort=cohort, actor=None))


def promote(review: PromotionReview, *, say: Say) -> None:
    """The review's candidate to capital; against the gate's verdict where that is no."""
    if review.agent is None or review.state not in (*BEFORE_CAPITAL, ReviewState.REJECTED):
        return
    if review.request is None:
        reason = "" if review.passed else "A rehearsal with paper money, to see the watch and the rollback at work."
        review = ask_for_promotion(
            review=review,
            actor=User.objects.get(username=demo_gate.MAKER),
            override_reason=reason,
            speed=SPEED,
        )
    assert review.request is not None  # noqa: S101 - asking has made it
    demo_gate.carry_on_signed(review.request)
    verdict = "passed" if review.passed else "refused it; overridden with a reason"
    say(f"{review.cohort}'s candidate trades a slice of the pool under watch (the gate {verdict}).")
