"""static/js/live.js in Chromium: a page that hears what happens, keeps its place, and says how it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from compliance.selectors import relay_lag
from fundops.core.roles import Role
from tests.compliance.support import relay_process, say, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LISTEN = """([topic, attributes]) => {
  window.heard = []; window.refreshed = 0; window.others = [];
  document.addEventListener(`live:${topic.split(":")[0]}`, (event) => window.heard.push(event.detail.data.n));
  for (const name of ["live:subscribed", "live:reset", "live:denied", "live:signed-out"])
    document.addEventListener(name, (event) => {
      const about = event.detail?.topic;  // other parts of the page listen to topics of their own
      if (about === undefined || about === section.dataset.liveTopic) window.others.push(name);
    });
  const section = document.createElement("section");
  section.id = "live-section";
  section.dataset.liveTopic = topic;
  Object.assign(section.dataset, attributes);
  section.addEventListener("live", () => { window.refreshed += 1; });
  document.querySelector("main").append(section);
}"""

WATCH_STATE = """() => {
  window.states = [];
  new MutationObserver(() => window.states.push(document.body.dataset.liveState))
    .observe(document.body, { attributes: true });
}"""


@pytest.fixture
def relay(tmp_path: Path, transactional_db: None) -> Iterator[None]:
    with relay_process(tmp_path / "anchors"):
        wait_until(lambda: relay_lag().alive, seconds=60, what="a leading relay")
        yield


def listen(page: Page, topic: str = "system", *, answer: str = "subscribed", **attributes: Any) -> None:
    page.goto("/roles/")
    page.evaluate(LISTEN, [topic, attributes])
    becomes_true(page, f"window.others.includes('live:{answer}')")


def becomes_true(page: Page, expression: str) -> None:
    """Asked from outside: in the page, the policy forbids evaluating text."""
    wait_until(lambda: bool(page.evaluate(expression)), what=expression)


def heard(page: Page, *numbers: int) -> None:
    becomes_true(page, f"window.heard.length >= {len(numbers)}")
    assert page.evaluate("window.heard") == list(numbers)


def test_page_hears_what_happens_and_refreshes_once_for_a_burst(open_page: Callable[..., Page], relay: None) -> None:
    page = open_page(Role.AUDITOR)
    listen(page)
    expect(page.locator("body")).to_have_attribute("data-live-state", "live")
    expect(page.get_by_role("status").get_by_text("Live")).to_be_visible()
    for number in range(5):
        say(number, topics=["system"])
    heard(page, 0, 1, 2, 3, 4)
    becomes_true(page, "window.refreshed > 0")
    assert page.evaluate("window.refreshed") < 5


def test_page_catches_up_from_the_place_it_was_rendered_at(open_page: Callable[..., Page], relay: None) -> None:
    for number in range(3):
        say(number, topics=["system"])
    wait_until(lambda: relay_lag().head_seq >= 3)
    page = open_page(Role.AUDITOR)
    listen(page, liveAfter="1")
    heard(page, 1, 2)


def test_lost_connection_is_shown_and_made_up_for(open_page: Callable[..., Page], relay: None, watch: Any) -> None:
    watch.allow("WebSocket|ERR_INTERNET_DISCONNECTED")
    page = open_page(Role.AUDITOR)
    connections: list[WebSocketRoute] = []

    def connect(route: WebSocketRoute) -> None:
        connections.append(route)
        route.connect_to_server()

    page.route_web_socket("**/ws/live/**", connect)
    listen(page)
    say(0, topics=["system"])
    heard(page, 0)
    page.evaluate(WATCH_STATE)
    connections[0].close(code=1012, reason="restart")
    say(1, topics=["system"])
    heard(page, 0, 1)
    assert page.evaluate("window.states")[:2] == ["reconnecting", "live"]
    assert len(connections) == 2


def test_denied_topic_and_removed_element_leave_the_page_in_peace(open_page: Callable[..., Page], relay: None) -> None:
    page = open_page(Role.CLIENT_RELATIONS)
    listen(page, "audit", answer="denied")
    page.evaluate("document.getElementById('live-section').dataset.liveTopic = 'system'")
    say(1, topics=["system"])
    becomes_true(page, "window.refreshed > 0")
    page.evaluate("document.getElementById('live-section').remove()")
    expect(page.locator("body")).to_have_attribute("data-live-state", "live")


def test_signing_out_elsewhere_is_shown(open_page: Callable[..., Page], relay: None, watch: Any) -> None:
    from django.contrib.sessions.models import Session  # noqa: PLC0415

    page = open_page(Role.AUDITOR)
    listen(page)
    expect(page.locator("body")).to_have_attribute("data-live-state", "live")
    Session.objects.all().delete()
    becomes_true(page, "window.others.includes('live:signed-out')")
    expect(page.locator("body")).to_have_attribute("data-live-state", "stale")
