"""Signing in: closed sign-up, locks, rotation of the session, cookies and headers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from compliance.models import AuditEvent
from fundops.core.roles import Role
from tests.factories import PASSWORD, user_with

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_limits() -> Iterator[None]:
    """The limit by address counts over all tests of a run: each here starts and leaves with none."""
    cache.clear()
    yield
    cache.clear()


def attempt(client: Client, name: str, password: str) -> int:
    return client.post("/accounts/login/", {"login": name, "password": password}).status_code


def test_fifth_failure_locks_the_account_also_for_the_right_password(client: Client) -> None:
    user_with(Role.AUDITOR, username="anna")
    assert [attempt(client, "anna", "wrong") for _ in range(4)] == [200] * 4
    answer = client.post("/accounts/login/", {"login": "anna", "password": "wrong"})
    assert answer.status_code == 429
    assert "Account locked" in answer.content.decode()
    assert answer["Retry-After"] == "900"
    assert attempt(client, "anna", PASSWORD) == 429
    assert "_auth_user_id" not in client.session
    assert AuditEvent.objects.filter(kind="core.account.locked", payload__username="anna").exists()


def test_spellings_of_one_account_share_one_count(client: Client) -> None:
    user_with(Role.AUDITOR, username="anna")
    names = ("anna", "ANNA", "anna@example.test", "Anna@Example.Test")
    assert [attempt(client, name, "wrong") for name in names] == [200] * 4
    assert attempt(client, "anna", "wrong") == 429


def test_a_lock_concerns_one_account_only(client: Client) -> None:
    user_with(Role.AUDITOR, username="anna")
    user_with(Role.AUDITOR, username="bert")
    for _ in range(5):
        attempt(client, "anna", "wrong")
    assert attempt(client, "bert", PASSWORD) == 302


def test_success_forgets_failures(client: Client) -> None:
    user_with(Role.AUDITOR, username="anna")
    for _ in range(4):
        attempt(client, "anna", "wrong")
    assert attempt(client, "anna", PASSWORD) == 302
    client.logout()
    assert attempt(client, "anna", "wrong") == 200


def test_sign_in_and_out_are_recorded_and_the_session_key_changes(client: Client) -> None:
    user = user_with(Role.AUDITOR, username="anna")
    client.get("/accounts/login/")
    session = client.session
    session["planted"] = "by an attacker"
    session.save()
    planted = session.session_key
    attempt(client, "anna", PASSWORD)
    assert client.session.session_key != planted
    assert client.get("/accounts/logout/").status_code == 200  # asks, and does not do it
    client.post("/accounts/logout/")
    kinds = list(AuditEvent.objects.filter(actor=user).order_by("id").values_list("kind", flat=True))
    assert kinds == ["core.session.opened", "core.session.closed"]


@pytest.mark.parametrize("path", ["signup/", "email/", "password/reset/", "password/set/"])
def test_what_is_not_offered_is_not_there(client: Client, path: str) -> None:
    assert client.get(f"/accounts/{path}").status_code == 404
    assert client.post(f"/accounts/{path}", {}).status_code == 404


def test_next_leads_nowhere_else(client: Client) -> None:
    user_with(Role.AUDITOR, username="anna")
    answer = client.post(
        "/accounts/login/",
        {"login": "anna", "password": PASSWORD, "next": "https://elsewhere.test/"},
    )
    assert answer["Location"] == "/"


def test_the_administration_has_no_sign_in_of_its_own(client: Client) -> None:
    answer = client.get("/admin/login/?next=/admin/")
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))
    anna = user_with(Role.ADMINISTRATOR, username="ada")
    posted = client.post("/admin/login/", {"username": anna.username, "password": PASSWORD})
    assert posted.status_code == 302
    assert "_auth_user_id" not in client.session


def test_every_answer_carries_the_strict_policy(client: Client) -> None:
    for path in ("/accounts/login/", "/nothing-here"):
        policy = client.get(path)["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy


def test_only_the_administration_has_a_wider_policy(client: Client) -> None:
    client.force_login(user_with(Role.ADMINISTRATOR))
    assert "unsafe-eval" in client.get("/admin/")["Content-Security-Policy"]
    for path in ("/", "/roles/", "/api/docs/", "/accounts/2fa/"):
        assert "unsafe" not in client.get(path)["Content-Security-Policy"], path


def test_a_form_without_its_token_is_refused_readably() -> None:
    strict = Client(enforce_csrf_checks=True)
    user_with(Role.AUDITOR, username="anna")
    answer = strict.post("/accounts/login/", {"login": "anna", "password": PASSWORD})
    assert answer.status_code == 403
    assert "too old" in answer.content.decode()


def test_cookies_are_closed_to_scripts() -> None:
    assert settings.SESSION_COOKIE_HTTPONLY
    assert settings.CSRF_COOKIE_HTTPONLY
    assert settings.SESSION_COOKIE_SAMESITE == "Lax"


_PRODUCTION = """
import json
from fundops import settings as s
print(json.dumps([s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SESSION_COOKIE_NAME, s.SECURE_HSTS_SECONDS,
  s.SECURE_SSL_REDIRECT, s.SECOND_FACTOR_REQUIRED, s.MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN, s.DEBUG]))
"""


def test_production_is_strict() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "FUNDOPS_ENV": "production",
        "FUNDOPS_ENV_FILE": "",
        "SECRET_KEY": "x7" * 40 + "-production-key-of-a-test",
        "ALLOWED_HOSTS": "fund.example.com",
        "DATABASE_URL": "postgresql://app:pw@db.internal:5432/fundops",
        "DATABASE_OWNER_URL": "postgresql://owner:pw@db.internal:5432/fundops",
        "REDIS_URL": "redis://redis.internal:6379/0",
        "MARKET_DATA_URL": "s3://candles/market",
    }
    answer = subprocess.run(
        [sys.executable, "-c", _PRODUCTION], env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == '[true, true, "__Host-session", 31536000, true, true, false, false]'


def test_one_address_has_thirty_tries_a_minute_over_all_accounts(client: Client) -> None:
    statuses = [attempt(client, f"guess{n}", "wrong") for n in range(31)]
    assert statuses == [200] * 30 + [429]
    answer = client.post("/accounts/login/", {"login": "guess", "password": "wrong"})
    assert "Too many requests" in answer.content.decode()
