"""Opening and closing books, one by one and by the thousand."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from guardian.shortcuts import assign_perm

from compliance.models import AuditEvent
from fundops.core.live import TopicDeniedError, check_topic
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from tests.treasury.conftest import DAY, OPENED, Cast
from treasury import errors
from treasury.actions.books import NewBook, close_book, ensure_asset, open_accounts, open_book, open_books
from treasury.models import AccountKind, AssetKind, Book, BookKind, EntryKind, Fund, LedgerAccount
from treasury.postings import draw, release
from treasury.selectors import book_accounts

pytestmark = pytest.mark.django_db


def test_path_names_the_way_from_the_fund(cast: Cast) -> None:
    assert [book.path for book in Book.objects.below(cast.root)] == [
        "MAIN",
        "MAIN/c1",
        "MAIN/c1/a1",
        "MAIN/c1/a2",
    ]
    assert set(book_accounts(cast.agents[0])) == set(AccountKind)


def test_books_of_similar_codes_are_not_below_each_other(cast: Cast) -> None:
    for code in ("c1x", "c_"):
        open_book(parent=cast.root, code=code, name="", kind=BookKind.COHORT, opened_on=OPENED, actor=None)
    assert Book.objects.below(cast.cohort).count() == 3
    assert Book.objects.below(Book.objects.get(code="c_")).count() == 1


def test_ten_thousand_books_open_in_a_handful_of_statements(cast: Cast) -> None:
    names = [NewBook(f"b{i:05}", f"Agent {i}") for i in range(10_000)]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        opened = open_books(parent=cast.cohort, books=names, kind=BookKind.AGENT, opened_on=OPENED, actor=None)
    assert len(queries) <= 8
    assert LedgerAccount.objects.filter(book__in=opened.book_ids).count() == 10_000 * len(AccountKind)
    for index in (0, 4_321, 9_999):
        book = Book.objects.get(pk=opened.book_ids[index])
        assert book.path == f"MAIN/c1/{names[index].code}"
        assert opened.accounts(index) == book_accounts(book)
    assert AuditEvent.objects.filter(kind="treasury.books.opened").order_by("pk").last() is not None


def test_accounts_missing_are_opened_and_those_there_are_kept(cast: Cast) -> None:
    book = open_book(
        parent=cast.cohort,
        code="a3",
        name="",
        kind=BookKind.AGENT,
        opened_on=OPENED,
        actor=None,
        accounts=[AccountKind.CASH],
    )
    cash = book_accounts(book)[AccountKind.CASH]
    kinds = [AccountKind.CASH, AccountKind.FEES]
    found = open_accounts(books=[book, cast.cohort], kinds=kinds, actor=None)
    assert found[AccountKind.CASH] == [cash, cast.cash]
    assert set(book_accounts(book)) == set(kinds)
    event = AuditEvent.objects.get(kind="treasury.accounts.opened")
    assert event.payload["accounts"] == 1
    assert open_accounts(books=[book, cast.cohort], kinds=kinds, actor=None) == found


@pytest.mark.parametrize("code", ["a/b", "", "../x", "a b", "ä"])
def test_code_that_breaks_the_path_is_refused(cast: Cast, code: str) -> None:
    with pytest.raises(errors.BookTreeError, match="cannot be part of a path"):
        open_book(parent=cast.cohort, code=code, name="", kind=BookKind.AGENT, opened_on=OPENED, actor=None)


def test_code_taken_is_refused(cast: Cast) -> None:
    with pytest.raises(errors.BookExistsError):
        open_book(parent=cast.cohort, code="a1", name="", kind=BookKind.AGENT, opened_on=OPENED, actor=None)


def test_second_root_is_refused(cast: Cast) -> None:
    with pytest.raises(errors.BookTreeError):
        open_book(parent=cast.cohort, code="x", name="", kind=BookKind.FUND, opened_on=OPENED, actor=None)


def test_asset_known_already_is_left_as_it_is(cast: Cast) -> None:
    again = ensure_asset(code="BTC", name="Other", kind=AssetKind.FIAT, places=2, actor=None)
    assert (again.pk, again.name, again.places) == (cast.btc.pk, "Bitcoin", 8)


def test_book_that_holds_something_is_not_closed(cast: Cast) -> None:
    agent = cast.agent_accounts[0]
    amount = Decimal("33.33")
    cast.post(cast.balanced("100"))
    cast.post(draw(parent=cast.cohort_accounts, child=agent, asset_id=cast.usdt.pk, amount=amount))
    with pytest.raises(errors.BookNotEmptyError, match=r"MAIN/c1(/a1)? still holds"):
        close_book(book=cast.cohort, actor=None)

    cast.post(release(parent=cast.cohort_accounts, child=agent, asset_id=cast.usdt.pk, amount=amount))
    cast.post(cast.balanced("-100"), kind=EntryKind.WITHDRAWAL, value_date=DAY)
    closed = close_book(book=cast.cohort, actor=None)
    assert not closed.is_open
    assert not Book.objects.below(cast.cohort).filter(closed_at=None).exists()
    assert AuditEvent.objects.get(kind="treasury.book.closed").payload["books_closed"] == 3


def test_closed_book_takes_no_children_and_closes_once(cast: Cast) -> None:
    close_book(book=cast.cohort, actor=None)
    with pytest.raises(errors.ClosedBookError):
        close_book(book=cast.cohort, actor=None)
    with pytest.raises(errors.ClosedBookError, match="Open new books under an open one"):
        open_book(parent=cast.cohort, code="z", name="", kind=BookKind.AGENT, opened_on=OPENED, actor=None)


class TestWhoSees:
    """Querysets restricted by user."""

    def user(self, role: Role | None) -> User:
        user = User.objects.create_user(username=f"u-{role}", email=f"{role}@example.com".replace(" ", ""))
        if role is not None:
            user.groups.add(Group.objects.get(name=role.value))
        return user

    @pytest.mark.parametrize("role", [Role.PORTFOLIO_MANAGER, Role.AUDITOR, Role.OPERATIONS])
    def test_staff_that_reads_treasury_sees_every_book(self, cast: Cast, role: Role) -> None:
        assert Book.objects.for_user(self.user(role)).count() == Book.objects.count()

    @pytest.mark.parametrize("role", [Role.INVESTOR, Role.ADMINISTRATOR, None])
    def test_others_see_nothing(self, cast: Cast, role: Role | None) -> None:
        user = self.user(role)
        assert not Book.objects.for_user(user).exists()
        assert not Fund.objects.for_user(user).exists()
        assert not Book.objects.for_user(AnonymousUser()).exists()

    def test_granted_book_brings_what_is_below_it_and_no_more(self, cast: Cast) -> None:
        user = self.user(None)
        assign_perm("treasury.view_book", user, cast.cohort)
        assert [b.path for b in Book.objects.for_user(user)] == ["MAIN/c1", "MAIN/c1/a1", "MAIN/c1/a2"]
        assert not Fund.objects.for_user(user).exists()

    def test_granted_fund_brings_its_books(self, cast: Cast) -> None:
        user = self.user(None)
        assign_perm("treasury.view_fund", user, cast.other_fund)
        assert [b.path for b in Book.objects.for_user(user)] == ["OTHER"]


def test_live_topic_of_a_book_is_for_those_who_read_its_journal(cast: Cast) -> None:
    manager, adviser = user_with(Role.PORTFOLIO_MANAGER), user_with(Role.CLIENT_RELATIONS)
    check_topic(manager, f"book:{cast.cohort.pk}")
    for user, topic in (
        (adviser, f"book:{cast.cohort.pk}"),
        (manager, "book:987654"),
        (manager, "book"),
        (manager, "book:x"),
    ):
        with pytest.raises(TopicDeniedError):
            check_topic(user, topic)
