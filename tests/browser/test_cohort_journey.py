"""A portfolio manager launches a cohort and watches it trade: form, live board, leaderboard, agent, fill, journal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from compliance.selectors import relay_lag
from fundops.core.roles import Role
from tests.browser.conftest import PHONE, OpenPage
from tests.compliance.support import relay_process, wait_until
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_prepare import prepare_cohort
from trading.actions.cohort_run import advance_cohort, load_cohort, market_for
from trading.actions.marketdata import sync_catalog
from trading.models.cohort import Cohort

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HOUR_MS = 3_600_000


def test_launch_watch_and_follow_a_fill_to_the_books(
    open_page: OpenPage, specification: Callable[..., Cohort], tmp_path: Path
) -> None:
    specification()  # the fund and the candles
    sync_catalog(actor=None)
    page = open_page(Role.PORTFOLIO_MANAGER)
    page.goto("/cohorts/")
    page.get_by_role("link", name="Launch a cohort").first.click()
    page.get_by_label("Agents").fill("0")
    page.locator("#id_bankroll").click()
    expect(page.get_by_text("greater than or equal to 1.")).to_be_visible()
    page.get_by_label("Agents").fill("8")
    page.get_by_label("First day (UTC)").fill("2025-03-02")
    page.get_by_label("Genome source").select_option("random")
    expect(page.get_by_text("greater than or equal to 1.")).to_be_hidden()
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_text("waiting for a worker")).to_be_visible()

    cohort = Cohort.objects.get()
    with relay_process(tmp_path / "anchors"):
        wait_until(lambda: relay_lag().alive, seconds=60, what="a leading relay")
        prepare_cohort(cohort_id=cohort.pk)
        loaded = load_cohort(cohort.pk)
        advance_cohort(loaded=loaded, market=market_for(loaded, cohort.start_ms, cohort.start_ms + 5 * HOUR_MS))
        expect(page.locator("#board")).to_contain_text("Running", timeout=30_000)
        before = page.locator("#board").inner_text()
        drive_cohort(cohort_id=cohort.pk)
        expect(page.locator("#board")).to_contain_text("Completed", timeout=30_000)
        assert page.locator("#board").inner_text() != before

    expect(page.locator("#board")).to_contain_text("Equal")
    page.reload()
    expect(page.locator("#equity canvas")).to_be_visible()
    page.get_by_role("link", name=re.compile(r"^Day 2")).click()
    expect(page.get_by_role("heading", name="Leaderboard of day 2")).to_be_visible()
    page.get_by_role("link", name="Return", exact=True).click()
    fill = cohort.fills.select_related("agent").order_by("number")[0]
    page.goto(f"/cohorts/{cohort.pk}/agents/{fill.agent.number}/")
    expect(page.locator("#candles canvas")).to_be_visible()
    page.locator("#fills").get_by_role("link", name=str(fill.number), exact=True).click()
    expect(page.get_by_role("heading", name="Journal entry")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"position"))).to_have_count(1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_cohort_pages_fit_a_phone(open_page: OpenPage, launched: Callable[..., Cohort], theme: str) -> None:
    cohort = drive_cohort(cohort_id=launched(days=1).pk)
    page = open_page(Role.AUDITOR, viewport=PHONE, color_scheme=theme)
    for path in ("", f"{cohort.pk}/", f"{cohort.pk}/agents/1/", f"{cohort.pk}/fills/1/"):
        page.goto(f"/cohorts/{path}", wait_until="networkidle")
        assert page.evaluate(WIDER) <= 0, path
