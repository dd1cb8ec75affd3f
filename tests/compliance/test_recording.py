"""Publishing: what is written, what is refused, and that nobody can change it afterwards."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg import sql

from compliance.errors import EventNameError, EventPayloadError, TransactionRequiredError
from compliance.models import AuditEvent
from compliance.payloads import encode_payload
from fundops.core import clock
from fundops.core.events import Event, publish, publish_all
from fundops.core.roles import Role
from tests.compliance.support import make_user, say, seal_all

TABLES = ["compliance_auditevent", "compliance_auditseal", "compliance_auditanchor"]


@pytest.mark.django_db(transaction=True)
def test_publish_outside_a_transaction_is_refused() -> None:
    with pytest.raises(TransactionRequiredError, match=r"transaction\.atomic"):
        publish("test.thing.done", actor=None, payload={})
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_act_that_is_rolled_back_leaves_no_event() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        publish("test.thing.done", actor=None, payload={})
        raise RuntimeError
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db
def test_several_acts_are_one_statement_and_keep_their_order() -> None:
    user = make_user("ada", Role.PORTFOLIO_MANAGER)
    acts = [Event("test.thing.done", user, {"n": n, "amount": Decimal("1.50")}, user, ["cohorts"]) for n in range(40)]
    ids = publish_all(acts)
    assert ids == sorted(ids), "their ids only ever grow"
    events = AuditEvent.objects.filter(id__in=ids).order_by("id")
    assert [event.payload for event in events] == [{"n": n, "amount": "1.50"} for n in range(40)]
    assert {(event.actor_label, event.object_id) for event in events} == {(str(user), str(user.pk))}
    assert publish_all([]) == []
    with pytest.raises(EventNameError):
        publish_all([acts[0], Event("nonsense", None, {})])
    assert AuditEvent.objects.filter(kind="test.thing.done").count() == 40


@pytest.mark.django_db
def test_event_holds_who_what_and_when() -> None:
    user = make_user("ada", Role.PORTFOLIO_MANAGER)
    at = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
    with clock.frozen(at):
        event_id = publish(
            "core.user.renamed",
            actor=user,
            obj=user,
            payload={
                "amount": Decimal("1E+3"),
                "at": at,
                "day": date(2026, 3, 1),
                "id": UUID(int=7),
                "ratio": 0.1,
            },
            topics=["cohort:12", "cohorts", "cohort:12"],
        )
    event = AuditEvent.objects.get(id=event_id)
    assert (event.kind, event.actor, event.actor_label, event.at) == ("core.user.renamed", user, "ada", at)
    assert (event.object_type, event.object_id, event.object_label) == ("core.user", str(user.pk), "ada")
    assert event.topics == ["cohort:12", "cohorts"]
    assert event.payload == {
        "amount": "1000",
        "at": "2026-03-01T12:00:00.123456+00:00",
        "day": "2026-03-01",
        "id": "00000000-0000-0000-0000-000000000007",
        "ratio": 0.1,
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        assert event.created_xid == cursor.fetchone()[0]
    assert event.id.version == 7


@pytest.mark.django_db
def test_transaction_id_cannot_be_forged() -> None:
    event = AuditEvent.objects.create(at=clock.now(), kind="a.b", actor_label="x", created_xid=5)
    event.refresh_from_db()
    assert event.created_xid != 5


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["", "Trading.x", "single", "a b.c", "a." + "b" * 130, "a.b\n"])
def test_bad_kind_is_refused(kind: str) -> None:
    with pytest.raises(EventNameError):
        publish(kind, actor=None, payload={})


@pytest.mark.django_db
@pytest.mark.parametrize("topic", ["", "Cohort:1", "cohort:", "cohort:1 2", 'cohort:"', "c" * 50, "cohort:1\n"])
def test_bad_topic_is_refused(topic: str) -> None:
    with pytest.raises(EventNameError):
        publish("a.b", actor=None, payload={}, topics=[topic])


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("Infinity"),
        datetime(2026, 1, 1),  # noqa: DTZ001 - the naive time is the point
        "\x00",
        object(),
        "x" * 300_000,
        "\ud800",
    ],
    ids=["nan", "inf", "decimal-nan", "decimal-inf", "naive", "nul", "object", "huge", "surrogate"],
)
def test_payload_that_is_no_evidence_is_refused(value: object) -> None:
    with pytest.raises(EventPayloadError):
        encode_payload({"value": value})


def test_decimals_keep_every_digit() -> None:
    amount = Decimal("12345678901234567890.123456789012345678")
    assert json.loads(encode_payload({"a": amount, "b": [Decimal("0E-18")]})) == {
        "a": "12345678901234567890.123456789012345678",
        "b": ["0.000000000000000000"],
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_application_role_may_not_rewrite(table: str, statement: str) -> None:
    say()
    seal_all()
    change = "hash = ''" if table != TABLES[0] else "kind = 'x'"
    with pytest.raises(DatabaseError, match="permission denied"), connection.cursor() as cursor:
        cursor.execute(statement.format(table, change))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} WHERE false", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_triggers_refuse_everyone_else_too(superuser: psycopg.Connection[Any], table: str, statement: str) -> None:
    say()
    seal_all()
    change = "hash = ''" if table != TABLES[0] else "kind = 'x'"
    for role in ("postgres", "fundops_owner"):
        superuser.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            superuser.execute(statement.format(table, change))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("seq", "prev"), [(1, "0" * 64), (2, "f" * 64), (3, "0" * 64)], ids=["second beginning", "fork", "gap"]
)
def test_seals_that_do_not_continue_the_chain_are_refused(seq: int, prev: str) -> None:
    say()
    seal_all()
    late = say()
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO compliance_auditseal (seq, event_id, prev_hash, hash) VALUES (%s, %s, %s, %s)",
            [seq, late, prev, "a" * 64],
        )
