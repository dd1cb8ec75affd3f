"""The one place where the database's refusals become the errors of the gate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.db import DatabaseError

from compliance.approvals import errors

_BY_STATE: dict[str, type[errors.ApprovalError]] = {
    "23A01": errors.TransitionRefusedError,
    "23A02": errors.SamePersonError,
    "23A03": errors.StandsStillError,
    "23A04": errors.StatementChangedError,
    "23A05": errors.QuorumLostError,
    "23A06": errors.RoleNotAskedError,
    "23A07": errors.ExecutionRecordError,
    "23A08": errors.RequestExpiredError,
    "23A09": errors.NotApprovedError,
}
_BY_CONSTRAINT: dict[str, tuple[type[errors.ApprovalError], str]] = {
    "compliance_decision_person_once": (
        errors.AlreadyDecidedError,
        "You have decided on this version already. One person has one vote.",
    ),
    "compliance_decision_signed_once": (errors.AlreadyDecidedError, "That signature has been given already."),
    "compliance_request_releaser_not_maker": (
        errors.SamePersonError,
        "You made this request. Let somebody else release it.",
    ),
    "compliance_personaccount_account_id_key": (
        errors.AccountLinkError,
        "The account belongs to a person already, and for good. Make a new account instead.",
    ),
}


def refusal_of(error: DatabaseError) -> errors.ApprovalError | None:
    """The refusal a database error stands for, or None when it is not one of the gate's."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error):
        return None
    if cause.sqlstate in _BY_STATE:
        return _BY_STATE[cause.sqlstate](cause.diag.message_primary or "Refused by the database.")
    if cause.diag.constraint_name in _BY_CONSTRAINT:
        kind, message = _BY_CONSTRAINT[cause.diag.constraint_name]
        return kind(message)
    return None


@contextmanager
def refusals() -> Iterator[None]:
    """Turns the gate's refusals into their errors; wrap it around the transaction, not inside it."""
    try:
        yield
    except DatabaseError as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        raise refusal from error
