"""Charts, tables and states in a real browser, under the real policy."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from fundops.core.roles import Role
from tests.browser.conftest import PHONE, OpenPage, Watch
from tests.browser.gallery import charts
from tests.factories import UserFactory

pytestmark = pytest.mark.browser

KINDS = [chart["id"] for chart in charts() if chart["id"] != "nothing"]
INK = """(id) => {
  let n = 0;
  for (const c of document.querySelectorAll('#' + id + ' canvas')) {
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    for (let i = 3; i < d.length; i += 4) n += d[i] > 0;
  }
  return n;
}"""
OPTION = "echarts.getInstanceByDom(document.querySelector('#' + id + ' .chart-canvas')).getOption()"


@pytest.fixture(autouse=True)
def gallery_addresses(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.browser.gallery"


def open_gallery(open_page: OpenPage, watch: Watch, **options: Any) -> Page:
    watch.allow(r"404 \(Not Found\).*none\.json")
    page = open_page(Role.AUDITOR, **options)
    page.goto("/gallery/", wait_until="load")
    for kind in KINDS:
        page.wait_for_selector(f"#{kind}[data-chart-state=ready] canvas", state="attached")
    return page


def keep(page: Page, name: str) -> None:
    """A picture for whoever wants to look: set SCREENSHOTS to a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["wide", "phone"])
def test_every_chart_draws_within_the_policy(open_page: OpenPage, watch: Watch, scheme: str, width: str) -> None:
    sizes = {"viewport": PHONE} if width == "phone" else {}
    page = open_gallery(open_page, watch, color_scheme=scheme, **sizes)
    for kind in KINDS:
        assert page.evaluate(INK, kind) > (25_000 if kind == "heat" else 1_500), kind
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    keep(page, f"gallery-{width}-{scheme}")


def test_chart_states_empty_and_failed_say_so(open_page: OpenPage, watch: Watch) -> None:
    page = open_gallery(open_page, watch)
    expect(page.locator("#nothing .chart-note")).to_have_text("No day is scored.")
    expect(page.locator("#broken .chart-note")).to_contain_text("Nothing is at this address")
    expect(page.locator("#fetched canvas").first).to_be_visible()


def test_charts_show_a_tooltip_within_the_policy(open_page: OpenPage, watch: Watch) -> None:
    page = open_gallery(open_page, watch)
    for kind, words in (("equity", "Parent wallet"), ("prices", "Close"), ("bars", "PnL")):
        page.locator(f"#{kind}").scroll_into_view_if_needed()
        box = page.locator(f"#{kind} canvas").first.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
        page.mouse.move(box["x"] + box["width"] * 0.26, box["y"] + box["height"] * 0.5)
        expect(page.locator(f"#{kind} .chart-tip")).to_contain_text(words)
    keep(page, "gallery-tooltip")


def test_chart_figures_are_there_as_a_table(open_page: OpenPage, watch: Watch) -> None:
    page = open_gallery(open_page, watch)
    box = page.locator(".chart-box", has=page.locator("#bars"))
    box.get_by_text("Show the figures as a table").click()
    expect(box.locator("tbody tr")).to_have_count(3)
    expect(box.locator("tbody")).to_contain_text("−4.20 USDT")
    expect(box.locator("tbody tr").nth(2)).to_contain_text("—")


def test_chart_redraws_in_the_other_theme_and_at_another_width(open_page: OpenPage, watch: Watch) -> None:
    page = open_gallery(open_page, watch)
    colour = f"(id) => {OPTION}.textStyle.color"
    light = page.evaluate(colour, "bars")
    page.evaluate("fundopsTheme.choose('dark')")
    assert page.evaluate(colour, "bars") != light
    page.set_viewport_size({"width": 700, "height": 800})
    page.wait_for_function(
        "() => { const e = document.querySelector('#equity');"
        " return echarts.getInstanceByDom(e.querySelector('.chart-canvas')).getWidth() === e.clientWidth; }"
    )


def test_live_points_reach_the_chart_and_a_candle_is_replaced(open_page: OpenPage, watch: Watch) -> None:
    page = open_gallery(open_page, watch)
    last = f"(id) => {{ const o = {OPTION};"
    for drawn in ("fetched", "prices"):
        expect(page.locator(f"#{drawn} canvas").first).to_be_visible()
    page.evaluate(
        "document.dispatchEvent(new CustomEvent('live:message', {detail: {topic: 't', data:"
        " {chart: 'fetched', append: {series: {x: [[1800000000000, 2000]]}}}}}))"
    )
    page.wait_for_function(last + " return o.series[0].data.at(-1)[1] === 2000; }", arg="fetched")
    before = page.evaluate(last + " return o.series[0].data.length; }", "prices")
    moment = charts()[3]["payload"]["candles"][-1][0]
    page.evaluate("(t) => fundopsCharts.append('prices', {candles: [[t, 1, 3, 0.5, 2, 9]]})", moment)
    page.wait_for_function(last + " return o.series[0].data.at(-1)[2] === 2; }", arg="prices")
    assert page.evaluate(last + " return o.series[0].data.length; }", "prices") == before


def test_what_happens_on_its_topic_refetches_a_chart(open_page: OpenPage, watch: Watch) -> None:
    page = open_gallery(open_page, watch)
    with page.expect_request("**/gallery/line.json"):
        page.evaluate("document.querySelector('#fetched').dispatchEvent(new CustomEvent('live'))")
    expect(page.locator("#fetched")).to_have_attribute("data-chart-state", "ready")


def test_alpine_and_htmx_work_within_the_policy(open_page: OpenPage, watch: Watch) -> None:
    page = open_gallery(open_page, watch)
    expect(page.locator("#opened")).to_be_hidden()
    page.locator("#alpine").click()
    expect(page.locator("#opened")).to_be_visible()
    page.locator("#htmx").click()
    expect(page.locator("#swapped")).to_have_text("swapped")


def test_an_inline_style_would_be_caught(open_page: OpenPage, watch: Watch) -> None:
    """The harness itself: what it must catch, it catches."""
    page = open_page(Role.AUDITOR)
    page.goto("/roles/")
    violations = page.evaluate(
        "new Promise((done) => {"
        " document.addEventListener('securitypolicyviolation', (e) => done(e.violatedDirective));"
        " const s = document.createElement('div'); s.innerHTML = '<p style=\"color:red\">x</p>'; })"
    )
    assert violations.startswith("style-src")
    assert any("style-src" in problem for problem in watch.problems)
    watch.problems.clear()


def test_table_sorts_filters_pages_and_exports(open_page: OpenPage) -> None:
    sought = UserFactory.create_batch(24)[7].username
    page = open_page(Role.AUDITOR)
    page.goto("/gallery/people/")
    expect(page.locator("tbody tr")).to_have_count(10)
    expect(page.locator(".pager")).to_contain_text("1–10 of 25")
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Username")
    page.get_by_role("link", name="Username").click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Username")
    page.get_by_role("link", name="Username").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Username")
    page.locator(".pager").get_by_role("link", name="2", exact=True).click()
    expect(page.locator(".pager")).to_contain_text("11–20 of 25")
    keep(page, "table")
    page.get_by_label("Name contains").fill(sought)
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr").first).to_contain_text(sought)
    assert f"username={sought}" in page.url
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].lower().startswith("username,email")


def test_the_last_click_on_a_table_counts(open_page: OpenPage, watch: Watch) -> None:
    watch.allow("htmx:(afterRequest|sendAbort)")  # what the newer click takes the place of
    UserFactory.create_batch(24)
    page = open_page(Role.AUDITOR)
    page.goto("/gallery/people/")
    held: list[Route] = []
    page.route(re.compile(r"[?&]sort="), lambda route: held.append(route))
    with page.expect_request(re.compile(r"[?&]sort=")):
        page.get_by_role("link", name="Username").click()
    page.locator(".pager").get_by_role("link", name="2", exact=True).click()
    expect(page.locator(".pager")).to_contain_text("11–20 of 25")
    assert [route.request.failure for route in held] == ["net::ERR_ABORTED"], "its answer cannot come any more"
    page.unroute_all(behavior="ignoreErrors")


def test_table_on_a_phone_keeps_its_first_column_in_sight(open_page: OpenPage) -> None:
    page = open_page(Role.AUDITOR, viewport=PHONE)
    page.goto("/gallery/people/")
    page.evaluate("document.querySelector('.table-wrap').scrollLeft = 200")
    cell = page.locator("tbody td").first.bounding_box()
    wrap = page.locator(".table-wrap").bounding_box()
    assert cell is not None
    assert wrap is not None
    assert abs(cell["x"] - wrap["x"]) < 2
    keep(page, "table-phone")
