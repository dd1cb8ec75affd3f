"""Taking in files that support a request."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from django.db import transaction

from compliance.approvals.errors import EvidenceRefusedError
from compliance.approvals.evidence import media_type_of
from compliance.models import EvidenceFile
from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require

PROPOSE = "compliance.propose_request"
#: New files one account may give in a day: the database keeps them for good.
PER_DAY = 100


def store_evidence(*, content: bytes, actor: User) -> EvidenceFile:
    """Takes a file that somebody gives; one that is here already is not kept twice. Raises EvidenceRefusedError."""
    require(actor, PROPOSE)
    known = EvidenceFile.objects.defer("content").filter(sha256=sha256(content).hexdigest()).first()
    if known is not None:
        return known
    since = clock.now() - timedelta(days=1)
    if EvidenceFile.objects.filter(uploaded_by=actor, uploaded_at__gt=since).count() >= PER_DAY:
        raise EvidenceRefusedError(f"You have given {PER_DAY} files today. Put them together, or wait.")
    return keep_evidence(content=content, actor=actor)


def keep_evidence(*, content: bytes, actor: User) -> EvidenceFile:
    """Keeps a file by its hash, once: also what the product itself has put together for a request in somebody's name.
    Raises EvidenceRefusedError for one that is too large or of no kind that is taken."""
    media_type = media_type_of(content)
    digest = sha256(content).hexdigest()
    with transaction.atomic():
        file, created = EvidenceFile.objects.get_or_create(
            sha256=digest,
            defaults={
                "content": content,
                "size": len(content),
                "media_type": media_type,
                "uploaded_by": actor,
                "uploaded_at": clock.now(),
            },
        )
        if created:
            publish(
                "compliance.evidence.stored",
                actor=actor,
                obj=file,
                payload={"sha256": digest, "size": file.size, "media_type": media_type},
                topics=[],
            )
    return file
