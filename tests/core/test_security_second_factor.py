"""Where a second factor is required, staff without one can enrol one and do nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from compliance.models import AuditEvent
from fundops.core.mfa import MFAAdapter, SecondFactorMissingError, must_enrol
from fundops.core.middleware import ENROLMENT_VIEWS
from fundops.core.roles import STAFF_ROLES, Role
from portal.live.access import refusal
from tests.factories import PASSWORD, user_with

pytestmark = pytest.mark.django_db
NOON = 1_767_441_600  # 2026-01-03 12:00 UTC


@pytest.fixture(autouse=True)
def required(settings: LazySettings) -> None:
    settings.SECOND_FACTOR_REQUIRED = True


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_every_staff_role_is_sent_to_enrolment_by_page_and_refused_by_api(client: Client, role: Role) -> None:
    client.force_login(user_with(role))
    for path in ("/", "/roles/", "/admin/"):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"]) == (302, "/accounts/2fa/"), path
    answer = client.get("/api/schema/")
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "second_factor_missing"
    assert client.get("/accounts/2fa/").status_code == 200


def test_a_fragment_request_is_sent_there_too(client: Client) -> None:
    client.force_login(user_with(Role.AUDITOR))
    answer = client.get("/roles/", headers={"HX-Request": "true"})
    assert answer["HX-Redirect"] == "/accounts/2fa/"


def test_recovery_codes_alone_are_no_second_factor(client: Client) -> None:
    user = user_with(Role.AUDITOR)
    Authenticator.objects.create(user=user, type=Authenticator.Type.RECOVERY_CODES, data={})
    assert must_enrol(user)


def test_investors_and_the_enrolled_pass(client: Client) -> None:
    assert not must_enrol(user_with(Role.INVESTOR))
    auditor = user_with(Role.AUDITOR)
    assert must_enrol(auditor)
    TOTP.activate(auditor, generate_totp_secret())
    assert not must_enrol(auditor)
    client.force_login(auditor)
    assert client.get("/roles/").status_code == 200


def test_the_last_factor_of_staff_cannot_be_taken_off() -> None:
    user = user_with(Role.AUDITOR)
    only = TOTP.activate(user, generate_totp_secret()).instance
    assert not MFAAdapter().can_delete_authenticator(only)
    Authenticator.objects.create(user=user, type=Authenticator.Type.WEBAUTHN, data={})
    assert MFAAdapter().can_delete_authenticator(only)
    investor = user_with(Role.INVESTOR)
    assert MFAAdapter().can_delete_authenticator(TOTP.activate(investor, generate_totp_secret()).instance)


def test_secrets_are_encrypted_at_rest_and_survive_a_key_rotation(settings: LazySettings) -> None:
    secret = generate_totp_secret()
    stored = TOTP.activate(user_with(Role.AUDITOR), secret).instance.data["secret"]
    assert secret not in stored
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-key-that-is-long-enough-and-was-never-used-before-0123456789"
    assert MFAAdapter().decrypt(stored) == secret


def test_every_enrolment_view_exists() -> None:
    for name in ENROLMENT_VIEWS:
        assert reverse(name)


def test_sign_in_with_a_factor_needs_it_and_is_recorded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allauth.mfa.totp.internal.auth.time.time", lambda: float(NOON))
    user = user_with(Role.AUDITOR, username="anna")
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    client.post("/accounts/login/", {"login": "anna", "password": PASSWORD})
    assert client.get("/roles/").status_code == 302
    wrong: Any = client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert "Incorrect code" in wrong.content.decode()
    code = format_hotp_value(hotp_value(secret, NOON // 30))
    assert client.post("/accounts/2fa/authenticate/", {"code": code}).status_code == 302
    assert client.get("/roles/").status_code == 200
    event = AuditEvent.objects.get(kind="core.session.opened")
    assert (event.actor, event.payload) == (user, {"methods": ["mfa", "password"]})


def test_live_topics_are_refused_without_a_second_factor() -> None:
    auditor = user_with(Role.AUDITOR)
    assert isinstance(refusal(auditor.pk, "audit"), SecondFactorMissingError)
    TOTP.activate(auditor, generate_totp_secret())
    assert refusal(auditor.pk, "audit") is None
