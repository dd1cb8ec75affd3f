"""The board of a cohort that trades while somebody reads it: what the reader has opened and where stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from compliance.selectors import relay_lag
from fundops.core.roles import Role
from tests.browser.conftest import OpenPage
from tests.compliance.support import relay_process, wait_until
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_prepare import prepare_cohort
from trading.actions.cohort_run import advance_cohort, load_cohort, market_for
from trading.models.cohort import Cohort

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HOUR_MS = 3_600_000


def test_board_keeps_the_readers_place_while_it_moves(
    open_page: OpenPage, launched: Callable[..., Cohort], tmp_path: Path
) -> None:
    cohort = launched(days=1)
    prepare_cohort(cohort_id=cohort.pk)
    loaded = load_cohort(cohort.pk)
    first = market_for(loaded, cohort.start_ms, cohort.start_ms + 5 * HOUR_MS)
    advance_cohort(loaded=loaded, market=first)
    page = open_page(Role.PORTFOLIO_MANAGER, viewport={"width": 700, "height": 700})
    with relay_process(tmp_path / "anchors"):
        wait_until(lambda: relay_lag().alive, seconds=60, what="a leading relay")
        page.goto(f"/cohorts/{cohort.pk}/")
        expect(page.locator("body[data-live-state=live]")).to_be_attached()
        page.get_by_text("How this came about").click()
        page.locator("#leaderboard-card .table-wrap").evaluate("e => { e.scrollLeft = 90; }")
        agent = page.locator("#leaderboard tbody").get_by_role("link", name="Agent 2", exact=True)
        agent.focus()
        leaderboard, figures, tab = (
            page.locator(place).inner_text() for place in ("#leaderboard tbody", "#day-figures", "#days")
        )
        drive_cohort(cohort_id=cohort.pk)
        expect(page.locator("#board")).to_contain_text("Completed", timeout=30_000)
        expect(page.get_by_text("Cancel", exact=True)).to_have_count(0)
    assert page.locator("#leaderboard tbody").inner_text() != leaderboard
    assert page.locator("#day-figures").inner_text() != figures
    assert page.locator("#days").inner_text() != tab
    expect(agent).to_be_focused()
    assert page.locator("#leaderboard-card .table-wrap").evaluate("e => e.scrollLeft") == 90
    expect(page.locator("details[open] > summary", has_text="How this came about")).to_be_visible()
