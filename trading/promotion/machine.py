"""The life of a review as a state machine; the database holds the same steps in a trigger."""

from __future__ import annotations

from statemachine import State, StateMachine
from statemachine.exceptions import TransitionNotAllowed

from trading.models.promotion import PromotionReview, ReviewState
from trading.promotion.errors import ReviewStepError


class ReviewMachine(StateMachine):
    """Works on the ``state`` field of a review; who may do what is asked elsewhere."""

    compiled = State(value=ReviewState.COMPILED.value, initial=True)
    screened = State(value=ReviewState.SCREENED.value)
    awaiting_approval = State(value=ReviewState.AWAITING_APPROVAL.value)
    approved = State(value=ReviewState.APPROVED.value)
    deployed = State(value=ReviewState.DEPLOYED.value)
    monitoring = State(value=ReviewState.MONITORING.value)
    graduated = State(value=ReviewState.GRADUATED.value)
    rolled_back = State(value=ReviewState.ROLLED_BACK.value, final=True)
    rejected = State(value=ReviewState.REJECTED.value)
    expired = State(value=ReviewState.EXPIRED.value, final=True)

    screen = compiled.to(screened)
    ask = screened.to(awaiting_approval) | rejected.to(awaiting_approval)
    ask_again = awaiting_approval.to(screened) | approved.to(screened)
    approve = awaiting_approval.to(approved)
    deploy = approved.to(deployed)
    begin_watch = deployed.to(monitoring)
    graduate = monitoring.to(graduated)
    roll_back = deployed.to(rolled_back) | monitoring.to(rolled_back) | graduated.to(rolled_back)
    reject = screened.to(rejected) | awaiting_approval.to(rejected) | approved.to(rejected)
    expire = screened.to(expired) | awaiting_approval.to(expired) | approved.to(expired)


def advance(review: PromotionReview, event: str) -> str:
    """Moves a review (in memory) by an event and returns where it stood; raises ReviewStepError where there is no such
    step."""
    before = str(review.state)
    machine = ReviewMachine(review, state_field="state")
    try:
        machine.send(event)
    except TransitionNotAllowed as error:
        raise ReviewStepError(
            f"This review is {ReviewState(before).label.lower()}: {event.replace('_', ' ')} is not possible any more, "
            "or not yet.",
            state=before,
            event=event,
        ) from error
    return before


def allowed_steps() -> set[tuple[str, str]]:
    """Every (from, to) the machine knows."""
    return {
        (str(state.value), str(transition.target.value))
        for state in ReviewMachine.states
        for transition in state.transitions
        if transition.target is not None
    }
