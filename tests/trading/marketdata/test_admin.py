"""The administration looks at candle sets and quarantine, and changes neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from fundops.core.roles import Role
from tests.factories import user_with
from tests.trading.marketdata.helpers import as_csv, make_bars, write
from trading.actions.marketdata import import_candles
from trading.marketdata.formats import ReadOptions
from trading.marketdata.importer import ImportOptions
from trading.models.marketdata import CandleSet, DataQuarantine


@pytest.mark.django_db
def test_candle_sets_and_quarantine_are_shown_and_not_changed(tmp_path: Path, settings: Any) -> None:
    settings.MARKET_DATA_URL = str(tmp_path / "catalog")
    path = write(tmp_path / "BTCUSDT_1m.csv", as_csv(make_bars(10)) + "broken\n")
    import_candles(paths=[path], options=ImportOptions(read=ReadOptions(venue="binance")), actor=None)
    user = user_with(Role.ADMINISTRATOR)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="trading"))
    client = Client()
    client.force_login(user)
    for model, row in (
        ("candleset", CandleSet.objects.get()),
        ("dataquarantine", DataQuarantine.objects.get()),
    ):
        page = client.get(f"/admin/trading/{model}/")
        assert page.status_code == 200
        assert "BTCUSDT" in page.content.decode()
        assert client.get(f"/admin/trading/{model}/{row.pk}/change/").status_code == 200
        assert client.get(f"/admin/trading/{model}/add/").status_code == 403
        assert client.post(f"/admin/trading/{model}/{row.pk}/change/", {}).status_code == 403
        assert client.post(f"/admin/trading/{model}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
