"""The life of a request as a state machine; the database holds the same steps in a trigger."""

from __future__ import annotations

from statemachine import State, StateMachine
from statemachine.exceptions import TransitionNotAllowed

from compliance.approvals.errors import TransitionRefusedError
from compliance.models import ApprovalRequest, RequestState


class RequestMachine(StateMachine):
    """Works on the ``state`` field of a request; who may do what is asked elsewhere."""

    draft = State(value=RequestState.DRAFT.value, initial=True)
    submitted = State(value=RequestState.SUBMITTED.value)
    partially_approved = State(value=RequestState.PARTIALLY_APPROVED.value)
    approved = State(value=RequestState.APPROVED.value)
    executing = State(value=RequestState.EXECUTING.value)
    executed = State(value=RequestState.EXECUTED.value, final=True)
    failed = State(value=RequestState.FAILED.value, final=True)
    rejected = State(value=RequestState.REJECTED.value, final=True)
    withdrawn = State(value=RequestState.WITHDRAWN.value, final=True)
    expired = State(value=RequestState.EXPIRED.value, final=True)
    superseded = State(value=RequestState.SUPERSEDED.value, final=True)

    submit = draft.to(submitted)
    revise = draft.to(draft) | submitted.to(draft) | partially_approved.to(draft) | approved.to(draft)
    count_vote = submitted.to(partially_approved) | partially_approved.to(partially_approved)
    approve = submitted.to(approved) | partially_approved.to(approved)
    reject = submitted.to(rejected) | partially_approved.to(rejected)
    withdraw = draft.to(withdrawn) | submitted.to(withdrawn) | partially_approved.to(withdrawn) | approved.to(withdrawn)
    expire = submitted.to(expired) | partially_approved.to(expired) | approved.to(expired)
    supersede = submitted.to(superseded) | partially_approved.to(superseded) | approved.to(superseded)
    release = approved.to(executing)
    succeed = executing.to(executed)
    fail = executing.to(failed)


def advance(request: ApprovalRequest, event: str) -> None:
    """Moves a request (in memory) by an event; raises TransitionRefusedError where there is no such step."""
    machine = RequestMachine(request, state_field="state")
    try:
        machine.send(event)
    except TransitionNotAllowed as error:
        raise TransitionRefusedError(
            f"This request is {RequestState(request.state).label.lower()}: "
            f"{event.replace('_', ' ')} is not possible any more, or not yet.",
            state=str(request.state),
            event=event,
        ) from error


def allowed_steps() -> set[tuple[str, str]]:
    """Every (from, to) the machine knows."""
    return {
        (str(state.value), str(transition.target.value))
        for state in RequestMachine.states
        for transition in state.transitions
        if transition.target is not None
    }
