"""`/deployments/`, a deployment, its fills, its stop, and the API: for every role, and what they show."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from compliance.models import ApprovalRequest, AuditEvent
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import everyone, user_with
from tests.gate import ensure_policy, maker_of
from tests.trading.desk.conftest import cohort as cohort
from tests.trading.desk.support import by_family, deploy, replay_of, work_off
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeploymentStatus, Fill, TradingCycle

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

READERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER, Role.AUDITOR}
STOPPERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER}
PAGES = ("/deployments/", "/deployments/{pk}/", "/deployments/{pk}/fills/1/", "/deployments/{pk}/charts/equity.json")
API = ("", "{pk}/", "{pk}/orders/", "{pk}/fills/", "{pk}/cycles/", "{pk}/positions/", "{pk}/council/")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def deployment(cohort: Cohort) -> Deployment:
    """Worked for two hours, with a few fills."""
    return work_off(replay_of(by_family(cohort, "tsmom_volatility"), hours=2))


def test_every_role_at_every_page_and_endpoint(deployment: Deployment) -> None:
    for role, person in everyone().items():
        client = signed_in(person)
        for path in PAGES:
            answer = client.get(path.format(pk=deployment.pk))
            assert answer.status_code == (200 if role in READERS else 403), (role, path)
        for path in API:
            answer = client.get(f"/api/deployments/{path.format(pk=deployment.pk)}")
            assert answer.status_code == (200 if role in READERS else 403), (role, path)
            if role not in READERS:
                assert answer["Content-Type"].startswith("application/problem+json")


def test_those_on_duty_stop_and_nobody_else(deployment: Deployment) -> None:
    for role, person in everyone().items():
        client = signed_in(person)
        page = client.post(f"/deployments/{deployment.pk}/stop/", {"reason": "", "flatten": "on"})
        api = client.post(f"/api/deployments/{deployment.pk}/stop/", {"reason": ""}, content_type="application/json")
        assert page.status_code == (302 if role in STOPPERS else 403), role
        assert api.status_code == (400 if role in STOPPERS else 403), role
        deployment.refresh_from_db()
        assert deployment.status == DeploymentStatus.RUNNING, "without a reason nothing stops"
        shown = client.get(f"/deployments/{deployment.pk}/")
        if role in READERS:
            assert ('action="/deployments/' in shown.content.decode()) == (role in STOPPERS), role
    officer = user_with(Role.RISK_OFFICER)
    signed_in(officer).post(f"/deployments/{deployment.pk}/stop/", {"reason": "Enough.", "flatten": "on"})
    deployment.refresh_from_db()
    assert (deployment.status, deployment.flatten) == (DeploymentStatus.STOPPING, True)
    event = AuditEvent.objects.get(kind="trading.deployment.stopping")
    assert event.actor_id == officer.pk
    assert event.payload["reason"] == "Enough."


def test_the_first_page_shows_what_trades_with_capital_to_those_who_may_read_it(deployment: Deployment) -> None:
    for role, person in everyone().items():
        page = signed_in(person).get("/").content.decode()
        assert (f'href="/deployments/{deployment.pk}/"' in page) == (role in READERS), role
    Deployment.objects.filter(pk=deployment.pk).update(status=DeploymentStatus.STOPPED)
    assert "At work with capital" not in signed_in(user_with(Role.RISK_OFFICER)).get("/").content.decode()


def test_the_board_shows_how_each_stands(deployment: Deployment) -> None:
    text = signed_in(user_with(Role.RISK_OFFICER)).get("/deployments/").content.decode()
    for shown in (str(deployment), "Running", "Watches the next bar", f"/deployments/{deployment.pk}/"):
        assert shown in text
    table = signed_in(user_with(Role.AUDITOR)).get("/deployments/?_export=csv").content.decode()
    (row,) = list(csv.DictReader(io.StringIO(table)))
    assert row["P&L"] == str(deployment.run.equity - deployment.bankroll)


def test_the_page_shows_every_agents_message_and_leads_to_the_ledger(deployment: Deployment) -> None:
    client = signed_in(user_with(Role.OPERATIONS))
    cycle = TradingCycle.objects.filter(deployment=deployment, decision="order").first()
    assert cycle is not None
    text = client.get(f"/deployments/{deployment.pk}/?cycle={cycle.number}").content.decode()
    for agent in ("director", "quant", "risk", "compliance", "execution"):
        assert f">{agent}</span>" in text
    assert "may be sent in full" in text
    assert reverse("portal:deployment-fill", args=[deployment.pk, 1]) in text
    fill = client.get(f"/deployments/{deployment.pk}/fills/1/").content.decode()
    assert "Lines of the entry" in fill
    assert deployment.book.path in fill
    assert client.get(f"/deployments/{deployment.pk}/?cycle=99999").status_code == 404


def test_the_equity_chart_puts_the_band_behind(deployment: Deployment) -> None:
    payload = signed_in(user_with(Role.AUDITOR)).get(f"/deployments/{deployment.pk}/charts/equity.json").json()
    names = [series["id"] for series in payload["series"]]
    assert names == ["band-0", "band-1", "band-2", "equity"]
    low, middle, high, equity = (series["data"] for series in payload["series"])
    assert [x for x, _ in low] == [x for x, _ in equity]
    assert low[0][1] == middle[0][1] == high[0][1] == float(deployment.bankroll)
    assert all(a[1] < b[1] < c[1] for a, b, c in zip(low[1:], middle[1:], high[1:], strict=True))
    assert equity[-1][1] == float(deployment.run.equity)


def test_a_deployment_that_has_not_begun_says_so(cohort: Cohort) -> None:
    waiting = deploy(by_family(cohort, "tsmom_volatility"))
    client = signed_in(user_with(Role.AUDITOR))
    assert "No bar has been worked yet" in client.get(f"/deployments/{waiting.pk}/").content.decode()
    assert client.get(f"/deployments/{waiting.pk}/charts/equity.json").json()["series"] == []


def test_tables_export_as_csv(deployment: Deployment) -> None:
    client = signed_in(user_with(Role.AUDITOR))
    table = client.get(f"/deployments/{deployment.pk}/?_export=csv&table=fills").content.decode()
    assert len(list(csv.DictReader(io.StringIO(table)))) == Fill.objects.count()
    api = client.get(f"/api/deployments/{deployment.pk}/fills/?format=csv")
    assert api["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(api).decode())))
    assert [row["source_id"] for row in rows] == [fill.source_id for fill in Fill.objects.order_by("number")]


def test_posting_a_deployment_opens_a_request_and_nothing_else(cohort: Cohort) -> None:
    ensure_policy("trading.deploy")
    agent = by_family(cohort, "tsmom_volatility")
    body: dict[str, Any] = {"agent": agent.pk, "bankroll": "75.00", "reason": "The best of its cohort."}
    for role, person in everyone().items():
        answer = signed_in(person).post("/api/deployments/", body, content_type="application/json")
        assert answer.status_code in ({400, 403} if role == Role.PORTFOLIO_MANAGER else {403}), role
    maker = maker_of("trading.deploy")
    answer = signed_in(maker).post("/api/deployments/", body, content_type="application/json")
    assert answer.status_code == 202, answer.content
    assert ApprovalRequest.objects.get(kind="trading.deploy").payload["bankroll"] == "75.00"
    assert not Deployment.objects.exists()
