"""The demo's candidates: a bankroll pool, one that was deployed, disappointed and came back, one that trades live.

Nothing is made up: reviews are compiled from the demo's cohorts, the gate says what it says of them, and what goes on
against it is an override with a reason, signed by two people like any other. What the demo changes are the rules of the
watch, by signed versions that say so, because a watch of seven days outlasts its stored candles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fundops.core.models import User
from portal import demo_gate
from trading.actions.promotion import ask_for_promotion, carry_review, review_cohort
from trading.actions.promotion_tick import tick_reviews
from trading.desk.drive import run_desks
from trading.models.cohort import Cohort, CohortMode, CohortStatus
from trading.models.promotion import BEFORE_CAPITAL, WATCHED, PromotionReview, ReviewState
from trading.promotion.rules import WatchPolicy, rules_in_force
from treasury.actions.bankroll import SET_POOL, pool_slice_amount
from treasury.models import BankrollPool, Fund

Say = Callable[[str], None]
#: Simulated seconds for each real one: the days behind the cohort's window pass while somebody watches.
SPEED = Decimal(300)
AS_FAST_AS_CAN_BE = Decimal(0)
#: A slice of it is 1,000: what micro-live limits let one order be of that is still a few lots of any market.
CAPACITY = "20000"
SET_RULES = "trading.set_gate_policy"
#: The first version: a day, a tenth of a percent, and a profit that no slice makes in a day.
STRICT: dict[str, Any] = {"days": 1.0, "drawdown_frac": 0.001, "graduate_min_roi": 0.05}
#: The second, for what trades live: the shipped rules over two days, ten minutes of a demo.
SHORT: dict[str, Any] = {"days": 2.0}
#: Turns in which no desk had a bar to work, after which a rehearsal that has not ended is left to the workers.
STILL_TURNS = 3
REHEARSAL_REASON = "A rehearsal with paper money under a strict watch: does what disappoints come back by itself?"
LIVE_REASON = "A rehearsal with paper money, to see the watch and the rollback at work."


def make_promotion(fund: Fund, cohorts: Sequence[Cohort], *, say: Say) -> None:
    """Run twice it adds nothing."""
    make_pool(fund, cohorts, say=say)
    finished = [cohort for cohort in cohorts if _finished(cohort)]
    if not finished:
        return
    if rules_in_force()[0] == 0:
        rehearse(finished[-1] if len(finished) == 1 else finished[1], say=say)
    if rules_in_force()[0] == 1:
        set_watch(SHORT, reason="Demo: the watch as shipped, over two days instead of seven: six are stored.", say=say)
    reviews = [make_review(cohort) for cohort in finished]
    if not PromotionReview.objects.filter(state__in=(*WATCHED, ReviewState.GRADUATED)).exists():
        fresh = next((r for r in reviews if r.deployment is None and r.agent is not None), None)
        if fresh is not None and promote(fresh, speed=SPEED, reason=LIVE_REASON):
            verdict = "passed" if fresh.passed else "refused it; overridden with a reason"
            say(f"{fresh.cohort}'s candidate trades a slice of the pool under watch (the gate {verdict}).")


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
    pool = BankrollPool.objects.get(fund=fund)
    say(f"The bankroll pool holds {pool.capacity:,.0f} {quote}; a slice is {pool_slice_amount(pool):,.0f}.")


def _finished(cohort: Cohort) -> bool:
    return cohort.mode == CohortMode.REPLAY and cohort.status == CohortStatus.COMPLETED


def make_review(cohort: Cohort) -> PromotionReview:
    """The cohort's Day-3 review, as far as it goes by itself."""
    return carry_review(review=review_cohort(cohort=cohort, actor=None))


def set_watch(changes: Mapping[str, Any], *, reason: str, say: Say) -> None:
    """The rules as shipped with another watch, by a signed request."""
    _, rules = rules_in_force()
    watch = WatchPolicy.model_validate({**WatchPolicy().model_dump(), **changes})
    demo_gate.sign(SET_RULES, {"rules": rules.model_copy(update={"watch": watch}).as_text()}, reason=reason)
    said = ", ".join(f"{name} {value:g}" for name, value in changes.items())
    say(f"Rules {rules_in_force()[0]} of the Day-3 gate: as shipped but for the watch ({said}).")


def rehearse(cohort: Cohort, *, say: Say) -> None:
    """A candidate to capital under a strict watch, as fast as can be, until the meters have brought it back."""
    set_watch(STRICT, reason="Demo: a strict watch, to see a rollback to its end within the stored candles.", say=say)
    review = make_review(cohort)
    if not promote(review, speed=AS_FAST_AS_CAN_BE, reason=REHEARSAL_REASON):
        return
    still = 0
    while review.settled_at is None and still < STILL_TURNS:
        still = 0 if run_desks() else still + 1
        tick_reviews()
        review.refresh_from_db()
    say(f"{cohort}'s candidate: {review.get_state_display().lower()}. {review.end_words}")


def promote(review: PromotionReview, *, speed: Decimal, reason: str) -> bool:
    """The review's candidate to capital, with a reason where the gate's verdict is no; False where it goes nowhere."""
    if review.agent is None or review.state not in (*BEFORE_CAPITAL, ReviewState.REJECTED):
        return False
    if review.request is None:
        review = ask_for_promotion(
            review=review,
            actor=User.objects.get(username=demo_gate.MAKER),
            override_reason="" if review.passed else reason,
            speed=speed,
        )
    assert review.request is not None  # noqa: S101 - asking has made it
    demo_gate.carry_on_signed(review.request)
    return True
