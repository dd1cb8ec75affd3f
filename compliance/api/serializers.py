"""How audit events look in the API."""

from __future__ import annotations

from rest_framework import serializers

from compliance.models import AuditEvent


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    """An event with its place and hash in the chain; both are null until it is sealed."""

    seq = serializers.IntegerField(read_only=True, allow_null=True)
    hash = serializers.CharField(source="seal_hash", read_only=True, allow_null=True)
    actor = serializers.CharField(source="actor_label", read_only=True)

    class Meta:
        model = AuditEvent
        fields = (
            "seq",
            "id",
            "at",
            "kind",
            "actor",
            "actor_id",
            "object_type",
            "object_id",
            "object_label",
            "payload",
            "topics",
            "hash",
        )


class ChainStatusSerializer(serializers.Serializer[object]):
    """The chain at a glance, and how far the relay is."""

    head_seq = serializers.IntegerField()
    head_hash = serializers.CharField()
    unsealed = serializers.IntegerField()
    oldest_unsealed_at = serializers.DateTimeField(allow_null=True)
    anchored_seq = serializers.IntegerField()
    anchored_at = serializers.DateTimeField(allow_null=True)
