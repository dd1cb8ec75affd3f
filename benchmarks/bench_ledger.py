"""Posting to the books in bulk, every rule enforced by the database, against less careful and other ways.

Run: ``python -m benchmarks.bench_ledger [--max-lines N] [--no-peers]``. It makes a database of its own next
to the configured one, as the owner of the schema, posts as the application's role, and drops it again. One
session: at most a core for Python and one for PostgreSQL. Every figure is two-leg entries a second, commit
included. The CPU time of both processes stands beside it: on a busy machine it says more than the clock.

- ours: ``post_entries`` from int64 columns: digest, COPY, all rules, batch record, audit event;
- bare COPY: the same text, ready made, into copies of the tables with their indexes and checks, no triggers;
- row by row: INSERTs into those copies, pipelined by executemany, no triggers;
- django-hordak, django-ledger: their fastest way, where they install (``requirements/bench-ledger.txt``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from argparse import RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import django
import numpy as np
import psycopg

from fundops.core.boot import boot

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
#: Below the environment of the other peers, so that what clears that one clears this one.
PEER_VENV = ROOT / ".bench-venv" / "ledger"
PEER_LOCK = ROOT / "requirements" / "bench-ledger.txt"
BOOKS = 200
DAY = date(2024, 2, 2)


@contextmanager
def scratch_database() -> Iterator[psycopg.Connection[Any]]:
    """A database with our schema, Django connected to it as the application; yields an owner's session."""
    from django.conf import settings
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    def become(login: dict[str, Any]) -> None:
        connection.close()
        connection.settings_dict.update({key: login[key] for key in ("USER", "PASSWORD")})

    app = dict(connection.settings_dict)
    become(settings.DATABASE_OWNER or app)
    connection.settings_dict.setdefault("TEST", {})["NAME"] = f"bench_ledger_{os.getpid()}"
    made = setup_databases(verbosity=0, interactive=False, aliases={"default": None})
    become(app)
    try:
        with psycopg.connect(url(settings.DATABASE_OWNER or app), autocommit=True) as owner:
            yield owner
    finally:
        become(settings.DATABASE_OWNER or app)
        teardown_databases(made, verbosity=0)


def url(login: dict[str, Any], name: str | None = None) -> str:
    """The URL of the scratch database, or of another one on the same server."""
    from django.db import connection

    name = name or str(connection.settings_dict["NAME"])
    user, password = (quote(str(login[key]), safe="") for key in ("USER", "PASSWORD"))
    host = quote(str(login["HOST"] or "127.0.0.1"), safe="")
    return f"postgres://{user}:{password}@{host}:{login['PORT'] or 5432}/{name}"


class Workload:
    """Two-leg entries spread over the cash and fee accounts of two hundred agent books."""

    def __init__(self) -> None:
        from treasury.actions.books import NewBook, ensure_asset, open_book, open_books, open_fund
        from treasury.models import AccountKind, AssetKind, Book, BookKind

        opened = date(2024, 1, 1)
        self.asset = ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
        self.fund = open_fund(code="BENCH", name="Bench", base_asset=self.asset, opened_on=opened, actor=None)
        root = Book.objects.get(fund=self.fund)
        cohort = open_book(parent=root, code="c1", name="Cohort", kind=BookKind.COHORT, opened_on=opened, actor=None)
        books = open_books(
            parent=cohort,
            books=[NewBook(f"a{i:03}", "") for i in range(BOOKS)],
            kind=BookKind.AGENT,
            opened_on=opened,
            actor=None,
        )
        self.cash = np.array(books.account_ids[AccountKind.CASH])
        self.fees = np.array(books.account_ids[AccountKind.FEES])
        self.batches = 0

    def columns(self, entries: int) -> dict[str, Any]:
        rng = np.random.default_rng(entries)
        book = rng.integers(0, BOOKS, entries)
        units = rng.integers(1, 10**12, entries)
        return {
            "line_entries": np.repeat(np.arange(entries), 2),
            "account_ids": np.column_stack([self.cash[book], self.fees[book]]).ravel(),
            "asset_ids": np.full(2 * entries, self.asset.pk),
            "amounts": np.column_stack([-units, units]).ravel(),
        }

    def batch(self, entries: int, *, decimals: bool = False) -> Any:
        from treasury.models import EntryKind
        from treasury.postings import EntryBatch

        self.batches += 1
        columns = self.columns(entries)
        if decimals:
            columns["amounts"] = [Decimal(units).scaleb(-8) for units in columns["amounts"].tolist()]
        return EntryBatch(
            value_dates=DAY,
            kinds=EntryKind.FEE,
            source_type="bench.fill",
            source_ids=[str(i) for i in range(entries)],
            idempotency_key=f"bench {self.batches}",
            amount_places=18 if decimals else 8,
            **columns,
        )

    def post(self, batch: Any) -> None:
        from treasury.actions.ledger import post_entries

        post_entries(fund=self.fund, batch=batch, actor=None)


class BareTables:
    """Copies of the two tables with their indexes and checks, and nothing that enforces the books' rules."""

    def __init__(self, owner: psycopg.Connection[Any], workload: Workload) -> None:
        self.owner, self.workload, self.next_id = owner, workload, 1
        for table in ("journalentry", "journalline"):
            owner.execute(f"CREATE TABLE bare_{table} (LIKE public.treasury_{table} INCLUDING ALL)")

    def rows(self, entries: int) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        columns = self.workload.columns(entries)
        first, self.next_id = self.next_id, self.next_id + entries
        fund, day = self.workload.fund.pk, DAY
        heads = [(first + i, fund, first + i, day, "2026-01-01", "fee", "bench", str(i), "") for i in range(entries)]
        lines = [
            (first + i, account, asset, f"{units}e-8")
            for i, account, asset, units in zip(*(c.tolist() for c in columns.values()), strict=True)
        ]
        return heads, lines

    def copy(self, entries: int) -> float:
        """Seconds for two COPYs of text that is ready, and the commit."""
        texts = ["".join("\t".join(map(str, row)) + "\n" for row in rows) for rows in self.rows(entries)]
        targets = (
            "COPY bare_journalentry (id, fund_id, posting_seq, value_date, booked_at, kind, source_type,"
            " source_id, memo) FROM STDIN",
            "COPY bare_journalline (entry_id, account_id, asset_id, amount) FROM STDIN",
        )
        start = time.perf_counter()
        with self.owner.transaction():
            for statement, text in zip(targets, texts, strict=True):
                with self.owner.cursor().copy(statement) as copy:
                    copy.write(text)
        return time.perf_counter() - start

    def insert(self, entries: int) -> float:
        """Seconds for one INSERT a row in one transaction."""
        heads, lines = self.rows(entries)
        start = time.perf_counter()
        with self.owner.transaction(), self.owner.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO bare_journalentry (id, fund_id, posting_seq, value_date, booked_at, kind,"
                " source_type, source_id, memo) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                heads,
            )
            cursor.executemany(
                "INSERT INTO bare_journalline (entry_id, account_id, asset_id, amount)"
                " VALUES (%s, %s, %s, %s::numeric)",
                lines,
            )
        return time.perf_counter() - start


def our_backend() -> int:
    """The process id of Django's database session."""
    from django.db import connection

    connection.ensure_connection()
    return int(connection.connection.info.backend_pid)


def backend_cpu(pid: int) -> float:
    """CPU seconds a local PostgreSQL session has used; NaN where it is on another machine."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def ensure_peers() -> Path | None:
    """The peers' python, or None where they cannot be installed."""
    python = PEER_VENV / "bin" / "python"
    stamp = PEER_VENV / ".lock"
    if stamp.exists() and stamp.read_text() == PEER_LOCK.read_text():
        return python
    install = ["install", "--quiet", "--require-hashes", "-r", str(PEER_LOCK)]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(PEER_VENV)], check=True)
        subprocess.run([str(python), "-m", "pip", *install], check=True)
    except subprocess.CalledProcessError as error:
        print(f"peers left out: {error}")
        return None
    stamp.write_text(PEER_LOCK.read_text())
    return python


def peer(python: Path, name: str, entries: int, owner: psycopg.Connection[Any]) -> float | None:
    """Entries a second of a peer, in a database of its own on the same server."""
    from django.conf import settings

    database = f"bench_peer_{name}_{os.getpid()}"
    owner.execute(f"CREATE DATABASE {database}")
    try:
        done = subprocess.run(
            [str(python), "-W", "ignore", str(PEERS / f"ledger_{name}.py"), str(entries)],
            env=os.environ | {"DATABASE_URL": url(settings.DATABASES["default"] | settings.DATABASE_OWNER, database)},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            return None
        found = json.loads(done.stdout.splitlines()[-1])
        return float(found["entries"] / found["seconds"])
    finally:
        owner.execute(f"DROP DATABASE {database} WITH (FORCE)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--max-lines", type=int, default=1_000_000, help="End of the scale curve.")
    parser.add_argument("--no-peers", action="store_true", help="Leave the other ledgers out.")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fundops.settings")
    warnings.simplefilter("ignore")
    boot()
    django.setup()
    with scratch_database() as owner:
        run(owner, max_lines=options.max_lines, peers=not options.no_peers)


def run(owner: psycopg.Connection[Any], *, max_lines: int, peers: bool) -> None:
    from treasury.actions.ledger import post_entry
    from treasury.models import EntryKind, JournalLine
    from treasury.postings import Line
    from treasury.selectors import trial_balance

    workload = Workload()
    bare = BareTables(owner, workload)
    workload.post(workload.batch(1_000))  # warm
    bare.copy(1_000)

    print("Two-leg entries a second; CPU in microseconds an entry. Each row adds to what those above left.")
    head = f"{'lines':>10} {'entries':>8} {'ours':>9} {'bare COPY':>10} {'ours / bare':>12}"
    print(f"{head} {'CPU Python':>11} {'CPU database':>13} {'CPU bare':>9}")
    best = 0.0
    lines = 1_000
    while lines <= max_lines:
        entries = lines // 2
        rounds = 5 if lines <= 10_000 else 3 if lines <= 100_000 else 1
        batches = [workload.batch(entries) for _ in range(rounds)]
        before = (time.process_time(), backend_cpu(our_backend()))
        ours = entries / min(timed(partial(workload.post, batch)) for batch in batches)
        in_python, in_database = time.process_time() - before[0], backend_cpu(our_backend()) - before[1]
        bare_before = backend_cpu(owner.info.backend_pid)
        copied = entries / min(bare.copy(entries) for _ in range(rounds))
        plain = backend_cpu(owner.info.backend_pid) - bare_before
        micro = 1e6 / (entries * rounds)
        print(
            f"{lines:>10,} {entries:>8,} {ours:>9,.0f} {copied:>10,.0f} {ours / copied:>12.2f} "
            f"{in_python * micro:>11.1f} {in_database * micro:>13.1f} {plain * micro:>9.1f}"
        )
        best = max(best, ours)
        lines *= 10

    entries = min(25_000, max_lines // 2)
    decimals = workload.batch(entries, decimals=True)
    others = {"ours, from Decimals": entries / timed(lambda: workload.post(decimals))}
    others["row by row, no rules"] = 5_000 / bare.insert(5_000)
    pair = [
        Line(int(workload.cash[0]), workload.asset.pk, Decimal(1)),
        Line(int(workload.fees[0]), workload.asset.pk, Decimal(-1)),
    ]

    def singles() -> None:
        for _ in range(200):
            post_entry(
                fund=workload.fund,
                value_date=DAY,
                kind=EntryKind.FEE,
                lines=pair,
                idempotency_key=None,
                actor=None,
            )

    others["ours, post_entry, a transaction each"] = 200 / timed(singles)
    if peers and (python := ensure_peers()):
        for name, count in (("hordak", 10_000), ("django_ledger", 200)):
            found = peer(python, name, count, owner)
            if found is None:
                print(f"django-{name} did not run; its output is above")
            else:
                others[f"django-{name.removeprefix('django_')}"] = found

    print(f"\n{'way':<38} {'entries/s':>10} {'ours in bulk is':>16}")
    for way, speed in others.items():
        print(f"{way:<38} {speed:>10,.0f} {best / speed:>14.1f} x")

    books = trial_balance(fund=workload.fund)
    print(
        f"\n{JournalLine.objects.count():,} lines posted; trial balance "
        f"{'zero in every asset' if books.is_balanced else 'NOT ZERO'}; last posting_seq {books.last_seq:,}; "
        f"read in {timed(lambda: trial_balance(fund=workload.fund)):.2f} s"
    )


if __name__ == "__main__":
    main()
