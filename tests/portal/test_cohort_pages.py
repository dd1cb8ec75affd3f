"""The cohort pages: who may open which, what they say, and what their forms do."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from tests.portal.support import READERS, client_of
from trading.actions.cohort_drive import drive_cohort
from trading.models.cohort import Cohort, CohortStatus
from trading.models.marketdata import CandleSet

Make = Callable[..., Cohort]


@pytest.fixture
def finished(launched: Make) -> Cohort:
    return drive_cohort(cohort_id=launched(days=2).pk)


def pages_of(cohort: Cohort) -> list[str]:
    pk = cohort.pk
    return [
        reverse("portal:cohorts"),
        reverse("portal:cohort", args=[pk]),
        *(reverse("portal:cohort-chart", args=[pk, name]) for name in ("equity", "utilisation", "heatmap")),
        reverse("portal:cohort-agent", args=[pk, 1]),
        *(reverse("portal:cohort-agent-chart", args=[pk, 1, name]) for name in ("equity", "candles")),
        reverse("portal:cohort-fill", args=[pk, 1]),
        reverse("portal:strategies"),
        reverse("portal:strategy", args=["sma_crossover"]),
    ]


@pytest.mark.parametrize("role", sorted(Role))
def test_every_role_at_every_page(finished: Cohort, role: Role) -> None:
    client = client_of(user_with(role))
    for path in pages_of(finished):
        response = client.get(path)
        assert response.status_code == (200 if role in READERS else 403), (role, path)
    launch = client.get(reverse("portal:cohort-new"))
    assert launch.status_code == (200 if role is Role.PORTFOLIO_MANAGER else 403)


def test_nobody_signed_in_is_sent_to_sign_in_or_refused(finished: Cohort) -> None:
    for path in pages_of(finished):
        assert Client().get(path).status_code in {302, 401, 403}


def test_board_shows_the_verdict_and_the_proof_of_the_books(finished: Cohort, manager: User) -> None:
    html = client_of(manager).get(reverse("portal:cohort", args=[finished.pk])).content.decode()
    assert "Completed" in html
    assert "Synthetic data" in html
    assert re.search(r"Engine and books</span><span class=\"value\">Equal", html)
    assert html.count("Agent ") >= finished.agent_count


def test_fragment_is_the_board_alone_and_tells_the_charts(finished: Cohort, manager: User) -> None:
    path = reverse("portal:cohort", args=[finished.pk])
    response = client_of(manager).get(path, headers={"HX-Request": "true", "HX-Target": "board"})
    assert response["HX-Trigger"] == "cohort-moved"
    assert "<html" not in response.content.decode()
    assert 'id="board"' in response.content.decode()


def test_leaderboard_exports_every_agent(finished: Cohort, manager: User) -> None:
    path = reverse("portal:cohort", args=[finished.pk])
    client = client_of(manager)
    rows = list(csv.DictReader(io.StringIO(client.get(f"{path}?day=1&_export=csv").content.decode())))
    assert len(rows) == finished.agent_count
    assert [int(row["Rank"]) for row in rows] == list(range(1, finished.agent_count + 1))
    assert len(client.get(f"{path}?day=2&_export=json").json()) == finished.agent_count


def test_equity_chart_has_the_parent_and_every_agent(finished: Cohort, manager: User) -> None:
    payload = client_of(manager).get(reverse("portal:cohort-chart", args=[finished.pk, "equity"])).json()
    assert payload["synthetic"] is True
    assert len(payload["series"]) == finished.agent_count + 1
    parent = payload["series"][-1]
    assert parent["id"] == "parent"
    assert len(parent["data"]) == 1 + 48
    last = finished.cohort_days.get(day=2)
    assert parent["data"][-1][1] == pytest.approx(float(last.equity) / float(finished.bankroll) - 1)


def test_candles_carry_the_fills_of_that_agent_and_day(finished: Cohort, manager: User) -> None:
    fill = finished.fills.select_related("agent").order_by("number")[0]
    path = reverse("portal:cohort-agent-chart", args=[finished.pk, fill.agent.number, "candles"])
    payload = client_of(manager).get(path, {"symbol": fill.symbol, "day": "1"}).json()
    assert len(payload["candles"]) == 1440
    expected = finished.fills.filter(agent=fill.agent, symbol=fill.symbol, at__date=finished.start).count()
    assert len(payload["markers"]) == expected > 0


def test_a_fill_leads_to_the_entry_that_books_it(finished: Cohort, manager: User) -> None:
    html = client_of(manager).get(reverse("portal:cohort-fill", args=[finished.pk, 1])).content.decode()
    fill = finished.fills.get(number=1)
    assert f"cohort-{finished.pk}/agent-{fill.agent.number}" in html
    assert "position" in html


@pytest.mark.parametrize("path", ["999999/", "{pk}/agents/999/", "{pk}/fills/999999/", "{pk}/charts/nothing.json"])
def test_what_is_not_there_is_not_found(finished: Cohort, manager: User, path: str) -> None:
    assert client_of(manager).get("/cohorts/" + path.format(pk=finished.pk)).status_code == 404


# --- The launch form --------------------------------------------------------------------------------------
@pytest.fixture
def candle_sets(candles: Any, db: None) -> None:
    """The mirror of the catalog that the form chooses from."""
    from trading.actions.marketdata import sync_catalog  # noqa: PLC0415

    sync_catalog(actor=None)
    assert CandleSet.objects.count() == 2


def answers(cohort: Cohort, **changes: Any) -> dict[str, Any]:
    return {
        "mode": cohort.mode,
        "market": "synthetic|USDT|1m",
        "symbols": cohort.symbols,
        "start": cohort.start.isoformat(),
        "days": cohort.days,
        "speed": 1,
        "fund": cohort.fund_id,
        "agent_count": cohort.agent_count,
        "bankroll": cohort.bankroll,
        "allocation": cohort.allocation,
        "genome_source": cohort.genome_source,
        "cost_profile": "binance",
        "gross_ceiling": 1,
        "net_ceiling": 1,
        "leverage_ceiling": 2,
        "market_cap_frac": "0.5",
        "drawdown_alert_frac": "0.05",
        "utilisation_alert_frac": "0.95",
        "seed": 1,
    } | changes


@pytest.mark.usefixtures("candle_sets")
def test_form_as_it_stands_launches_a_cohort(specification: Make, manager: User) -> None:
    client = client_of(manager)
    page = client.get(reverse("portal:cohort-new"))
    form = page.context["form"]
    assert form.initial["symbols"] == ["BTCUSDT", "ETHUSDT"]
    response = client.post(reverse("portal:cohort-new"), answers(specification()))
    cohort = Cohort.objects.get()
    assert response.status_code == 302
    assert response["Location"] == reverse("portal:cohort", args=[cohort.pk])
    assert cohort.launched_by == manager
    assert cohort.status == CohortStatus.QUEUED


@pytest.mark.usefixtures("candle_sets")
def test_form_says_at_once_what_is_impossible_and_launches_nothing(specification: Make, manager: User) -> None:
    client = client_of(manager)
    wrong = answers(specification(), start="2024-01-01", agent_count=0, bankroll=10)
    html = client.post(reverse("portal:cohort-check"), wrong).content.decode()
    assert "has-error" in html
    assert "greater than or equal to 1" in html
    assert "greater than or equal to 50" in html
    response = client.post(reverse("portal:cohort-new"), answers(specification(), start="2024-01-01"))
    assert response.status_code == 422
    assert "has candles from 2025-03-01 00:00" in response.content.decode()
    assert not Cohort.objects.exists()


@pytest.mark.usefixtures("candle_sets")
@pytest.mark.parametrize("role", sorted(set(Role) - {Role.PORTFOLIO_MANAGER}))
def test_nobody_else_launches_or_cancels_by_form(specification: Make, launched: Make, role: Role) -> None:
    client, live = client_of(user_with(role)), launched()
    assert client.post(reverse("portal:cohort-new"), answers(specification())).status_code == 403
    assert client.post(reverse("portal:cohort-cancel", args=[live.pk]), {"reason": "x"}).status_code == 403
    live.refresh_from_db()
    assert live.status == CohortStatus.QUEUED
    assert Cohort.objects.count() == 1


def test_cancel_needs_a_reason(launched: Make, manager: User) -> None:
    client, live = client_of(manager), launched()
    path = reverse("portal:cohort-cancel", args=[live.pk])
    client.post(path, {"reason": " "})
    live.refresh_from_db()
    assert live.status == CohortStatus.QUEUED
    client.post(path, {"reason": "wrong seed"})
    live.refresh_from_db()
    assert live.status == CohortStatus.CANCELLING
