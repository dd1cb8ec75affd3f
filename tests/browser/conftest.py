"""Chromium against the product itself: uvicorn in a thread, the test database, websockets, static files.

    def test_x(open_page): page = open_page(Role.AUDITOR); page.goto("/roles/")

Every page opened this way is watched: a Content-Security-Policy violation, an uncaught error or an error on
the console fails its test, unless the test said beforehand that it expects one (`watch.allow(...)`).
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from axes.utils import reset
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.cache import cache
from django.db import connection
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from fundops.asgi import application
from fundops.core.models import User
from fundops.core.roles import Role
from tests.browser.chromium import do_without, find_chromium
from tests.factories import user_with

expect.set_options(timeout=20_000)  # patience for a machine that is busy with the other tests
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}

_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => window.__violation(
  [event.violatedDirective, event.blockedURI, event.sourceFile, event.lineNumber, event.sample].join(" ")));
"""


@dataclass
class Watch:
    """What went wrong in the pages of one test."""

    problems: list[str] = field(default_factory=list)
    allowed: list[re.Pattern[str]] = field(default_factory=list)

    def allow(self, pattern: str) -> None:
        self.allowed.append(re.compile(pattern))

    def note(self, problem: str) -> None:
        if not any(pattern.search(problem) for pattern in self.allowed):
            self.problems.append(problem)

    def follow(self, context: BrowserContext) -> None:
        context.expose_function("__violation", lambda text: self.note(f"Content-Security-Policy: {text}"))
        context.add_init_script(_REPORT_VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.note(f"uncaught: {error.error}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.note(f"console: {message.text} ({message.location.get('url')})")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium a module, and no longer: Playwright keeps an event loop running in this thread."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # that loop is Playwright's, not ours
    try:
        with sync_playwright() as playwright:
            path = find_chromium(playwright.chromium.executable_path) or do_without()
            chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            yield chromium
            chromium.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[str]:
    """The ASGI application on a free port; its address, on localhost, where passkeys need no TLS.

    One a module: its hub must not remember the places of a stream that other tests have emptied since.
    """
    connection.settings_dict["CONN_MAX_AGE"] = 0  # no thread keeps the test database open
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(
        ASGIStaticFilesHandler(application), host="127.0.0.1", port=port, log_config=None, lifespan="on"
    )
    instance = uvicorn.Server(config)
    ready = threading.Event()
    startup = instance.startup

    async def announce(sockets: Any = None) -> None:
        await startup(sockets)
        ready.set()

    instance.startup = announce  # type: ignore[method-assign]
    thread = threading.Thread(target=instance.run, daemon=True)
    thread.start()
    assert ready.wait(30), "the web process did not start"
    yield f"http://localhost:{port}"
    instance.should_exit = True
    thread.join(10)


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    assert not watch.problems, "\n".join(watch.problems)


NewContext = Callable[..., BrowserContext]


@pytest.fixture
def new_context(browser: Browser, server: str, watch: Watch, transactional_db: None) -> Iterator[NewContext]:
    """Fresh browser contexts (a person's browser each), watched and closed at the end."""
    cache.clear()  # rate limits of earlier tests
    reset()
    made: list[BrowserContext] = []

    def make(user: User | None = None, **options: Any) -> BrowserContext:
        context = browser.new_context(base_url=server, **{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
        context.set_default_timeout(10_000)
        watch.follow(context)
        if user is not None:
            context.add_cookies([session_cookie(user, server)])
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(new_context: NewContext) -> OpenPage:
    """`open_page(Role.AUDITOR)`, `open_page(user)`: a page of someone signed in; `open_page()`: of nobody."""

    def open_as(who: Role | User | None = None, **options: Any) -> Page:
        user = user_with(who) if isinstance(who, Role) else who
        return new_context(user, **options).new_page()

    return open_as


def session_cookie(user: User, server: str) -> Any:
    """The cookie of a session in which ``user`` is signed in."""
    client = Client()
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    value = client.cookies[settings.SESSION_COOKIE_NAME].value
    return {"name": settings.SESSION_COOKIE_NAME, "value": value, "url": server, "httpOnly": True}


@pytest.fixture
def virtual_authenticator() -> Callable[[Page], str]:
    """Plugs a resident, user-verifying authenticator into a page's browser; returns its id."""

    def plug(page: Page) -> str:
        session = page.context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        answer = session.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        return str(answer["authenticatorId"])

    return plug
