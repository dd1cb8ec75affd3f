"""Verifying the audit chain as a recorded act: what a pass found is an event like any other."""

from __future__ import annotations

from django.db import transaction

from compliance.relay.anchors import anchor_file
from compliance.topics import VIEW_EVENTS
from compliance.verify import Verdict, verify_chain
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from fundops.core.tasks import enqueue_on_commit

VERIFIED = "compliance.chain.verified"
ASKED = "compliance.chain.verification_asked"
VERIFY_TASK = "compliance.tasks.verify_chain"
#: Findings that go into the event; the command tells all of them.
_TOLD = 20


def ask_for_verification(*, actor: User) -> None:
    """Has a worker verify the whole chain; who may read the stream may have it proven."""
    require(actor, VIEW_EVENTS)
    with transaction.atomic():
        publish(ASKED, actor=actor, payload={}, topics=["audit"])
        enqueue_on_commit(VERIFY_TASK, actor.pk)


def verify_and_record(*, actor: User | None) -> Verdict:
    """Verifies the chain from its beginning, with the anchors of the table and of the file, and records the verdict."""
    verdict = verify_chain(file=anchor_file())
    with transaction.atomic():
        publish(
            VERIFIED,
            actor=actor,
            payload={
                "intact": verdict.intact,
                "checked": verdict.checked,
                "head_seq": verdict.head_seq,
                "head_hash": verdict.head_hash,
                "anchors_checked": verdict.anchors_checked,
                "unsealed": verdict.unsealed,
                "count": verdict.count,
                "findings": [{"code": one.code, "message": one.message} for one in verdict.findings[:_TOLD]],
                "notes": list(verdict.notes),
            },
            topics=["audit"],
        )
    return verdict
