"""Prometheus metrics: what this web process counts itself, and what it reads for the whole installation on a
scrape.

Decision: no multi-process files. A web process counts its own requests, and every web process is scraped on
its own. Workers come and go and run on other machines, so what they count goes to Redis (one pipeline a
task), and queue depths, heartbeats, readiness and the hooks of other apps are read when a scrape asks for
them. Each of those is the same whichever web process answers: aggregate them with ``max``, not ``sum``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import redis
from django.db import DatabaseError
from prometheus_client import REGISTRY, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fundops.core import health
from fundops.core.redis_client import read_hash, redis_client

TASKS: Final = "fundops:tasks"
TASK_BUCKETS_S: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

REQUESTS = Counter("fundops_http_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram("fundops_http_request_seconds", "Time to answer a request.", ["method", "route"])

#: What a hook gives at a scrape: ``(labels, value)`` pairs, every one with the same label names.
Readings = Iterable[tuple[Mapping[str, str], float]]


@dataclass(frozen=True)
class _Hook:
    name: str
    help: str
    kind: Literal["gauge", "counter"]
    read: Callable[[], Readings]


_hooks: dict[str, _Hook] = {}


def register_reading(
    name: str, *, help: str, read: Callable[[], Readings], kind: Literal["gauge", "counter"] = "gauge"
) -> None:
    """Adds a metric that is read on each scrape: an app's own counters (ledger entries, audit events, relay
    lag).

    ``read`` must be quick (one indexed query) and returns ``(labels, value)`` pairs. A hook that fails at the
    database or Redis is left out of that scrape. Call it from an app's ``ready()``.
    """
    if name in _hooks:
        raise ValueError(f"The metric '{name}' is registered twice.")
    _hooks[name] = _Hook(name, help, kind, read)


def count_request(*, method: str, route: str, status: int, seconds: float) -> None:
    REQUESTS.labels(method, route, str(status)).inc()
    REQUEST_SECONDS.labels(method, route).observe(seconds)


def count_task(*, task: str, state: str, seconds: float) -> None:
    """One finished task, counted where every process can read it; ``state`` is Celery's, in lower case."""
    index = bisect_left(TASK_BUCKETS_S, seconds)
    bucket = f"{TASK_BUCKETS_S[index]:g}" if index < len(TASK_BUCKETS_S) else "+Inf"
    with redis_client().pipeline(transaction=False) as pipe:
        pipe.hincrby(TASKS, f"{task}|state|{state}", 1)
        pipe.hincrby(TASKS, f"{task}|le|{bucket}", 1)
        pipe.hincrbyfloat(TASKS, f"{task}|sum|", seconds)
        pipe.execute()


def render_metrics() -> bytes:
    """The page a scraper reads, in Prometheus' text format."""
    return generate_latest(REGISTRY)


class InstallationCollector(Collector):
    """What is true of the whole installation, read when asked."""

    def describe(self) -> Iterable[Metric]:
        return []  # nothing is asked of Redis or the database at registration

    def collect(self) -> Iterator[Metric]:
        for part in (_task_metrics, _queue_metrics, _health_metrics, _hook_metrics):
            try:
                yield from part()
            except (redis.RedisError, DatabaseError, OSError):
                continue  # fundops_check_ok says which part is down


def _task_metrics() -> list[Metric]:
    counts = CounterMetricFamily("fundops_tasks", "Tasks finished.", labels=["task", "state"])
    seconds = HistogramMetricFamily("fundops_task_seconds", "Time a task took.", labels=["task"])
    buckets: dict[str, dict[str, float]] = {}
    sums: dict[str, float] = {}
    for key, value in read_hash(TASKS).items():
        task, what, label = key.rsplit("|", 2)
        if what == "state":
            counts.add_metric([task, label], float(value))
        elif what == "le":
            buckets.setdefault(task, {})[label] = float(value)
        else:
            sums[task] = float(value)
    for task, found in buckets.items():
        running = 0.0
        cumulative = []
        for bound in [*(f"{bound:g}" for bound in TASK_BUCKETS_S), "+Inf"]:
            running += found.get(bound, 0.0)
            cumulative.append((bound, running))
        seconds.add_metric([task], buckets=cumulative, sum_value=sums.get(task, 0.0))
    return [counts, seconds]


def _queue_metrics() -> list[Metric]:
    depth = GaugeMetricFamily("fundops_queue_depth", "Tasks waiting in a queue.", labels=["queue"])
    with redis_client().pipeline(transaction=False) as pipe:
        for queue in health.QUEUES:
            pipe.llen(queue)
        for queue, waiting in zip(health.QUEUES, pipe.execute(), strict=True):
            depth.add_metric([queue], float(waiting))
    return [depth]


def _health_metrics() -> list[Metric]:
    ok = GaugeMetricFamily("fundops_check_ok", "1 when a readiness check passes.", labels=["check"])
    age = GaugeMetricFamily("fundops_check_age_seconds", "Age of a check's evidence.", labels=["check"])
    for name, finding in health.check_readiness().findings.items():
        ok.add_metric([name], float(finding.ok))
        if finding.age_s is not None:
            age.add_metric([name], finding.age_s)
    return [ok, age]


def _hook_metrics() -> Iterator[Metric]:
    for hook in _hooks.values():
        try:
            readings = list(hook.read())
        except (redis.RedisError, DatabaseError, OSError):
            continue
        labels = list(readings[0][0]) if readings else []
        family: GaugeMetricFamily | CounterMetricFamily
        if hook.kind == "gauge":
            family = GaugeMetricFamily(hook.name, hook.help, labels=labels)
        else:
            family = CounterMetricFamily(hook.name, hook.help, labels=labels)
        for given, value in readings:
            family.add_metric([str(given[label]) for label in labels], value)
        yield family


REGISTRY.register(InstallationCollector())
