"""One checker in an emergency: signed, told, and reviewed afterwards by somebody else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.approvals import report_overdue_reviews, review_request
from compliance.approvals.errors import BreakGlassError, PayloadError, SamePersonError, TransitionRefusedError
from compliance.models import ApprovalRequest, AuditEvent, Decision, RequestState
from fundops.core import clock
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.approvals.support import People, approved, ask, policy_document, set_policy, staff, vote

pytestmark = pytest.mark.django_db


def broken(people: People) -> ApprovalRequest:
    request = ask(people)
    vote(request, people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS, "The venue is failing.")
    release_request(request_id=request.pk, actor=people.releaser)
    execute_request(request_id=request.pk)
    request.refresh_from_db()
    return request


def test_one_officer_breaks_the_glass_and_another_reviews_it(people: People) -> None:
    request = broken(people)
    assert (request.state, request.break_glass) == (RequestState.EXECUTED, True)
    assert request.approved_at is not None
    assert request.review_due_at == request.approved_at + timedelta(hours=12)
    review_request(request_id=request.pk, justified=True, comment="It was.", actor=people.reviewer)
    with pytest.raises(TransitionRefusedError):
        review_request(request_id=request.pk, justified=False, comment="No.", actor=people.reviewer)
    kinds = AuditEvent.objects.filter(object_id=str(request.pk)).values_list("kind", flat=True)
    assert {"compliance.approval.glass_broken", "compliance.approval.reviewed"} <= set(kinds)


def test_the_reason_must_be_said(people: People) -> None:
    with pytest.raises(PayloadError):
        vote(ask(people), people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS)


def test_not_everybody_breaks_the_glass(people: People) -> None:
    with pytest.raises(BreakGlassError):
        vote(ask(people), people.operations, Role.OPERATIONS, Decision.BREAK_GLASS, "Now!")


def test_where_the_policy_has_no_glass_none_is_broken(people: People) -> None:
    set_policy(people, policy_document(break_glass=None))
    with pytest.raises(BreakGlassError):
        vote(ask(people), people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS, "Now!")


def test_who_broke_it_does_not_review_it(people: People) -> None:
    request = broken(people)
    second = staff("rick_two", Role.COMPLIANCE_OFFICER, reference="staff-rick")
    with pytest.raises(SamePersonError):
        review_request(request_id=request.pk, justified=True, comment="Fine.", actor=second)
    with pytest.raises(PermissionMissingError):
        review_request(request_id=request.pk, justified=True, comment="Fine.", actor=people.operations)


def test_an_overdue_review_is_told_once_and_stops_the_next_break(people: People) -> None:
    request = broken(people)
    assert report_overdue_reviews() == 0
    with clock.frozen(clock.now() + timedelta(hours=13)):
        assert report_overdue_reviews() == 1
        assert report_overdue_reviews() == 0
        with pytest.raises(BreakGlassError, match="reviewed"):
            vote(ask(people), people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS, "Again.")
        review_request(request_id=request.pk, justified=False, comment="Was not.", actor=people.reviewer)
        vote(ask(people), people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS, "Again.")


def test_without_broken_glass_there_is_nothing_to_review(people: People) -> None:
    with pytest.raises(TransitionRefusedError):
        review_request(request_id=approved(people).pk, justified=True, comment="?", actor=people.reviewer)


def test_who_alone_could_review_it_leaves_the_release_to_others(people: People) -> None:
    def glass_broken() -> ApprovalRequest:
        request = ask(people)
        vote(request, people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS, "The venue is failing.")
        return request

    first, second = glass_broken(), glass_broken()
    with pytest.raises(SamePersonError, match="only you are left"):
        release_request(request_id=first.pk, actor=people.reviewer)
    other = staff("cleo", Role.COMPLIANCE_OFFICER)
    release_request(request_id=first.pk, actor=people.reviewer)
    # One who broke it, or an account that was closed, is nobody else: then it is released rather than left lying.
    User.objects.exclude(pk__in=[people.reviewer.pk, people.risk.pk]).update(is_active=False)
    release_request(request_id=second.pk, actor=people.reviewer)
    assert not User.objects.get(pk=other.pk).is_active


def test_where_nobody_is_left_to_review_it_anybody_releases_it(people: People) -> None:
    User.objects.filter(pk=people.reviewer.pk).update(is_active=False)
    request = ask(people)
    vote(request, people.risk, Role.RISK_OFFICER, Decision.BREAK_GLASS, "The venue is failing.")
    assert release_request(request_id=request.pk, actor=people.releaser).released_by == people.releaser
