"""Whether this installation can do its work: heartbeats that processes leave, and the checks that read them.

``/healthz`` says that the web process lives; ``/readyz`` runs every check here. Apps above register their own
(the event relay's lag) with :func:`register_check` when they start.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from fundops.core.redis_client import read_hash, redis_client

HEARTBEATS: Final = "fundops:heartbeats"
QUEUES: Final = ("trading", "research", "reports", "default")
WORKER_BEATS_EVERY_S: Final = 5.0
WORKER_THRESHOLD_S: Final = 20.0
BEAT_THRESHOLD_S: Final = 60.0
#: A heartbeat this old belongs to a process that will not come back.
FORGET_AFTER_S: Final = 86_400.0


@dataclass(frozen=True)
class Finding:
    """What one check found. ``age_s`` is how old its evidence is, ``threshold_s`` how old it may be."""

    ok: bool
    detail: str = ""
    age_s: float | None = None
    threshold_s: float | None = None


@dataclass(frozen=True)
class Readiness:
    """All findings by name."""

    findings: Mapping[str, Finding]
    took_ms: Mapping[str, float]

    @property
    def ready(self) -> bool:
        return all(finding.ok for finding in self.findings.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "ready": self.ready,
            "checks": {
                name: {**asdict(finding), "took_ms": self.took_ms[name]} for name, finding in self.findings.items()
            },
        }


Check = Callable[[], Finding]
_checks: dict[str, Check] = {}


def register_check(name: str, check: Check) -> None:
    """Adds a check to ``/readyz``; one that raises counts as failed, with the error as its detail."""
    if _checks.get(name, check) is not check:
        raise ValueError(f"The readiness check '{name}' is registered twice.")
    _checks[name] = check


def check_readiness() -> Readiness:
    """Runs every check."""
    findings: dict[str, Finding] = {}
    took: dict[str, float] = {}
    for name, check in _checks.items():
        begun = time.perf_counter()
        try:
            findings[name] = check()
        except (redis.RedisError, DatabaseError, OSError) as error:
            findings[name] = Finding(ok=False, detail=f"{type(error).__name__}: {str(error).strip()}")
        took[name] = round((time.perf_counter() - begun) * 1000, 1)
    return Readiness(findings, took)


def stamp_heartbeat(name: str, **facts: Any) -> None:
    """Leaves word that ``name`` lives; the clock is the machines', since a heartbeat is about the wall."""
    redis_client().hset(HEARTBEATS, name, json.dumps({"at": time.time(), **facts}))


def remove_heartbeat(name: str) -> None:
    """An orderly goodbye: nobody waits for this process any more."""
    redis_client().hdel(HEARTBEATS, name)


def read_heartbeats() -> dict[str, dict[str, Any]]:
    """Every heartbeat by name with its ``age_s``; those of a day ago are forgotten."""
    now = time.time()
    found: dict[str, dict[str, Any]] = {}
    for name, text in read_hash(HEARTBEATS).items():
        beat = json.loads(text)
        beat["age_s"] = round(max(0.0, now - beat.pop("at")), 1)
        if beat["age_s"] > FORGET_AFTER_S:
            remove_heartbeat(name)
        else:
            found[name] = beat
    return found


def heartbeat_finding(name: str, *, threshold_s: float) -> Finding:
    """A finding about one process that stamps ``name``."""
    beat = read_heartbeats().get(name)
    if beat is None:
        return Finding(ok=False, detail="never heard of", threshold_s=threshold_s)
    age = beat["age_s"]
    detail = "" if age <= threshold_s else "not heard of for too long"
    return Finding(ok=age <= threshold_s, detail=detail, age_s=age, threshold_s=threshold_s)


def _database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        (standby,) = cursor.fetchone()
    return Finding(ok=not standby, detail="read-only standby" if standby else "")


def _redis() -> Finding:
    redis_client().ping()
    policy = redis_client().config_get("maxmemory-policy") if settings.REDIS_URL.startswith("unix") else {}
    evicting = policy.get("maxmemory-policy", "noeviction") != "noeviction"
    return Finding(ok=not evicting, detail="evicts keys under memory pressure: tasks could vanish" if evicting else "")


def _workers() -> Finding:
    """Every queue has a worker that was heard of lately; the age is that of the worst queue."""
    ages: dict[str, float] = {}
    for name, beat in read_heartbeats().items():
        if name.startswith("worker:"):
            for queue in beat.get("queues", ()):
                ages[queue] = min(beat["age_s"], ages.get(queue, beat["age_s"]))
    silent = [queue for queue in QUEUES if ages.get(queue, float("inf")) > WORKER_THRESHOLD_S]
    heard = [ages[queue] for queue in QUEUES if queue in ages]
    return Finding(
        ok=not silent,
        detail=f"no worker for: {', '.join(silent)}" if silent else "",
        age_s=max(heard) if heard else None,
        threshold_s=WORKER_THRESHOLD_S,
    )


def _beat() -> Finding:
    return heartbeat_finding("beat", threshold_s=BEAT_THRESHOLD_S)


for _name, _check in {"database": _database, "redis": _redis, "workers": _workers, "beat": _beat}.items():
    register_check(_name, _check)
