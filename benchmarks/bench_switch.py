"""The kill switch on the path of every order: checks a second and their tail, beside the bare round trips they cost.

python -m benchmarks.bench_switch [--json] [--checks N] [--switches N]

Works in a scratch database. The target: while Redis answers, the 99th percentile under 1 ms, or under three times that
of a bare GET in the same run where the machine is busy. The exit code is 1 when it is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

TARGET_P99_US = 1_000.0


@dataclass(frozen=True)
class Timing:
    """Microseconds of single calls, and calls a second."""

    what: str
    calls: int
    per_second: float
    p50_us: float
    p99_us: float
    worst_us: float


def timed(what: str, work: Callable[[], object], calls: int) -> Timing:
    for _ in range(100):
        work()
    took = np.empty(calls)
    clock = time.perf_counter_ns
    for i in range(calls):
        start = clock()
        work()
        took[i] = clock() - start
    us = took / 1_000
    p50, p99 = np.percentile(us, [50, 99])
    return Timing(what, calls, 1e6 / float(us.mean()), float(p50), float(p99), float(us.max()))


def bench(checks: int, switches: int) -> list[Timing]:
    from datetime import date

    from django.conf import settings
    from django.db import connection

    from risk import switches as s
    from risk.actions.switches import stop_trading
    from risk.models import KillSwitch
    from risk.quant.pretrade import TradingMode
    from treasury.actions.books import NewBook, ensure_asset, open_books, open_fund
    from treasury.models import AssetKind, Book, BookKind

    usd = ensure_asset(code="USD", name="Dollar", kind=AssetKind.FIAT, places=2, actor=None)
    fund = open_fund(code="BENCH", name="Bench", base_asset=usd, opened_on=date(2026, 1, 1), actor=None)
    root = Book.objects.get(fund=fund, parent=None)
    names = [NewBook(f"s{i}", f"s{i}") for i in range(max(500, switches))]
    ids = list(
        open_books(parent=root, books=names, kind=BookKind.STRATEGY, opened_on=date(2026, 1, 1), actor=None).book_ids
    )
    asked = iter(np.random.default_rng(3).choice(ids, 10 * checks).tolist())
    client, text_key = s._client(settings.REDIS_URL), s._keys()[0]

    def check() -> TradingMode:
        mode = s.trading_mode_for(book_id=next(asked), venue="kraken")
        if mode is None:
            raise SystemExit("Nobody answers: start PostgreSQL and Redis.")
        return mode

    def query() -> object:
        return KillSwitch.objects.filter(mode="HALTED", book_id__in=[root.pk, ids[0]]).exists()

    found = [
        timed("bare round trip to Redis (GET)", lambda: client.get(text_key), checks),
        timed("bare query of the switches, one Book", query, checks // 10),
        timed("check, all ACTIVE", check, checks),
    ]
    for i, pk in enumerate(ids[:switches]):
        stop_trading(reason=f"{i}", actor=None, book=Book.objects.get(pk=pk))
    found.append(timed(f"check, {switches} Books stopped", check, checks))
    found.append(timed("refill of Redis from the database", s.refresh, checks // 10))
    stops = iter(range(10**6))
    found.append(
        timed("stop, committed and told", lambda: stop_trading(reason="x", actor=None, venue=f"v{next(stops)}"), 100)
    )
    # Redis out of reach: the database is read for every check.
    real, settings.REDIS_URL = settings.REDIS_URL, "unix:///nonexistent/redis.sock"
    found.append(timed("check, Redis away", check, checks // 10))
    settings.REDIS_URL = real
    connection.close()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--checks", type=int, default=20_000)
    parser.add_argument("--switches", type=int, default=200, help="Books that are stopped in the second measurement")
    options = parser.parse_args()
    import logging

    import django

    from fundops.core.boot import boot

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
    boot()
    django.setup()
    logging.getLogger("risk.switches").setLevel(logging.ERROR)  # it says that Redis is away, for every check
    from benchmarks.bench_ledger import scratch_database

    with scratch_database():
        rows = bench(options.checks, options.switches)
    bare = rows[0]
    if options.json:
        print(json.dumps([asdict(r) for r in rows], indent=1))
    else:
        for r in rows:
            print(
                f"{r.what:40} {r.per_second:10,.0f}/s   p50 {r.p50_us:9,.0f} us   p99 {r.p99_us:9,.0f} us"
                f"   {r.p50_us / bare.p50_us:7.2f} x a bare GET"
            )
    allowed = max(TARGET_P99_US, 3 * bare.p99_us)
    missed = [r for r in rows if r.what.startswith("check, ") and "away" not in r.what and r.p99_us > allowed]
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
