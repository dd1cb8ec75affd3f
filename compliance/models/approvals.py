"""The gate: policies, requests, what was signed, who signed it, and what came of it.

The rules that no program may break (separated people, quorum, order of states, payloads that stand still) are
triggers in migrations/sql/approval_rules.sql; this file holds the shape.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from compliance.models.people import Person
from fundops.core.models import User


def _person(related_name: str = "+", *, null: bool = False) -> models.ForeignKey[Person]:
    return models.ForeignKey(Person, on_delete=models.PROTECT, related_name=related_name, null=null, blank=null)


def _account(related_name: str = "+", *, null: bool = False) -> models.ForeignKey[User]:
    return models.ForeignKey(User, on_delete=models.PROTECT, related_name=related_name, null=null, blank=null)


class RequestState(models.TextChoices):
    DRAFT = "draft", "Draft"
    SUBMITTED = "submitted", "Submitted"
    PARTIALLY_APPROVED = "partially_approved", "Partially approved"
    APPROVED = "approved", "Approved"
    EXECUTING = "executing", "Executing"
    EXECUTED = "executed", "Executed"
    FAILED = "failed", "Failed"
    REJECTED = "rejected", "Rejected"
    WITHDRAWN = "withdrawn", "Withdrawn"
    EXPIRED = "expired", "Expired"
    SUPERSEDED = "superseded", "Superseded"


#: Votes are taken in these.
VOTING = frozenset({RequestState.SUBMITTED, RequestState.PARTIALLY_APPROVED})
#: The clock runs in these.
EXPIRING = VOTING | {RequestState.APPROVED}


class Decision(models.TextChoices):
    APPROVE = "approve", "Approve"
    REJECT = "reject", "Reject"
    BREAK_GLASS = "break_glass", "Break glass"


class ApprovalPolicy(models.Model):
    """One version of the rules for one kind of action. Rows come only from an executed request; the highest
    version is in force."""

    append_only: ClassVar[bool] = True

    kind = models.CharField(max_length=120, help_text="The kind of action these rules are for.")
    version = models.PositiveIntegerField()
    document = models.JSONField(help_text="The bands, as compliance.approvals.policy reads them.")
    sha256 = models.CharField(max_length=64)
    request = models.ForeignKey(
        "compliance.ApprovalRequest",
        null=True,
        on_delete=models.PROTECT,
        related_name="policies_made",
        help_text="The approved request that made it; empty only for the founding policy.",
    )
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        permissions = [("propose_policy", "Can ask for the rules of a kind of action to be changed")]
        constraints = [
            models.UniqueConstraint(fields=["kind", "version"], name="compliance_policy_version_once"),
            models.CheckConstraint(condition=Q(version__gte=1), name="compliance_policy_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} policy {self.version}"


class ApprovalRequest(models.Model):
    """One wish to change money, risk or access, from its draft to what came of it."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    kind = models.CharField(max_length=120)
    object_type = models.CharField(max_length=100, blank=True)
    object_id = models.CharField(max_length=100, blank=True)
    object_label = models.CharField(max_length=200, blank=True)
    payload = models.JSONField()
    version = models.PositiveIntegerField(default=1)
    amount = models.DecimalField(max_digits=38, decimal_places=18, null=True, blank=True)
    evidence = models.JSONField(default=list, help_text="Names and SHA-256 of what supports it.")
    reason = models.CharField(max_length=400)
    state = models.CharField(max_length=20, choices=RequestState, default=RequestState.DRAFT)
    maker = _account("approval_requests")
    maker_person = _person("approval_requests")
    supersedes = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="superseded_by"
    )
    created_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    break_glass = models.BooleanField(default=False)
    review_due_at = models.DateTimeField(null=True, blank=True)
    released_by = _account(null=True)
    released_person = _person(null=True)
    released_at = models.DateTimeField(null=True, blank=True)
    executing_xid = models.BigIntegerField(
        null=True, blank=True, editable=False, help_text="The transaction that executes it, inside it alone."
    )
    finished_at = models.DateTimeField(null=True, blank=True)
    closing_note = models.CharField(max_length=400, blank=True)

    history = HistoricalRecords()

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("propose_request", "Can draft and submit approval requests"),
            ("decide_request", "Can approve and reject requests"),
            ("release_request", "Can release approved requests for execution"),
            ("review_request", "Can review what was done behind broken glass"),
        ]
        ordering = ("-created_at",)
        indexes = [
            models.Index(fields=["state", "expires_at"], name="compliance_request_due"),
            models.Index(fields=["kind", "-created_at"], name="compliance_request_kind"),
            models.Index(fields=["object_type", "object_id"], name="compliance_request_object"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=RequestState.values), name="compliance_request_state_known"),
            models.CheckConstraint(
                condition=Q(released_person=None) | ~Q(released_person=models.F("maker_person")),
                name="compliance_request_releaser_not_maker",
            ),
            models.CheckConstraint(
                condition=Q(amount=None) | Q(amount__gte=0), name="compliance_request_amount_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {str(self.pk)[:8]}"


class ApprovalStatement(models.Model):
    """What one version of a request says, word for word: the text that approvers sign."""

    append_only: ClassVar[bool] = True

    request = models.ForeignKey(ApprovalRequest, on_delete=models.PROTECT, related_name="statements")
    version = models.PositiveIntegerField()
    policy = models.ForeignKey(ApprovalPolicy, on_delete=models.PROTECT, related_name="statements")
    canonical = models.TextField(help_text="RFC 8785 JSON.")
    sha256 = models.CharField(max_length=64)
    quorum = models.JSONField(help_text="How many people of which role.")
    break_glass_roles = models.JSONField(default=list)
    releaser_roles = models.JSONField()
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["request", "version"], name="compliance_statement_version_once"),
        ]

    def __str__(self) -> str:
        return f"statement {self.sha256[:12]}"


class ApprovalDecision(models.Model):
    """One person's signed word on one statement."""

    append_only: ClassVar[bool] = True

    request = models.ForeignKey(ApprovalRequest, on_delete=models.PROTECT, related_name="decisions")
    statement = models.ForeignKey(ApprovalStatement, on_delete=models.PROTECT, related_name="decisions")
    decision = models.CharField(max_length=12, choices=Decision)
    role = models.CharField(max_length=60, help_text="The role the vote counts for.")
    actor = _account("approval_decisions")
    person = _person("approval_decisions")
    comment = models.CharField(max_length=400, blank=True)
    at = models.DateTimeField()
    signed_sha256 = models.CharField(max_length=64, help_text="Of the statement with the decision in it.")
    proof_kind = models.CharField(max_length=12)
    proof = models.JSONField(help_text="What proved the person; for a passkey its whole assertion.")
    signature = models.CharField(
        max_length=64,
        unique=True,
        help_text="HMAC-SHA256 of hash, proof and time under the product's key.",
    )

    class Meta:
        default_permissions = ("view",)
        ordering = ("at", "pk")
        constraints = [
            models.UniqueConstraint(fields=["statement", "person"], name="compliance_decision_person_once"),
            models.UniqueConstraint(fields=["signed_sha256"], name="compliance_decision_signed_once"),
            models.CheckConstraint(condition=Q(decision__in=Decision.values), name="compliance_decision_known"),
        ]

    def __str__(self) -> str:
        return f"{self.decision} of {self.request_id}"


class ApprovalExecution(models.Model):
    """What came of a released request. One row a request: it cannot be executed twice."""

    append_only: ClassVar[bool] = True

    request = models.OneToOneField(ApprovalRequest, on_delete=models.PROTECT, related_name="execution")
    statement = models.ForeignKey(ApprovalStatement, on_delete=models.PROTECT, related_name="+")
    outcome = models.CharField(max_length=20, help_text="executed or failed")
    result = models.JSONField(default=dict)
    error_code = models.CharField(max_length=80, blank=True)
    error = models.CharField(max_length=400, blank=True)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=["executed", "failed"]), name="compliance_execution_outcome_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.outcome} {self.request_id}"


class ApprovalReview(models.Model):
    """The later look at what was done behind broken glass."""

    append_only: ClassVar[bool] = True

    request = models.OneToOneField(ApprovalRequest, on_delete=models.PROTECT, related_name="review")
    reviewer = _account("approval_reviews")
    person = _person("approval_reviews")
    justified = models.BooleanField()
    comment = models.CharField(max_length=1000)
    at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"review of {self.request_id}"
