"""The books over HTTP: figures as exact strings, narrowed to the reader, refused to the rest."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from guardian.shortcuts import assign_perm

from fundops.core.roles import Role
from tests.factories import everyone, user_with
from tests.treasury.conftest import DAY, Cast
from treasury.actions.ledger import reverse_entry
from treasury.models import EntryKind
from treasury.postings import Source, draw, fill

pytestmark = pytest.mark.django_db

JOURNAL_READERS = {
    Role.PORTFOLIO_MANAGER,
    Role.RISK_OFFICER,
    Role.OPERATIONS,
    Role.COMPLIANCE_OFFICER,
    Role.AUDITOR,
}


@pytest.fixture
def posted(cast: Cast) -> Cast:
    """100 contributed, 40 drawn by the first agent, who buys 0.5 BTC for 30 and pays a fee of 0.05."""
    agent = cast.agent_accounts[0]
    cast.post()
    cast.post(
        draw(parent=cast.cohort_accounts, child=agent, asset_id=cast.usdt.pk, amount=Decimal(40)),
        kind=EntryKind.DRAW,
    )
    cast.post(
        fill(
            book=agent,
            base_asset_id=cast.btc.pk,
            quote_asset_id=cast.usdt.pk,
            quantity=Decimal("0.5"),
            quote_amount=Decimal(30),
            fee=Decimal("0.05"),
        ),
        kind=EntryKind.FILL,
        source=Source("trading.fill", "f-1"),
        memo="first fill",
    )
    return cast


def get(client: Client, path: str, **query: Any) -> Any:
    answer = client.get(f"/api/{path}", query, headers={"accept": "application/json"})
    assert answer.status_code == 200, answer.content
    return answer.json()


@pytest.fixture
def client(posted: Cast) -> Client:
    """Signed in as a portfolio manager."""
    client = Client()
    client.force_login(user_with(Role.PORTFOLIO_MANAGER))
    return client


def test_books_list_filters_by_path_kind_and_state(client: Client, posted: Cast) -> None:
    assert get(client, "books/", fund="MAIN")["count"] == 4
    below = get(client, "books/", under="MAIN/c1", kind="agent", open="true")
    assert [book["path"] for book in below["results"]] == ["MAIN/c1/a1", "MAIN/c1/a2"]
    assert get(client, "books/", open="false")["count"] == 0


def test_balances_are_exact_strings_by_kind(client: Client, posted: Cast) -> None:
    found = get(client, f"books/{posted.agents[0].pk}/balances/")
    assert {(row["kind"], row["asset"]): row["amount"] for row in found} == {
        ("cash", "USDT"): "9.95",
        ("position", "BTC"): "0.5",
        ("trading", "BTC"): "-0.5",
        ("trading", "USDT"): "30",
        ("capital", "USDT"): "-40",
        ("fees", "USDT"): "0.05",
    }


def test_balances_take_descendants_dates_and_numbers(client: Client, posted: Cast) -> None:
    path = f"books/{posted.cohort.pk}/balances/"
    cash = get(client, path, descendants="true", by="kind,book", as_known="2")
    assert {(row["kind"], row["book_id"]): row["amount"] for row in cash if row["kind"] == "cash"} == {
        ("cash", posted.cohort.pk): "60",
        ("cash", posted.agents[0].pk): "40",
    }
    assert get(client, path, as_of="2024-03-04") == []
    assert get(client, path, as_known="2020-01-01T00:00:00Z") == []


def test_number_beyond_every_posting_knows_all_of_them(client: Client, posted: Cast) -> None:
    path = f"books/{posted.cohort.pk}/balances/"
    assert get(client, path, as_known="9" * 40) == get(client, path)
    assert client.get(f"/api/books/{'9' * 40}/").status_code == 404
    assert client.get("/api/books/x/").status_code == 404


@pytest.mark.parametrize(
    "query",
    [{"by": "colour"}, {"as_of": "yesterday"}, {"as_known": "2024-01-01T00:00:00"}, {"as_known": "x"}],
)
def test_questions_that_make_no_sense_are_400(client: Client, posted: Cast, query: dict[str, str]) -> None:
    answer = client.get(f"/api/books/{posted.cohort.pk}/balances/", query)
    assert answer.status_code == 400
    assert list(query) == list(answer.json()["errors"])


def test_entries_of_a_book_come_with_all_their_lines(client: Client, posted: Cast) -> None:
    found = get(client, f"books/{posted.agents[0].pk}/entries/")
    assert [entry["posting_seq"] for entry in found["results"]] == [3, 2]
    drawn = found["results"][1]
    assert {(line["book"], line["account"], line["amount"]) for line in drawn["lines"]} == {
        ("MAIN/c1", "cash", "-40"),
        ("MAIN/c1", "bankroll", "40"),
        ("MAIN/c1/a1", "cash", "40"),
        ("MAIN/c1/a1", "capital", "-40"),
    }


def test_lines_export_as_csv(client: Client, posted: Cast) -> None:
    answer = client.get(f"/api/books/{posted.agents[0].pk}/lines/", headers={"accept": "text/csv"})
    header, *rows = b"".join(answer).decode().splitlines()
    assert header == "posting_seq,value_date,booked_at,kind,memo,book,account,asset,amount"
    assert len(rows) == 8
    assert rows[0].startswith(f"3,{DAY},")


def test_entries_are_found_by_what_they_stand_for(client: Client, posted: Cast) -> None:
    (found,) = get(client, "entries/", source_type="trading.fill", source_id="f-1")["results"]
    assert (found["posting_seq"], found["memo"], len(found["lines"])) == (3, "first fill", 6)
    entry = posted.fund.entries.get(posting_seq=3)
    reversal = reverse_entry(entry=entry, value_date=DAY, memo="", actor=None)
    assert get(client, f"entries/{reversal.pk}/")["reverses"] == entry.pk


def test_trial_balance_sums_to_zero(client: Client) -> None:
    found = get(client, "trial-balance/", fund="MAIN")
    assert (found["is_balanced"], found["last_seq"]) == (True, 3)
    assert found["totals"] == {"USDT": "0", "BTC": "0"}
    assert get(client, "trial-balance/", fund="MAIN", as_known=1)["last_seq"] == 1


def test_each_role_reads_what_the_matrix_says(posted: Cast) -> None:
    paths = {
        f"/api/books/{posted.cohort.pk}/": JOURNAL_READERS | {Role.CLIENT_RELATIONS},
        "/api/books/": JOURNAL_READERS | {Role.CLIENT_RELATIONS},
        f"/api/books/{posted.cohort.pk}/balances/": JOURNAL_READERS,
        f"/api/books/{posted.cohort.pk}/entries/": JOURNAL_READERS,
        f"/api/books/{posted.cohort.pk}/lines/": JOURNAL_READERS,
        "/api/entries/": JOURNAL_READERS,
        "/api/trial-balance/?fund=MAIN": JOURNAL_READERS,
    }
    for role, user in everyone().items():
        client = Client()
        client.force_login(user)
        for path, readers in paths.items():
            expected = 200 if role in readers else 403
            assert client.get(path).status_code == expected, (role, path)


def test_nobody_reads_without_signing_in(posted: Cast) -> None:
    assert Client().get("/api/books/").status_code == 401


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_is_written_over_http(client: Client, posted: Cast, method: str) -> None:
    """Proposals aside (`test_gate.py`), and they write nothing to the books."""
    proposals = () if method == "post" else ("/api/books/", "/api/entries/")
    for path in (f"/api/books/{posted.cohort.pk}/", "/api/trial-balance/", *proposals):
        assert getattr(client, method)(path).status_code == 405, path


def test_fund_granted_to_nobody_else_stays_out_of_sight(posted: Cast) -> None:
    """An object permission on the other fund does not open this one's trial balance."""
    user = user_with(Role.INVESTOR)
    assign_perm("treasury.view_journalline", user)
    assign_perm("treasury.view_fund", user, posted.other_fund)
    client = Client()
    client.force_login(user)
    assert client.get("/api/trial-balance/?fund=OTHER").status_code == 200
    assert client.get("/api/trial-balance/?fund=MAIN").status_code == 404


def test_pages_of_entries_cost_the_same_however_many_there_are(
    client: Client, posted: Cast, django_assert_max_num_queries: Any
) -> None:
    for _ in range(10):
        posted.post()
    with django_assert_max_num_queries(12):
        get(client, f"books/{posted.cohort.pk}/entries/")
