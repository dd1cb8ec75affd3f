"""What a poster leaves behind when it dies, or its connection does: all of a transaction or nothing of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction

from tests.treasury.conftest import OPENED, Cast, make_cast
from tests.treasury.poster_process import BATCH
from treasury.actions.books import open_book
from treasury.models import Book, BookKind, JournalEntry, JournalLine, PostingBatch, PostingCheck
from treasury.selectors import batch_digest, trial_balance

pytestmark = pytest.mark.soak

Poster = subprocess.Popen[str]
Start = Callable[[str, str, int], Poster]


def database_url() -> str:
    """The URL of the test database, as the application's role."""
    login = {key: quote(str(value), safe="") for key, value in connection.settings_dict.items() if key.isupper()}
    return f"postgres://{login['USER']}:{login['PASSWORD']}@{login['HOST']}:{login['PORT']}/{login['NAME']}"


@pytest.fixture
def start_poster() -> Iterator[Start]:
    """Starts posters in processes of their own; whoever is left at the end is killed."""
    started: list[Poster] = []
    environment = os.environ | {
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": str(settings.SETTINGS_MODULE),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }

    def start(fund: str, mode: str, count: int) -> Poster:
        poster = subprocess.Popen(
            [sys.executable, "-m", "tests.treasury.poster_process", fund, mode, str(count)],
            cwd=Path(__file__).resolve().parents[2],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(poster)
        return poster

    yield start
    for poster in started:
        poster.kill()
        poster.communicate()


def said(poster: Poster, count: int) -> list[int]:
    """The next numbers a poster says it has committed."""
    assert poster.stdout is not None
    return [int(poster.stdout.readline()) for _ in range(count)]


def rest_of(poster: Poster) -> list[int]:
    output, _ = poster.communicate()
    return [int(word) for word in output.split()]


def assert_books_are_whole(cast: Cast) -> list[int]:
    """Gapless, balanced in each entry, nothing half there; returns the numbers."""
    for fund in (cast.fund, cast.other_fund):
        seqs = list(JournalEntry.objects.filter(fund=fund).values_list("posting_seq", flat=True))
        assert seqs == list(range(1, len(seqs) + 1))
        assert trial_balance(fund=fund).is_balanced
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM treasury_journalentry e LEFT JOIN LATERAL ("
            " SELECT count(*) AS n, sum(amount) AS total FROM treasury_journalline WHERE entry_id = e.id"
            ") l ON true"
            " WHERE l.n <> 2 OR l.total <> 0"
        )
        assert cursor.fetchone() == (0,)
    assert not PostingCheck.objects.exists()
    for batch in PostingBatch.objects.all():
        assert batch_digest(batch) == batch.digest
    return list(JournalEntry.objects.filter(fund=cast.fund).values_list("posting_seq", flat=True))


def test_poster_killed_in_mid_transaction_leaves_nothing(live_cast: Cast, start_poster: Start) -> None:
    live_cast.post()
    poster = start_poster("MAIN", "hold", 5)
    assert said(poster, 5) == [2, 3, 4, 5, 6]
    poster.kill()
    poster.wait()

    entry = live_cast.post()  # waits for the dead one's lock to be let go
    assert entry.posting_seq == 2
    assert assert_books_are_whole(live_cast) == [1, 2]


@pytest.mark.parametrize("mode", ["single", "bulk"])
def test_poster_killed_while_posting_loses_nothing_committed(mode: str, live_cast: Cast, start_poster: Start) -> None:
    poster = start_poster("MAIN", mode, 100_000)
    last = said(poster, 7)[-1]
    poster.kill()
    last = max([last, *rest_of(poster)])

    live_cast.post()
    seqs = assert_books_are_whole(live_cast)
    assert last in seqs
    step = 1 if mode == "single" else BATCH
    assert (len(seqs) - 1) % step == 0  # whole batches only
    assert len(seqs) - 1 - last in {0, step}  # at most the one whose commit it did not live to tell


def test_connection_terminated_in_mid_transaction_leaves_nothing(
    live_cast: Cast, superuser: psycopg.Connection[Any]
) -> None:
    def die_while_posting() -> None:
        with transaction.atomic():
            live_cast.post()
            assert connection.connection is not None
            superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
            live_cast.post()

    with pytest.raises(OperationalError):
        die_while_posting()
    connection.close()

    assert not JournalLine.objects.exists()
    assert live_cast.post().posting_seq == 1
    assert_books_are_whole(live_cast)


def test_refused_posting_in_a_transaction_that_goes_on_uses_no_number(live_cast: Cast) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        live_cast.post()
        _ = 1 / 0
    assert live_cast.post().posting_seq == 1


@pytest.mark.django_db(transaction=True)
def test_four_posters_at_once_lose_nothing_and_leave_no_gap(start_poster: Start) -> None:
    cast = make_cast()
    other_root = Book.objects.get(fund=cast.other_fund)
    open_book(parent=other_root, code="c1", name="", kind=BookKind.COHORT, opened_on=OPENED, actor=None)
    work = [("MAIN", "single", 40), ("MAIN", "single", 40), ("MAIN", "bulk", 8), ("OTHER", "single", 20)]
    posters = [start_poster(*job) for job in work]
    told = [rest_of(poster) for poster in posters]

    assert [poster.returncode for poster in posters] == [0] * 4
    seqs = assert_books_are_whole(cast)
    assert len(seqs) == 40 + 40 + 8 * BATCH
    assert told[3] == list(range(1, 21))  # a fund of its own is numbered on its own
    mine = told[0] + told[1] + told[2]
    assert len(set(mine)) == len(mine)
    assert set(mine) <= set(seqs)
    booked = list(JournalEntry.objects.filter(fund=cast.fund).values_list("booked_at", flat=True))
    assert booked == sorted(booked)
    cents = {row.kind: row.amount for row in trial_balance(fund=cast.fund).rows}
    assert cents == {"cash": Decimal("4.80"), "capital": Decimal("-4.80")}
