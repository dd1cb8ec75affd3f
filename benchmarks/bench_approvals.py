"""The gate: one released request under 200 execution attempts at once, and what a way through it costs.

python -m benchmarks.bench_approvals [--attempts 200] [--rounds 3]

Works in a database of its own on the server of DATABASE_URL (made as the owner, dropped at the end). The
reference in the same run is a bare claim: the same attempts on an `UPDATE ... WHERE state = 'waiting'`, which
is exactly-once without signatures, checks or records. The exit code is 1 when anything was done twice, or not.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BoundedSemaphore
from typing import Any
from unittest.mock import patch

#: Sessions at once: all attempts start together, and this many hold a connection at a time.
SESSIONS = 40


def at_once(attempts: int, work: Callable[[], Any]) -> tuple[list[Any], float]:
    """Results (or exceptions) of the attempts, started together, and the seconds of all of them."""
    from django.db import connection

    start, seats = Barrier(attempts + 1), BoundedSemaphore(SESSIONS)

    def one(_: int) -> Any:
        start.wait()
        with seats:
            try:
                return work()
            except Exception as error:
                return error
            finally:
                connection.close()

    with ThreadPoolExecutor(attempts) as pool:
        pending = [pool.submit(one, number) for number in range(attempts)]
        start.wait()
        began = time.perf_counter()
        results = [future.result() for future in pending]
        return results, time.perf_counter() - began


def measure(attempts: int, rounds: int) -> bool:
    from django.db import connection

    from tests.compliance.approvals import support

    people = support.make_people()
    support.set_policy(people, support.policy_document())
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bare_claim (id int PRIMARY KEY, state text NOT NULL)")
    outcomes = [one_round(number, attempts, people) for number in range(rounds)]
    return all(outcomes)


def one_round(number: int, attempts: int, people: Any) -> bool:
    """A request from its draft to 200 attempts at its execution; True when it was done once."""
    from django.db import connection

    from compliance.actions.approval_execution import execute_request, release_request
    from compliance.models import ApprovalExecution, AuditEvent
    from fundops.core.roles import Role
    from tests.compliance.approvals import support

    steps: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        made = work()
        steps[name] = (time.perf_counter() - began) * 1_000
        return made

    def claim() -> int:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE bare_claim SET state = 'done' WHERE id = %s AND state = 'waiting'", [number])
            return int(cursor.rowcount)

    request = timed("draft and submit", lambda: support.ask(people))
    timed("first vote", lambda: support.vote(request, people.risk, Role.RISK_OFFICER))
    timed("last vote", lambda: support.vote(request, people.operations, Role.OPERATIONS))
    timed("release", lambda: release_request(request_id=request.pk, actor=people.releaser))
    results, seconds = at_once(attempts, lambda: execute_request(request_id=request.pk))
    wrong = [result for result in results if isinstance(result, Exception)]
    done = AuditEvent.objects.filter(kind=support.EFFECT, payload__request=str(request.pk)).count()
    recorded = ApprovalExecution.objects.filter(request=request).count()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bare_claim VALUES (%s, 'waiting')", [number])
    claims, bare_seconds = at_once(attempts, claim)
    claimed = sum(count for count in claims if isinstance(count, int))
    print(
        f"round {number + 1}: {attempts} attempts, effects {done}, records {recorded}, errors {len(wrong)}, "
        f"{seconds * 1_000:,.0f} ms; bare claim {bare_seconds * 1_000:,.0f} ms "
        f"({seconds / bare_seconds:.2f} x); " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in steps.items())
    )
    for error in wrong[:3]:
        print("  ", repr(error))
    return done == recorded == claimed == 1 and not wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attempts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.environ["FUNDOPS_DB_ROLE"] = "owner"
    import django

    django.setup()
    from django.test.utils import setup_databases, teardown_databases

    made = setup_databases(verbosity=0, interactive=False, serialized_aliases=())
    try:
        # Only executions are measured; nobody listens to the queue here.
        with patch("compliance.actions.approval_execution.enqueue_on_commit"):
            good = measure(asked.attempts, asked.rounds)
    finally:
        teardown_databases(made, verbosity=0)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
