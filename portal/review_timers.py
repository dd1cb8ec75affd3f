"""What comes next for a review, and until when: the deadlines of its request, of itself and of its watch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from compliance.models import RequestState
from fundops.core import clock
from trading.models.promotion import WATCHED, PromotionReview, ReviewState
from trading.promotion.rules import PromotionRules

OPEN = (RequestState.SUBMITTED, RequestState.PARTIALLY_APPROVED, RequestState.APPROVED)
UNDER_REQUEST = (ReviewState.AWAITING_APPROVAL, ReviewState.APPROVED)


@dataclass(frozen=True, slots=True)
class Timer:
    """One deadline, by the wall's clock: ``until`` says what happens then."""

    at: datetime
    until: str


def timers_of(review: PromotionReview, rules: PromotionRules) -> list[Timer]:
    """The deadlines that run now, the nearest first."""
    found = []
    request = review.request
    if request is not None and request.state in OPEN and request.expires_at and review.state in UNDER_REQUEST:
        found.append(Timer(request.expires_at, "its request expires unsigned"))
    if review.state == ReviewState.SCREENED:
        at = review.compiled_at + timedelta(hours=rules.watch.request_hours)
        found.append(Timer(at, "it expires without capital"))
    ends = watch_ends(review)
    if ends is not None:
        found.append(Timer(ends, "its watch ends"))
    return sorted(found, key=lambda timer: timer.at)


def watch_ends(review: PromotionReview) -> datetime | None:
    """When the watch ends by the wall's clock, at the pace of its desk; None where no pace tells."""
    deployment = review.deployment
    if review.state not in WATCHED or deployment is None or review.watch_until_ms is None:
        return None
    if deployment.speed == 1.0:
        return clock.from_ms(review.watch_until_ms)
    if deployment.speed == 0.0 or deployment.running_since is None:
        return None
    market = timedelta(milliseconds=review.watch_until_ms - deployment.start_ms)
    return deployment.running_since + market / deployment.speed


def next_in_words(review: PromotionReview, rules: PromotionRules) -> str:
    """What happens next, and what would change it."""
    watch = rules.watch
    match ReviewState(review.state):
        case ReviewState.COMPILED:
            return "Its candidates are screened."
        case ReviewState.SCREENED:
            return "Two signatures are asked for."
        case ReviewState.AWAITING_APPROVAL:
            return "Risk and operations sign, somebody else releases it; then the candidate gets its slice."
        case ReviewState.APPROVED:
            return "Somebody who had no part in it releases it; then the candidate gets its slice."
        case ReviewState.DEPLOYED:
            return "Its desk starts, and the watch with it."
        case ReviewState.MONITORING:
            return (
                f"After {watch.days:g} days of market time it graduates, given {watch.graduate_min_fills} fills and a "
                f"return above {watch.graduate_min_roi:.1%}; else it is rolled back. A meter that fires does so sooner."
            )
        case ReviewState.GRADUATED:
            return "It trades on under the limits of its Book; no timer runs."
        case ReviewState.ROLLED_BACK if review.settled_at is None:
            return "Its desk sells what it holds and hands the bankroll back; then the post-mortem is drafted."
        case ReviewState.ROLLED_BACK:
            return "People complete the post-mortem. Its genome counts for less where others are chosen."
        case ReviewState.REJECTED:
            return "Nothing, unless somebody who may sends it on against the verdict, with a reason."
        case ReviewState.EXPIRED:
            return "Nothing: it is over."
