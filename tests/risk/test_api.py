"""The API: who may read and who may write, what refusals look like."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from guardian.shortcuts import assign_perm
from rest_framework.test import APIClient

from compliance.models import ApprovalRequest
from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.breaches import evaluate_limits
from risk.actions.stress import ensure_standard_scenarios
from risk.models import CapitalBudget, LimitBreach, RiskLimit, StressScenario
from risk.quant.metrics import Metric
from risk.scenarios import standard_scenarios
from tests.compliance.approvals.support import staff
from tests.factories import user_with
from tests.gate import carry, ensure_policy
from tests.risk.conftest import Tree, WrittenSource, figures, position
from tests.risk.gated import put_limit


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_authenticate(user)
    return api


def body(tree: Tree, **changes: Any) -> dict[str, Any]:
    return {"book": tree.trend.path, "metric": "leverage", "soft": "1.5", "hard": "2", "reason": "Calm down."} | changes


@pytest.fixture
def officer(db: None) -> APIClient:
    for kind in ("risk.set_limit", "risk.retire_limit", "risk.apply_template", "risk.set_budget", "risk.save_scenario"):
        ensure_policy(kind)
    return client(staff("rosa", Role.RISK_OFFICER))


def followed(api: APIClient, answer: Any) -> ApprovalRequest:
    """The request that was opened instead of the act, signed and executed."""
    assert answer.status_code == 202, answer.json()
    said = answer.json()
    assert answer["Location"] == said["url"]
    assert api.get(said["url"]).json()["state"] == said["state"] == "submitted"
    return carry(ApprovalRequest.objects.get(pk=said["id"]))


def test_a_risk_officer_asks_for_a_limit_and_for_its_end(tree: Tree, officer: APIClient) -> None:
    asked = officer.post("/api/risk/limits/", body(tree), format="json")
    assert not RiskLimit.objects.exists(), "asking does nothing"
    followed(officer, asked)
    (listed,) = officer.get("/api/risk/limits/", {"under": "MAIN", "in_force": "true"}).json()["results"]
    assert (listed["hard"], listed["book"]) == ("2", "MAIN/trend")
    effective = officer.get("/api/risk/effective-limits/", {"book": tree.agent.path}).json()
    assert (effective[0]["hard"], effective[0]["hard_book_id"]) == (2.0, tree.trend.pk)
    followed(officer, officer.post(f"/api/risk/limits/{listed['id']}/retire/", {"reason": "done"}, format="json"))
    assert officer.get(f"/api/risk/limits/{listed['id']}/").json()["effective_to"] is not None
    assert officer.get("/api/risk/effective-limits/", {"book": tree.agent.path}).json() == []


def test_a_template_a_budget_and_a_scenario_are_asked_for(tree: Tree, officer: APIClient) -> None:
    asked = {"book": "MAIN", "template": "standard", "reason": "A start"}
    followed(officer, officer.post("/api/risk/limits/apply-template/", asked, format="json"))
    assert RiskLimit.objects.count() > 10
    asked = {"book": "MAIN/trend", "capital": "250000.5", "risk_share_frac": "0.4", "reason": "A start"}
    request = followed(officer, officer.post("/api/risk/budgets/", asked, format="json"))
    assert (CapitalBudget.objects.get().capital, request.amount) == (Decimal("250000.5"), Decimal("250000.5"))
    scenario = {
        "code": "half",
        "name": "Half of it",
        "kind": "parametric",
        "parameters": {"default": -0.5, "shocks": {"BTC": -0.25}},
        "max_loss_frac": "0.2",
        "reason": "A start",
    }
    followed(officer, officer.post("/api/risk/scenarios/", scenario, format="json"))
    made = StressScenario.objects.get()
    assert (made.parameters, made.max_loss_frac) == ({"default": -0.5, "shocks": {"BTC": -0.25}}, 0.2)


def test_without_rules_for_it_nothing_is_asked_for(tree: Tree) -> None:
    answer = client(staff("rosa", Role.RISK_OFFICER)).post("/api/risk/limits/", body(tree), format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "policy_missing")
    assert not ApprovalRequest.objects.exists()


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


PROPOSALS = ("limits/", "limits/1/retire/", "limits/apply-template/", "budgets/", "scenarios/")
WRITES = (*PROPOSALS, "breaches/1/acknowledge/", "stress/")
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
        allowed = (
            role is Role.RISK_OFFICER
            or (role is Role.OPERATIONS and path.startswith("breaches"))
            or (role is Role.PORTFOLIO_MANAGER and path in PROPOSALS)
        )
        status = api.post(f"/api/risk/{path}", {}, format="json").status_code
        assert (status != 403) == allowed, (path, status)


def test_strangers_are_asked_to_sign_in(tree: Tree) -> None:
    assert APIClient().get("/api/risk/limits/").status_code == 401


def test_seeing_one_book_shows_its_risk_with_the_right_only(tree: Tree, source: WrittenSource) -> None:
    person = user_with(Role.INVESTOR)
    put_limit(book=tree.trend, metric=Metric.LEVERAGE, hard=Decimal(2))
    assert not RiskLimit.objects.for_user(person).exists()
    assign_perm("treasury.view_book", person, tree.carry)
    assert not RiskLimit.objects.for_user(person).exists()
    assign_perm("treasury.view_book", person, tree.trend)
    assert RiskLimit.objects.for_user(User.objects.get(pk=person.pk)).count() == 1


def test_a_breach_is_acknowledged_with_a_note(tree: Tree, source: WrittenSource, officer: APIClient) -> None:
    followed(officer, officer.post("/api/risk/limits/", body(tree), format="json"))
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
    assert officer.get("/api/risk/scenarios/").json()["count"] == len(standard_scenarios())
