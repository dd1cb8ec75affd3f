"""The rules hold against raw SQL by the application's role and the owner's; a superuser can be noticed.

Nothing here goes through the product's Python; every session commits for real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from tests.treasury.conftest import DAY, OPENED, Cast
from treasury.actions.books import close_book
from treasury.actions.ledger import post_entries, reverse_entry
from treasury.models import EntryKind, JournalEntry, JournalLine, PostingBatch
from treasury.postings import EntryBatch
from treasury.selectors import batch_digest, trial_balance

Session = psycopg.Connection[Any]

JOURNAL = ("treasury_journalentry", "treasury_journalline", "treasury_postingbatch", "treasury_ledgeraccount")
REFERENCE = ("treasury_asset", "treasury_fund", "treasury_book")


def add_entry(session: Session, fund: int, **columns: Any) -> int:
    """Inserts an entry as the rules want it, but for what the attack changes."""
    begun = session.execute("SELECT next_seq, booking_time FROM treasury_begin_posting(%s, clock_timestamp())", [fund])
    next_seq, booking_time = begun.fetchone() or (0, None)
    row: dict[str, Any] = {
        "fund_id": fund,
        "posting_seq": next_seq,
        "booked_at": booking_time,
        "value_date": DAY,
        "kind": "adjustment",
    }
    row |= columns
    statement = sql.SQL("INSERT INTO treasury_journalentry ({}) VALUES ({}) RETURNING id").format(
        sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join([sql.Placeholder()] * len(row))
    )
    found = session.execute(statement, list(row.values())).fetchone()
    assert found is not None
    return int(found[0])


def add_lines(session: Session, entry: int, lines: Sequence[tuple[int, int, Any]]) -> None:
    """Inserts lines in one statement."""
    session.execute(
        "INSERT INTO treasury_journalline (entry_id, account_id, asset_id, amount)"
        " SELECT %s, * FROM unnest(%s::bigint[], %s::bigint[], %s::numeric[])",
        [entry, *(list(column) for column in zip(*lines, strict=True))],
    )


def pair(cast: Cast, amount: str = "10", other: str | None = None) -> list[tuple[int, int, Any]]:
    return [
        (cast.cash, cast.usdt.pk, Decimal(amount)),
        (cast.capital, cast.usdt.pk, Decimal(other) if other else -Decimal(amount)),
    ]


def refused(state: str, attack: Callable[..., object], *args: Any) -> psycopg.Error:
    """Asserts that an attack fails with this SQLSTATE."""
    with pytest.raises(psycopg.Error) as caught:
        attack(*args)
    assert caught.value.sqlstate == state, caught.value
    return caught.value


OPERATIONS: dict[str, LiteralString] = {
    "update": "UPDATE {} SET id = id",
    "delete": "DELETE FROM {}",
    "delete nothing": "DELETE FROM {} WHERE false",
    "truncate": "TRUNCATE {} CASCADE",
}


@pytest.mark.parametrize("table", JOURNAL)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_journal_is_not_changed_by_owner_nor_application(
    table: str, operation: str, live_cast: Cast, app_session: Session, owner_session: Session
) -> None:
    live_cast.post()
    statement = sql.SQL(OPERATIONS[operation]).format(sql.Identifier(table))
    refused("42501", lambda: app_session.execute(statement))
    error = refused("23L09", lambda: owner_session.execute(statement))
    assert "only ever added to" in str(error)
    owner_session.rollback()
    assert JournalLine.objects.count() == 2


@pytest.mark.parametrize("table", REFERENCE)
def test_what_the_journal_stands_on_is_not_deleted(
    table: str, live_cast: Cast, app_session: Session, owner_session: Session
) -> None:
    refused("23L09", lambda: app_session.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table))))
    for statement in ("DELETE FROM {}", "TRUNCATE {} CASCADE"):
        refused("23L09", owner_session.execute, sql.SQL(statement).format(sql.Identifier(table)))
        owner_session.rollback()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE treasury_asset SET code = 'EVIL'",
        "UPDATE treasury_asset SET kind = 'fiat'",
        "UPDATE treasury_asset SET id = id + 1000",
        "UPDATE treasury_fund SET code = code || 'X'",
        "UPDATE treasury_fund SET base_asset_id = (SELECT max(id) FROM treasury_asset)",
        "UPDATE treasury_book SET path = 'OTHER' WHERE code = 'c1'",
        "UPDATE treasury_book SET code = 'c9' WHERE code = 'c1'",
        "UPDATE treasury_book SET parent_id = NULL WHERE code = 'a1'",
        "UPDATE treasury_book SET fund_id = (SELECT max(id) FROM treasury_fund) WHERE code = 'c1'",
        "UPDATE treasury_book SET opened_on = '2000-01-01' WHERE code = 'c1'",
    ],
)
def test_what_amounts_mean_is_not_rewritten(
    change: LiteralString, live_cast: Cast, app_session: Session, owner_session: Session
) -> None:
    refused("23L09", lambda: app_session.execute(change))
    refused("23L09", lambda: owner_session.execute(change))


def test_upsert_and_merge_are_no_way_round(live_cast: Cast, owner_session: Session) -> None:
    live_cast.post()
    upsert = (
        "INSERT INTO treasury_journalline (id, entry_id, account_id, asset_id, amount)"
        " SELECT id, entry_id, account_id, asset_id, 5 FROM treasury_journalline"
        " ON CONFLICT (id) DO UPDATE SET amount = 5"
    )
    merge = (
        "MERGE INTO treasury_journalline l USING treasury_journalline s ON l.id = s.id"
        " WHEN MATCHED THEN UPDATE SET amount = 5"
    )
    for statement in (upsert, merge):
        refused("23L09", owner_session.execute, statement)
        owner_session.rollback()


@pytest.mark.parametrize("role", ["app_session", "owner_session"])
class TestBothRoles:
    """What neither role can do."""

    @pytest.fixture
    def session(self, role: str, request: pytest.FixtureRequest) -> Session:
        session: Session = request.getfixturevalue(role)
        return session

    def test_unbalanced_lines_fail_at_commit(self, live_cast: Cast, session: Session) -> None:
        add_lines(session, add_entry(session, live_cast.fund.pk), pair(live_cast, "10", "-9"))
        refused("23L01", session.commit)
        assert not JournalEntry.objects.exists()

    def test_entry_without_lines_fails_at_commit(self, live_cast: Cast, session: Session) -> None:
        add_entry(session, live_cast.fund.pk)
        refused("23L02", session.commit)

    def test_lines_that_come_one_by_one_balance_at_commit(self, live_cast: Cast, session: Session) -> None:
        entry = add_entry(session, live_cast.fund.pk)
        for line in pair(live_cast):
            add_lines(session, entry, [line])
        session.commit()
        assert trial_balance(fund=live_cast.fund).is_balanced
        assert JournalLine.objects.count() == 2

    def test_line_for_a_committed_entry_is_refused(self, live_cast: Cast, session: Session) -> None:
        entry = live_cast.post()
        refused("23L08", lambda: add_lines(session, entry.pk, pair(live_cast)))

    def test_forged_transaction_id_is_refused(self, live_cast: Cast, session: Session) -> None:
        refused("23L08", lambda: add_entry(session, live_cast.fund.pk, created_xid=987654321))
        session.rollback()
        refused("23L08", lambda: add_entry(session, live_cast.fund.pk, recorded_at=OPENED))

    def test_transaction_id_that_comes_round_again_unseals_nothing(
        self, live_cast: Cast, session: Session, superuser: Session
    ) -> None:
        """As after a restore into a new cluster, whose transaction ids start over."""
        entry = live_cast.post()
        (xid,) = session.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() or (None,)
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("UPDATE treasury_journalentry SET created_xid = %s", [xid])
        refused("23L08", lambda: add_lines(session, entry.pk, pair(live_cast)))

    def test_line_for_no_entry_is_refused(self, live_cast: Cast, session: Session) -> None:
        refused("23L05", lambda: add_lines(session, 987654, pair(live_cast)))

    def test_unknown_references_are_refused(self, live_cast: Cast, session: Session) -> None:
        entry = add_entry(session, live_cast.fund.pk)

        def attempt(account: int, asset: int) -> None:
            with session.transaction():
                add_lines(session, entry, [(account, asset, 1)])

        refused("23L04", lambda: attempt(987654, live_cast.usdt.pk))
        refused("23L03", lambda: attempt(live_cast.cash, 987654))
        refused("23L06", lambda: attempt(live_cast.foreign_cash, live_cast.usdt.pk))
        session.rollback()
        refused("23L17", lambda: add_entry(session, 987654))

    @pytest.mark.parametrize(
        ("amount", "state"), [("0", "23514"), ("NaN", "23514"), ("Infinity", "22003"), ("1e20", "22003")]
    )
    def test_what_is_no_amount_is_refused(self, amount: str, state: str, live_cast: Cast, session: Session) -> None:
        entry = add_entry(session, live_cast.fund.pk)
        refused(state, lambda: add_lines(session, entry, [(live_cast.cash, live_cast.usdt.pk, amount)]))

    @pytest.mark.parametrize("seq", [0, 1, 3, 1000])
    def test_number_out_of_turn_is_refused(self, seq: int, live_cast: Cast, session: Session) -> None:
        live_cast.post()
        state = "23505" if seq == 1 else "23L10"
        refused(state, lambda: add_entry(session, live_cast.fund.pk, posting_seq=seq))

    def test_backdated_booking_is_refused(self, live_cast: Cast, session: Session) -> None:
        live_cast.post()
        refused("23L10", lambda: add_entry(session, live_cast.fund.pk, booked_at=OPENED))

    def test_early_check_does_not_open_the_entry(self, live_cast: Cast, session: Session) -> None:
        entry = add_entry(session, live_cast.fund.pk)
        add_lines(session, entry, pair(live_cast))
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        refused("23L01", lambda: add_lines(session, entry, pair(live_cast)[:1]))

    def test_early_check_made_late_again_is_no_way_round(self, live_cast: Cast, session: Session) -> None:
        entry = add_entry(session, live_cast.fund.pk)
        add_lines(session, entry, pair(live_cast))
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        session.execute("SET CONSTRAINTS ALL DEFERRED")
        add_lines(session, entry, pair(live_cast)[:1])
        refused("23L01", session.commit)

    def test_temporary_tables_do_not_stand_in_for_the_books(self, live_cast: Cast, session: Session) -> None:
        close_book(book=live_cast.cohort, actor=None)
        session.execute(
            "CREATE TEMP TABLE treasury_book AS SELECT * FROM public.treasury_book; "
            "UPDATE treasury_book SET closed_at = NULL; "
            "CREATE TEMP TABLE treasury_journalentry AS SELECT * FROM public.treasury_journalentry"
        )
        session.execute("SET search_path = pg_temp, public")
        entry = session.execute(
            "INSERT INTO public.treasury_journalentry (fund_id, posting_seq, booked_at, value_date, kind)"
            " VALUES (%s, 1, clock_timestamp(), %s, 'adjustment') RETURNING id",
            [live_cast.fund.pk, DAY],
        ).fetchone()
        assert entry is not None
        refused(
            "23L07",
            lambda: session.execute(
                "INSERT INTO public.treasury_journalline (entry_id, account_id, asset_id, amount)"
                " VALUES (%s, %s, %s, 1)",
                [entry[0], live_cast.cash, live_cast.usdt.pk],
            ),
        )

    def test_older_snapshots_may_not_post(self, live_cast: Cast, session: Session) -> None:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        refused("23L14", lambda: add_entry(session, live_cast.fund.pk))

    def test_copy_is_checked_too(self, live_cast: Cast, session: Session) -> None:
        entry = add_entry(session, live_cast.fund.pk)
        with session.cursor().copy(
            "COPY treasury_journalline (entry_id, account_id, asset_id, amount) FROM STDIN"
        ) as copy:
            copy.write_row((entry, live_cast.cash, live_cast.usdt.pk, 1))
        refused("23L01", session.commit)

    def test_reversal_that_is_no_mirror_is_refused(self, live_cast: Cast, session: Session) -> None:
        entry = live_cast.post()
        reversal = add_entry(session, live_cast.fund.pk, kind="reversal", reverses_id=entry.pk)
        add_lines(session, reversal, pair(live_cast, "-99"))
        refused("23L12", session.commit)

    def test_reversal_grown_after_its_check_is_refused(self, live_cast: Cast, session: Session) -> None:
        entry = live_cast.post()
        reversal = add_entry(session, live_cast.fund.pk, kind="reversal", reverses_id=entry.pk)
        add_lines(session, reversal, pair(live_cast, "-100"))
        session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        refused("23L12", lambda: add_lines(session, reversal, pair(live_cast)))

    def test_entry_grown_after_its_reversal_is_refused(self, live_cast: Cast, session: Session) -> None:
        entry = add_entry(session, live_cast.fund.pk)
        add_lines(session, entry, pair(live_cast))
        reversal = add_entry(session, live_cast.fund.pk, kind="reversal", reverses_id=entry)
        add_lines(session, reversal, pair(live_cast, "-10"))
        refused("23L08", lambda: add_lines(session, entry, pair(live_cast, "5")))

    def test_reversal_across_funds_is_refused(self, live_cast: Cast, session: Session) -> None:
        entry = live_cast.post()
        refused(
            "23L05",
            lambda: add_entry(session, live_cast.other_fund.pk, kind="reversal", reverses_id=entry.pk),
        )

    def test_second_reversal_is_refused(self, live_cast: Cast, session: Session) -> None:
        entry = live_cast.post()
        reverse_entry(entry=entry, value_date=DAY, memo="", actor=None)
        refused("23505", lambda: add_entry(session, live_cast.fund.pk, kind="reversal", reverses_id=entry.pk))

    def test_batch_record_of_others_entries_is_refused(self, live_cast: Cast, session: Session) -> None:
        live_cast.post()
        refused(
            "23L08",
            lambda: session.execute(
                "INSERT INTO treasury_postingbatch (fund_id, first_seq, last_seq, entry_count, line_count,"
                " digest, booked_at, idempotency_key) VALUES (%s, 1, 1, 1, 2, 'forged', now(), 'k')",
                [live_cast.fund.pk],
            ),
        )

    def test_closed_book_is_not_reopened(self, live_cast: Cast, session: Session) -> None:
        close_book(book=live_cast.cohort, actor=None)
        refused("23L07", lambda: session.execute("UPDATE treasury_book SET closed_at = NULL"))

    def test_book_that_holds_cash_is_not_closed(self, live_cast: Cast, session: Session) -> None:
        live_cast.post()
        refused("23L16", lambda: session.execute("UPDATE treasury_book SET closed_at = now()"))

    def test_book_under_another_funds_book_is_refused(self, live_cast: Cast, session: Session) -> None:
        refused(
            "23L15",
            lambda: session.execute(
                "INSERT INTO treasury_book (fund_id, parent_id, code, name, kind, path, opened_on)"
                " VALUES (%s, %s, 'x', 'x', 'agent', 'x', %s)",
                [live_cast.other_fund.pk, live_cast.cohort.pk, OPENED],
            ),
        )


def test_pending_check_cannot_be_taken_away(live_cast: Cast, app_session: Session, owner_session: Session) -> None:
    add_entry(app_session, live_cast.fund.pk)
    refused("42501", lambda: app_session.execute("DELETE FROM treasury_postingcheck"))
    app_session.rollback()

    add_entry(owner_session, live_cast.fund.pk)
    assert owner_session.execute("DELETE FROM treasury_postingcheck").rowcount == 1
    refused("23L02", owner_session.commit)


def test_application_role_cannot_take_the_rules_away(live_cast: Cast, app_session: Session) -> None:
    attacks: tuple[LiteralString, ...] = (
        "ALTER TABLE treasury_journalline DISABLE TRIGGER ALL",
        "DROP TRIGGER treasury_line_rules ON treasury_journalline",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION treasury_refuse_change() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
    )
    for attack in attacks:
        refused("42501", app_session.execute, attack)
        app_session.rollback()


def test_superuser_can_tamper_and_the_batch_digest_tells(live_cast: Cast, superuser: Session) -> None:
    """A superuser in replica mode runs no trigger; what is left is to notice."""
    batch = EntryBatch(
        value_dates=DAY,
        kinds=EntryKind.ADJUSTMENT,
        line_entries=[0, 0],
        account_ids=[live_cast.cash, live_cast.capital],
        asset_ids=[live_cast.usdt.pk] * 2,
        amounts=[Decimal(7), Decimal(-7)],
        idempotency_key="b",
    )
    post_entries(fund=live_cast.fund, batch=batch, actor=None)
    made = PostingBatch.objects.get()
    assert batch_digest(made) == made.digest

    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE treasury_journalline SET amount = amount * 2")
    assert trial_balance(fund=live_cast.fund).is_balanced  # the forger kept the balance,
    assert batch_digest(made) != made.digest  # but not the digest
