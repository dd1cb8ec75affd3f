"""Everything an agent's page and a cohort's alerts show can be taken away whole; the API leads back to the pages."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from fundops.core.roles import Role
from tests.factories import user_with
from trading.actions.cohort_drive import drive_cohort
from trading.models.cohort import Cohort, CohortAgent, CohortRejection
from treasury.models import JournalLine

Make = Callable[..., Cohort]


@pytest.fixture
def finished(launched: Make) -> Cohort:
    """Ceilings so low that orders are cut and alerts raised."""
    return drive_cohort(
        cohort_id=launched(
            days=1,
            market_cap_frac=Decimal("0.02"),
            drawdown_alert_frac=Decimal("0.001"),
            utilisation_alert_frac=Decimal("0.01"),
        ).pk
    )


@pytest.fixture
def client(db: None) -> Client:
    client = Client()
    client.force_login(user_with(Role.AUDITOR))
    return client


def rows(client: Client, path: str) -> list[dict[str, str]]:
    response = client.get(path)
    assert response["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.content.decode())))


def busiest(cohort: Cohort) -> CohortAgent:
    return max(cohort.agents.all(), key=lambda agent: CohortRejection.objects.filter(agent=agent).count())


def test_an_agent_gives_its_fills_its_refused_orders_and_its_lines(finished: Cohort, client: Client) -> None:
    agent = busiest(finished)
    path = agent.get_absolute_url()
    refused = rows(client, f"{path}?_export=csv&of=refused")
    assert len(refused) == CohortRejection.objects.filter(agent=agent).count() > 0
    assert len(rows(client, f"{path}?_export=csv")) == finished.fills.filter(agent=agent).count()
    lines = rows(client, f"{path}?_export=csv&of=lines")
    stored = JournalLine.objects.filter(account__book=agent.book)
    assert len(lines) == stored.count() > 25, "more than a page of them"
    assert sum(Decimal(row["Amount"]) for row in lines) == sum(line.amount for line in stored)
    assert len(client.get(f"{path}?_export=json&of=lines").json()) == len(lines)
    assert client.get(f"{path}?_export=csv&of=secrets").status_code == 404
    html = client.get(path).content.decode()
    for what in ("refused", "lines"):
        assert f"?_export=csv&amp;of={what}" in html


def test_alerts_are_all_listed_and_exported(finished: Cohort, client: Client) -> None:
    path = reverse("portal:cohort-alerts", args=[finished.pk])
    assert path in client.get(finished.get_absolute_url()).content.decode()
    html = client.get(path).content.decode()
    alerts = list(finished.alerts.all())
    assert alerts
    assert all(alert.message in html for alert in alerts)
    exported = rows(client, f"{path}?_export=csv")
    assert {row["Message"] for row in exported} == {alert.message for alert in alerts}


@pytest.mark.parametrize("role", sorted(Role))
def test_who_sees_the_alerts(finished: Cohort, role: Role) -> None:
    reader = Client()
    reader.force_login(user_with(role))
    allowed = role not in {Role.INVESTOR, Role.CLIENT_RELATIONS, Role.ADMINISTRATOR}
    status = reader.get(reverse("portal:cohort-alerts", args=[finished.pk])).status_code
    assert status == (200 if allowed else 403)


def test_agents_leaders_and_alerts_of_the_api_lead_to_their_pages(finished: Cohort, client: Client) -> None:
    for name in ("agents", "leaderboard", "alerts"):
        for row in client.get(f"/api/cohorts/{finished.pk}/{name}/").json()["results"]:
            number = row.get("number", row.get("agent"))
            if number is None:
                assert row["page"] is None
                continue
            assert row["page"] == f"http://testserver{reverse('portal:cohort-agent', args=[finished.pk, number])}"
            assert client.get(row["page"]).status_code == 200
