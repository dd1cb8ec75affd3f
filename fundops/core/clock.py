"""The one source of the time: aware UTC, and replaceable, so that no test waits and no rule reads the wall."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta

_frozen: ContextVar[datetime | None] = ContextVar("frozen_clock", default=None)


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return _frozen.get() or datetime.now(UTC)


def now_ms() -> int:
    """The current instant as epoch milliseconds."""
    return to_ms(now())


def to_ms(at: datetime) -> int:
    """Epoch milliseconds of an aware instant; raises ValueError on a naive one."""
    if at.tzinfo is None:
        raise ValueError("A time without a zone is not a time: give an aware datetime.")
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    """The aware UTC instant of epoch milliseconds."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


@contextmanager
def frozen(at: datetime) -> Iterator[None]:
    """Stands the clock still at ``at`` in this context."""
    if at.tzinfo is None:
        raise ValueError("A time without a zone is not a time: give an aware datetime.")
    token = _frozen.set(at.astimezone(UTC))
    try:
        yield
    finally:
        _frozen.reset(token)
