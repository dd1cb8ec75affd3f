"""Value moved by hand, and Books opened and closed: by signed requests, whoever tries whatever else."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from rest_framework.test import APIClient

from compliance.approvals.errors import NotApprovedError
from compliance.models import ApprovalRequest
from fundops.core.errors import FundopsError
from fundops.core.roles import Role
from tests.compliance.approvals.support import staff
from tests.factories import user_with
from tests.gate import by_gate, carry, ensure_policy, gate_people
from tests.treasury.conftest import DAY, OPENED, Cast
from treasury import errors
from treasury.actions.books import NewBook, close_book, open_book, open_books, open_fund
from treasury.actions.ledger import post_entry, reverse_entry
from treasury.models import AccountKind, Book, BookKind, EntryKind, Fund, JournalEntry
from treasury.postings import Line, contribution, draw, fill, release
from treasury.selectors import book_accounts

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ruled_world")]
KINDS = (
    "treasury.open_fund",
    "treasury.open_book",
    "treasury.close_book",
    "treasury.post_entry",
    "treasury.reverse_entry",
)


def entry(cast: Cast, amount: str = "100", **changes: Any) -> dict[str, Any]:
    """A contribution to the fund's own Book."""
    sides = (("cash", amount), ("capital", f"-{amount}"))
    lines = [{"book": "MAIN", "account": account, "asset": "USDT", "amount": sum_} for account, sum_ in sides]
    asked = {"fund": "MAIN", "value_date": DAY, "entry_kind": "contribution", "memo": "Seed capital", "lines": lines}
    return asked | changes


@pytest.fixture
def trading(cast: Cast) -> Book:
    """A Book that trades for the fund, with 100 USDT of its cash."""
    book = open_book(parent=cast.root, code="d1", name="Live", kind=BookKind.DEPLOYMENT, opened_on=OPENED, actor=None)
    by_gate("treasury.post_entry", entry(cast))
    moves = [("MAIN", "cash", "-100"), ("MAIN", "bankroll", "100"), ("MAIN/d1", "cash", "100")]
    lines = [
        {"book": path, "account": account, "asset": "USDT", "amount": amount}
        for path, account, amount in [*moves, ("MAIN/d1", "capital", "-100")]
    ]
    by_gate("treasury.post_entry", entry(cast, entry_kind="draw", memo="Bankroll", lines=lines))
    return book


# --- The way through ------------------------------------------------------------------------------------------
def test_an_entry_is_posted_and_reversed_by_request(cast: Cast) -> None:
    posted = by_gate("treasury.post_entry", entry(cast))
    made = JournalEntry.objects.get(pk=posted["entry"])
    assert (made.kind, made.source_type) == ("contribution", "compliance.approvalrequest")
    request = ApprovalRequest.objects.get(pk=made.source_id)
    assert (request.amount, request.state) == (Decimal(100), "executed")
    asked = {"fund": "MAIN", "posting_seq": posted["posting_seq"], "value_date": DAY, "memo": "Wrong fund"}
    by_gate("treasury.reverse_entry", asked)
    assert made.reversals.count() == 1
    with pytest.raises(errors.AlreadyReversedError):
        by_gate("treasury.reverse_entry", asked)


def test_a_fund_and_its_books_are_opened_and_closed_by_request(cast: Cast) -> None:
    by_gate("treasury.open_fund", {"code": "NEW", "name": "New fund", "base_asset": "USDT", "opened_on": OPENED})
    for kind in ("treasury.open_book", "treasury.close_book"):
        ensure_policy(kind)
    by_gate("treasury.open_book", {"parent": "NEW", "code": "trend", "name": "Trend", "opened_on": OPENED})
    book = Book.objects.get(path="NEW/trend")
    assert book.kind == BookKind.STRATEGY
    by_gate("treasury.close_book", {"book": "NEW/trend"})
    book.refresh_from_db()
    assert book.closed_at is not None
    with pytest.raises(errors.ClosedBookError):
        by_gate("treasury.close_book", {"book": "NEW/trend"})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"fund": "NOWHERE"}, errors.UnknownFundError),
        ({"entry_kind": "reversal"}, errors.ReversalOfReversalError),
        ({"value_date": "2023-12-31"}, errors.ValueDateError),
        ({"value_date": "2199-01-01"}, errors.ValueDateError),
    ],
)
def test_what_the_books_would_refuse_is_refused_at_once(
    cast: Cast, changes: dict[str, Any], error: type[FundopsError]
) -> None:
    with pytest.raises(error):
        by_gate("treasury.post_entry", entry(cast, **changes))
    assert not JournalEntry.objects.exists()


def test_lines_are_looked_at_one_by_one(cast: Cast) -> None:
    def refused(error: type[FundopsError], **changes: Any) -> None:
        asked = entry(cast)
        asked["lines"][0] |= changes
        with pytest.raises(error):
            by_gate("treasury.post_entry", asked)

    refused(errors.UnbalancedEntryError, amount="99.999")
    refused(errors.UnknownAssetError, asset="GOLD")
    refused(errors.BookTreeError, book="MAIN/nowhere")
    refused(errors.UnknownAccountError, book="OTHER")
    assert not JournalEntry.objects.exists()


@pytest.mark.parametrize(
    ("lines", "amount"),
    [
        ([("cash", "USDT", "100"), ("capital", "USDT", "-100")], "100"),
        ([("cash", "USDT", "-100"), ("capital", "USDT", "100")], "100"),
        ([("fees", "USDT", "3"), ("capital", "USDT", "-3")], "3"),
        ([("position", "BTC", "1"), ("trading", "BTC", "-1")], None),
    ],
)
def test_the_amount_finds_the_band(cast: Cast, lines: list[tuple[str, str, str]], amount: str | None) -> None:
    """In the base asset; what is something else has no amount, and so the strictest band."""
    told = [{"book": "MAIN", "account": a, "asset": s, "amount": x} for a, s, x in lines]
    by_gate("treasury.post_entry", entry(cast, entry_kind="adjustment", lines=told))
    request = ApprovalRequest.objects.get(kind="treasury.post_entry")
    assert request.amount == (None if amount is None else Decimal(amount))


# --- There is no other way ------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [k for k in EntryKind if k != EntryKind.REVERSAL])
def test_no_entry_of_any_kind_reaches_the_fund_s_own_book(cast: Cast, kind: EntryKind) -> None:
    lines = contribution(book=book_accounts(cast.root), asset_id=cast.usdt.pk, amount=Decimal(100))
    for actor in (None, user_with(Role.OPERATIONS)):
        with pytest.raises(NotApprovedError):
            cast.post(lines, kind=kind, actor=actor)
    assert not JournalEntry.objects.exists()


def test_nor_is_one_reversed(cast: Cast) -> None:
    made = JournalEntry.objects.get(pk=by_gate("treasury.post_entry", entry(cast))["entry"])
    with pytest.raises(NotApprovedError):
        reverse_entry(entry=made, value_date=DAY, memo="", actor=None)


def test_a_draw_from_the_fund_to_paper_is_refused_from_either_end(cast: Cast) -> None:
    by_gate("treasury.post_entry", entry(cast))
    for parent, child in ((cast.root, cast.cohort), (cast.cohort, cast.root)):
        lines = draw(parent=book_accounts(parent), child=book_accounts(child), asset_id=cast.usdt.pk, amount=Decimal(5))
        for kind in (EntryKind.DRAW, EntryKind.RELEASE, EntryKind.FILL):
            with pytest.raises(NotApprovedError):
                cast.post(lines, kind=kind)


def test_trading_posts_its_fills_and_brings_cash_home_by_itself(cast: Cast, trading: Book) -> None:
    own, root = book_accounts(trading), book_accounts(cast.root)
    cast.post(
        fill(
            book=own,
            base_asset_id=cast.btc.pk,
            quote_asset_id=cast.usdt.pk,
            quantity=Decimal("0.5"),
            quote_amount=Decimal(30),
            fee=Decimal("0.05"),
        ),
        kind=EntryKind.FILL,
    )
    home = release(parent=root, child=own, asset_id=cast.usdt.pk, amount=Decimal(20))
    cast.post(home, kind=EntryKind.RELEASE)
    with pytest.raises(NotApprovedError):
        cast.post([line._replace(amount=-line.amount) for line in home], kind=EntryKind.RELEASE)


def test_what_trading_may_post_carries_nothing_away(cast: Cast, trading: Book) -> None:
    """Neither as a fill nor as cash going home, in one statement or in two, does cash reach a paper Book."""
    own, paper, usdt = book_accounts(trading), cast.cohort_accounts, cast.usdt.pk
    across = [Line(own[AccountKind.CASH], usdt, Decimal(-10)), Line(paper[AccountKind.CASH], usdt, Decimal(10))]
    balanced = [
        Line(own[AccountKind.CASH], usdt, Decimal(-10)),
        Line(own[AccountKind.CAPITAL], usdt, Decimal(10)),
        Line(paper[AccountKind.CASH], usdt, Decimal(10)),
        Line(paper[AccountKind.CAPITAL], usdt, Decimal(-10)),
    ]
    for kind in (EntryKind.FILL, EntryKind.FEE, EntryKind.FUNDING, EntryKind.LIQUIDATION, EntryKind.RELEASE):
        with pytest.raises(NotApprovedError):
            cast.post(across, kind=kind)
    with pytest.raises(NotApprovedError):
        cast.post(balanced, kind=EntryKind.RELEASE)
    for first, second in ((balanced[:2], balanced[2:]), (balanced[2:], balanced[:2])):
        said = refused([(EntryKind.RELEASE, first), (EntryKind.RELEASE, second)], cast)
        assert "approved request" in said


def refused(statements: list[tuple[EntryKind, list[Line]]], cast: Cast) -> str:
    """One entry, its lines in several statements, by raw SQL as the application's role."""
    with pytest.raises(DatabaseError) as refusal, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT next_seq, booking_time FROM treasury_begin_posting(%s, now())", [cast.fund.pk])
        seq, at = cursor.fetchone()
        cursor.execute(
            "INSERT INTO treasury_journalentry (fund_id, posting_seq, booked_at, value_date, kind)"
            " VALUES (%s, %s, %s, %s, %s) RETURNING id",
            [cast.fund.pk, seq, at, DAY, statements[0][0]],
        )
        (entry_id,) = cursor.fetchone()
        for _, lines in statements:
            cursor.executemany(
                "INSERT INTO treasury_journalline (entry_id, account_id, asset_id, amount) VALUES (%s, %s, %s, %s)",
                [(entry_id, *line) for line in lines],
            )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return str(refusal.value)


def test_after_the_founding_funds_and_books_are_opened_by_request_alone(cast: Cast) -> None:
    """Before it an installation makes its first ones; the rules in force close that door for good."""
    strategy = open_book(parent=cast.root, code="s1", name="S", kind=BookKind.STRATEGY, opened_on=OPENED, actor=None)
    ensure_policy("treasury.open_fund")
    ensure_policy("treasury.open_book")
    wanted: dict[str, Any] = {"name": "X", "opened_on": OPENED, "actor": None}
    with pytest.raises(NotApprovedError):
        open_fund(code="FREE", base_asset=cast.usdt, **wanted)
    for kind in (BookKind.STRATEGY, BookKind.DEPLOYMENT, BookKind.AGENT):
        with pytest.raises(NotApprovedError):
            open_book(parent=cast.root, code="free", kind=kind, **wanted)
    with pytest.raises(NotApprovedError):
        open_books(parent=strategy, books=[NewBook("a", "A")], kind=BookKind.AGENT, opened_on=OPENED, actor=None)
    with pytest.raises(NotApprovedError):
        close_book(book=strategy, actor=None)
    paper = open_book(parent=cast.root, code="c2", kind=BookKind.COHORT, **wanted)
    open_books(parent=paper, books=[NewBook("a1", "A")], kind=BookKind.AGENT, opened_on=OPENED, actor=None)
    close_book(book=paper, actor=None)
    assert Fund.objects.count() == 2


# --- Over HTTP ------------------------------------------------------------------------------------------------
def test_the_api_asks_and_does_nothing(cast: Cast) -> None:
    for kind in KINDS:
        ensure_policy(kind)
    api = APIClient()
    api.force_authenticate(staff("otto", Role.OPERATIONS))
    posted = api.post("/api/entries/", entry(cast) | {"reason": "Money came"}, format="json")
    assert (posted.status_code, posted.json()["state"]) == (202, "submitted"), posted.json()
    assert not JournalEntry.objects.exists()
    carry(ApprovalRequest.objects.get(pk=posted.json()["id"]))
    made = JournalEntry.objects.get()
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"/api/entries/{made.pk}/reverse/", {"value_date": str(DAY), "memo": "No", "reason": "It did not"}),
        ("/api/books/", {"parent": "MAIN", "code": "s", "name": "S", "opened_on": str(OPENED), "reason": "New"}),
        (f"/api/books/{cast.cohort.pk}/close/", {"reason": "Over"}),
        ("/api/funds/", {"code": "F", "name": "F", "base_asset": "USDT", "opened_on": str(OPENED), "reason": "New"}),
    ]
    for path, body in asked:
        answer = api.post(path, body, format="json")
        assert answer.status_code == 202, (path, answer.json())
        carry(ApprovalRequest.objects.get(pk=answer.json()["id"]))
    assert Book.objects.filter(path__in=["MAIN/s", "F"]).count() == 2


@pytest.mark.parametrize("role", list(Role))
def test_each_role_asks_for_what_it_may(cast: Cast, role: Role) -> None:
    api = APIClient()
    api.force_authenticate(user_with(role))
    may_ask = role in (Role.PORTFOLIO_MANAGER, Role.OPERATIONS)
    for path in ("/api/entries/", "/api/entries/1/reverse/", "/api/books/", "/api/books/1/close/", "/api/funds/"):
        status = api.post(path, {}, format="json").status_code
        assert (status != 403) == may_ask, (path, status)


def test_a_person_s_posting_needs_two_others_and_a_third(cast: Cast) -> None:
    """What is asked for by operations is not signed by the one who asked."""
    ensure_policy("treasury.post_entry")
    people = gate_people()
    with pytest.raises(NotApprovedError):
        post_entry(
            fund=cast.fund,
            value_date=DAY,
            kind=EntryKind.CONTRIBUTION,
            lines=contribution(book=book_accounts(cast.root), asset_id=cast.usdt.pk, amount=Decimal(1)),
            idempotency_key=None,
            actor=people.operations,
        )
