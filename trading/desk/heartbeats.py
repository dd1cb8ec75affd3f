"""Signs of life of desks.

A desk is alive when somebody has worked it, or has looked and found nothing to do. One that is due and that nobody
works falls silent, and so do all when no worker runs. What follows from silence is decided elsewhere
(`trading.risk_signals`, the rollback's meters).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db.models import Q

from fundops.core import clock
from fundops.core.bulk import run
from trading.models.deployments import WORKED_STATUSES, DeskRun

#: How often a desk says so.
EVERY = timedelta(seconds=5)

_BEAT = (
    "UPDATE trading_deskrun SET heartbeat_at = %s::timestamptz WHERE deployment_id = ANY (%s::bigint[])"
    " AND (heartbeat_at IS NULL OR heartbeat_at < %s::timestamptz)"
)


def beat(deployment_ids: Collection[int]) -> None:
    """Notes that these desks are alive, each at most every few seconds."""
    now = clock.now()
    run(_BEAT, [now, list(deployment_ids), now - EVERY])


def beat_idle(due: Collection[int]) -> int:
    """Notes that every desk that has nothing to do is alive; ``due`` are those that have."""
    now = clock.now()
    late = Q(heartbeat_at=None) | Q(heartbeat_at__lt=now - EVERY)
    idle = DeskRun.objects.filter(late, deployment__status__in=WORKED_STATUSES).exclude(deployment__in=list(due))
    return idle.update(heartbeat_at=now)
