"""The books to read: balances and lines as the ledger has them, links to where they come from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from tests.portal.support import READERS, client_of
from trading.actions.cohort_drive import drive_cohort
from trading.models.cohort import Cohort
from treasury.models import JournalLine
from treasury.selectors import balances


@pytest.fixture
def cohort(launched: Callable[..., Cohort]) -> Cohort:
    return drive_cohort(cohort_id=launched(days=1).pk)


def address(cohort: Cohort, **query: str) -> str:
    assert cohort.book is not None
    return reverse("portal:book", args=[cohort.book.path])


@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_the_books(cohort: Cohort, role: Role) -> None:
    client = client_of(user_with(role))
    for path in (reverse("portal:books"), address(cohort)):
        assert client.get(path).status_code == (200 if role in READERS else 403)
    assert Client().get(address(cohort)).status_code in {302, 401, 403}


def test_a_book_shows_its_balances_its_lines_and_where_they_come_from(cohort: Cohort, manager: User) -> None:
    client = client_of(manager)
    agent = cohort.agents.select_related("book").filter(fills__isnull=False).first()
    assert agent is not None
    html = client.get(reverse("portal:book", args=[agent.book.path])).content.decode()
    assert reverse("portal:cohort-agent", args=[cohort.pk, agent.number]) in html
    fill = agent.fills.order_by("-number").first()
    assert fill is not None
    assert reverse("portal:cohort-fill", args=[cohort.pk, fill.number]) in html
    lines = JournalLine.objects.filter(account__book=agent.book).count()
    assert f"of {lines} lines" in html
    for balance in balances(books=agent.book):
        assert f"{abs(balance.amount.normalize()):,f}".rstrip("0").rstrip(".")[:6] in html


def test_with_all_below_and_as_of_a_day(cohort: Cohort, manager: User) -> None:
    client = client_of(manager)
    own = client.get(address(cohort)).content.decode()
    below = client.get(f"{address(cohort)}?below=1").content.decode()
    count = JournalLine.objects.filter(entry__fund=cohort.fund).count()
    assert f"of {count} lines" in below and f"of {count} lines" not in own
    before = client.get(f"{address(cohort)}?below=1&as_of=2020-01-01").content.decode()
    assert "Every balance is zero" in before and "No line yet" in before
    assert client.get(f"{address(cohort)}?as_of=yesterday").status_code == 404
    assert client.get(reverse("portal:book", args=["TEST/nothing"])).status_code == 404


def test_an_object_grant_is_no_right_to_the_ledger(cohort: Cohort) -> None:
    assert client_of(user_with(Role.CLIENT_RELATIONS)).get(address(cohort)).status_code == 403


def test_the_page_costs_the_same_for_many_lines(cohort: Cohort, manager: User) -> None:
    client = client_of(manager)
    client.get(f"{address(cohort)}?below=1")
    with CaptureQueriesContext(connection) as seen:
        client.get(f"{address(cohort)}?below=1")
    assert len(seen) <= 25, [q["sql"][:100] for q in seen]


def test_without_a_fund_it_says_so(db: None) -> None:
    html = client_of(user_with(Role.AUDITOR)).get(reverse("portal:books")).content.decode()
    assert "There is no fund yet" in html
