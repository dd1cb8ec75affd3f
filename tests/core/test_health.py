"""Probes: alive, ready with reasons, metrics for those who may see them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from celery import shared_task
from django.conf import settings
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from fundops.core import health
from fundops.core.celery_signals import beat_heartbeat
from fundops.core.health import (
    HEARTBEATS,
    QUEUES,
    Finding,
    check_readiness,
    read_heartbeats,
    register_check,
    remove_heartbeat,
    stamp_heartbeat,
)
from fundops.core.metrics import TASKS, count_task, register_reading, render_metrics
from fundops.core.probes import PROBES, ProbeMiddleware
from fundops.core.redis_client import redis_client

TOKEN = "a-token-for-the-scraper"


@pytest.fixture(autouse=True)
def _no_heartbeats() -> Iterator[None]:
    redis_client().delete(HEARTBEATS, TASKS)
    yield
    redis_client().delete(HEARTBEATS, TASKS)


def _age(name: str, seconds: float) -> None:
    """Makes a heartbeat older than it is."""
    beat = json.loads(redis_client().hget(HEARTBEATS, name) or "{}")
    redis_client().hset(HEARTBEATS, name, json.dumps({**beat, "at": time.time() - seconds}))


def _all_well() -> None:
    stamp_heartbeat("worker:general@here", queues=["default", "reports"])
    stamp_heartbeat("worker:trading@here", queues=["trading"])
    stamp_heartbeat("worker:research@here", queues=["research"])
    beat_heartbeat()


def _check(name: str) -> Finding:
    return check_readiness().findings[name]


@pytest.mark.django_db
def test_living_process_answers_whatever_host_is_asked_for(client: Client) -> None:
    response = client.get("/healthz", headers={"host": "10.0.0.7:8000"})
    assert response.status_code == 200
    assert response.json() == {"alive": True}
    assert response["Cache-Control"] == "no-store"


@pytest.mark.django_db
def test_readiness_names_what_is_missing(client: Client) -> None:
    response = client.get("/readyz")
    assert response.status_code == 503
    checks = response.json()["checks"]
    assert checks["database"]["ok"], checks["database"]
    assert checks["redis"]["ok"]
    assert checks["workers"]["detail"] == "no worker for: trading, research, reports, default"
    del checks["beat"]["took_ms"]
    assert checks["beat"] == {"ok": False, "detail": "never heard of", "age_s": None, "threshold_s": 60.0}


@pytest.mark.django_db
def test_everything_heard_of_is_ready_with_ages_and_thresholds() -> None:
    _all_well()
    for name in ("database", "redis", "workers", "beat"):
        assert _check(name).ok, name
    workers = _check("workers")
    assert workers.age_s is not None
    assert workers.age_s < 5
    assert workers.threshold_s == 20.0


@pytest.mark.django_db
def test_verdict_turns_with_the_checks(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_checks", {name: health._checks[name] for name in ("database", "workers", "beat")})
    _all_well()
    assert client.get("/readyz").status_code == 200
    _age("beat", 61.0)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["beat"]["detail"] == "not heard of for too long"


@pytest.mark.django_db
@pytest.mark.parametrize("queue", QUEUES)
def test_queue_whose_worker_fell_silent_is_named(queue: str) -> None:
    for other in QUEUES:
        stamp_heartbeat(f"worker:{other}@here", queues=[other])
    _age(f"worker:{queue}@here", 21.0)
    assert _check("workers").detail == f"no worker for: {queue}"
    stamp_heartbeat("worker:second@there", queues=[queue])
    assert _check("workers").ok, "another worker of the queue is enough"


def test_goodbye_is_no_alarm_and_old_heartbeats_are_forgotten() -> None:
    stamp_heartbeat("worker:a@here", queues=["default"])
    stamp_heartbeat("worker:b@here", queues=["default"])
    remove_heartbeat("worker:a@here")
    _age("worker:b@here", 90_000.0)
    assert read_heartbeats() == {}
    assert redis_client().hlen(HEARTBEATS) == 0


def test_unreachable_database_is_a_finding_and_no_crash(django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        connection.close()
        host = connection.settings_dict["HOST"]
        connection.settings_dict["HOST"] = "/nowhere"
        try:
            finding = _check("database")
        finally:
            connection.settings_dict["HOST"] = host
            connection.close()
    assert not finding.ok
    assert finding.detail.startswith("OperationalError")


@pytest.mark.django_db
def test_unreachable_redis_is_a_finding_and_no_crash(client: Client) -> None:
    redis_client.cache_clear()
    try:
        with override_settings(REDIS_URL="unix:///nowhere/redis.sock"):
            response = client.get("/readyz")
            metrics = client.get("/metrics")
    finally:
        redis_client.cache_clear()
    assert response.status_code == 503
    checks = response.json()["checks"]
    assert checks["database"]["ok"], checks["database"]
    assert not checks["redis"]["ok"]
    assert not checks["workers"]["ok"]
    assert metrics.status_code == 200
    assert 'fundops_check_ok{check="redis"} 0.0' in metrics.content.decode()


def test_check_registered_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_checks", {})
    register_check("mine", lambda: Finding(ok=True))
    with pytest.raises(ValueError, match="registered twice"):
        register_check("mine", lambda: Finding(ok=False))


# --- who may see what ------------------------------------------------------------------


@pytest.mark.django_db
def test_stranger_learns_the_verdict_only() -> None:
    stranger = Client(REMOTE_ADDR="203.0.113.9")
    assert stranger.get("/readyz").json() == {"ready": False}
    assert stranger.get("/metrics").status_code == 403


@pytest.mark.django_db
def test_token_opens_the_metrics_and_its_absence_closes_them_even_here(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ENV", settings.ENV.model_copy(update={"metrics_token": SecretStr(TOKEN)}))
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 403
    stranger = Client(REMOTE_ADDR="203.0.113.9")
    assert stranger.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert "checks" in stranger.get("/readyz", headers={"authorization": f"Bearer {TOKEN}"}).json()


@pytest.mark.django_db
def test_production_without_a_token_shows_nobody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PRODUCTION", True)
    assert client.get("/metrics").status_code == 403
    assert client.get("/readyz").json() == {"ready": False}


def test_probe_paths_are_answered_for_reading_only() -> None:
    passed_on: list[str] = []

    def page(request: HttpRequest) -> HttpResponse:
        passed_on.append(request.path)
        return HttpResponse("a page")

    middleware = ProbeMiddleware(page)
    for path in PROBES:
        assert middleware(RequestFactory().post(path)).content == b"a page"  # type: ignore[union-attr]
    middleware(RequestFactory().get("/healthz/"))
    assert passed_on == [*PROBES, "/healthz/"]


@pytest.mark.django_db(transaction=True)
async def test_probes_answer_under_asgi_too() -> None:
    client = AsyncClient()
    assert (await client.get("/healthz")).status_code == 200
    response = await client.get("/readyz")
    assert response.status_code == 503
    assert json.loads(response.content)["ready"] is False
    await sync_to_async(connections.close_all)()  # those of the thread that answered


# --- metrics ---------------------------------------------------------------------------


def _metric(name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(render_metrics().decode()):
        for sample in family.samples:
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items()):
                return float(sample.value)
    return None


@pytest.mark.django_db
def test_tasks_of_any_process_are_counted_once_with_their_durations() -> None:
    for seconds, state in ((0.02, "success"), (0.3, "success"), (700.0, "failure"), (9000.0, "success")):
        count_task(task="trading.run", state=state, seconds=seconds)
    assert _metric("fundops_tasks_total", task="trading.run", state="success") == 3
    assert _metric("fundops_tasks_total", task="trading.run", state="failure") == 1
    assert _metric("fundops_task_seconds_count", task="trading.run") == 4
    assert _metric("fundops_task_seconds_sum", task="trading.run") == pytest.approx(9700.32)
    for bound, count in (("0.01", 0), ("0.05", 1), ("0.5", 2), ("300", 2), ("1800", 3), ("+Inf", 4)):
        assert _metric("fundops_task_seconds_bucket", task="trading.run", le=bound) == count, bound


@pytest.mark.django_db
def test_queue_depth_is_the_brokers_own() -> None:
    redis_client().rpush("research", "a", "b", "c")
    try:
        assert _metric("fundops_queue_depth", queue="research") == 3
        assert _metric("fundops_queue_depth", queue="trading") == 0
    finally:
        redis_client().delete("research")


@pytest.mark.django_db
def test_requests_are_counted_by_route_and_not_by_address(client: Client) -> None:
    before = _metric("fundops_http_requests_total", route="unmatched", status="404") or 0.0
    for number in range(3):
        assert client.get(f"/no/such/page/{number}").status_code == 404
    assert _metric("fundops_http_requests_total", route="unmatched", status="404") == before + 3


@pytest.mark.django_db
def test_hooks_of_other_apps_are_read_at_the_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fundops.core.metrics._hooks", {})
    counted = {"entries": 5.0}
    register_reading(
        "fundops_test_entries",
        help="Entries.",
        kind="counter",
        read=lambda: [({"book": "a"}, counted["entries"])],
    )
    register_reading("fundops_test_broken", help="Broken.", read=lambda: _fail())
    assert _metric("fundops_test_entries_total", book="a") == 5
    counted["entries"] = 6.0
    assert _metric("fundops_test_entries_total", book="a") == 6
    assert _metric("fundops_test_broken") is None
    with pytest.raises(ValueError, match="registered twice"):
        register_reading("fundops_test_broken", help="Again.", read=list)


def _fail() -> list[tuple[dict[str, str], float]]:
    raise ConnectionError("gone")


# --- requests and tasks in the logs ----------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("proxy-id-12345", True),
        ("short", False),
        ("x" * 65, False),
        ('forged"\n{"level":', False),
        (None, False),
    ],
)
def test_request_gets_an_id_and_a_proxys_is_kept_if_harmless(client: Client, given: str | None, kept: bool) -> None:
    response = client.get("/no/such/page", headers={"X-Request-ID": given} if given else {})
    assert (response["X-Request-ID"] == given) is kept
    assert len(response["X-Request-ID"]) >= 8


@shared_task(name="tests.core.failing")
def failing() -> None:
    raise RuntimeError("as told")


@pytest.mark.django_db
def test_failed_task_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    import celery_app  # noqa: F401, PLC0415 - connects the signals, as every process does

    failing.apply(throw=False)
    assert _metric("fundops_tasks_total", task="tests.core.failing", state="failure") == 1
