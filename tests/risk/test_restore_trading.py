"""The way back: two signatures and a releaser, and no other way past API, ORM or SQL."""

from __future__ import annotations

import json

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, transaction

from compliance.actions.approval_execution import execute_request
from compliance.actions.proposing import propose
from compliance.approvals.errors import NotApprovedError, PayloadError, StaleRequestError
from compliance.approvals.registry import Warrant, action_for
from compliance.models import AuditEvent
from fundops.core import clock
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from risk.actions.switches import stop_trading
from risk.errors import SwitchRestoreError
from risk.models import KillSwitch, StopCause, SwitchBoard, SwitchChange, TriggerPolicy
from risk.quant.pretrade import TradingMode
from risk.switch_gate import RESTORE, SET_TRIGGER, restore_payload
from risk.switch_signals import report_breaks
from risk.switch_triggers import rules_in_force
from risk.switches import trading_mode_for
from tests.factories import user_with
from tests.gate import by_gate, carry, ensure_policy, gate_people, maker_of, released
from tests.risk.conftest import Tree


@pytest.fixture
def officer(db: None) -> User:
    return user_with(Role.RISK_OFFICER, username="rosa")


@pytest.fixture
def stopped(tree: Tree, officer: User) -> KillSwitch:
    return stop_trading(reason="Fills look wrong.", actor=officer, book=tree.trend)


def mode(tree: Tree) -> TradingMode | None:
    return trading_mode_for(book_id=tree.agent.pk)


# --- The way back ----------------------------------------------------------------------------------------------
def test_two_signatures_and_a_releaser_bring_it_back(tree: Tree, stopped: KillSwitch) -> None:
    by_gate(RESTORE, restore_payload(stopped))
    assert mode(tree) is TradingMode.ACTIVE
    stopped.refresh_from_db()
    assert (stopped.mode, stopped.cause, stopped.version) == ("ACTIVE", "restored", 2)
    last = SwitchChange.objects.get(switch=stopped, version=2)
    assert (last.mode_before, last.mode, last.request) == ("HALTED", "ACTIVE", stopped.request)
    event = AuditEvent.objects.filter(kind="risk.switch.changed").order_by("-id").first()
    assert event is not None and event.payload["request"] == str(stopped.request_id)


def test_it_comes_back_in_steps(tree: Tree, stopped: KillSwitch) -> None:
    by_gate(RESTORE, restore_payload(stopped, TradingMode.REDUCING))
    assert mode(tree) is TradingMode.REDUCING
    stopped.refresh_from_db()
    by_gate(RESTORE, restore_payload(stopped))
    assert mode(tree) is TradingMode.ACTIVE


def test_a_stop_after_the_asking_voids_it(tree: Tree, stopped: KillSwitch, officer: User) -> None:
    request = released(RESTORE, restore_payload(stopped))
    stop_trading(reason="And now this.", actor=officer, book=tree.trend)
    record = execute_request(request_id=request.pk)
    assert record is not None and record.outcome == "failed"
    assert mode(tree) is TradingMode.HALTED


def test_a_trigger_that_fires_meanwhile_makes_what_was_signed_stale(tree: Tree, stopped: KillSwitch) -> None:
    request = released(RESTORE, restore_payload(stopped))
    report_breaks(source="reconciliation", open_breaks=2, book=tree.agent)
    record = execute_request(request_id=request.pk)
    assert record is not None and (record.outcome, record.error_code) == ("failed", StaleRequestError("").code)
    assert mode(tree) is TradingMode.HALTED


def test_the_approver_sees_which_triggers_would_fire_again(tree: Tree, stopped: KillSwitch) -> None:
    report_breaks(source="ledger", open_breaks=1, book=tree.agent)
    report_breaks(source="ledger", open_breaks=1, book=tree.carry)
    ensure_policy(RESTORE)
    request = propose(kind=RESTORE, payload=restore_payload(stopped), reason="Mended.", actor=maker_of(RESTORE))
    fields = {f["label"]: f["then"] for f in json.loads(request.statements.get().canonical)["fields"]}
    assert fields["Triggers that fire still"] == f"Reconciliation break ({tree.agent.path}, ledger)"


def test_there_is_nothing_to_restore_where_nothing_is_tighter(tree: Tree, stopped: KillSwitch) -> None:
    ensure_policy(RESTORE)
    maker = maker_of(RESTORE)
    for payload, error in (
        (restore_payload(stopped, TradingMode.HALTED), SwitchRestoreError),
        (restore_payload(stopped) | {"version": 7}, SwitchRestoreError),
        (restore_payload(stopped) | {"switch": 999_999}, SwitchRestoreError),
        (restore_payload(stopped) | {"mode": "FASTER"}, PayloadError),
    ):
        with pytest.raises(error):
            propose(kind=RESTORE, payload=payload, reason="Go on.", actor=maker)


def test_who_is_not_on_duty_asks_for_nothing(tree: Tree, stopped: KillSwitch) -> None:
    for role in (Role.AUDITOR, Role.ADMINISTRATOR, Role.INVESTOR, Role.CLIENT_RELATIONS):
        with pytest.raises(PermissionMissingError):
            propose(kind=RESTORE, payload=restore_payload(stopped), reason="Please.", actor=user_with(role))


# --- Attacks ---------------------------------------------------------------------------------------------------
def test_the_executor_needs_its_approved_request(tree: Tree, stopped: KillSwitch) -> None:
    request = released(RESTORE, restore_payload(stopped))
    for warrant in (None, Warrant(request_id=request.pk, actor=gate_people().releaser)):
        with pytest.raises(NotApprovedError), transaction.atomic():
            action_for(RESTORE)(request.payload, warrant)
    assert mode(tree) is TradingMode.HALTED


LOOSER = {"mode": "ACTIVE", "version": 2, "cause": "person"}


@pytest.mark.parametrize(
    "change",
    [
        LOOSER,
        LOOSER | {"mode": "REDUCING"},
        LOOSER | {"version": 1},
        {"book": None},
        {"venue": "kraken"},
        {"reason": ""},
    ],
    ids=str,
)
def test_the_orm_loosens_nothing(tree: Tree, stopped: KillSwitch, change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        KillSwitch.objects.filter(pk=stopped.pk).update(**change)
    assert mode(tree) is TradingMode.HALTED


def test_the_orm_deletes_nothing_and_writes_no_history(tree: Tree, stopped: KillSwitch, officer: User) -> None:
    for attempt in (
        lambda: KillSwitch.objects.filter(pk=stopped.pk)._raw_delete("default"),
        lambda: SwitchChange.objects.filter(switch=stopped).update(reason="Nothing happened."),
        lambda: SwitchBoard.objects.update(version=99),
        lambda: SwitchBoard.objects.all()._raw_delete("default"),
        lambda: SwitchChange.objects.create(
            switch=stopped, version=2, mode_before="HALTED", mode="ACTIVE", cause="restored", reason="x",
            changed_by=officer, changed_at=clock.now(),
        ),
        lambda: KillSwitch.objects.create(
            book=tree.trend, venue="", mode="ACTIVE", cause="person", reason="x", changed_by=officer,
            changed_at=clock.now(),
        ),
    ):  # fmt: skip
        with pytest.raises(DatabaseError), transaction.atomic():
            attempt()
    assert mode(tree) is TradingMode.HALTED


def test_a_request_of_another_switch_loosens_nothing(tree: Tree, stopped: KillSwitch, officer: User) -> None:
    """The executing request names one switch, one version and one mode; the database compares them all."""
    other = stop_trading(reason="This too.", actor=officer, book=tree.carry)
    request = released(RESTORE, restore_payload(other, TradingMode.REDUCING))
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE compliance_approvalrequest SET executing_xid = pg_current_xact_id()::text::bigint"
                " WHERE id = %s",
                [request.pk],
            )
        for switch, to in ((stopped, "REDUCING"), (other, "ACTIVE")):
            with pytest.raises(IntegrityError, match="approved request alone"), transaction.atomic():
                KillSwitch.objects.filter(pk=switch.pk).update(
                    mode=to, version=2, cause=StopCause.RESTORED, request=request, reason="mine"
                )
        transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
def test_sql_as_the_application_loosens_nothing(officer: User) -> None:
    stopped = stop_trading(reason="All of it.", actor=officer)
    login = connection.settings_dict
    with psycopg.connect(
        dbname=login["NAME"], user=login["USER"], password=login["PASSWORD"], host=login["HOST"],
        port=login["PORT"] or None, autocommit=True,
    ) as session:  # fmt: skip
        for statement in (
            "UPDATE risk_killswitch SET mode = 'ACTIVE'",
            "UPDATE risk_killswitch SET mode = 'ACTIVE', version = version + 1",
            "UPDATE risk_killswitch SET mode = 'ACTIVE', version = version + 1, cause = 'restored',"
            " request_id = gen_random_uuid()",
            "DELETE FROM risk_killswitch",
            "TRUNCATE risk_killswitch CASCADE",
            "DELETE FROM risk_switchchange",
            "UPDATE risk_switchboard SET version = 0",
            "ALTER TABLE risk_killswitch DISABLE TRIGGER ALL",
            "SET session_replication_role = replica",
            "DROP TRIGGER check_switch ON risk_killswitch",
            "CREATE OR REPLACE FUNCTION compliance_executing(what text) RETURNS uuid LANGUAGE sql AS"
            " 'SELECT gen_random_uuid()'",
        ):
            with pytest.raises(psycopg.Error):
                session.execute(statement)
        found = session.execute("SELECT mode, version FROM risk_killswitch").fetchall()
    assert found == [("HALTED", 1)]
    stopped.refresh_from_db()
    assert login["USER"] == settings.DATABASE_APP_ROLE


# --- The triggers' rules -----------------------------------------------------------------------------------------
def rule(**changes: object) -> dict[str, object]:
    return {"cause": "drawdown", "threshold": "0.08", "mode": "REDUCING", **changes}


def test_a_triggers_rule_is_set_by_an_approved_request(tree: Tree) -> None:
    by_gate(SET_TRIGGER, rule(book=tree.trend.path))
    by_gate(SET_TRIGGER, rule(threshold="0.2"))
    rules = rules_in_force()
    assert (rules.of(StopCause.DRAWDOWN, tree.agent.path).threshold, rules.of(StopCause.DRAWDOWN).threshold) == (
        0.08,
        0.2,
    )
    assert rules.of(StopCause.DRAWDOWN, tree.carry.path).threshold == 0.2
    assert rules.of(StopCause.DAILY_LOSS).version == 0, "as shipped"
    assert TriggerPolicy.objects.count() == 2


def test_a_rule_that_makes_no_sense_is_refused(tree: Tree) -> None:
    ensure_policy(SET_TRIGGER)
    maker = maker_of(SET_TRIGGER)
    for bad in (
        {"threshold": "-1"}, {"threshold": "NaN"}, {"threshold": "1.5"}, {"cause": "person"}, {"mode": "ACTIVE"},
        {"window_s": 60}, {"cause": "error_burst"}, {"cause": "error_burst", "window_s": 0}, {"luck": 1},
    ):  # fmt: skip
        with pytest.raises(PayloadError):
            propose(kind=SET_TRIGGER, payload=rule(**bad), reason="x", actor=maker)


def test_no_program_writes_a_triggers_rule(tree: Tree) -> None:
    request = released(SET_TRIGGER, rule())
    with pytest.raises(IntegrityError, match="approved request alone"), transaction.atomic():
        TriggerPolicy.objects.create(
            cause="drawdown", version=1, threshold=1, mode="HALTED", enabled=False, request=request,
            created_at=clock.now(),
        )  # fmt: skip
    carry_result = execute_request(request_id=request.pk)
    assert carry_result is not None and carry_result.outcome == "executed"
    with pytest.raises(DatabaseError), transaction.atomic():
        TriggerPolicy.objects.update(enabled=False)


def test_carry_is_what_the_cast_does(tree: Tree, stopped: KillSwitch) -> None:
    """The request that a portfolio manager opens is signed by others, end to end."""
    ensure_policy(RESTORE)
    maker = gate_people().maker
    request = carry(propose(kind=RESTORE, payload=restore_payload(stopped), reason="Mended.", actor=maker))
    people = {d.actor_id for d in request.decisions.all()} | {request.released_by_id, request.maker_id}
    assert len(people) == 4 and mode(tree) is TradingMode.ACTIVE
