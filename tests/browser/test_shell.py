"""The shell in a real browser: every page of every role, policy, keyboard, phone, themes."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from fundops.core.roles import Role
from portal.navigation import navigation_for
from tests.browser.conftest import PHONE, OpenPage
from tests.factories import user_with

pytestmark = pytest.mark.browser

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def pages_by_reader() -> list[tuple[Role, list[str]]]:
    """Every address of every role's navigation once, with the role that sees most of those left.

    That each role may open all of its own, and that nothing in what it is sent breaks the policy, is proven
    without a browser in tests/portal/test_shell.py.
    """
    of_role = {
        role: {link.href for group in navigation_for(user_with(role), "/") for link in group.links} for role in Role
    }
    shared, left, found = ["/accounts/2fa/", "/accounts/password/change/"], set().union(*of_role.values()), []
    while left:
        role = max(Role, key=lambda role: len(of_role[role] & left))
        found.append((role, [*sorted(of_role[role] & left), *shared]))
        left, shared = left - of_role[role], []
    return found


def test_every_page_in_the_navigation_opens_within_the_policy(open_page: OpenPage) -> None:
    for role, hrefs in pages_by_reader():
        page = open_page(role)
        for href in hrefs:
            answer = page.goto(href)
            expect(page.locator("[data-chart-state=loading]")).to_have_count(0)
            assert answer is not None
            assert answer.status == 200, href


def test_pages_of_the_administration_open_within_their_policy(open_page: OpenPage) -> None:
    user = user_with(Role.AUDITOR)
    page = open_page(Role.ADMINISTRATOR)
    for path in (
        "core/user/",
        "core/user/add/",
        f"core/user/{user.pk}/change/",
        f"core/user/{user.pk}/history/",
        "axes/accessattempt/",
        "mfa/authenticator/",
        "django_celery_beat/periodictask/",
        "django_celery_beat/periodictask/add/",
    ):
        answer = page.goto(f"/admin/{path}")
        assert answer is not None
        assert answer.status == 200, path


def test_no_page_scrolls_sideways_on_a_phone(open_page: OpenPage) -> None:
    for role, hrefs in pages_by_reader():
        page = open_page(role, viewport=PHONE)
        for href in hrefs:
            if not href.startswith("/admin"):
                page.goto(href)
                assert page.evaluate(WIDER) <= 0, (role, href)


def test_home_of_an_investor_fits_a_phone(open_page: OpenPage) -> None:
    page = open_page(Role.INVESTOR, viewport=PHONE)
    page.goto("/")
    assert page.evaluate(WIDER) <= 0


def test_menu_on_a_phone_opens_closes_and_gives_focus_back(open_page: OpenPage) -> None:
    page = open_page(Role.RISK_OFFICER, viewport=PHONE)
    page.goto("/")
    side = page.locator(".side")
    expect(side).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    expect(side).to_be_visible()
    page.keyboard.press("Escape")
    expect(side).to_be_hidden()
    expect(page.get_by_role("button", name="Menu")).to_be_focused()


def test_keyboard_alone_reaches_the_content_the_menu_and_another_page(open_page: OpenPage) -> None:
    page = open_page(Role.AUDITOR)
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.goto("/")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "Roles":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/roles/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Roles")


def test_theme_is_chosen_kept_and_set_before_the_first_paint(open_page: OpenPage) -> None:
    page = open_page(Role.AUDITOR, color_scheme="dark")
    page.goto("/")
    assert page.evaluate("document.documentElement.dataset.bsTheme") == "dark"
    page.locator("summary[aria-label^=Account]").click()
    page.get_by_role("button", name="Light", exact=True).click()
    assert page.evaluate("document.documentElement.dataset.bsTheme") == "light"
    page.add_init_script(
        "new MutationObserver((_, o) => { if (document.body) {"
        " window.__atBody = document.documentElement.dataset.bsTheme; o.disconnect(); } })"
        ".observe(document, {childList: true, subtree: true})"
    )
    page.reload()
    assert page.evaluate("window.__atBody") == "light"


def test_times_show_the_readers_zone_on_hover(open_page: OpenPage) -> None:
    user = user_with(Role.AUDITOR, time_zone="Europe/Zurich")
    page = open_page(user)
    page.goto("/")
    page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend',"
        " '<time data-utc datetime=\"2026-01-03T12:00:00+00:00\">2026-01-03 12:00 UTC</time>')"
    )
    page.locator("time[data-utc]").hover()
    assert "13:00:00" in str(page.locator("time[data-utc]").get_attribute("title"))
