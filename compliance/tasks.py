"""The gate's work in the background: executing what was released, ending what nobody finished."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from compliance.actions import approval_execution, approvals, verifications
from fundops.core.models import User


@shared_task(name="compliance.tasks.execute_approval")
def execute_approval(request_id: str) -> None:
    """Executes one released request; again and again changes nothing."""
    approval_execution.execute_request(request_id=UUID(request_id))


@shared_task(name="compliance.tasks.tick_approvals")
def tick_approvals() -> None:
    """Ends what has expired, takes up what a dead worker left, and tells of overdue reviews."""
    approvals.expire_requests()
    approval_execution.resume_executions()
    approvals.report_overdue_reviews()


@shared_task(name=verifications.VERIFY_TASK)
def verify_chain(actor_id: int | None = None) -> None:
    """Proves the audit chain and records the verdict: nightly by the schedule, or because somebody asked."""
    verifications.verify_and_record(actor=User.objects.filter(pk=actor_id).first() if actor_id else None)
