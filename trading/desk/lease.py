"""Who drives a desk: a lease of a few seconds with a fencing token, by the database's clock.

The token rises whenever the lease changes hands. Every transaction of a desk locks its run with the token it was
given (`hold`), so an owner who was away for too long finds its token stale and writes nothing: at most one owner is
ever in effect. A worker that dies leaves a lease that runs out by itself. Taking and giving back do not wait for the
disk: what was done under a lease brings it there, and a lease that the disk never saw protected nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Mapping
from functools import lru_cache

from fundops.core.bulk import run

#: How long a desk belongs to a worker that says nothing. With a tick every second a killed one is replaced within four.
LEASE_S = 2.5

#: The desk that is furthest behind first; of those at the same bar, the ones that this worker had last, whose seats it
#: has kept (`trading.desk.warm`). Two workers that share the desks would else swap them at every other bar.
_TAKE = """
UPDATE trading_deskrun r
   SET owner = %s::text, token = r.token + 1,
       leased_until = clock_timestamp() + make_interval(secs => %s::float8)
  FROM (SELECT set_config('synchronous_commit', 'off', true)) AS flushed_later
 WHERE r.deployment_id IN (
    SELECT deployment_id FROM trading_deskrun
     WHERE deployment_id = ANY (%s::bigint[]) AND (leased_until IS NULL OR leased_until < clock_timestamp())
     ORDER BY next_bar_ms, owner IS DISTINCT FROM %s::text, deployment_id LIMIT %s::bigint FOR UPDATE SKIP LOCKED)
RETURNING r.deployment_id, r.token
"""
#: A lease that is hardly used up is left as it is: what was taken a moment ago is not written again.
_HOLD = """
WITH mine AS (
    SELECT id, deployment_id, leased_until FROM trading_deskrun
     WHERE (deployment_id, token) IN (SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[]))
     ORDER BY id FOR NO KEY UPDATE),
renewed AS (
    UPDATE trading_deskrun r SET leased_until = clock_timestamp() + make_interval(secs => %(lease)s::float8)
      FROM mine
     WHERE r.id = mine.id
       AND (mine.leased_until IS NULL
            OR mine.leased_until < clock_timestamp() + make_interval(secs => 0.8 * %(lease)s::float8)))
SELECT deployment_id FROM mine
"""
_RELEASE = """
UPDATE trading_deskrun SET leased_until = clock_timestamp()
  FROM (SELECT set_config('synchronous_commit', 'off', true)) AS flushed_later
 WHERE (deployment_id, token) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))
"""
_FREE = """
SELECT FROM trading_deskrun
 WHERE deployment_id = ANY (%s::bigint[]) AND (leased_until IS NULL OR leased_until < clock_timestamp()) LIMIT 1
"""


@lru_cache(maxsize=1)
def _host() -> str:
    return socket.gethostname()


def me() -> str:
    """This process, as the owner of leases."""
    return f"{_host()}:{os.getpid()}"


def take(deployment_ids: Collection[int], *, limit: int, lease_s: float = LEASE_S) -> dict[int, int]:
    """Leases those that nobody holds; returns the token of each. One that somebody is taking now is left to them.

    Where there are more than ``limit``, this worker's own come first among those that stand at the same bar.
    """
    return dict(run(_TAKE, [me(), lease_s, list(deployment_ids), me(), limit]))


def is_any_free(deployment_ids: Collection[int]) -> bool:
    """Whether nobody holds one of these."""
    return bool(deployment_ids) and bool(run(_FREE, [list(deployment_ids)]))


def release(tokens: Mapping[int, int]) -> None:
    """Gives leases back at once; one that went to somebody else is theirs."""
    run(_RELEASE, [list(tokens), list(tokens.values())])


def hold(tokens: Mapping[int, int], *, lease_s: float = LEASE_S) -> set[int]:
    """Locks the runs whose token still holds, for the rest of the transaction, and renews leases with a fifth gone.

    Returns the deployments; those that are missing were lost.
    """
    asked = {"ids": list(tokens), "tokens": list(tokens.values()), "lease": lease_s}
    return {pk for (pk,) in run(_HOLD, asked)}
