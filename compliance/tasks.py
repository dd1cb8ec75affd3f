"""The gate's work in the background: executing what was released, ending what nobody finished."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from compliance.actions import approval_execution, approvals


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
