"""Files that support a request, each kept once by the hash of its content."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from fundops.core.models import User

#: What the gate takes as evidence: documents, pictures and tables that do nothing by themselves.
MAX_BYTES = 10 * 2**20


class EvidenceFile(models.Model):
    """A file as it came. The database computes the hash again: a row says nothing else than its content."""

    append_only: ClassVar[bool] = True

    sha256 = models.CharField(max_length=64, unique=True)
    content = models.BinaryField()
    size = models.PositiveIntegerField()
    media_type = models.CharField(max_length=60)
    uploaded_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["uploaded_by", "uploaded_at"], name="compliance_evidence_by")]
        constraints = [
            models.CheckConstraint(condition=Q(size__gt=0, size__lte=MAX_BYTES), name="compliance_evidence_size"),
        ]

    def __str__(self) -> str:
        return f"evidence {self.sha256[:12]}"
