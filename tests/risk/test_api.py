"""The API: who may read and who may write, what refusals look like."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from guardian.shortcuts import assign_perm
from rest_framework.test import APIClient

from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.breaches import evaluate_limits
from risk.actions.limits import set_limit
from risk.actions.stress import ensure_standard_scenarios
from risk.models import LimitBreach, RiskLimit
from risk.quant.metrics import Metric
from tests.factories import user_with
from tests.risk.conftest import Tree, WrittenSource, figures, position


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_authenticate(user)
    return api


def body(tree: Tree, **changes: Any) -> dict[str, Any]:
    return {"book": tree.trend.path, "metric": "leverage", "soft": "1.5", "hard": "2"} | changes


@pytest.fixture
def officer(db: None) -> APIClient:
    return client(user_with(Role.RISK_OFFICER))


def test_a_risk_officer_sets_reads_and_retires_a_limit(tree: Tree, officer: APIClient) -> None:
    made = officer.post("/api/risk/limits/", body(tree), format="json")
    assert made.status_code == 201, made.json()
    assert (made.json()["hard"], made.json()["book"]) == ("2", "MAIN/trend")
    listed = officer.get("/api/risk/limits/", {"under": "MAIN", "in_force": "true"})
    assert [x["id"] for x in listed.json()["results"]] == [made.json()["id"]]
    effective = officer.get("/api/risk/effective-limits/", {"book": tree.agent.path}).json()
    assert (effective[0]["hard"], effective[0]["hard_book_id"]) == (2.0, tree.trend.pk)
    retired = officer.post(f"/api/risk/limits/{made.json()['id']}/retire/", {"reason": "done"}, format="json")
    assert retired.json()["effective_to"] is not None
    assert officer.get("/api/risk/effective-limits/", {"book": tree.agent.path}).json() == []


def test_a_template_is_applied(tree: Tree, officer: APIClient) -> None:
    made = officer.post("/api/risk/limits/apply-template/", {"book": "MAIN", "template": "standard"}, format="json")
    assert made.status_code == 201
    assert len(made.json()) == RiskLimit.objects.count() > 10


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"hard": "-1"}, 422),
        ({"soft": "3"}, 422),
        ({"hard": "NaN"}, 400),
        ({"metric": "mood"}, 400),
        ({"book": "MAIN/nowhere"}, 400),
        ({"symbol": "BTC"}, 422),
        ({"effective_from": "2020-01-01T00:00:00Z"}, 422),
    ],
)
def test_bad_input_is_a_problem(tree: Tree, officer: APIClient, changes: dict[str, str], status: int) -> None:
    response = officer.post("/api/risk/limits/", body(tree, **changes), format="json")
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    assert not RiskLimit.objects.exists()


WRITES = ("limits/", "limits/1/retire/", "limits/apply-template/", "breaches/1/acknowledge/", "stress/")
READS = (
    "limits/",
    "breaches/",
    "scenarios/",
    "stress/",
    "snapshots/",
    "budgets/",
    "limit-status/?book=MAIN",
    "effective-limits/?book=MAIN",
)
READERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.AUDITOR}


@pytest.mark.parametrize("role", list(Role))
def test_every_role_reads_and_writes_what_it_may(tree: Tree, role: Role) -> None:
    api = client(user_with(role))
    for path in READS:
        expected = 200 if role in READERS else 403
        assert api.get(f"/api/risk/{path}").status_code == expected, path
    for path in WRITES:
        allowed = role is Role.RISK_OFFICER or (role is Role.OPERATIONS and path.startswith("breaches"))
        status = api.post(f"/api/risk/{path}", {}, format="json").status_code
        assert (status != 403) == allowed, (path, status)


def test_strangers_are_asked_to_sign_in(tree: Tree) -> None:
    assert APIClient().get("/api/risk/limits/").status_code == 401


def test_seeing_one_book_shows_its_risk_with_the_right_only(tree: Tree, source: WrittenSource) -> None:
    person = user_with(Role.INVESTOR)
    set_limit(book=tree.trend, metric=Metric.LEVERAGE, hard=Decimal(2), actor=None)
    assert not RiskLimit.objects.for_user(person).exists()
    assign_perm("treasury.view_book", person, tree.carry)
    assert not RiskLimit.objects.for_user(person).exists()
    assign_perm("treasury.view_book", person, tree.trend)
    assert RiskLimit.objects.for_user(User.objects.get(pk=person.pk)).count() == 1


def test_a_breach_is_acknowledged_with_a_note(tree: Tree, source: WrittenSource, officer: APIClient) -> None:
    officer.post("/api/risk/limits/", body(tree), format="json")
    source.books = {b.pk: figures(1000.0) for b in (tree.root, tree.agent, tree.carry)}
    source.books[tree.trend.pk] = figures(1000.0, position("BTC", 30.0))
    evaluate_limits(actor=None)
    status = officer.get("/api/risk/limit-status/", {"book": tree.trend.path}).json()
    assert (status[0]["level"], status[0]["value"], status[0]["headroom"]) == ("hard", 3.0, -0.5)
    (listed,) = officer.get("/api/risk/breaches/", {"status": "open"}).json()["results"]
    path = f"/api/risk/breaches/{listed['id']}/acknowledge/"
    assert officer.post(path, {}, format="json").status_code == 400
    assert officer.post(path, {"note": "cutting"}, format="json").json()["status"] == "acknowledged"
    source.books[tree.trend.pk] = figures(1000.0)
    evaluate_limits(actor=None)
    assert LimitBreach.objects.get().status == "closed"
    assert officer.post(path, {"note": "again"}, format="json").status_code == 409


def test_stress_runs_on_demand(tree: Tree, source: WrittenSource, officer: APIClient) -> None:
    ensure_standard_scenarios(actor=None)
    source.books = {b.pk: figures(1000.0) for b in (tree.root, tree.trend, tree.agent)}
    source.books[tree.carry.pk] = figures(1000.0, position("BTC", 10.0))
    made = officer.post("/api/risk/stress/", {"book": "MAIN/carry", "scenario": "market-crash-30"}, format="json")
    assert made.status_code == 201, made.json()
    assert (made.json()[0]["loss"], made.json()[0]["breached"]) == (pytest.approx(300.0), True)
    assert officer.get("/api/risk/stress/", {"breached": "true"}).json()["count"] == 1
    assert officer.get("/api/risk/scenarios/").json()["count"] == 11
