"""The restricted list: on at once, off through the gate, and nothing in between; flags and who may decide them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError, transaction
from rest_framework.test import APIClient

from compliance.actions.screening import (
    decide_flag,
    lift_restriction,
    raise_flag,
    restrict_instrument,
)
from compliance.approvals.errors import NotApprovedError
from compliance.models import AuditEvent, RestrictedInstrument, ScreeningFlag, ScreeningPolicy
from compliance.models.screening import FlagSeverity, FlagState, RestrictionLevel, ScreeningRule
from compliance.screening.errors import FlagError, RestrictionError
from compliance.screening.policy import ScreeningRules
from compliance.selectors_screening import restrictions_in_force, rules_in_force
from fundops.core import clock
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from tests.gate import by_gate

READS_LIST = {
    Role.PORTFOLIO_MANAGER,
    Role.RISK_OFFICER,
    Role.OPERATIONS,
    Role.COMPLIANCE_OFFICER,
    Role.AUDITOR,
}
READS_FLAGS = {Role.RISK_OFFICER, Role.COMPLIANCE_OFFICER, Role.AUDITOR}


@pytest.fixture
def officer(db: None) -> User:
    return user_with(Role.COMPLIANCE_OFFICER, username="carla")


def restrict(officer: User, **changes: Any) -> RestrictedInstrument:
    fields: dict[str, Any] = {"symbol": "layer", "level": RestrictionLevel.NO_TRADING, "reason": "Insider list 7"}
    return restrict_instrument(**(fields | changes), actor=officer)


def test_entry_binds_at_once_and_is_told(officer: User) -> None:
    entry = restrict(officer)
    assert [e.symbol for e in restrictions_in_force()] == ["LAYER"]
    event = AuditEvent.objects.get(kind="compliance.instrument.restricted")
    assert (event.actor, event.object_id) == (officer, str(entry.pk))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"symbol": " "}, "which instrument"),
        ({"reason": ""}, "which instrument"),
        ({"level": RestrictionLevel.CLOSE_ONLY, "venue": "kraken"}, "every venue"),
    ],
)
def test_entry_that_says_too_little_is_refused(officer: User, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RestrictionError, match=said):
        restrict(officer, **changes)


def test_same_entry_twice_and_one_in_the_past_are_refused(officer: User) -> None:
    restrict(officer)
    with pytest.raises(RestrictionError, match="already"):
        restrict(officer)
    with pytest.raises(RestrictionError, match="now or later"):
        restrict(officer, symbol="BTC", effective_from=clock.now() - timedelta(days=1))


def test_later_entry_binds_from_its_moment(officer: User) -> None:
    begins = clock.now() + timedelta(days=1)
    restrict(officer, effective_from=begins)
    assert restrictions_in_force() == []
    assert len(restrictions_in_force(at=begins)) == 1


def test_entry_is_lifted_by_two_people_through_the_gate(officer: User) -> None:
    entry = restrict(officer)
    with pytest.raises(NotApprovedError):
        lift_restriction({"restriction": entry.pk})
    by_gate("compliance.lift_restriction", {"restriction": entry.pk}, maker=None)
    entry.refresh_from_db()
    assert restrictions_in_force() == []
    assert entry.lifted_by_request is not None
    restrict(officer)  # and can be put on again


@pytest.mark.parametrize(
    "attack",
    [
        lambda e: RestrictedInstrument.objects.filter(pk=e.pk).update(lifted_at=clock.now()),
        lambda e: RestrictedInstrument.objects.filter(pk=e.pk).update(level="watch"),
        lambda e: RestrictedInstrument.objects.filter(pk=e.pk).update(symbol="ELSE"),
        lambda e: RestrictedInstrument.objects.filter(pk=e.pk).delete(),
        lambda e: RestrictedInstrument.objects.filter(pk=e.pk).update(effective_from=clock.now() + timedelta(days=9)),
        lambda e: ScreeningPolicy.objects.create(
            version=1, document={}, request_id=UUID(int=7), created_at=clock.now()
        ),
    ],
    ids=["lift", "soften", "rename", "delete", "postpone", "rules"],
)
def test_database_loosens_nothing_outside_the_gate(officer: User, attack: Any) -> None:
    entry = restrict(officer)
    with pytest.raises(DatabaseError), transaction.atomic():
        attack(entry)
    assert len(restrictions_in_force()) == 1


def test_rules_change_through_the_gate_alone(officer: User) -> None:
    assert rules_in_force() == (0, ScreeningRules())
    stricter = {"rules": {"layering": {"min_orders": 3}}}
    by_gate("compliance.set_screening_policy", stricter)
    version, rules = rules_in_force()
    assert (version, rules.layering.min_orders, rules.layering.window_s) == (1, 3, 60)


def flagged() -> ScreeningFlag:
    return raise_flag(
        key="test:1",
        rule=ScreeningRule.SELF_CROSSING,
        severity=FlagSeverity.NOTE,
        subject="cohort 1, day 1",
        finding="Two agents traded with each other.",
        evidence={"fills": [1, 2]},
    )


def test_same_finding_is_one_flag(db: None) -> None:
    assert flagged() == flagged()
    assert AuditEvent.objects.filter(kind="compliance.flag.raised").count() == 1


def test_flag_is_decided_with_a_reason_and_once_cleared_stays_so(officer: User) -> None:
    flag = flagged()
    with pytest.raises(FlagError, match="why"):
        decide_flag(flag=flag, state=FlagState.CLEARED, note=" ", actor=officer)
    decide_flag(flag=flag, state=FlagState.ESCALATED, note="Asked the desk.", actor=officer)
    decided = decide_flag(flag=flag, state=FlagState.CLEARED, note="Paper agents; no market saw it.", actor=officer)
    assert (decided.state, decided.decided_by) == (FlagState.CLEARED, officer)
    with pytest.raises(FlagError, match="cleared on"):
        decide_flag(flag=flag, state=FlagState.ESCALATED, note="Again", actor=officer)
    with pytest.raises(DatabaseError), transaction.atomic():
        ScreeningFlag.objects.filter(pk=flag.pk).update(evidence={})


@pytest.mark.parametrize("role", list(Role))
def test_only_compliance_restricts_and_decides(db: None, role: Role) -> None:
    user = user_with(role)
    if role is Role.COMPLIANCE_OFFICER:
        restrict(user)
        decide_flag(flag=flagged(), state=FlagState.CLEARED, note="Fine", actor=user)
        return
    with pytest.raises(PermissionMissingError):
        restrict(user)
    with pytest.raises(PermissionMissingError):
        decide_flag(flag=flagged(), state=FlagState.CLEARED, note="Fine", actor=user)


@pytest.mark.parametrize("role", list(Role))
def test_api_answers_each_role_as_the_matrix_says(db: None, role: Role) -> None:
    flag = flagged()
    api = APIClient()
    api.force_authenticate(user_with(role))
    listed = 200 if role in READS_LIST else 403
    assert api.get("/api/screening/restrictions/").status_code == listed
    assert api.get("/api/screening/rules/").status_code == listed
    assert api.get("/api/screening/flags/").status_code == (200 if role in READS_FLAGS else 403)
    made = api.post("/api/screening/restrictions/", {"symbol": "X", "level": "watch", "reason": "r"}, format="json")
    assert made.status_code == (201 if role is Role.COMPLIANCE_OFFICER else 403)
    decided = api.post(f"/api/screening/flags/{flag.pk}/decide/", {"state": "cleared", "note": "n"}, format="json")
    assert decided.status_code == (200 if role is Role.COMPLIANCE_OFFICER else 403)
