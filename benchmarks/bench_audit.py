"""The audit stream: what recording costs an act, how fast events are sealed and verified, and in how much
memory.

    python -m benchmarks.bench_audit [--events 20000] [--writers 8] [--seconds 3]

Recording is measured as committed transactions a second by concurrent writers, in one run: a bare INSERT of
the same row into a table without index, trigger or constraint (the reference); `publish`; and `publish`
with the NOTIFY inside the act's transaction, which PostgreSQL makes queue at the commit.
"""

from __future__ import annotations

import argparse
import os
import resource
import threading
import time
from collections.abc import Callable

from benchmarks.bench_live import _own_database
from fundops.core.boot import boot

PAYLOAD = {"equity": "1003.25", "agents": 30, "note": "a cohort's hourly score " * 4}


def _transactions_a_second(act: Callable[[], None], *, writers: int, seconds: float) -> float:
    from django.db import connection, transaction

    counts = [0] * writers
    over = threading.Event()

    def work(number: int) -> None:
        try:
            while not over.is_set():
                with transaction.atomic():
                    act()
                counts[number] += 1
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(writers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def _record(*, writers: int, seconds: float) -> None:
    from django.db import connection

    from compliance.payloads import encode_payload
    from fundops.core.events import publish

    def bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO bare_event (at, kind, actor, payload) VALUES (now(), %s, %s, %s::jsonb) RETURNING id",
                ["bench.audit.done", "system", encode_payload(PAYLOAD)],
            )

    def ours() -> None:
        publish("bench.audit.done", actor=None, payload=PAYLOAD)

    def notifying() -> None:
        ours()
        with connection.cursor() as cursor:
            cursor.execute("NOTIFY bench_audit")

    rates = {
        name: _transactions_a_second(act, writers=writers, seconds=seconds)
        for name, act in (("bare INSERT", bare), ("publish", ours), ("publish, NOTIFY inside", notifying))
    }
    for name, rate in rates.items():
        share = rate / rates["bare INSERT"]
        print(f"{name:24} {rate:8,.0f} transactions/s by {writers} writers  ({share:.2f} of bare)")


def _seal_and_verify(events: int) -> None:
    from django.db import transaction

    from compliance.relay.sealer import Sealer
    from compliance.relay.session import open_session
    from compliance.verify import verify_chain
    from fundops.core.events import publish

    with open_session() as session:
        sealer = Sealer(session)
        while sealer.seal_batch():
            pass
        for size in (events // 4, events - events // 4):
            with transaction.atomic():
                for _ in range(size):
                    publish("bench.audit.done", actor=None, payload=PAYLOAD, topics=["cohorts"])
            began, sealed = time.perf_counter(), 0
            while batch := sealer.seal_batch():
                sealed += len(batch)
            seal_seconds = time.perf_counter() - began
            began = time.perf_counter()
            verdict = verify_chain()
            took = time.perf_counter() - began
            if not verdict.intact:
                raise RuntimeError(verdict.findings)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"sealed {sealed:8,} at {sealed / seal_seconds:8,.0f}/s   verified {verdict.checked:8,} at "
                f"{verdict.checked / took:8,.0f}/s   peak memory {peak:,.0f} MB"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Recording, sealing and verifying the audit stream.")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    boot()
    with _own_database():
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
        import django
        import psycopg

        django.setup()
        from django.conf import settings

        with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
            owner.execute(
                "CREATE TABLE bare_event"
                " (id uuid DEFAULT uuidv7(), at timestamptz, kind text, actor text, payload jsonb)"
            )
            owner.execute(f"GRANT ALL ON bare_event TO {settings.DATABASE_APP_ROLE}")
        _record(writers=options.writers, seconds=options.seconds)
        _seal_and_verify(options.events)


if __name__ == "__main__":
    main()
