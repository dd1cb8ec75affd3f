"""Waiting for real processes: on their pidfds, or on a condition that is looked at until it holds."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from fundops.embedded.linux import wait_for_exit

T = TypeVar("T")


def eventually(look: Callable[[], T], *, timeout_s: float = 60.0, what: str = "the condition") -> T:
    """The first truthy value of ``look``; an OSError or a refused connection counts as "not yet"."""
    deadline = time.monotonic() + timeout_s
    problem: Exception | None = None
    while time.monotonic() < deadline:
        try:
            value = look()
        except Exception as error:
            problem = error
        else:
            if value:
                return value
        select.select([], [], [], 0.02)
    raise AssertionError(f"{what} did not come true within {timeout_s:g} s (last problem: {problem!r})")


def assert_all_end(pids: Iterable[int], *, timeout_s: float = 30.0) -> None:
    """Every one of the processes ends by itself."""
    assert wait_for_exit(pids, timeout_s=timeout_s) == []
