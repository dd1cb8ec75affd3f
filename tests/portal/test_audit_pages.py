"""The audit dashboard: filters, counts, files, the chain's state, one event, and who may see it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from compliance.actions.verifications import ASKED, VERIFIED, ask_for_verification, verify_and_record
from compliance.models import AuditEvent
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from portal.gate import audit
from tests.compliance.support import say, seal_all
from tests.factories import user_with

pytestmark = [
    pytest.mark.django_db,
    # The files are written for an asynchronous server; the test's client is none.
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]


@pytest.fixture
def reader() -> User:
    return user_with(Role.AUDITOR, username="arthur", display_name="Arthur")


def get(user: User, name: str = "audit", *args: Any, **query: Any) -> Any:
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client.get(reverse(f"portal:{name}", args=args), query)


def written(response: Any) -> str:
    """What a streamed answer holds."""
    return b"".join(response).decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"kind": "test.thing."}, 3),
        ({"kind": "test.other"}, 1),
        ({"actor": "arthur"}, 1),
        ({"text": '"n": 2'}, 1),
        ({"text": "nowhere to be found"}, 0),
        ({"since": "2000-01-01", "until": "2000-01-02"}, 0),
        ({"since": "2000-01-01", "kind": "test."}, 4),
    ],
)
def test_filters_narrow_table_chart_and_files_alike(reader: User, query: dict[str, str], found: int) -> None:
    for number in (1, 2):
        say(number)
    say(3, actor=reader)
    say(9, kind="test.other.done")
    table = get(reader, **query).context["table"]
    assert table.paginator.count == found
    rows = list(csv.DictReader(io.StringIO(written(get(reader, _export="csv", **query)))))
    assert len(rows) == found
    chart = get(reader, "audit-chart", **query).json()
    assert sum(sum(series["data"]) for series in chart["series"]) == found


def test_files_hold_payload_and_hash_and_say_when_they_are_cut(reader: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        say(number)
    said = json.loads(written(get(reader, _export="json", kind="test.")))
    assert (said["found"], said["complete"], len(said["events"])) == (5, True, 5)
    assert [event["payload"]["n"] for event in said["events"]] == [4, 3, 2, 1, 0]
    monkeypatch.setattr(audit, "MOST_EXPORTED", 3)
    monkeypatch.setattr(audit, "_CHUNK", 2)
    cut = json.loads(written(get(reader, _export="json", kind="test.")))
    assert (cut["found"], cut["complete"], len(cut["events"])) == (5, False, 3)
    assert "narrow the filter" in cut["note"]
    assert len(list(csv.reader(io.StringIO(written(get(reader, _export="csv", kind="test.")))))) == 1 + 3


def test_texts_are_no_formulas_in_a_spreadsheet(reader: User) -> None:
    reader.display_name = "=cmd()"
    reader.save()
    say(1, actor=reader)
    rows = list(csv.DictReader(io.StringIO(written(get(reader, _export="csv", kind="test.")))))
    assert rows[0]["actor"] == "'=cmd()"


@pytest.mark.django_db(transaction=True)
def test_event_shows_its_payload_and_that_its_hash_holds(reader: User, superuser: Any) -> None:
    event = AuditEvent.objects.get(pk=say(41))
    assert "not sealed yet" in get(reader, "audit-event", event.pk).content.decode()
    seal_all()
    html = get(reader, "audit-event", event.pk).content.decode()
    assert "Its hash holds" in html
    assert "&quot;n&quot;: 41" in html
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE compliance_auditevent SET payload = '{\"n\": 42}' WHERE id = %s", [event.pk])
    assert "Its hash does not hold" in get(reader, "audit-event", event.pk).content.decode()


@pytest.mark.django_db(transaction=True)
def test_verification_is_recorded_and_shown(reader: User) -> None:
    say(1)
    seal_all()
    assert "Never" in get(reader).content.decode()
    ask_for_verification(actor=reader)
    assert "a worker is at it" in get(reader).content.decode()
    assert verify_and_record(actor=reader).intact
    html = get(reader).content.decode()
    assert "Intact" in html
    assert "a worker is at it" not in html
    assert AuditEvent.objects.get(kind=VERIFIED).payload["checked"] >= 1


@pytest.mark.parametrize("role", sorted(Role))
def test_only_readers_of_the_stream_may_have_it_verified(role: Role) -> None:
    user = user_with(role)
    if user.has_perm("compliance.view_auditevent"):
        ask_for_verification(actor=user)
        assert AuditEvent.objects.filter(kind=ASKED).count() == 1
    else:
        with pytest.raises(PermissionMissingError):
            ask_for_verification(actor=user)
        client = Client()
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
        assert client.post(reverse("portal:audit-verify")).status_code == 403
