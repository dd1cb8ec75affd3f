"""The cohort API: every role at every endpoint, the answers' shapes, CSV, and refusals as problem+json."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from trading.actions.cohort_drive import drive_cohort
from trading.models.cohort import Cohort, CohortStatus

Make = Callable[..., Cohort]

READERS = {
    Role.PORTFOLIO_MANAGER,
    Role.RISK_OFFICER,
    Role.OPERATIONS,
    Role.COMPLIANCE_OFFICER,
    Role.AUDITOR,
}
READ_PATHS = (
    "",
    "{pk}/",
    "{pk}/days/",
    "{pk}/agents/",
    "{pk}/agents/1/",
    "{pk}/leaderboard/",
    "{pk}/trades/",
    "{pk}/rejections/",
    "{pk}/alerts/",
)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def finished(launched: Make) -> Cohort:
    return drive_cohort(cohort_id=launched(days=1).pk)


@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_every_reading_endpoint(finished: Cohort, role: Role) -> None:
    client = client_of(user_with(role))
    for path in READ_PATHS:
        response = client.get(f"/api/cohorts/{path.format(pk=finished.pk)}")
        assert response.status_code == (200 if role in READERS else 403), (role, path)
        if role not in READERS:
            assert response["Content-Type"].startswith("application/problem+json")
            assert str(finished.pk) not in str(response.json().get("results", ""))


@pytest.mark.parametrize("role", sorted(Role))
def test_only_a_portfolio_manager_launches_and_cancels(specification: Make, launched: Make, role: Role) -> None:
    client = client_of(user_with(role))
    live = launched()
    wanted = _body(specification())
    allowed = role is Role.PORTFOLIO_MANAGER
    launch = client.post("/api/cohorts/", wanted, content_type="application/json")
    assert launch.status_code == (201 if allowed else 403)
    cancel = client.post(f"/api/cohorts/{live.pk}/cancel/", {"reason": "test"}, content_type="application/json")
    assert cancel.status_code == (202 if allowed else 403)
    live.refresh_from_db()
    assert live.status == (CohortStatus.CANCELLING if allowed else CohortStatus.QUEUED)
    assert Cohort.objects.count() == (2 if allowed else 1)


def test_nobody_signed_in_reads_nothing(finished: Cohort) -> None:
    for path in READ_PATHS:
        assert Client().get(f"/api/cohorts/{path.format(pk=finished.pk)}").status_code == 401


def test_refused_launch_says_what_to_change_by_field(specification: Make, manager: User) -> None:
    body = _body(specification()) | {"symbols": ["NOSUCHUSDT"], "bankroll": "1000"}
    response = client_of(manager).post("/api/cohorts/", body, content_type="application/json")
    assert response.status_code == 400
    problem = response.json()
    assert problem["code"] == "cohort_spec"
    assert problem["fields"] == {"symbols": ["No 1m candles of NOSUCHUSDT on synthetic."]}
    assert not Cohort.objects.exists()


@pytest.mark.parametrize("bankroll", ["NaN", "-5", "49", "1e400", "abc", ""])
def test_absurd_bankroll_is_refused_and_nothing_starts(specification: Make, manager: User, bankroll: str) -> None:
    body = _body(specification()) | {"bankroll": bankroll}
    response = client_of(manager).post("/api/cohorts/", body, content_type="application/json")
    assert response.status_code == 400
    assert "bankroll" in str(response.json())
    assert not Cohort.objects.exists()


def test_list_finds_by_a_day_of_the_window_and_by_bankroll(launched: Make, manager: User) -> None:
    cohort = launched(days=2)
    client = client_of(manager)

    def found(query: str) -> list[int]:
        return [row["id"] for row in client.get(f"/api/cohorts/?{query}").json()["results"]]

    assert found("date=2025-03-02") == [cohort.pk]
    assert found("date=2025-03-03") == [cohort.pk]
    assert found("date=2025-03-04") == []
    assert found("bankroll=1000") == [cohort.pk]
    assert found("bankroll=999") == []
    assert client.get("/api/cohorts/?date=yesterday").status_code == 400


def test_trades_come_as_pages_and_as_csv(finished: Cohort, manager: User) -> None:
    client = client_of(manager)
    path = f"/api/cohorts/{finished.pk}/trades/"
    page = client.get(f"{path}?page_size=5").json()
    assert page["count"] == finished.fills.count() > 5
    assert len(page["results"]) == 5
    rows = list(csv.DictReader(io.StringIO(b"".join(client.get(f"{path}?format=csv")).decode())))
    assert len(rows) == page["count"]
    assert rows[0]["source_id"] == f"{finished.pk}:fill:1"


def test_granted_reader_of_one_cohort_sees_that_one_alone(launched: Make) -> None:
    from guardian.shortcuts import assign_perm  # noqa: PLC0415 - what an administrator does

    mine, other = launched(), launched()
    guest = user_with(Role.CLIENT_RELATIONS)
    assign_perm("trading.view_cohort", guest, mine)
    assert list(Cohort.objects.for_user(guest)) == [mine]
    assert other not in Cohort.objects.for_user(guest)


def _body(cohort: Cohort) -> dict[str, Any]:
    return {
        "fund": cohort.fund_id,
        "venue": cohort.venue,
        "symbols": cohort.symbols,
        "start": str(cohort.start),
        "days": cohort.days,
        "agent_count": cohort.agent_count,
        "bankroll": str(cohort.bankroll),
        "genome_source": cohort.genome_source,
        "seed": cohort.seed,
    }
