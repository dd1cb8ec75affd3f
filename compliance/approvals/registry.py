"""What may pass the gate: each kind of action with its payload, its picture, its re-check and its executor.

An app declares a kind by decorating the executor; what the decorator returns can only be called by the gate,
with a warrant for an approved request that this very transaction is executing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection
from pydantic import BaseModel, ConfigDict, ValidationError

from compliance.approvals.canonical import digest, plain
from compliance.approvals.errors import NotApprovedError, PayloadError, UnknownKindError
from compliance.models import ApprovalRequest, RequestState
from compliance.models.audit import CurrentTransaction
from fundops.core.models import User


class ActionPayload(BaseModel):
    """The base of typed payloads: nothing unknown, nothing changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=ActionPayload)


@dataclass(frozen=True, slots=True)
class DisplayedField:
    """One line of what the approver sees: what is so today, and what would be."""

    label: str
    now: str
    then: str

    def as_json(self) -> dict[str, str]:
        return {"label": self.label, "now": self.now, "then": self.then}


@dataclass(frozen=True, slots=True)
class Target:
    """What the action is about: a model's label, a key and a name to read."""

    type: str = ""
    id: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Warrant:
    """Names the request under which an executor acts. It proves nothing by itself: the database is asked."""

    request_id: UUID
    actor: User


Executor = Callable[[P, Warrant], Mapping[str, Any]]


def _no_amount(_payload: Any) -> Decimal | None:
    return None


def _no_target(_payload: Any) -> Target:
    return Target()


def _no_check(_payload: Any) -> None:
    return None


def _nobody(_payload: Any) -> Collection[int]:
    return ()


@dataclass(frozen=True, slots=True)
class Action(Generic[P]):
    """A kind of action. Calling it is its execution, and needs a warrant that holds."""

    kind: str
    title: str
    payload_type: type[P]
    maker_permission: str
    render: Callable[[P], Sequence[DisplayedField]]
    recheck: Callable[[P], None]
    amount: Callable[[P], Decimal | None]
    target: Callable[[P], Target]
    interested: Callable[[P], Collection[int]]
    _executor: Executor[P]

    def read(self, payload: object) -> P:
        """The typed payload; raises PayloadError saying what to change."""
        if isinstance(payload, self.payload_type):
            return payload
        try:
            return self.payload_type.model_validate(payload)
        except ValidationError as error:
            told = [f"{'.'.join(map(str, e['loc'])) or 'payload'}: {e['msg']}" for e in error.errors()]
            raise PayloadError("Change the payload: " + "; ".join(told), errors=told) from error

    def write(self, payload: P) -> dict[str, Any]:
        """The payload as it is stored and signed: decimals and times as text."""
        written: dict[str, Any] = plain(payload.model_dump(mode="python"))
        return written

    def __call__(self, payload: object, warrant: Warrant | None = None) -> dict[str, Any]:
        """Executes. Raises NotApprovedError unless this transaction executes the warrant's request, and the
        payload is the one it was approved for."""
        if not isinstance(warrant, Warrant) or not connection.in_atomic_block:
            raise NotApprovedError(f"'{self.kind}' is done through an approved request, and no other way.")
        request = ApprovalRequest.objects.filter(
            pk=warrant.request_id,
            kind=self.kind,
            state=RequestState.EXECUTING,
            executing_xid=CurrentTransaction(),
        ).first()
        if request is None:
            raise NotApprovedError(f"No approved request for this '{self.kind}' is being executed here.")
        typed = self.read(payload)
        if digest(self.write(typed)) != digest(request.payload):
            raise NotApprovedError("This is not the payload that was approved.")
        if request.released_by_id != warrant.actor.pk:
            raise NotApprovedError("The warrant names somebody who did not release the request.")
        result: dict[str, Any] = plain(self._executor(typed, warrant))
        return result


def require_execution(warrant: Warrant | None, *kinds: str) -> None:
    """For the actions that do what executors are for: raises NotApprovedError unless this very transaction
    executes the warrant's request, and it is of one of ``kinds``."""
    if not isinstance(warrant, Warrant) or not connection.in_atomic_block:
        raise NotApprovedError(f"This is done through an approved request ({' or '.join(kinds)}), and no other way.")
    running = ApprovalRequest.objects.filter(
        pk=warrant.request_id,
        kind__in=kinds,
        state=RequestState.EXECUTING,
        executing_xid=CurrentTransaction(),
        released_by_id=warrant.actor.pk,
    )
    if not running.exists():
        raise NotApprovedError(f"No approved request ({' or '.join(kinds)}) is being executed here.")


_actions: dict[str, Action[Any]] = {}


def register_action(
    *,
    kind: str,
    title: str,
    payload: type[P],
    maker_permission: str,
    render: Callable[[P], Sequence[DisplayedField]],
    recheck: Callable[[P], None] = _no_check,
    amount: Callable[[P], Decimal | None] = _no_amount,
    target: Callable[[P], Target] = _no_target,
    interested: Callable[[P], Collection[int]] = _nobody,
) -> Callable[[Executor[P]], Action[P]]:
    """Declares a kind of action by decorating its executor.

    The executor runs inside the transaction that records its outcome, so it writes to the database and
    nowhere else: an effect outside belongs into a task that starts on commit. ``render`` is run again before
    the execution; when it says something else than what was signed, the request fails as stale. ``interested``
    names the accounts whom the action is about: their people neither ask for it, nor decide, nor release it.
    """

    def decorate(executor: Executor[P]) -> Action[P]:
        if kind in _actions:
            raise RuntimeError(f"The action '{kind}' is registered twice.")
        action = Action(kind, title, payload, maker_permission, render, recheck, amount, target, interested, executor)
        _actions[kind] = action
        return action

    return decorate


def action_for(kind: str) -> Action[Any]:
    """The action of that kind; raises UnknownKindError."""
    try:
        return _actions[kind]
    except KeyError:
        raise UnknownKindError(f"There is no action '{kind}' to approve. See the list of kinds.") from None


def registered_actions() -> tuple[Action[Any], ...]:
    """Every kind there is, by name."""
    return tuple(_actions[kind] for kind in sorted(_actions))
