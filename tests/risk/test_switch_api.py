"""The kill switch over HTTP and from the console."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from compliance.models import ApprovalRequest
from fundops.core.models import User
from fundops.core.roles import Role
from risk.models import KillSwitch, SwitchChange
from risk.quant.pretrade import TradingMode
from risk.switch_gate import RESTORE
from risk.switch_signals import report_breaks
from risk.switches import trading_mode_for
from tests.compliance.approvals.support import staff
from tests.factories import everyone, user_with
from tests.gate import ensure_policy
from tests.risk.conftest import Tree

pytestmark = pytest.mark.usefixtures("ruled_world")

URL = "/api/risk/switches/"
ON_DUTY = {Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.OPERATIONS, Role.COMPLIANCE_OFFICER}
READERS = ON_DUTY | {Role.AUDITOR}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def post(client: Client, url: str, **body: Any) -> Any:
    return client.post(url, json.dumps(body), content_type="application/json")


@pytest.fixture
def officer(db: None) -> User:
    return staff("rosa", Role.RISK_OFFICER)


def test_every_role_does_what_it_may(tree: Tree) -> None:
    people = everyone()
    for role, person in people.items():
        client = signed_in(person)
        assert (client.get(URL).status_code == 200) == (role in READERS), role
        assert (client.get("/api/risk/triggers/").status_code == 200) == (role in READERS), role
        stopped = post(client, f"{URL}stop/", reason="Now.", venue=role.name.lower())
        assert (stopped.status_code == 201) == (role in ON_DUTY), (role, stopped.json())
        assert stopped.status_code in {201, 403}
    switch = KillSwitch.objects.first()
    assert switch is not None
    for role in set(Role) - ON_DUTY:
        client = signed_in(people[role])
        assert post(client, f"{URL}{switch.pk}/restore/", reason="Please.").status_code == 403
    assert Client().get(URL).status_code in {401, 403}


def test_a_stop_and_the_asking_for_its_end(tree: Tree, officer: User) -> None:
    ensure_policy(RESTORE)
    client = signed_in(officer)
    made = post(client, f"{URL}stop/", reason="Odd fills.", book=tree.trend.path)
    assert made.status_code == 201
    body = made.json()
    assert (body["scope"], body["mode"], body["version"], body["changed_by"]) == (tree.trend.path, "HALTED", 1, "rosa")
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.HALTED
    asked = post(client, f"{URL}{body['id']}/restore/", reason="It was us.", version=1)
    assert asked.status_code == 202
    request = ApprovalRequest.objects.get(pk=asked.json()["id"])
    assert (request.kind, request.state, request.payload["mode"]) == (RESTORE, "submitted", "ACTIVE")
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.HALTED, "asking loosens nothing"
    changes = client.get(f"{URL}{body['id']}/changes/").json()["results"]
    assert [(c["mode_before"], c["mode"]) for c in changes] == [("ACTIVE", "HALTED")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"reason": "  "}, 400),
        ({"reason": "x" * 401}, 400),
        ({"reason": "x", "mode": "ACTIVE"}, 400),
        ({"reason": "x", "mode": "FASTER"}, 400),
        ({"reason": "x", "book": "MAIN/nowhere"}, 400),
        ({"reason": "x", "venue": "v" * 41}, 400),
        ({"reason": "x", "version": 1, "changed_by": 1}, 201),
    ],
)
def test_bad_input_is_a_problem_and_stops_nothing(tree: Tree, officer: User, body: dict[str, Any], status: int) -> None:
    answer = post(signed_in(officer), f"{URL}stop/", **body)
    assert answer.status_code == status, answer.json()
    assert KillSwitch.objects.exists() == (status == 201)


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_the_api_writes_a_switch_in_no_other_way(tree: Tree, officer: User, method: str) -> None:
    client = signed_in(officer)
    post(client, f"{URL}stop/", reason="Halt.")
    switch = KillSwitch.objects.get()
    body = json.dumps({"mode": "ACTIVE", "version": 2})
    answer = getattr(client, method)(f"{URL}{switch.pk}/", body, content_type="application/json")
    assert answer.status_code == 405
    assert post(client, f"{URL}{switch.pk}/stop/", mode="ACTIVE", reason="x").status_code in {404, 405}
    assert post(client, f"{URL}stop/", mode="REDUCING", reason="A little.").status_code == 409
    assert SwitchChange.objects.count() == 1 and trading_mode_for(book_id=tree.carry.pk) is TradingMode.HALTED


def test_a_restore_of_a_stop_one_has_not_seen_is_refused(tree: Tree, officer: User) -> None:
    ensure_policy(RESTORE)
    client = signed_in(officer)
    pk = post(client, f"{URL}stop/", reason="One.").json()["id"]
    post(client, f"{URL}stop/", reason="Two.")
    assert post(client, f"{URL}{pk}/restore/", reason="x", version=1).status_code == 409
    assert post(client, f"{URL}{pk}/restore/", reason="x", mode="HALTED").status_code == 400
    assert not ApprovalRequest.objects.filter(kind=RESTORE).exists()


def test_the_readings_tell_value_threshold_and_headroom(tree: Tree, officer: User) -> None:
    report_breaks(source="ledger", open_breaks=1, book=tree.agent)
    found = signed_in(officer).get("/api/risk/triggers/").json()
    first = found[0]
    assert (first["cause"], first["value"], first["threshold"], first["fires"], first["headroom"]) == (
        "reconciliation",
        1.0,
        0.0,
        True,
        None,
    )
    assert {r["cause"] for r in found} >= {"drawdown", "daily_loss", "reconciliation"}


# --- The console -------------------------------------------------------------------------------------------------
def test_the_console_stops_without_the_web(tree: Tree) -> None:
    out = StringIO()
    call_command("stop_trading", "--reason", "The web is away.", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["scope"], told["mode"]) == ("All trading", "HALTED") and "The web is away." in told["reason"]
    assert KillSwitch.objects.get().cause == "console"
    call_command("stop_trading", "--reason", "Less.", "--book", tree.trend.path, "--reduce", stdout=out)
    assert trading_mode_for(book_id=tree.agent.pk) is TradingMode.HALTED


def test_the_console_refuses_what_makes_no_sense(tree: Tree) -> None:
    user_with(Role.AUDITOR, username="arthur")
    for wrong in (
        ["--book", "MAIN/nowhere"],
        ["--as", "nobody"],
        ["--as", "arthur"],
        ["--venue", "v" * 41],
    ):
        with pytest.raises(CommandError):
            call_command("stop_trading", "--reason", "x", *wrong)
    with pytest.raises(CommandError):
        call_command("stop_trading")
    assert not KillSwitch.objects.exists()
