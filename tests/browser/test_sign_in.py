"""Signing in, as a person does it: password and app, passkey, lock-out, and the way to a second factor."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from playwright.sync_api import Page, expect

from fundops.core.mfa import has_second_factor
from fundops.core.roles import Role
from tests.browser.conftest import OpenPage, Watch
from tests.factories import PASSWORD, user_with

pytestmark = pytest.mark.browser


def current_code(secret: str) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("User name or email address").fill(name)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation():
        page.get_by_role("button", name="Sign in", exact=True).click()


def confirm(page: Page) -> None:
    """Sensitive pages ask for the password once more, however fresh the session is."""
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def test_sign_in_with_password_and_authenticator_app(open_page: OpenPage) -> None:
    user = user_with(Role.PORTFOLIO_MANAGER, username="paula")
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    page = open_page()
    sign_in(page, "paula")
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    page.get_by_label("Code").fill(current_code(secret))
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Paula")


def test_sign_in_changes_the_session_key(open_page: OpenPage) -> None:
    user_with(Role.INVESTOR, username="ines")
    page = open_page()
    page.goto("/accounts/login/")
    before = {c["name"]: c["value"] for c in page.context.cookies()}
    sign_in(page, "ines")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Welcome")
    after = {c["name"]: c["value"] for c in page.context.cookies()}
    assert after["sessionid"] != before.get("sessionid")


def test_sign_in_with_a_passkey_added_before(open_page: OpenPage, virtual_authenticator: Callable[[Page], str]) -> None:
    user = user_with(Role.RISK_OFFICER, username="rita")
    page = open_page()
    virtual_authenticator(page)
    sign_in(page, "rita")
    page.goto("/accounts/2fa/webauthn/add/")
    confirm(page)
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Add").click()
    page.wait_for_url("**/recovery-codes/**")
    assert has_second_factor(user)
    page.goto("/")
    page.locator("summary[aria-label^=Account]").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Rita")


def test_lock_out_after_five_failures_and_even_the_right_password_waits(open_page: OpenPage, watch: Watch) -> None:
    watch.allow("429")
    user_with(Role.AUDITOR, username="anna")
    page = open_page()
    for _ in range(4):
        sign_in(page, "anna", "wrong")
        expect(page.locator(".notice-bad")).to_be_visible()
    sign_in(page, "anna", "wrong")
    expect(page.get_by_role("heading", name="Account locked")).to_be_visible()
    sign_in(page, "anna")
    expect(page.get_by_role("heading", name="Account locked")).to_be_visible()


def test_staff_without_a_second_factor_can_only_enrol_one(open_page: OpenPage, settings: Any, watch: Watch) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    watch.allow("403")
    user = user_with(Role.OPERATIONS, username="otto")
    page = open_page()
    sign_in(page, "otto")
    page.wait_for_url("**/accounts/2fa/")
    page.goto("/roles/")
    page.wait_for_url("**/accounts/2fa/")
    assert page.evaluate("fetch('/api/schema/').then((r) => r.status)") == 403
    page.get_by_role("link", name="Set up").click()
    confirm(page)
    secret = str(page.locator("#authenticator_secret").text_content())
    page.get_by_label("Authenticator code").fill(current_code(secret))
    page.get_by_role("button", name="Activate").click()
    page.wait_for_url("**/recovery-codes/**")
    assert has_second_factor(user)
    page.goto("/roles/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Roles")
