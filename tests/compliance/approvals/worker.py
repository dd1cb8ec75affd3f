"""A worker process for the crash tests: executes one request and stops where it is told to.

    python -m tests.compliance.approvals.worker <request id> <inside|after|never>

It says ``inside`` while the executor runs (the effect written, nothing committed) or ``after`` when all is
committed, and then waits to be killed.
"""

from __future__ import annotations

import sys
from uuid import UUID

import django


def stop(word: str) -> None:
    print(word, flush=True)  # noqa: T201
    sys.stdin.read()


def main() -> None:
    request_id, where = UUID(sys.argv[1]), sys.argv[2]
    django.setup()
    from compliance.actions.approval_execution import execute_request  # noqa: PLC0415 - after the setup
    from tests.compliance.approvals import support  # noqa: PLC0415 - registers the action

    if where == "inside":
        support.WORLD["on_execute"] = lambda: stop("inside")
    record = execute_request(request_id=request_id)
    if where == "after":
        stop("after")
    print(record.outcome if record else "held by another", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
