"""Two sessions at once, each step in a known order: the fund's posting lock decides who sees what."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection, connections, transaction

from tests.treasury.conftest import Cast
from treasury import errors
from treasury.actions.books import close_book
from treasury.models import AccountKind, JournalEntry
from treasury.selectors import balances, trial_balance

Session = psycopg.Connection[Any]
Elsewhere = Callable[[Callable[[], Any]], Future[Any]]


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """Runs something in another thread, on a connection of its own."""

    def run(what: Callable[[], Any]) -> Any:
        try:
            return what()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(max_workers=1) as pool:
        yield lambda what: pool.submit(run, what)


def wait_for_a_waiter(superuser: Session) -> None:
    """Returns once a session waits for a posting lock of this database."""
    deadline = time.monotonic() + 30
    while True:
        waiting = superuser.execute(
            "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE NOT l.granted AND l.locktype = 'advisory' AND d.datname = %s",
            [connection.settings_dict["NAME"]],
        ).fetchone()
        if waiting != (0,):
            return
        assert time.monotonic() < deadline, "nobody came to wait"


def test_close_waits_for_a_posting_and_then_sees_it(live_cast: Cast, superuser: Session, elsewhere: Elsewhere) -> None:
    with transaction.atomic():
        live_cast.post()
        closing = elsewhere(lambda: close_book(book=live_cast.cohort, actor=None))
        wait_for_a_waiter(superuser)
    with pytest.raises(errors.BookNotEmptyError):
        closing.result()


def test_posting_waits_for_a_close_and_is_then_refused(
    live_cast: Cast, superuser: Session, elsewhere: Elsewhere
) -> None:
    with transaction.atomic():
        close_book(book=live_cast.cohort, actor=None)
        posting = elsewhere(live_cast.post)
        wait_for_a_waiter(superuser)
    with pytest.raises(errors.ClosedBookError):
        posting.result()
    assert not JournalEntry.objects.exists()


def test_same_key_posted_twice_at_once_makes_one_entry(
    live_cast: Cast, superuser: Session, elsewhere: Elsewhere
) -> None:
    with transaction.atomic():
        first = live_cast.post(idempotency_key="k")
        second = elsewhere(lambda: live_cast.post(idempotency_key="k"))
        wait_for_a_waiter(superuser)
    assert second.result().pk == first.pk
    assert JournalEntry.objects.count() == 1


def test_what_was_known_at_a_number_stays_as_it_was(live_cast: Cast, superuser: Session, elsewhere: Elsewhere) -> None:
    """A later number cannot be committed before an earlier one: the lock is held until the commit."""
    live_cast.post()
    with transaction.atomic():
        live_cast.post(live_cast.balanced("5"))
        later = elsewhere(lambda: live_cast.post(live_cast.balanced("7")))
        wait_for_a_waiter(superuser)
        # The other session has not read its number yet, so nobody can have seen number 3 without number 2.
        assert trial_balance(fund=live_cast.fund).last_seq == 2
    assert later.result().posting_seq == 3
    known = []
    for seq in (1, 2, 3):
        held = {b.kind: b.amount for b in balances(books=live_cast.cohort, as_known=seq)}
        known.append(held[AccountKind.CASH])
    assert known == [100, 105, 112]


def test_funds_do_not_wait_for_each_other(live_cast: Cast, elsewhere: Elsewhere, superuser: Session) -> None:
    close_other = live_cast.other_fund.books.get()
    with transaction.atomic():
        live_cast.post()
        closed = elsewhere(lambda: close_book(book=close_other, actor=None)).result(timeout=30)
    assert not closed.is_open
