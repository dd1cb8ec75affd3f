"""A limit through the gate: asked for, signed by two, released by a third, in force once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.approvals import draft_request, submit_request
from compliance.approvals.errors import NotApprovedError, PayloadError
from compliance.approvals.registry import Warrant, registered_actions
from compliance.models import ApprovalRequest
from fundops.core.errors import PermissionMissingError
from fundops.core.roles import Role
from risk.errors import LimitLevelsError, LimitScopeError
from risk.models import RiskLimit
from risk.quant.metrics import Metric
from tests.compliance.approvals.support import (
    People,
    carry_through,
    make_people,
    policy_document,
    set_policy,
    staff,
    vote,
)
from tests.risk.conftest import Tree
from tests.risk.gated import put_limit

KIND = "risk.set_limit"


@pytest.fixture
def people(db: None) -> People:
    cast = make_people()
    set_policy(cast, policy_document(KIND))
    return People(**(vars(cast) | {"maker": staff("rosa", Role.RISK_OFFICER)}))


def ask(people: People, tree: Tree, **changes: Any) -> ApprovalRequest:
    payload = {"book": tree.trend.path, "metric": "leverage", "soft": "1.5", "hard": "2"} | changes
    request = draft_request(kind=KIND, payload=payload, reason="Calm down.", actor=people.maker)
    return submit_request(request_id=request.pk, actor=people.maker)


def test_an_approved_limit_is_in_force_and_names_its_request(tree: Tree, people: People) -> None:
    request = carry_through(ask(people, tree), people)
    assert request.state == "executed", request.closing_note
    limit = RiskLimit.objects.get()
    assert (limit.hard, limit.soft, limit.book) == (Decimal(2), Decimal("1.5"), tree.trend)
    assert str(request.pk) in limit.reason
    assert request.execution.result["limit"] == limit.pk


def test_the_approver_sees_what_is_in_force_today(tree: Tree, people: People) -> None:
    put_limit(book=tree.trend, metric=Metric.LEVERAGE, hard=Decimal(4))
    statement = ask(people, tree).statements.get()
    assert '{"label":"Hard level","now":"4","then":"2"}' in statement.canonical


def test_when_the_limit_changes_meanwhile_the_request_is_stale(tree: Tree, people: People) -> None:
    request = ask(people, tree)
    vote(request, people.risk, Role.RISK_OFFICER)
    vote(request, people.operations, Role.OPERATIONS)
    release_request(request_id=request.pk, actor=people.releaser)
    between = put_limit(book=tree.trend, metric=Metric.LEVERAGE, hard=Decimal(3))
    record = execute_request(request_id=request.pk)
    assert record is not None and (record.outcome, record.error_code) == ("failed", "stale_request")
    assert RiskLimit.objects.get() == between


def test_what_the_action_would_refuse_is_refused_at_submission(tree: Tree, people: People) -> None:
    with pytest.raises(LimitLevelsError):
        ask(people, tree, soft="3")
    with pytest.raises(LimitScopeError):
        ask(people, tree, book="MAIN/nowhere")
    for bad in ({"hard": "-1"}, {"hard": "NaN"}, {"metric": "luck"}, {"hard": 1.5, "extra": 1}):
        with pytest.raises(PayloadError):
            ask(people, tree, **bad)
    assert not RiskLimit.objects.exists()


def test_who_may_not_set_limits_may_not_ask_for_one(tree: Tree, people: People) -> None:
    with pytest.raises(PermissionMissingError):
        draft_request(
            kind=KIND,
            payload={"book": tree.trend.path, "metric": "leverage", "hard": "2"},
            reason="Please",
            actor=people.operations,
        )


def test_the_executor_needs_its_approved_request(tree: Tree, people: People) -> None:
    request = ask(people, tree)
    action = next(found for found in registered_actions() if found.kind == KIND)
    for warrant in (None, Warrant(request_id=request.pk, actor=people.releaser)):
        with pytest.raises(NotApprovedError), transaction.atomic():
            action(request.payload, warrant)
    assert not RiskLimit.objects.exists()
