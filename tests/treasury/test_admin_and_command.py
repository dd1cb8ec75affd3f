"""The administration only looks at the books; the command prints the trial balance."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client

from fundops.core.roles import Role
from tests.factories import user_with
from tests.treasury.conftest import Cast
from treasury.models import Asset


@pytest.fixture
def administrator(cast: Cast) -> Client:
    """An administrator who was also granted every permission of treasury."""
    user = user_with(Role.ADMINISTRATOR)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="treasury"))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("model", ["journalentry", "book", "ledgeraccount", "postingbatch"])
@pytest.mark.django_db
def test_books_are_shown_and_not_changed(administrator: Client, cast: Cast, model: str) -> None:
    entry = cast.post()
    assert administrator.get(f"/admin/treasury/{model}/").status_code == 200
    assert administrator.get(f"/admin/treasury/{model}/add/").status_code == 403
    if model == "journalentry":
        page = administrator.get(f"/admin/treasury/{model}/{entry.pk}/change/")
        assert "MAIN/c1 · cash · 100" in page.content.decode()
        assert administrator.post(f"/admin/treasury/{model}/{entry.pk}/change/", {}).status_code == 403
        assert administrator.post(f"/admin/treasury/{model}/{entry.pk}/delete/", {}).status_code == 403


@pytest.mark.django_db
def test_asset_is_renamed_with_its_history_but_keeps_its_code(administrator: Client, cast: Cast) -> None:
    path = f"/admin/treasury/asset/{cast.btc.pk}/change/"
    answer = administrator.post(path, {"name": "Bitcoin (BTC)", "places": "6", "code": "XBT", "kind": "fiat"})
    assert answer.status_code == 302, answer.content
    asset = Asset.objects.get(pk=cast.btc.pk)
    assert (asset.code, asset.kind, asset.name, asset.places) == ("BTC", "crypto", "Bitcoin (BTC)", 6)
    assert list(asset.history.values_list("name", flat=True)) == ["Bitcoin (BTC)", "Bitcoin"]
    assert administrator.post(f"/admin/treasury/asset/{cast.btc.pk}/delete/", {"post": "yes"}).status_code == 403


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("trial_balance", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_command_prints_a_table_and_json(cast: Cast) -> None:
    cast.post(cast.balanced("1234.5"))
    cast.post(cast.balanced("1"))
    assert run("MAIN").splitlines() == [
        "MAIN, up to posting 2",
        "Capital received  USDT  -1235.5",
        "Cash              USDT   1235.5",
        "-------------------------------",
        "Total             USDT        0",
    ]
    found = json.loads(run("MAIN", "--json", "--as-known", "1"))
    assert found["is_balanced"]
    assert [row["amount"] for row in found["rows"]] == ["-1234.5", "1234.5"]
    assert json.loads(run("MAIN", "--json", "--as-of", "2024-03-04"))["rows"] == []


@pytest.mark.django_db
def test_command_names_the_funds_there_are(cast: Cast) -> None:
    with pytest.raises(CommandError, match="Funds: MAIN, OTHER"):
        run("NONE")


def test_command_fails_when_a_superuser_broke_the_books(live_cast: Cast, superuser: psycopg.Connection[Any]) -> None:
    live_cast.post()
    superuser.execute("SET session_replication_role = replica")
    superuser.execute("UPDATE treasury_journalline SET amount = 99 WHERE amount > 0")
    with pytest.raises(CommandError, match="do not balance"):
        run("MAIN")
