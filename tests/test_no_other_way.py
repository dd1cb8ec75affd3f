"""There is no other way: every kind of action, every guarded table, address and page of the administration is tried.

The registry is walked as it is, so that a kind registered tomorrow is tried tomorrow.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admindocs.views import simplify_regex
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory
from django.urls import get_resolver
from pydantic import ConfigDict
from rest_framework.test import APIClient

from compliance.actions.approval_execution import execute_request, release_request
from compliance.actions.proposing import propose
from compliance.approvals import registry
from compliance.approvals.defaults import default_policies
from compliance.approvals.errors import NotApprovedError
from compliance.approvals.policy import SET_POLICY
from compliance.approvals.registry import Action, ActionPayload, Target, Warrant, registered_actions
from compliance.models import ApprovalPolicy, ApprovalRequest
from compliance.models.audit import CurrentTransaction
from compliance.selectors_approvals import person_of
from fundops.core import clock
from fundops.core.roles import MATRIX, Role
from tests.compliance.approvals.conftest import world
from tests.compliance.approvals.support import KIND, WORLD, staff, vote
from tests.factories import user_with
from tests.gate import carry, ensure_policy, executing, found_everything, gate_people
from tests.treasury.conftest import make_cast

__all__ = ["world"]

pytestmark = pytest.mark.django_db
KINDS = [action.kind for action in registered_actions()]
OURS = ("compliance", "treasury", "risk", "trading", "reporting", "portal")


# --- Every kind -----------------------------------------------------------------------------------------------
def test_every_kind_has_its_rules_and_somebody_who_may_ask() -> None:
    """The shipped rules cover the product; the change of rules has its own, in the code."""
    kinds = {kind for kind in KINDS if not kind.startswith("test.")} - {SET_POLICY}
    assert set(default_policies()) == kinds, "add the kind to its app's approval_policies.yaml"
    grants = {grant for given in MATRIX.values() for grant in given}
    for action in registered_actions():
        assert action.maker_permission in grants, f"no role may ask for {action.kind}"


def test_no_shipped_rule_lets_one_person_alone_through() -> None:
    """Somebody signs, somebody else releases: with the maker that is three, whatever the band."""
    for kind, document in default_policies().items():
        for band in document.bands:
            assert sum(band.quorum.values()) >= 1, kind
            assert Role.ADMINISTRATOR not in {*band.quorum, *band.releasers}, kind


class AnyPayload(ActionPayload):
    """Stands in for a payload whose world a test would have to build: what is tried here comes before it."""

    model_config = ConfigDict(extra="allow", frozen=True)


@dataclass(frozen=True)
class Tried:
    """A kind with its executor watched instead of run, and two payloads of it."""

    action: Action[Any]
    executor: Mock
    payload: Any
    other: Any


def tried(kind: str) -> Tried:
    real = registry.action_for(kind)
    spy = Mock(return_value={})
    first = next(iter(real.payload_type.model_fields))
    one, other = (real.payload_type.model_construct(**{first: text}) for text in ("one", "other"))
    return Tried(replace(real, _executor=spy), spy, one, other)


def signed_and_released(kind: str, payload: dict[str, Any]) -> ApprovalRequest:
    """A request of this kind, signed with real signatures and released; only its picture is left out."""
    real, people = registry._actions[kind], gate_people()
    blank = Action(
        kind=kind,
        title=real.title,
        payload_type=AnyPayload,
        maker_permission="compliance.propose_request",
        render=lambda _: [],
        recheck=lambda _: None,
        amount=lambda _: None,
        target=lambda _: Target(),
        interested=lambda _: (),
        _executor=lambda _payload, _warrant: {},
    )
    registry._actions[kind] = blank
    try:
        request = propose(kind=kind, payload=payload, reason="Trying it.", actor=people.maker)
        vote(request, people.risk, Role.RISK_OFFICER)
        vote(request, people.operations, Role.OPERATIONS)
        return release_request(request_id=request.pk, actor=people.releaser)
    finally:
        registry._actions[kind] = real


def refused(what: Tried, payload: Any, warrant: Any) -> None:
    with pytest.raises(NotApprovedError), transaction.atomic():
        what.action(payload, warrant)
    assert not what.executor.called, "the executor was reached"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_no_executor_is_called_but_by_its_own_request(kind: str) -> None:
    what, people = tried(kind), gate_people()
    rules = ApprovalPolicy.objects.filter(kind=kind)
    if kind != SET_POLICY and not rules.exists():
        ensure_policy(kind)
    written = what.action.write(what.payload)
    nobody = Warrant(request_id=uuid4(), actor=people.releaser)
    for warrant in (None, nobody, "a warrant", uuid4()):
        refused(what, what.payload, warrant)

    draft = ApprovalRequest.objects.create(
        kind=kind, payload=written, reason="x", maker=people.maker, maker_person=person_of(people.maker),
        created_at=clock.now(),
    )  # fmt: skip
    refused(what, what.payload, Warrant(request_id=draft.pk, actor=people.releaser))

    request = signed_and_released(kind, written)
    warrant = Warrant(request_id=request.pk, actor=people.releaser)
    refused(what, what.payload, warrant)  # released, and nobody is executing it
    with transaction.atomic():
        ApprovalRequest.objects.filter(pk=request.pk).update(executing_xid=CurrentTransaction())
        refused(what, what.other, warrant)
        refused(what, what.payload, Warrant(request_id=request.pk, actor=people.risk))
        refused(what, what.payload, nobody)
        for another in KINDS:
            if another != kind:
                elsewhere = tried(another)
                refused(elsewhere, elsewhere.payload, warrant)
        what.action(what.payload, warrant)
        assert what.executor.call_count == 1, "the way that is meant is open"
        what.executor.reset_mock()
        ApprovalRequest.objects.filter(pk=request.pk).update(executing_xid=None)
    refused(what, what.payload, warrant)


@pytest.mark.parametrize("state", ["executed", "failed"])
def test_nor_once_more_after_its_end(state: str, world: None) -> None:
    WORLD["open"] = state == "executed"
    ensure_policy(KIND)
    WORLD["open"] = True
    opened = propose(kind=KIND, payload={"to": "broker", "amount": "1"}, reason="x", actor=gate_people().maker)
    request = carry(opened, execute=False)
    WORLD["open"] = state == "executed"
    execute_request(request_id=request.pk)
    request.refresh_from_db()
    assert request.state == state
    what = tried(KIND)
    payload = what.action.read(request.payload)
    refused(what, payload, Warrant(request_id=request.pk, actor=gate_people().releaser))
    update = "UPDATE compliance_approvalrequest SET executing_xid = pg_current_xact_id()::text::bigint WHERE id = %s"
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(update, [request.pk])


# --- Every action behind an executor --------------------------------------------------------------------------
def actions_with_a_warrant() -> Iterator[tuple[str, Any]]:
    for app in OURS:
        try:
            package = import_module(f"{app}.actions")
        except ModuleNotFoundError:
            continue
        for found in iter_modules(package.__path__):
            module = import_module(f"{app}.actions.{found.name}")
            for name, function in inspect.getmembers(module, inspect.isfunction):
                own = function.__module__ == module.__name__ and not name.startswith("_")
                if own and "warrant" in inspect.signature(function).parameters:
                    yield f"{app}.{found.name}.{name}", function


def test_every_action_that_takes_a_warrant_asks_for_it_first() -> None:
    tried_ = []
    for name, function in actions_with_a_warrant():
        parameters = inspect.signature(function).parameters
        given = {p.name: Mock() for p in parameters.values() if p.default is inspect.Parameter.empty}
        for warrant in (None, Warrant(request_id=uuid4(), actor=user_with(Role.RISK_OFFICER))):
            with pytest.raises(NotApprovedError), transaction.atomic():
                function(**(given | {"warrant": warrant}))
        tried_.append(name)
    assert len(tried_) >= 5, tried_


# --- Every guarded table --------------------------------------------------------------------------------------
_EVENTS = {"INSERT": 4, "DELETE": 8, "UPDATE": 16}


def guarded_tables() -> list[tuple[str, int]]:
    """Each table that the gate's own guard watches by statement, with the events it watches."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text, bit_or(tgtype) FROM pg_trigger"
            " WHERE tgfoid = 'compliance_gate_guard'::regproc AND tgtype & 1 = 0 AND tgenabled = 'O' GROUP BY 1"
        )
        return [(table, int(events)) for table, events in cursor.fetchall()]


def test_no_guarded_table_is_written_without_a_request() -> None:
    """Not even a statement that touches no row passes."""
    tables = guarded_tables()
    assert {"risk_risklimit", "risk_capitalbudget"} <= {table for table, _ in tables}
    for table, events in tables:
        with connection.cursor() as cursor:
            cursor.execute("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1", [table])
            (column,) = cursor.fetchone()
        statements = {
            "INSERT": f"INSERT INTO {table} SELECT * FROM {table} WHERE false",  # noqa: S608
            "UPDATE": f"UPDATE {table} SET {column} = {column} WHERE false",  # noqa: S608
            "DELETE": f"DELETE FROM {table} WHERE false",  # noqa: S608
        }
        for event, bit in _EVENTS.items():
            if not events & bit:
                continue
            with pytest.raises(DatabaseError) as refusal, transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statements[event])
            said = str(refusal.value)
            assert "approved request" in said or "permission denied" in said, (table, event, said)


def test_a_request_of_another_kind_opens_no_guarded_table() -> None:
    ensure_policy(KIND)
    with executing(KIND, {"to": "broker", "amount": "1"}):
        for table, events in guarded_tables():
            statement = f"INSERT INTO {table} SELECT * FROM {table} WHERE false"  # noqa: S608
            if not events & _EVENTS["INSERT"]:
                statement = f"DELETE FROM {table} WHERE false"  # noqa: S608
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)


def test_no_rule_of_the_database_looks_into_a_session_s_own_tables() -> None:
    """A function without a search path of its own would take a temporary table for the real one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang"
            " WHERE p.pronamespace = 'public'::regnamespace AND l.lanname IN ('sql', 'plpgsql') AND p.prokind = 'f'"
            " AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE starts_with(s, 'search_path='))"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
        )
        assert cursor.fetchall() == []


# --- The administration ---------------------------------------------------------------------------------------
def test_the_administration_changes_nothing_that_is_guarded() -> None:
    """Its pages over guarded rows are for reading; roles and objects are proposed."""
    administrator = user_with(Role.ADMINISTRATOR)
    request = RequestFactory().get("/admin/")
    request.user = administrator
    guarded = {table for table, _ in guarded_tables()}
    guarded |= {"guardian_userobjectpermission", "guardian_groupobjectpermission", "auth_group", "auth_permission"}
    guarded |= {model._meta.db_table for model in apps.get_models() if getattr(model, "append_only", False)}
    for model, page in admin.site._registry.items():
        if model._meta.db_table not in guarded:
            continue
        assert not page.has_add_permission(request), model
        assert not page.has_change_permission(request), model
        assert not page.has_delete_permission(request), model
    assert not [model for model in admin.site._registry if model._meta.app_label == "guardian"]


def test_no_model_of_the_books_can_be_changed_in_the_administration() -> None:
    administrator = user_with(Role.ADMINISTRATOR)
    for label in ("treasury.Fund", "treasury.Book", "treasury.JournalEntry", "risk.RiskLimit", "risk.CapitalBudget"):
        page = admin.site._registry.get(apps.get_model(label))
        request = RequestFactory().get("/admin/")
        request.user = administrator
        assert page is None or not page.has_change_permission(request), label


# --- Every endpoint -------------------------------------------------------------------------------------------
def write_routes() -> list[str]:
    """Every address below /api/ that takes something, with numbers filled in."""
    found: list[str] = []

    def walk(patterns: Any, prefix: str) -> None:
        for pattern in patterns:
            route = prefix + simplify_regex(str(pattern.pattern)).lstrip("/")
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns, route)
            elif route.startswith("api/"):
                found.append("/" + re.sub(r"<[^>]+>", "1", route))

    walk(get_resolver().url_patterns, "")
    return sorted({path for path in found if "." not in path})


def state_of_guarded_rows() -> dict[str, Any]:
    tables = [table for table, _ in guarded_tables()]
    tables += ["core_user_groups", "guardian_userobjectpermission", "treasury_journalentry", "treasury_fund"]
    with connection.cursor() as cursor:
        state = {}
        for table in tables:
            cursor.execute(f"SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {table} t")  # noqa: S608
            state[table] = cursor.fetchone()
    return state


@pytest.mark.parametrize("role", list(Role))
def test_no_address_changes_guarded_rows_for_any_role(role: Role) -> None:
    make_cast()
    api = APIClient(raise_request_exception=False)
    api.force_authenticate(staff(f"any_{role.name.lower()}", role))
    found_everything()
    before = state_of_guarded_rows()
    routes = write_routes()
    assert len(routes) > 20
    body = {
        "book": "MAIN", "fund": "MAIN", "parent": "MAIN", "metric": "leverage", "hard": "1", "template": "standard",
        "capital": "1", "code": "x1", "name": "x", "reason": "x", "account": "x", "role": "Auditor",
        "kind": "parametric",
        "parameters": {"default": -0.1}, "opened_on": "2026-01-01", "value_date": "2026-01-01", "memo": "x",
        "base_asset": "USDT", "entry_kind": "contribution",
        "lines": [
            {"book": "MAIN", "account": "cash", "asset": "USDT", "amount": "1"},
            {"book": "MAIN", "account": "capital", "asset": "USDT", "amount": "-1"},
        ],
    }  # fmt: skip
    accepted = set()
    for path in routes:
        for method in ("post", "put", "patch", "delete"):
            with transaction.atomic():
                answer = getattr(api, method)(path, body, format="json")
            assert answer.status_code < 500, (method, path)
            if answer.status_code == 202:
                accepted.add(path)
    assert state_of_guarded_rows() == before
    if role is Role.PORTFOLIO_MANAGER:
        assert accepted >= {"/api/risk/limits/", "/api/risk/budgets/", "/api/entries/", "/api/books/", "/api/funds/"}
