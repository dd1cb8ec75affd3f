"""Leverage and overrides over the API: each role's rights, the figures, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from compliance.models import ApprovalRequest
from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.leverage import start_leverage
from risk.models import GuardrailOverride, LeverageDecision, OverrideEnd
from tests.compliance.approvals.support import People, carry_through
from tests.factories import user_with
from tests.risk.conftest import NOW, Tree
from tests.risk.leverage_support import LEVERAGE, LIMIT, OVERRIDE, OVERRIDES, through_the_gate

READERS = {
    Role.PORTFOLIO_MANAGER,
    Role.RISK_OFFICER,
    Role.OPERATIONS,
    Role.COMPLIANCE_OFFICER,
    Role.AUDITOR,
}
ON_DUTY = READERS - {Role.AUDITOR}
MAKERS = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS}
END = NOW + timedelta(hours=8)


def api(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def people(leverage_world: People, now: datetime) -> People:
    return leverage_world


@pytest.fixture
def levered(people: People, tree: Tree) -> Tree:
    through_the_gate(people, LEVERAGE, {})
    start_leverage(book=tree.trend, actor=None)
    return tree


@pytest.fixture
def overridden(people: People, tree: Tree) -> GuardrailOverride:
    through_the_gate(people, OVERRIDES, {})
    through_the_gate(people, LIMIT, {"book": tree.trend.path, "metric": "leverage", "hard": "2"})
    through_the_gate(people, OVERRIDE, asked(tree))
    return GuardrailOverride.objects.get()


def asked(tree: Tree, **changes: Any) -> dict[str, Any]:
    fields = {"book": tree.trend.path, "metric": "leverage", "level": "2.5", "ends_at": END.isoformat()}
    return {key: value for key, value in (fields | changes).items() if value is not None}


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_what_the_matrix_says(levered: Tree, overridden: GuardrailOverride, role: Role) -> None:
    client = api(user_with(role))
    seen = 200 if role in READERS else 403
    for address in (
        "/api/risk/leverage/",
        f"/api/risk/leverage/planned/?book={levered.trend.path}",
        "/api/risk/leverage/policy/",
        "/api/risk/overrides/",
        f"/api/risk/overrides/{overridden.pk}/",
        "/api/risk/override-policy/",
    ):
        assert client.get(address).status_code == seen, address
    lowered = client.post("/api/risk/leverage/lower/", {"book": levered.trend.path, "reason": "Enough."}, format="json")
    # Who does not see the book may not name it either.
    assert lowered.status_code == (201 if role in ON_DUTY else 403)
    wish = client.post("/api/risk/overrides/", asked(levered, level="2.4", reason="More room."), format="json")
    # A role without the right is refused; an account of no person is, too, but for that.
    assert wish.status_code == 403
    assert (wish.json()["code"] == "person_unknown") is (role in MAKERS)
    ended = client.post(f"/api/risk/overrides/{overridden.pk}/end/", {"reason": "Done."}, format="json")
    assert ended.status_code == (200 if role in ON_DUTY else 403)
    assert OverrideEnd.objects.exists() is (role in ON_DUTY)


def test_nobody_reads_unsigned(db: None) -> None:
    assert APIClient().get("/api/risk/leverage/").status_code in (401, 403)


def test_decisions_and_the_planned_step_in_json(levered: Tree) -> None:
    client = api(user_with(Role.AUDITOR))
    (row,) = client.get("/api/risk/leverage/?changed=true").json()["results"]
    assert (row["book"], row["rule"], row["from_leverage"], row["to_leverage"]) == ("MAIN/trend", "start", None, "2.00")
    assert client.get("/api/risk/leverage/?rule=step_up").json()["results"] == []
    plan = client.get(f"/api/risk/leverage/planned/?book={levered.trend.path}").json()
    assert (plan["leverage"], plan["in_force"], plan["next_leverage"], plan["rule"]) == ("2.00", "2.00", "3.00", "hold")
    # Nothing measures the book in this test: unknown is null, and said.
    conditions = {c["code"]: c for c in plan["conditions"]}
    assert conditions["sharpe"]["value"] is None and "Sharpe is not known over 0 of 14 days" in plan["missing"]
    assert conditions["drawdown"]["value"] is None and not conditions["drawdown"]["met"]
    assert {t["to"] for t in plan["triggers"]} == {"1.00"}
    assert client.get("/api/risk/leverage/planned/?book=MAIN/carry").status_code == 404
    assert client.get("/api/risk/leverage/planned/?book=MAIN/nowhere").status_code == 404
    assert client.get("/api/risk/leverage/policy/").json()["rules"]["cap"] == "10"


def test_without_policies_the_answer_says_what_to_do(tree: Tree) -> None:
    client = api(user_with(Role.RISK_OFFICER))
    for address, kind in (
        ("/api/risk/leverage/policy/", LEVERAGE),
        (f"/api/risk/leverage/planned/?book={tree.trend.path}", LEVERAGE),
        ("/api/risk/override-policy/", OVERRIDES),
    ):
        answer = client.get(address)
        assert answer.status_code == 409
        assert kind in answer.json()["detail"]


@pytest.mark.parametrize("to", ["2", "3", "0.5", "NaN", "-1"])
def test_lowering_only_lowers(levered: Tree, to: str) -> None:
    answer = api(user_with(Role.OPERATIONS)).post(
        "/api/risk/leverage/lower/", {"book": levered.trend.path, "to": to, "reason": "x"}, format="json"
    )
    assert answer.status_code in (400, 409)
    assert LeverageDecision.objects.count() == 1


def test_an_override_is_asked_for_signed_listed_and_ended(people: People, tree: Tree) -> None:
    through_the_gate(people, OVERRIDES, {})
    through_the_gate(people, LIMIT, {"book": tree.trend.path, "metric": "leverage", "hard": "2"})
    client = api(people.maker)
    refused = client.post("/api/risk/overrides/", asked(tree, level="9", reason="More."), format="json")
    assert refused.status_code == 422 and "no further than 3" in refused.json()["detail"]
    wished = client.post("/api/risk/overrides/", asked(tree, reason="More room for a day."), format="json")
    assert wished.status_code == 202, wished.content
    assert client.get("/api/risk/overrides/").json()["results"] == []
    request = ApprovalRequest.objects.get(pk=wished.json()["id"])
    assert carry_through(request, people).state == "executed"
    (row,) = client.get("/api/risk/overrides/?in_force=true").json()["results"]
    assert (row["level"], row["limit_hard"], row["standing"]) == ("2.5", "2", "in force")
    assert row["reason"] == "More room for a day." and row["ended_at"] is None
    bound = client.get(f"/api/risk/effective-limits/?book={tree.agent.path}").json()
    (limit,) = [x for x in bound if x["metric"] == "leverage"]
    assert (limit["hard"], limit["override_id"]) == (2.5, row["id"])
    ended = client.post(f"/api/risk/overrides/{row['id']}/end/", {"reason": "Done."}, format="json").json()
    assert (ended["standing"], ended["ended_by"], ended["end_reason"]) == ("ended early", "rosa", "Done.")
    assert client.post(f"/api/risk/overrides/{row['id']}/end/", {"reason": "Again."}, format="json").status_code == 409
    assert client.get("/api/risk/overrides/?in_force=true").json()["results"] == []
