"""A deployment in the browser: the board, the page with its pictures, a cycle's talk, and the stop; wide and narrow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from fundops.core.roles import Role
from tests.browser.conftest import OpenPage
from tests.trading.desk.conftest import cohort as cohort
from tests.trading.desk.support import by_family, replay_of, work_off
from trading.models.cohort import Cohort
from trading.models.deployments import Deployment, DeploymentStatus

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def fits(page: Page) -> None:
    assert page.evaluate(WIDER) <= 0, "the page scrolls sideways"


def test_a_deployment_is_read_and_stopped(open_page: OpenPage, cohort: Cohort) -> None:
    deployment = work_off(replay_of(by_family(cohort, "tsmom_volatility"), hours=2))
    page = open_page(Role.RISK_OFFICER, viewport={"width": 1440, "height": 1000})
    page.goto("/deployments/")
    expect(page.locator("#table")).to_contain_text("Running")
    fits(page)
    page.get_by_role("link", name=str(deployment)).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(str(deployment))
    expect(page.locator("#equity canvas")).to_be_visible()
    expect(page.locator("#candles canvas")).to_be_visible()
    expect(page.locator("#cycle")).to_contain_text("Opens the bar")
    expect(page.locator("#cycle")).to_contain_text("Trading is ACTIVE")
    fits(page)
    page.locator("#fills tbody a").first.click()
    expect(page.get_by_role("heading", name="Journal entry")).to_be_visible()
    narrow = open_page(Role.RISK_OFFICER, viewport={"width": 390, "height": 844}, color_scheme="dark")
    for path in ("/deployments/", f"/deployments/{deployment.pk}/", f"/deployments/{deployment.pk}/fills/1/"):
        narrow.goto(path)
        fits(narrow)
    page.goto(f"/deployments/{deployment.pk}/")
    page.get_by_label("Why").fill("Enough seen.")
    page.locator("#stop button").click()
    expect(page.locator("#deployment-now")).to_contain_text("Enough seen.")
    assert Deployment.objects.get(pk=deployment.pk).status == DeploymentStatus.STOPPING
