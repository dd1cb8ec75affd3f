"""Releasing and executing: exactly once, or not at all.

Releasing claims the request in one transaction; executing does the act, records its outcome and ends the
request in another. A process that dies between or within leaves a released request, which any worker takes up
again; the database's record of one execution a request is what makes it once.
"""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction

from compliance.approvals.errors import (
    DelegateError,
    QuorumLostError,
    RequestExpiredError,
    RoleNotAskedError,
    SamePersonError,
    TransitionRefusedError,
)
from compliance.approvals.evidence import check_evidence
from compliance.approvals.humans import records_of
from compliance.approvals.refusals import refusals
from compliance.approvals.registry import Action, Warrant, action_for
from compliance.approvals.statement import check_fresh, check_statement
from compliance.approvals.steps import hold, locked, step
from compliance.approvals.votes import check_interest, check_people, check_quorum, check_releaser, check_signature
from compliance.models import ApprovalExecution, ApprovalRequest, ApprovalStatement, Person, RequestState
from compliance.models.audit import CurrentTransaction
from compliance.selectors_approvals import (
    accounts_with,
    decisions_of,
    had_part,
    is_delegate,
    person_of,
    reviewers_of,
    statement_of,
)
from fundops.core import clock
from fundops.core.errors import FundopsError
from fundops.core.models import User
from fundops.core.permissions import require
from fundops.core.tasks import enqueue_on_commit

logger = logging.getLogger(__name__)

RELEASE = "compliance.release_request"
EXECUTE_TASK = "compliance.tasks.execute_approval"


def check_release(*, request: ApprovalRequest, actor: User) -> Person:
    """Who would release it: the actor's person; raises the reason why they may not, or not now."""
    person = _releaser(request, actor)
    if request.break_glass:
        _check_reviewer_left(request, person)
    return person


def _check_reviewer_left(request: ApprovalRequest, person: Person) -> None:
    """Whoever alone could review a broken glass leaves releasing it to others, where there are any."""
    own, able = records_of(person.pk), {reviewer.pk for reviewer in reviewers_of(request)}
    if not able or able - own:
        return
    for other in accounts_with(RELEASE).exclude(person_link__person__in=own):
        try:
            _releaser(request, other)
        except FundopsError:
            continue
        raise SamePersonError(
            "This must be reviewed afterwards by somebody who had no part in it, and only you are left for that. Let "
            "somebody else release it."
        )


def _releaser(request: ApprovalRequest, actor: User) -> Person:
    """Whom releasing it would be of; raises what forbids it to this very person."""
    require(actor, RELEASE)
    person = person_of(actor)
    if request.state != RequestState.APPROVED:
        raise TransitionRefusedError(
            f"This request is {RequestState(request.state).label.lower()}; only an approved one is released.",
            state=str(request.state),
        )
    statement = _check_all(request)
    if not {role.value for role in actor.roles} & set(statement.releaser_roles):
        raise RoleNotAskedError(f"Releasing takes one of: {', '.join(statement.releaser_roles)}.")
    if had_part(request, person):
        raise SamePersonError("You had a part in this request already. Let somebody else release it.")
    if is_delegate(person, of=request.maker_person, since=request.created_at, until=clock.now()):
        raise DelegateError("You act for the maker of this request. Let somebody else release it.")
    action = action_for(request.kind)
    check_interest(action, action.read(request.payload), [person.pk])
    return person


def release_request(*, request_id: UUID, actor: User) -> ApprovalRequest:
    """A third person lets an approved request go; everything is checked, and a worker executes it."""
    require(actor, RELEASE)
    person_of(actor)
    with refusals(), transaction.atomic():
        request = hold(request_id)
        person = check_release(request=request, actor=actor)
        request.released_by, request.released_person, request.released_at = actor, person, clock.now()
        step(
            request,
            "release",
            said="released",
            actor=actor,
            fields=["released_by", "released_person", "released_at"],
        )
        enqueue_on_commit(EXECUTE_TASK, str(request.pk))
    return request


def execute_request(*, request_id: UUID) -> ApprovalExecution | None:
    """Executes a released request, once; returns its record, or None while another worker is at it.

    The hashes, votes, people, roles, expiry and state of the world are checked again; what they refuse, and
    what the executor refuses, ends the request as failed, with nothing done. A lost database connection is
    raised: the request stays released, and is taken up again.
    """
    with transaction.atomic():
        request = locked(request_id, skip_locked=True)
        if request is None or request.state != RequestState.EXECUTING:
            return ApprovalExecution.objects.filter(request_id=request_id).first()
        _wait_for_others_on_its_object(request)
        ApprovalRequest.objects.filter(pk=request.pk).update(executing_xid=CurrentTransaction())
        statement = statement_of(request)
        if statement is None or request.released_by is None:
            raise QuorumLostError("There is nothing signed for this request.")
        record = _attempt(request, statement, request.released_by)
        record.save(force_insert=True)
        request.executing_xid, request.finished_at = None, record.at
        request.closing_note = record.error
        step(
            request,
            "succeed" if record.outcome == RequestState.EXECUTED else "fail",
            said=record.outcome,
            actor=request.released_by,
            fields=["executing_xid", "finished_at", "closing_note"],
            result=record.result,
            error=record.error,
            error_code=record.error_code,
        )
    return record


def _wait_for_others_on_its_object(request: ApprovalRequest) -> None:
    """Two requests about one object are executed one after the other: the later one sees what the first did, and
    is stale when its approvers did not."""
    if request.object_id:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
                [f"approval of {request.object_type} {request.object_id}"],
            )


def resume_executions() -> int:
    """Takes up what was released and not executed (a worker died); returns how many ended."""
    ended = 0
    waiting = ApprovalRequest.objects.filter(state=RequestState.EXECUTING).order_by("released_at")
    for request_id in waiting.values_list("pk", flat=True):
        try:
            ended += execute_request(request_id=request_id) is not None
        except Exception:
            # One that cannot even be ended must not keep the others waiting.
            logger.exception("The released request %s could not be executed; it waits.", request_id)
    return ended


def _attempt(request: ApprovalRequest, statement: ApprovalStatement, actor: User) -> ApprovalExecution:
    """The act and its checks in a savepoint: an unsaved record of what came of it."""
    record = ApprovalExecution(request=request, statement=statement)
    try:
        with transaction.atomic():
            _check_all(request)
            action = action_for(request.kind)
            record.result = action(request.payload, Warrant(request_id=request.pk, actor=actor))
            with connection.cursor() as cursor:
                # Checks that wait for the commit must speak now, while the act can still be undone alone.
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        record.outcome = RequestState.EXECUTED.value
    except (OperationalError, InterfaceError):
        raise
    except FundopsError as error:
        record.outcome, record.error_code, record.error = (
            RequestState.FAILED.value,
            error.code,
            error.message[:400],
        )
    except Exception as error:
        # Whatever the executor's fault is, it is recorded, and nothing of the act remains.
        logger.exception("The executor of %s failed.", request.kind)
        said = "The database refused it." if isinstance(error, DatabaseError) else str(error)
        record.outcome, record.error_code, record.error = (
            RequestState.FAILED.value,
            type(error).__name__[:80],
            said[:400],
        )
    record.at = clock.now()
    if record.outcome == RequestState.FAILED:
        record.result = {}
    return record


def _check_all(request: ApprovalRequest) -> ApprovalStatement:
    """Everything that must hold before the act: expiry, hashes, signatures, people, votes, rules, world."""
    statement = statement_of(request)
    if statement is None:
        raise QuorumLostError("There is nothing signed for this request.")
    if clock.now() > statement.expires_at:
        raise RequestExpiredError("This request has expired. Ask for a new one.")
    content = check_statement(statement, request)
    check_evidence(content["evidence"])
    decisions = list(decisions_of(statement))
    for decision in decisions:
        check_signature(decision, content)
    check_people(request, decisions)
    check_quorum(statement, decisions)
    check_releaser(request, statement)
    check_fresh(statement, content, request)
    action: Action[object] = action_for(request.kind)  # type: ignore[type-var]
    typed = action.read(request.payload)
    parts = [request.maker_person_id, request.released_person_id, *(decision.person_id for decision in decisions)]
    check_interest(action, typed, parts)
    action.recheck(typed)
    return statement
