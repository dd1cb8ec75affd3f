"""A grant of one fund, one Book or one cohort opens that one, on pages and in the API, and nothing beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

import pytest
from django.test import Client
from django.urls import reverse
from guardian.shortcuts import assign_perm

from fundops.core.live import TopicDeniedError, check_topic
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from tests.portal.support import client_of
from trading.actions.cohort import launch_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.models.cohort import Cohort
from trading.topics import may_hear_cohort, may_hear_cohorts
from treasury.actions.books import open_fund
from treasury.models import Asset, Book, Fund

Make = Callable[..., Cohort]


@pytest.fixture
def ours(launched: Make) -> Cohort:
    return drive_cohort(cohort_id=launched(days=1, agent_count=2).pk)


@pytest.fixture
def neighbour(launched: Make) -> Cohort:
    """Another cohort of the same fund."""
    return drive_cohort(cohort_id=launched(days=1, agent_count=2, seed=9).pk)


@pytest.fixture
def elsewhere(ours: Cohort, specification: Make, manager: User) -> Cohort:
    """A cohort of another fund."""
    fund = open_fund(
        code="OTHER",
        name="Other Fund",
        base_asset=Asset.objects.get(code="USDT"),
        opened_on=date(2020, 1, 1),
        actor=None,
    )
    made = launch_cohort(cohort=specification(fund=fund, days=1, agent_count=2), actor=manager, queued=False)
    return drive_cohort(cohort_id=made.pk)


def pages(cohort: Cohort) -> list[str]:
    pk = cohort.pk
    return [
        reverse("portal:cohort", args=[pk]),
        reverse("portal:cohort-chart", args=[pk, "equity"]),
        reverse("portal:cohort-agent", args=[pk, 1]),
        reverse("portal:cohort-agent-chart", args=[pk, 1, "equity"]),
        reverse("portal:cohort-fill", args=[pk, 1]),
        *(
            f"/api/cohorts/{pk}/{rest}"
            for rest in ("", "days/", "agents/", "agents/1/", "leaderboard/", "trades/", "rejections/", "alerts/")
        ),
    ]


def book_pages(book: Book) -> list[str]:
    return [
        reverse("portal:book", args=[book.path]),
        *(f"/api/books/{book.pk}/{rest}" for rest in ("", "balances/", "entries/", "lines/")),
    ]


def listed_cohorts(client: Client) -> set[int]:
    found = {row["id"] for row in client.get("/api/cohorts/").json()["results"]}
    table = client.get(reverse("portal:cohorts")).context["table"]
    assert {row.record.pk for row in table.rows} == found, "page and API list the same"
    return found


GRANTS: dict[str, Callable[[User, Cohort], object]] = {
    "cohort": lambda user, cohort: assign_perm("trading.view_cohort", user, cohort),
    "book": lambda user, cohort: assign_perm("treasury.view_book", user, cohort.book),
    "fund": lambda user, cohort: assign_perm("treasury.view_fund", user, cohort.fund),
}


@pytest.mark.parametrize("grant", GRANTS)
def test_a_granted_cohort_is_read_and_no_other(ours: Cohort, elsewhere: Cohort, grant: str) -> None:
    investor = user_with(Role.INVESTOR)
    GRANTS[grant](investor, ours)
    client = client_of(investor)
    assert [client.get(path).status_code for path in pages(ours)] == [200] * 13
    assert [client.get(path).status_code for path in pages(elsewhere)] == [404] * 13
    assert listed_cohorts(client) == {ours.pk}
    assert may_hear_cohort(investor, str(ours.pk))
    assert not may_hear_cohort(investor, str(elsewhere.pk))
    assert not may_hear_cohorts(investor, "")
    assert reverse("portal:cohorts") in client.get(reverse("portal:home")).content.decode()


def test_the_list_listens_to_what_its_reader_may_hear(
    ours: Cohort, neighbour: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = reverse("portal:cohorts")

    def topics(user: User) -> list[str]:
        html = client_of(user).get(path).content.decode()
        [heard] = re.findall(r'data-live-topic="([^"]*)" data-live-after[^>]*hx-target="#table-card"', html)
        return str(heard).split()

    assert topics(user_with(Role.AUDITOR)) == ["cohorts"]
    person = user_with(Role.INVESTOR)
    assign_perm("treasury.view_book", person, ours.book)
    assert topics(person) == [ours.topic]
    assign_perm("treasury.view_fund", person, ours.fund)
    assert topics(person) == [neighbour.topic, ours.topic]
    for topic in topics(person):
        check_topic(person, topic)
    with pytest.raises(TopicDeniedError):
        check_topic(person, "cohorts")
    monkeypatch.setattr("trading.topics.MOST_HEARD", 1)
    assert topics(person) == [neighbour.topic], "no more than a connection carries"


def test_of_two_cohorts_of_a_fund_the_granted_one_is_read(ours: Cohort, neighbour: Cohort) -> None:
    person = user_with()
    assign_perm("treasury.view_book", person, ours.book)
    client = client_of(person)
    assert listed_cohorts(client) == {ours.pk}
    assert client.get(reverse("portal:cohort", args=[neighbour.pk])).status_code == 404
    assign_perm("treasury.view_fund", person, ours.fund)
    assert listed_cohorts(client) == {ours.pk, neighbour.pk}


def test_a_granted_book_is_read_with_all_below_it(ours: Cohort, neighbour: Cohort) -> None:
    person = user_with(Role.INVESTOR)
    assert ours.book is not None
    assert neighbour.book is not None
    assign_perm("treasury.view_book", person, ours.book)
    client = client_of(person)
    agent = ours.agents.get(number=1).book
    for book in (ours.book, agent):
        assert [client.get(path).status_code for path in book_pages(book)] == [200] * 5
    for book in (neighbour.book, Book.objects.get(fund=ours.fund, parent=None)):
        assert [client.get(path).status_code for path in book_pages(book)] == [404] * 5
    roots = client.get(reverse("portal:books")).context["roots"]
    assert [(root.path, root.below) for root in roots] == [(ours.book.path, 3)]
    paths = {row["path"] for row in client.get("/api/books/").json()["results"]}
    assert paths == {ours.book.path, *(a.book.path for a in ours.agents.all())}
    html = client.get(reverse("portal:book", args=[agent.path])).content.decode()
    assert reverse("portal:book", args=[ours.book.path]) in html
    assert f'href="{reverse("portal:book", args=[ours.fund.code])}"' not in html


@pytest.mark.parametrize("role", [None, Role.INVESTOR, Role.CLIENT_RELATIONS, Role.ADMINISTRATOR])
def test_without_a_grant_everything_stays_closed(ours: Cohort, role: Role | None) -> None:
    client = client_of(user_with(*([role] if role else [])))
    assert ours.book is not None
    for path in [reverse("portal:cohorts"), "/api/cohorts/", reverse("portal:books"), *pages(ours)]:
        assert client.get(path).status_code == 403, path
    for path in book_pages(ours.book):
        allowed = role is Role.CLIENT_RELATIONS and path == f"/api/books/{ours.book.pk}/"
        assert client.get(path).status_code == (200 if allowed else 403), path


def test_a_grant_beside_a_role_opens_the_lines_of_that_book_alone(ours: Cohort, neighbour: Cohort) -> None:
    """Client relations see the tree by role, and no lines; one granted Book is read in full."""
    person = user_with(Role.CLIENT_RELATIONS)
    assert ours.book is not None
    assert neighbour.book is not None
    assign_perm("treasury.view_book", person, ours.book)
    client = client_of(person)
    assert client.get(f"/api/books/{ours.book.pk}/lines/").status_code == 200
    assert client.get(f"/api/books/{neighbour.book.pk}/lines/").status_code == 404
    assert client.get(f"/api/books/{neighbour.book.pk}/").status_code == 200


def test_a_grant_opens_reading_and_changes_nothing(ours: Cohort, launched: Make) -> None:
    person, live = user_with(Role.INVESTOR), launched()
    assign_perm("treasury.view_fund", person, Fund.objects.get(pk=ours.fund_id))
    client = client_of(person)
    assert ours.book is not None
    for path in (
        reverse("portal:cohort-cancel", args=[live.pk]),
        reverse("portal:cohort-resume", args=[live.pk]),
        reverse("portal:cohort-new"),
        "/api/cohorts/",
        f"/api/cohorts/{live.pk}/cancel/",
        f"/api/cohorts/{live.pk}/resume/",
        "/api/books/",
        f"/api/books/{ours.book.pk}/close/",
    ):
        assert client.post(path, {"reason": "mine"}, content_type="application/json").status_code == 403, path
    live.refresh_from_db()
    assert live.is_live
