"""What is away is waited for and tried again; what failed is resumed by a person, at the exact bar."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test.client import MULTIPART_CONTENT
from django.urls import reverse
from pytest_django import Settings

from compliance.models import AuditEvent
from fundops.core.errors import PermissionMissingError
from fundops.core.models import User
from fundops.core.roles import Role
from tests.factories import user_with
from tests.portal.support import client_of
from tests.trading.strategies.test_registry import GOOD as STRATEGY
from tests.trading.strategies.test_user_profiles import SLOPES
from trading.actions.cohort import resume_cohort
from trading.actions.cohort_drive import drive_cohort
from trading.actions.cohort_run import Progress
from trading.errors import CohortNotFailedError
from trading.models.cohort import Cohort, CohortFill, CohortRun, CohortStatus, GenomeSource
from trading.tasks import drive_cohort as task

Make = Callable[..., Cohort]

FILL_COLUMNS = ("number", "agent__number", "at", "symbol", "side", "quantity", "price", "fee", "reason")


def fills(cohort: Cohort) -> list[tuple[Any, ...]]:
    return list(CohortFill.objects.filter(cohort=cohort).values_list(*FILL_COLUMNS))


# --- The database -------------------------------------------------------------------------------------------
def test_a_connection_killed_in_the_middle_is_taken_up_again(
    launched: Make, superuser: psycopg.Connection[Any]
) -> None:
    cohort, undisturbed = launched(), launched()

    def kill(_cohort: Cohort, _progress: Progress) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            superuser.execute("SELECT pg_terminate_backend(%s)", [cursor.fetchone()[0]])

    with pytest.raises((OperationalError, InterfaceError)):
        drive_cohort(cohort_id=cohort.pk, report=kill)
    cohort.refresh_from_db()
    assert cohort.status == CohortStatus.RUNNING
    assert "The database did not answer" in cohort.waiting_for
    assert CohortRun.objects.get(cohort=cohort).next_bar_ms == cohort.start_ms + 86_400_000

    finished = drive_cohort(cohort_id=cohort.pk)
    assert (finished.status, finished.waiting_for) == (CohortStatus.COMPLETED, "")
    drive_cohort(cohort_id=undisturbed.pk)
    assert fills(cohort) == fills(undisturbed)


def test_the_worker_tries_again_after_both_kinds_of_lost_connection() -> None:
    assert {OperationalError, InterfaceError} <= set(task.autoretry_for)  # type: ignore[attr-defined]


# --- Storage ------------------------------------------------------------------------------------------------
@pytest.fixture
def own_candles(settings: Settings, candles: Path, tmp_path: Path) -> Path:
    """A copy of the market that the test may break."""
    copy = tmp_path / "market"
    shutil.copytree(candles, copy)
    settings.MARKET_DATA_URL = str(copy)
    return copy


@pytest.mark.django_db
def test_storage_that_does_not_answer_is_waited_for_with_words(launched: Make, own_candles: Path) -> None:
    """The folder cannot be read (a directory stands where a manifest was), then it can again."""
    cohort = launched(days=1)
    manifest = next(own_candles.glob("manifests/**/BTCUSDT/1m.json"))
    kept = manifest.rename(manifest.with_suffix(".kept"))
    manifest.mkdir()
    for _ in range(2):
        waiting = drive_cohort(cohort_id=cohort.pk)
        assert waiting.status == CohortStatus.QUEUED
        assert "Its candles cannot be read" in waiting.waiting_for
        assert str(manifest) in waiting.waiting_for
    assert AuditEvent.objects.filter(kind="trading.cohort.waiting").count() == 1, "said once, not at every try"
    html = client_of(user_with(Role.AUDITOR)).get(reverse("portal:cohort", args=[cohort.pk])).content.decode()
    assert "It waits, and tries again by itself." in html
    manifest.rmdir()
    kept.rename(manifest)
    done = drive_cohort(cohort_id=cohort.pk)
    assert (done.status, done.waiting_for) == (CohortStatus.COMPLETED, "")


@pytest.mark.django_db
def test_candles_that_vanish_with_their_mount_are_waited_for(launched: Make, own_candles: Path) -> None:
    cohort = launched(days=2)

    def unmount(_cohort: Cohort, _progress: Progress) -> None:
        if own_candles.exists():
            own_candles.rename(own_candles.with_name("away"))

    for _ in range(3):
        waiting = drive_cohort(cohort_id=cohort.pk, report=unmount)
    assert waiting.status == CohortStatus.RUNNING
    assert AuditEvent.objects.filter(kind__in=["trading.cohort.waiting", "trading.cohort.going_on"]).count() == 1
    assert "There are no candles of" in waiting.waiting_for
    own_candles.with_name("away").rename(own_candles)
    assert drive_cohort(cohort_id=cohort.pk).status == CohortStatus.COMPLETED


# --- What fails, and is mended ------------------------------------------------------------------------------
@pytest.fixture
def strategies(settings: Settings, tmp_path: Path) -> Path:
    place = tmp_path / "mine"
    place.mkdir()
    settings.USER_STRATEGIES_DIR = str(place)
    settings.STRATEGY_CHECKS_DIR = str(tmp_path / "checks")
    (place / "slope.py").write_text(STRATEGY)
    (place / "slopes.yaml").write_text(SLOPES)
    return place


@pytest.fixture
def failed(launched: Make, strategies: Path) -> Cohort:
    """After its first day somebody made another version of the strategy it trades."""
    cohort = launched(genome_source=GenomeSource.PROFILES, profiles=["slope_fast"], days=2)

    def edit(_cohort: Cohort, progress: Progress) -> None:
        (strategies / "slope.py").write_text(STRATEGY.replace('source="house",', 'source="house", version=2,'))
        raise OperationalError("the worker loses its database here")

    with pytest.raises(OperationalError):
        drive_cohort(cohort_id=cohort.pk, report=edit)
    return drive_cohort(cohort_id=cohort.pk)


@pytest.mark.django_db
def test_a_strategy_that_is_gone_is_named(failed: Cohort) -> None:
    assert failed.status == CohortStatus.FAILED
    assert "Agent 1 trades ema_slope@1, which is not installed (there is ema_slope@2)" in failed.failure


@pytest.mark.django_db
def test_a_failed_cohort_goes_on_at_its_bar_once_the_cause_is_mended(
    failed: Cohort, manager: User, strategies: Path, launched: Make
) -> None:
    (strategies / "slope.py").write_text(STRATEGY)
    resumed = resume_cohort(cohort=failed, reason="version 1 is back", actor=manager)
    assert (resumed.status, resumed.failure, resumed.finished_at) == (CohortStatus.RUNNING, "", None)
    event = AuditEvent.objects.get(kind="trading.cohort.resumed")
    assert event.actor_id == manager.pk
    assert event.payload["reason"] == "version 1 is back"
    assert "ema_slope@1" in event.payload["failure"]
    assert drive_cohort(cohort_id=failed.pk).status == CohortStatus.COMPLETED
    undisturbed = launched(genome_source=GenomeSource.PROFILES, profiles=["slope_fast"], days=2)
    drive_cohort(cohort_id=undisturbed.pk)
    assert fills(failed) == fills(undisturbed)


@pytest.mark.django_db
def test_resume_is_for_failed_cohorts_only(launched: Make, manager: User) -> None:
    with pytest.raises(CohortNotFailedError, match="is queued"):
        resume_cohort(cohort=launched(), reason="x", actor=manager)


@pytest.mark.django_db
@pytest.mark.parametrize("role", sorted(Role))
def test_who_resumes_by_action_page_and_api(launched: Make, role: Role) -> None:
    user = user_with(role)
    client = client_of(user)
    may = role in {Role.PORTFOLIO_MANAGER, Role.OPERATIONS}
    for path in ("/cohorts/{pk}/resume/", "/api/cohorts/{pk}/resume/"):
        cohort = launched()
        Cohort.objects.filter(pk=cohort.pk).update(status=CohortStatus.FAILED, failure="broke")
        page = client.get(reverse("portal:cohort", args=[cohort.pk])).content.decode()
        assert ("What was mended?" in page) == may
        sent: Any = json.dumps({"reason": "mended"}) if path.startswith("/api/") else {"reason": "mended"}
        kind = "application/json" if path.startswith("/api/") else MULTIPART_CONTENT
        answer = client.post(path.format(pk=cohort.pk), sent, content_type=kind)
        assert answer.status_code in ({202, 302} if may else {403})
        cohort.refresh_from_db()
        assert cohort.status == (CohortStatus.QUEUED if may else CohortStatus.FAILED)
    if not may:
        with pytest.raises(PermissionMissingError, match=r"trading\.resume_cohort"):
            resume_cohort(cohort=cohort, reason="x", actor=user)


@pytest.mark.django_db
def test_resume_needs_a_reason(launched: Make, manager: User) -> None:
    cohort = launched()
    Cohort.objects.filter(pk=cohort.pk).update(status=CohortStatus.FAILED)
    client = client_of(manager)
    client.post(reverse("portal:cohort-resume", args=[cohort.pk]), {"reason": " "})
    assert client.post(f"/api/cohorts/{cohort.pk}/resume/", {}, content_type="application/json").status_code == 400
    cohort.refresh_from_db()
    assert cohort.status == CohortStatus.FAILED
