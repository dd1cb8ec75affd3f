"""Reading the stream: who may, what the filters do, the API, the admin, the probe."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compliance.models import RelayState
from compliance.observing import relay_finding
from compliance.selectors import audit_event_list, chain_status, live_seq, relay_lag
from fundops.core import clock
from fundops.core.errors import PermissionMissingError
from fundops.core.events import publish
from fundops.core.metrics import render_metrics
from fundops.core.models import User
from fundops.core.roles import Role
from tests.compliance.support import make_user, say, seal_all

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def auditor() -> User:
    return make_user("otto", Role.AUDITOR)


@pytest.fixture
def stream(auditor: User) -> User:
    """Five events: three sealed; two kinds, two actors, one object."""
    start = clock.now() - timedelta(hours=5)
    for number in range(5):
        with clock.frozen(start + timedelta(hours=number)), transaction.atomic():
            if number == 3:
                seal_all()
            publish(
                "trading.cohort.launched" if number % 2 else "treasury.fund.opened",
                actor=auditor if number == 2 else None,
                obj=auditor if number == 2 else None,
                payload={"n": number},
                topics=["cohorts"],
            )
    return auditor


def numbers(events: Any) -> list[int]:
    return [event.payload["n"] for event in events]


def test_filters_narrow_the_stream(stream: User) -> None:
    now = clock.now()
    assert numbers(audit_event_list(user=stream)) == [4, 3, 2, 1, 0]
    assert numbers(audit_event_list(user=stream, kind="trading.cohort.launched")) == [3, 1]
    assert numbers(audit_event_list(user=stream, kind="trading.")) == [3, 1]
    assert numbers(audit_event_list(user=stream, kind="trading")) == []
    assert numbers(audit_event_list(user=stream, actor_id=stream.pk)) == [2]
    assert numbers(audit_event_list(user=stream, object_type="core.User", object_id=str(stream.pk))) == [2]
    since, until = now - timedelta(hours=4, minutes=30), now - timedelta(hours=2, minutes=30)
    assert numbers(audit_event_list(user=stream, since=since, until=until)) == [2, 1]
    assert [vars(event)["seq"] for event in audit_event_list(user=stream)] == [None, None, 3, 2, 1]


@pytest.mark.parametrize("role", [Role.PORTFOLIO_MANAGER, Role.OPERATIONS, Role.INVESTOR, Role.ADMINISTRATOR])
def test_others_may_not_read(role: Role) -> None:
    with pytest.raises(PermissionMissingError, match=r"compliance\.view_auditevent"):
        audit_event_list(user=make_user("nina", role))


def test_chain_status_tells_head_and_waiting(stream: User) -> None:
    status = chain_status()
    assert (status.head_seq, status.unsealed, live_seq()) == (3, 2, 3)
    assert len(status.head_hash) == 64
    seal_all()
    assert (chain_status().head_seq, chain_status().unsealed, chain_status().oldest_unsealed_at) == (
        5,
        0,
        None,
    )


def get(user: User, path: str) -> Any:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client.get(path)


def test_api_lists_pages_and_filters(stream: User) -> None:
    answer = get(stream, "/api/audit/events/?page_size=2").json()
    assert answer["count"] == 5
    assert len(answer["results"]) == 2
    (one,) = get(stream, f"/api/audit/events/?actor={stream.pk}&object_type=core.user&kind=treasury.").json()["results"]
    assert (one["seq"], one["payload"], one["actor"], one["topics"]) == (3, {"n": 2}, "otto", ["cohorts"])
    assert len(one["hash"]) == 64
    assert [e["payload"]["n"] for e in get(stream, "/api/audit/events/?after=1&upto=3").json()["results"]] == [2, 1]
    assert get(stream, f"/api/audit/events/{one['id']}/").json() == one
    assert get(stream, "/api/audit/chain/").json()["head_seq"] == 3


def test_api_does_not_ask_the_database_for_each_event(stream: User) -> None:
    client = Client()
    client.force_login(stream, backend="allauth.account.auth_backends.AuthenticationBackend")
    counts = []
    for _ in range(2):
        client.get("/api/audit/events/")
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert client.get("/api/audit/events/").status_code == 200
        counts.append(len(queries))
        for number in range(10):
            say(number)
    assert counts[0] == counts[1]


@pytest.mark.parametrize("path", ["/api/audit/events/", "/api/audit/chain/"])
@pytest.mark.parametrize("role", list(Role))
def test_api_is_for_those_who_may_view_events(path: str, role: Role) -> None:
    may = role in {Role.AUDITOR, Role.COMPLIANCE_OFFICER, Role.RISK_OFFICER}
    assert get(make_user("nina", role), path).status_code == (200 if may else 403)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_api_writes_nothing(stream: User, method: str) -> None:
    client = Client()
    client.force_login(stream, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert getattr(client, method)("/api/audit/events/").status_code in {403, 405}


def test_probe_and_metrics_show_the_relay(stream: User) -> None:
    assert not relay_finding().ok
    assert "no relay has ever run" in relay_finding().detail
    RelayState.objects.create(id=1, holder="one:1", beat_at=clock.now(), sealed_seq=3, sealed_hash="")
    finding = relay_finding()
    assert not finding.ok, "an event has waited for hours"
    assert "2 events wait" in finding.detail
    seal_all()
    assert relay_finding().ok
    assert b"fundops_audit_sealed 5.0" in render_metrics()
    RelayState.objects.update(beat_at=clock.now() - timedelta(minutes=1))
    assert not relay_finding().ok
    assert relay_lag().holder == "one:1"
