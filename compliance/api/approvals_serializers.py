"""How the gate looks in the API: what comes in, and what goes out."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from compliance.approvals.policy import ProofKind
from compliance.models import (
    ApprovalDecision,
    ApprovalExecution,
    ApprovalPolicy,
    ApprovalRequest,
    ApprovalReview,
    ApprovalStatement,
    Decision,
)
from fundops.core.roles import Role


# --- In -----------------------------------------------------------------------------------------------------
class EvidenceSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200)
    sha256 = serializers.RegexField(r"^[0-9a-f]{64}$")


class DraftSerializer(serializers.Serializer[Any]):
    """A new request. ``payload`` is as the kind's schema says (`/api/approvals/kinds/`)."""

    kind = serializers.CharField(max_length=120)
    payload = serializers.JSONField()
    reason = serializers.CharField(max_length=400)
    evidence = EvidenceSerializer(many=True, required=False)
    supersedes = serializers.UUIDField(required=False, allow_null=True)


class EditSerializer(serializers.Serializer[Any]):
    payload = serializers.JSONField()
    reason = serializers.CharField(max_length=400, required=False)
    evidence = EvidenceSerializer(many=True, required=False)


class WithdrawSerializer(serializers.Serializer[Any]):
    note = serializers.CharField(max_length=400, required=False, default="", allow_blank=True)


class PrepareSerializer(serializers.Serializer[Any]):
    """Which decision, in which role; the comment is signed too."""

    decision = serializers.ChoiceField(choices=Decision.choices)
    role = serializers.ChoiceField(choices=[role.value for role in Role])
    comment = serializers.CharField(max_length=400, required=False, default="", allow_blank=True)


class DecideSerializer(PrepareSerializer):
    """The decision with the hash of what was shown, and the proof over it."""

    signed_sha256 = serializers.RegexField(r"^[0-9a-f]{64}$")
    proof_kind = serializers.ChoiceField(choices=[kind.value for kind in ProofKind])
    proof = serializers.JSONField(help_text='{"code": "123456"}, or the passkey\'s assertion as the browser gives it.')


class ReviewInSerializer(serializers.Serializer[Any]):
    justified = serializers.BooleanField()
    comment = serializers.CharField(max_length=1000)


# --- Out ----------------------------------------------------------------------------------------------------
class ToSignSerializer(serializers.Serializer[Any]):
    """Show ``document``, sign ``sha256``: with a passkey its challenge is that hash."""

    document = serializers.JSONField()
    sha256 = serializers.CharField()
    proofs = serializers.ListField(child=serializers.CharField())
    passkey = serializers.JSONField(allow_null=True)


class DecisionSerializer(serializers.ModelSerializer[ApprovalDecision]):
    actor = serializers.CharField(source="actor.username")
    person = serializers.CharField(source="person.full_name")
    version = serializers.IntegerField(source="statement.version")

    class Meta:
        model = ApprovalDecision
        fields = (
            "id", "version", "decision", "role", "actor", "person", "comment", "at", "signed_sha256",
            "proof_kind", "signature",
        )  # fmt: skip


class StatementSerializer(serializers.ModelSerializer[ApprovalStatement]):
    content = serializers.SerializerMethodField()

    class Meta:
        model = ApprovalStatement
        fields = ("version", "sha256", "content", "quorum", "releaser_roles", "break_glass_roles", "expires_at")

    @extend_schema_field(serializers.JSONField())
    def get_content(self, statement: ApprovalStatement) -> Any:
        return json.loads(statement.canonical)


class ExecutionSerializer(serializers.ModelSerializer[ApprovalExecution]):
    class Meta:
        model = ApprovalExecution
        fields = ("outcome", "result", "error_code", "error", "at")


class ReviewSerializer(serializers.ModelSerializer[ApprovalReview]):
    reviewer = serializers.CharField(source="reviewer.username")

    class Meta:
        model = ApprovalReview
        fields = ("reviewer", "justified", "comment", "at")


class RequestSerializer(serializers.ModelSerializer[ApprovalRequest]):
    """A request in a list."""

    maker = serializers.CharField(source="maker.username")
    maker_person = serializers.CharField(source="maker_person.full_name")
    released_by = serializers.CharField(source="released_by.username", allow_null=True, default=None)

    class Meta:
        model = ApprovalRequest
        fields = (
            "id", "kind", "object_type", "object_id", "object_label", "state", "version", "amount", "reason",
            "maker", "maker_person", "created_at", "submitted_at", "expires_at", "approved_at", "break_glass",
            "review_due_at", "released_by", "released_at", "finished_at", "closing_note", "supersedes",
        )  # fmt: skip


class RequestDetailSerializer(RequestSerializer):
    """A request with all that was said, signed and done, of former versions too."""

    statements = StatementSerializer(many=True)
    decisions = DecisionSerializer(many=True)
    execution = ExecutionSerializer(allow_null=True, default=None)
    review = ReviewSerializer(allow_null=True, default=None)

    class Meta(RequestSerializer.Meta):
        fields = (  # type: ignore[assignment]
            *RequestSerializer.Meta.fields,
            "payload", "evidence", "statements", "decisions", "execution", "review",
        )  # fmt: skip


class PolicySerializer(serializers.ModelSerializer[ApprovalPolicy]):
    class Meta:
        model = ApprovalPolicy
        fields = ("id", "kind", "version", "document", "sha256", "request", "created_at")


class KindSerializer(serializers.Serializer[Any]):
    """A kind of action that passes the gate, and the schema of its payload."""

    kind = serializers.CharField()
    title = serializers.CharField()
    maker_permission = serializers.CharField()
    payload_schema = serializers.JSONField()
    policy_version = serializers.IntegerField(allow_null=True)
