"""What moves on the cohort's pages: the fragment carries every region, and a live agent never sees its future."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from fundops.core.models import User
from portal.charts.cohort import heatmap_height
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_prepare import prepare_cohort
from trading.actions.cohort_run import advance_cohort, load_cohort, market_for
from trading.models.cohort import Cohort

Make = Callable[..., Cohort]
HOUR_MS = 3_600_000


@pytest.fixture
def reader(manager: User) -> Client:
    client = Client()
    client.force_login(manager)
    return client


@pytest.fixture
def trading(launched: Make) -> Cohort:
    """A cohort of two days that has traded its first three hours."""
    cohort = launched(days=2)
    prepare_cohort(cohort_id=cohort.pk)
    loaded = load_cohort(cohort.pk)
    advance_cohort(loaded=loaded, market=market_for(loaded, cohort.start_ms, cohort.start_ms + 3 * HOUR_MS))
    cohort.refresh_from_db()
    return cohort


def board(client: Client, cohort: Cohort, query: str = "") -> str:
    path = reverse("portal:cohort", args=[cohort.pk]) + query
    return client.get(path, headers={"HX-Request": "true", "HX-Target": "board"}).content.decode()


def test_fragment_carries_every_region_that_the_page_swaps(reader: Client, trading: Cohort) -> None:
    html = board(reader, trading)
    swapped = re.search(r'hx-select-oob="([^"]+)"', html)
    assert swapped is not None
    regions = ["#board", *swapped.group(1).split(",")]
    assert {"#days", "#day-figures", "#leaderboard-card", "#alerts"} <= set(regions)
    for region in regions:
        assert html.count(f'id="{region.removeprefix("#")}"') == 1, region


def test_cancel_leaves_the_page_when_the_cohort_has_ended(reader: Client, trading: Cohort) -> None:
    removal = '<div id="cancel-box" hx-swap-oob="true"></div>'
    assert removal not in board(reader, trading)
    drive_cohort(cohort_id=trading.pk)
    assert removal in board(reader, trading)


def test_heatmap_follows_the_trading_day_unless_one_is_asked_for(reader: Client, trading: Cohort) -> None:
    chart = reverse("portal:cohort-chart", args=[trading.pk, "heatmap"])
    assert f'data-src="{chart}"' in board(reader, trading)
    assert f'data-src="{chart}?day=2"' in board(reader, trading, "?day=2")


def test_charts_of_a_queued_cohort_are_empty_and_small(reader: Client, launched: Make) -> None:
    cohort = launched(days=2)
    equity = reader.get(reverse("portal:cohort-chart", args=[cohort.pk, "equity"])).json()
    assert not any(series["data"] for series in equity["series"])
    assert equity["marks"] == []
    heatmap = reader.get(reverse("portal:cohort-chart", args=[cohort.pk, "heatmap"])).json()
    assert heatmap["height"] == heatmap_height(0) < heatmap_height(30)


def test_candles_of_a_live_cohort_end_at_its_own_clock(reader: Client, trading: Cohort) -> None:
    path = reverse("portal:cohort-agent-chart", args=[trading.pk, 1, "candles"])
    times = [bar[0] for bar in reader.get(path, {"day": 1}).json()["candles"]]
    assert times[0] == trading.start_ms
    assert times[-1] == trading.run.next_bar_ms - trading.interval_ms
    assert reader.get(path, {"day": 2}).json()["candles"] == []
    drive_cohort(cohort_id=trading.pk)
    times = [bar[0] for bar in reader.get(path, {"day": 1}).json()["candles"]]
    assert times[-1] == trading.start_ms + 24 * HOUR_MS - trading.interval_ms


def test_ledger_lines_of_an_agent_lead_to_their_fills(reader: Client, launched: Make) -> None:
    cohort = drive_cohort(cohort_id=launched(days=1).pk)
    fill = cohort.fills.select_related("agent").order_by("-number")[0]
    html = reader.get(fill.agent.get_absolute_url()).content.decode()
    books = html[html.index('id="books"') :]
    assert f'href="{reverse("portal:cohort-fill", args=[cohort.pk, fill.number])}"' in books
    page = reader.get(reverse("portal:cohort-fill", args=[cohort.pk, fill.number])).content.decode()
    assert f"{fill.agent.get_absolute_url()}?day=1&amp;symbol={fill.symbol}" in page


def test_list_filters_by_status_and_keeps_the_parameters_of_the_api(reader: Client, trading: Cohort) -> None:
    path = reverse("portal:cohorts")
    for query, shown in (
        ({"status": "running"}, True),
        ({"status": "failed"}, False),
        ({"bankroll": str(trading.bankroll)}, True),
        ({"bankroll": "77"}, False),
        ({"date": str(trading.start)}, True),
    ):
        html = reader.get(path, query).content.decode()
        assert (trading.get_absolute_url() in html) is shown, query
