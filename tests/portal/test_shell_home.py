"""The first page: what waits for whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from axes.models import AccessAttempt
from django.test import Client
from pytest_django.fixtures import DjangoAssertNumQueries

from fundops.core import clock
from fundops.core.models import User
from fundops.core.roles import Role
from portal.attention import attention_for
from tests.factories import user_with
from trading.models.cohort import Cohort, CohortAlert, CohortStatus

pytestmark = pytest.mark.django_db


def enrolled(*roles: Role) -> User:
    user = user_with(*roles)
    TOTP.activate(user, generate_totp_secret())
    return user


def titles(user: User) -> list[str]:
    return [item.title for item in attention_for(user)]


def test_nothing_waits_for_who_has_done_everything() -> None:
    for role in set(Role) - {Role.ADMINISTRATOR, Role.INVESTOR}:
        assert titles(enrolled(role)) == [], role


def test_a_missing_second_factor_waits_for_its_owner_and_shows_to_administrators() -> None:
    administrator = enrolled(Role.ADMINISTRATOR)
    assert titles(administrator) == []
    auditor = user_with(Role.AUDITOR)
    user_with(Role.INVESTOR)
    assert titles(auditor) == ["Add a second factor to your account"]
    assert titles(administrator) == ["1 person works without a second factor"]


def test_locked_accounts_show_to_administrators_while_the_lock_lasts(client: Client) -> None:
    administrator = enrolled(Role.ADMINISTRATOR)
    for _ in range(5):
        client.post("/accounts/login/", {"login": "ghost", "password": "wrong"})
    assert titles(administrator) == ["Locked after failed sign-ins: ghost"]
    assert titles(enrolled(Role.OPERATIONS)) == []
    AccessAttempt.objects.update(attempt_time=clock.now() - timedelta(hours=1))
    assert titles(administrator) == []


def test_the_worst_comes_first() -> None:
    user_with(Role.AUDITOR)
    tones = [item.tone for item in attention_for(user_with(Role.ADMINISTRATOR))]
    assert tones == sorted(tones, key=["bad", "warn", "info"].index)
    assert tones == ["warn", "info"]


def test_home_costs_few_queries(client: Client, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    client.force_login(enrolled(Role.PORTFOLIO_MANAGER))
    with django_assert_max_num_queries(23):  # four of them for what waits at the gate and the banners
        assert client.get("/").status_code == 200


def test_client_relations_see_no_cohorts_on_their_first_page(client: Client) -> None:
    client.force_login(enrolled(Role.CLIENT_RELATIONS))
    assert "Latest cohorts" not in client.get("/").content.decode()
    client.force_login(enrolled(Role.PORTFOLIO_MANAGER))
    page = client.get("/").content.decode()
    assert "Latest cohorts" in page
    assert "Launch a cohort" in page


def test_failed_cohorts_and_alerts_wait_for_their_readers_alone(launched: Callable[..., Cohort]) -> None:
    failed, live = launched(name="Broken"), launched(name="Busy")
    Cohort.objects.filter(pk=failed.pk).update(status=CohortStatus.FAILED)
    Cohort.objects.filter(pk=live.pk).update(status=CohortStatus.RUNNING)
    for day in (1, 2):
        CohortAlert.objects.create(
            cohort=live,
            day=day,
            at=clock.now(),
            kind=CohortAlert.Kind.UTILISATION,
            value=0.9,
            threshold=0.8,
            message="Bankroll utilisation 90%",
        )
    for role in (Role.PORTFOLIO_MANAGER, Role.RISK_OFFICER, Role.AUDITOR):
        assert titles(enrolled(role)) == ["Cohort Broken failed", "2 alerts in Busy"], role
    for role in (Role.CLIENT_RELATIONS, Role.ADMINISTRATOR):
        assert not [title for title in titles(enrolled(role)) if "Broken" in title or "Busy" in title]
