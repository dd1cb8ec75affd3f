"""The cast of the ledger's tests: a fund with two agents, a neighbour fund, the database's roles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from treasury.actions.books import NewBook, ensure_asset, open_book, open_books, open_fund
from treasury.actions.ledger import post_entry
from treasury.models import AccountKind, Asset, AssetKind, Book, BookKind, EntryKind, Fund, JournalEntry
from treasury.postings import Accounts, Line, contribution
from treasury.selectors import book_accounts

OPENED = date(2024, 1, 1)
DAY = date(2024, 3, 5)


@dataclass(frozen=True)
class Cast:
    """One fund, its cohort book and two agent books, the assets they trade, and a stranger's cash account."""

    fund: Fund
    root: Book
    cohort: Book
    agents: tuple[Book, Book]
    usdt: Asset
    btc: Asset
    cohort_accounts: Accounts
    agent_accounts: tuple[Accounts, Accounts]
    other_fund: Fund
    foreign_cash: int

    @property
    def cash(self) -> int:
        return self.cohort_accounts[AccountKind.CASH]

    @property
    def capital(self) -> int:
        return self.cohort_accounts[AccountKind.CAPITAL]

    def balanced(self, amount: str = "100") -> list[Line]:
        """The two lines of a contribution to the cohort's book."""
        return contribution(book=self.cohort_accounts, asset_id=self.usdt.pk, amount=Decimal(amount))

    def post(self, lines: list[Line] | None = None, **changes: Any) -> JournalEntry:
        """A good contribution, unless the test changes something about it."""
        wanted: dict[str, Any] = {
            "fund": self.fund,
            "value_date": DAY,
            "kind": EntryKind.CONTRIBUTION,
            "lines": self.balanced() if lines is None else lines,
            "idempotency_key": None,
            "actor": None,
        }
        return post_entry(**(wanted | changes))


def make_cast() -> Cast:
    """Builds the cast through the product's own actions."""
    usdt = ensure_asset(code="USDT", name="Tether", kind=AssetKind.CRYPTO, places=8, actor=None)
    btc = ensure_asset(code="BTC", name="Bitcoin", kind=AssetKind.CRYPTO, places=8, actor=None)
    fund = open_fund(code="MAIN", name="Main fund", base_asset=usdt, opened_on=OPENED, actor=None)
    other = open_fund(code="OTHER", name="Other fund", base_asset=usdt, opened_on=OPENED, actor=None)
    root = Book.objects.get(fund=fund, parent=None)
    cohort = open_book(parent=root, code="c1", name="Cohort 1", kind=BookKind.COHORT, opened_on=OPENED, actor=None)
    opened = open_books(
        parent=cohort,
        books=[NewBook("a1", "Agent 1"), NewBook("a2", "Agent 2")],
        kind=BookKind.AGENT,
        opened_on=OPENED,
        actor=None,
    )
    first, second = (Book.objects.get(pk=pk) for pk in opened.book_ids)
    return Cast(
        fund=fund,
        root=root,
        cohort=cohort,
        agents=(first, second),
        usdt=usdt,
        btc=btc,
        cohort_accounts=book_accounts(cohort),
        agent_accounts=(opened.accounts(0), opened.accounts(1)),
        other_fund=other,
        foreign_cash=book_accounts(Book.objects.get(fund=other, parent=None))[AccountKind.CASH],
    )


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def live_cast(transactional_db: None) -> Cast:
    """The same cast, committed: for tests with several connections or with real commits."""
    return make_cast()


def session_as(login: dict[str, Any] | None) -> psycopg.Connection[Any]:
    """A plain session on the test database, past every line of our Python."""
    assert login is not None
    return psycopg.connect(
        host=login["HOST"],
        port=login["PORT"],
        user=login["USER"],
        password=login["PASSWORD"],
        dbname=connection.settings_dict["NAME"],
    )


@pytest.fixture
def app_session(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """The application's role, with raw SQL."""
    with session_as(connection.settings_dict) as session:
        yield session
        session.rollback()


@pytest.fixture
def owner_session(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """The role that owns the schema, with raw SQL."""
    with session_as(settings.DATABASE_OWNER) as session:
        yield session
        session.rollback()
