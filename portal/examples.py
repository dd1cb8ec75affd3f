"""The picture of a strategy at work on invented candles: a worker draws it, the cache keeps it, a request reads it."""

from __future__ import annotations

from typing import Any

from django.core.cache import cache

from fundops.core.tasks import enqueue_on_commit
from trading.cohorts.installed import installed_strategies
from trading.strategies.examples import example_market, family_example
from trading.strategies.registry import Registry

TASK = "portal.tasks.draw_strategy_examples"
BENCHMARK = "buy_and_hold@1"
KEPT_S = 30 * 86_400
#: While one asking is under way nobody asks again; a worker that died is asked anew after it.
ASKED_S = 60


def _place(registry: Registry, key: str) -> str:
    """The cache key: another one as soon as the family's file changes."""
    origin = registry.origins[key]
    changed = origin.stat().st_mtime_ns if origin.is_file() else 0
    return f"strategy-example:{key}:{changed}"


def strategy_example(key: str) -> dict[str, Any] | None:
    """The example of the family ``key``; None while a worker draws it, which this asks for."""
    found: dict[str, Any] | None = cache.get(_place(installed_strategies(), key))
    if found is None and cache.add("strategy-example:asked", 1, ASKED_S):
        enqueue_on_commit(TASK)
    return found


def draw_strategy_examples() -> int:
    """Draws and keeps every example that is not there yet; returns how many. Seconds, of which most is compiling."""
    registry = installed_strategies()
    due = {key: place for key in registry.families if cache.get(place := _place(registry, key)) is None}
    if due:
        market, benchmark = example_market(), registry.family(BENCHMARK)
        for key, place in due.items():
            cache.set(place, family_example(registry.families[key], benchmark, market=market), KEPT_S)
    cache.delete("strategy-example:asked")
    return len(due)
