"""This process' Redis connection for small facts of operation: heartbeats and counters."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import redis
from django.conf import settings


@lru_cache(maxsize=1)
def redis_client() -> redis.Redis:
    """A client with short timeouts: a probe that waits long is no probe. Safe to use after a fork."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=2.0, socket_connect_timeout=2.0, decode_responses=True
    )


def read_hash(key: str) -> dict[str, str]:
    """A whole hash as text; empty where there is none."""
    return cast("dict[str, str]", redis_client().hgetall(key))  # decode_responses makes it text
