"""The pages of market data and the live topics of trading: every role at each, and what they show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from fundops.core.live import TopicDeniedError, TopicUnknownError, check_topic
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from tests.portal.support import READERS, client_of
from tests.trading.marketdata.helpers import as_csv, make_bars, write
from trading.actions.marketdata import import_candles
from trading.marketdata.importer import ImportOptions
from trading.models.cohort import Cohort
from trading.models.marketdata import CandleSet


@pytest.fixture
def candle_set(settings: Settings, tmp_path: Path, db: None) -> CandleSet:
    """119 bars of one market with one missing, whose row was refused."""
    settings.MARKET_DATA_URL = str(tmp_path / "catalog")
    lines = as_csv(make_bars(120)).splitlines()
    lines[31] = "garbage"
    path = write(tmp_path / "binance" / "BTCUSDT_1m.csv", "\n".join(lines))
    import_candles(paths=[path], options=ImportOptions(), actor=None)
    return CandleSet.objects.get()


def pages(candle_set: CandleSet) -> dict[str, str]:
    return {
        "list": reverse("portal:candles"),
        "detail": reverse("portal:candle-set", args=[candle_set.pk]),
        "chart": reverse("portal:candle-set-chart", args=[candle_set.pk]),
        "quarantine": reverse("portal:quarantine"),
    }


# --- The pages ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_every_page(candle_set: CandleSet, role: Role) -> None:
    client = client_of(user_with(role))
    for name, path in pages(candle_set).items():
        assert client.get(path).status_code == (200 if role in READERS else 403), (role, name)


def test_nobody_signed_in_is_sent_to_sign_in(candle_set: CandleSet) -> None:
    for path in pages(candle_set).values():
        assert Client().get(path).status_code in {302, 401}


def test_the_list_shows_how_complete_a_series_is(candle_set: CandleSet) -> None:
    html = client_of(user_with(Role.AUDITOR)).get(pages(candle_set)["list"]).content.decode()
    assert "BTCUSDT" in html
    assert pages(candle_set)["detail"] in html
    assert "119" in html


def test_the_page_of_a_series_names_its_gap_and_its_refused_row(candle_set: CandleSet) -> None:
    html = client_of(user_with(Role.AUDITOR)).get(pages(candle_set)["detail"]).content.decode()
    assert "2025-05-04 00:30" in html


def test_the_chart_has_the_bars_and_no_invented_one(candle_set: CandleSet) -> None:
    payload = client_of(user_with(Role.AUDITOR)).get(pages(candle_set)["chart"]).json()
    assert len(payload["candles"]) == 119
    assert payload["interval_ms"] == 60_000
    assert payload["synthetic"] is False
    stamps = [row[0] for row in payload["candles"]]
    assert stamps == sorted(stamps)


def test_the_quarantine_says_what_the_row_said_and_why_it_was_refused(candle_set: CandleSet) -> None:
    html = client_of(user_with(Role.AUDITOR)).get(pages(candle_set)["quarantine"]).content.decode()
    assert "garbage" in html
    assert "BTCUSDT_1m.csv" in html


def test_a_series_that_is_not_there_is_not_found(candle_set: CandleSet) -> None:
    client = client_of(user_with(Role.AUDITOR))
    for name in ("portal:candle-set", "portal:candle-set-chart"):
        assert client.get(reverse(name, args=[candle_set.pk + 1])).status_code == 404


# --- The live topics ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_every_topic(launched: Callable[..., Cohort], role: Role) -> None:
    cohort, user = launched(), user_with(role)
    for topic in ("cohorts", f"cohort:{cohort.pk}", "candles"):
        if role in READERS:
            check_topic(user, topic)
        else:
            with pytest.raises(TopicDeniedError):
                check_topic(user, topic)


def test_topics_of_nothing_and_of_closed_accounts_are_refused(launched: Callable[..., Cohort], manager: User) -> None:
    cohort = launched()
    for topic in (f"cohort:{cohort.pk + 1}", "cohort:abc", "cohort"):
        with pytest.raises((TopicDeniedError, TopicUnknownError)):
            check_topic(manager, topic)
    manager.is_active = False
    for topic in ("cohorts", f"cohort:{cohort.pk}", "candles"):
        with pytest.raises(TopicDeniedError):
            check_topic(manager, topic)
